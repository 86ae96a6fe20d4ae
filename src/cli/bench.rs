//! `tutelage bench`: the speed of a training stage on one's own model, rows and machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tch::Kind;

use crate::data::encode::{Limits, Sequence, encode_all};
use crate::data::import::import;
use crate::data::tokenizer::Tokenizer;
use crate::device::{self, Compute, Seed};
use crate::experiment::settings::{
    self, Data, DeviceChoice, Importer, Lora, PrecisionChoice, Schedule, Training, Tuning, Validate,
};
use crate::models::decoder::Decoder;
use crate::train::Objective;
use crate::train::event::TrainEvent;
use crate::train::run::{Job, Order, train};
use crate::train::student::Student;
use crate::train::supervised::Supervised;

/// Times a training stage in data order, one epoch.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Fine-tunes on questions and answers.
    Sft(SftBench),
}

/// What every benchmark needs.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder of the model that is trained.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File with questions and answers.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Format of the file.
    #[arg(long, value_name = "NAME", default_value = "telequad")]
    importer: ImporterName,
    /// Rows to train on, from the first.
    #[arg(long, value_name = "N", default_value_t = 128)]
    examples: usize,
    /// Sequences of one optimiser step.
    #[arg(long, value_name = "B", default_value_t = 8)]
    batch_size: usize,
    /// Longest sequence, in tokens.
    #[arg(long, value_name = "L", default_value_t = 512)]
    max_length: usize,
    /// Number format of matrix products.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Which parameters are trained.
    #[arg(long, value_enum, default_value_t = TuningName::Full)]
    tuning: TuningName,
    /// Leaves the context out of the prompt.
    #[arg(long)]
    closed_book: bool,
    /// Peak learning rate.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Writes every step's loss parts to this JSON file.
    #[arg(long, value_name = "FILE")]
    losses: Option<PathBuf>,
}

/// Fine-tunes on questions and answers.
#[derive(Debug, Args)]
pub struct SftBench {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ImporterName {
    Telequad,
    Squad,
    Jsonl,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PrecisionName {
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TuningName {
    Full,
    Lora,
}

/// What a benchmark prints.
#[derive(Debug, Serialize)]
pub struct Timing {
    /// Rows per second of training.
    pub examples_per_second: f64,
    /// Tokens per second of training, prompts included.
    pub tokens_per_second: f64,
    /// Useful floating-point operations per second as a share of what a large matrix product
    /// reaches in the same number format on the same threads.
    pub mfu: f64,
    /// Most memory the process held.
    pub peak_memory_bytes: Option<u64>,
    /// Duration of training.
    pub seconds: f64,
    /// Duration of capturing the teacher's signal beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_seconds: Option<f64>,
    /// Loss parts of the first step.
    pub first: BTreeMap<String, f64>,
    /// Loss parts of the last step.
    pub last: BTreeMap<String, f64>,
}

/// Runs a benchmark.
///
/// # Errors
/// When model or data cannot be read, or training fails.
pub fn run(bench: &Bench) -> anyhow::Result<Timing> {
    match bench {
        Bench::Sft(SftBench { common }) => {
            let compute = common.compute()?;
            let decoder = common.load(&common.model, compute)?;
            let parameters = decoder.config.parameters();
            let (sequences, _) = common.sequences(&common.model)?;
            let tuning = common.tuning();
            let student = Student::new(decoder, &tuning, common.training().weight_decay, compute, Seed(10));
            // Floating-point operations per token: 2 forward, 2 for the gradient of activations,
            // 2 for that of weights, which adapters of a frozen model hardly have.
            let per_token = if matches!(tuning, Tuning::Full {}) { 6.0 } else { 4.0 };
            let mut objective = Supervised::new(student, sequences, vec![]);
            common.time(&mut objective, per_token * parameters as f64, compute)
        }
    }
}

impl Common {
    fn compute(&self) -> anyhow::Result<Compute> {
        let precision = match self.precision {
            PrecisionName::F32 => PrecisionChoice::F32,
            PrecisionName::Bf16 => PrecisionChoice::Bf16,
        };
        Ok(device::start(&settings::Compute { device: DeviceChoice::Auto, precision, threads: self.threads })?)
    }

    fn tuning(&self) -> Tuning {
        match self.tuning {
            TuningName::Full => Tuning::Full {},
            TuningName::Lora => {
                let all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
                Tuning::Lora(Lora {
                    rank: 16,
                    alpha: 32.0,
                    dropout: 0.0,
                    target_modules: all.map(str::to_owned).to_vec(),
                })
            }
        }
    }

    fn training(&self) -> Training {
        Training {
            epochs: 1.0,
            batch: self.batch_size,
            lr: self.lr,
            schedule: Schedule::Cosine { warmup: 0.0, floor: 0.0 },
            max_length: self.max_length,
            validate: Validate::End,
            ..Training::default()
        }
    }

    fn load(&self, folder: &Path, compute: Compute) -> anyhow::Result<Decoder> {
        Decoder::load(folder, Kind::Float, compute.device)
            .with_context(|| format!("cannot load the model `{}`", folder.display()))
    }

    fn sequences(&self, model: &Path) -> anyhow::Result<(Vec<Sequence>, Tokenizer)> {
        let importer = match self.importer {
            ImporterName::Telequad => Importer::Telequad,
            ImporterName::Squad => Importer::Squad,
            ImporterName::Jsonl => Importer::Jsonl,
        };
        let data = Data {
            importer,
            path: Some(self.data.clone()),
            window: None,
            closed_book: self.closed_book,
            limit: None,
            split: settings::Split::default(),
        };
        let mut examples = import(&data, Path::new(""))?.examples;
        if examples.len() < self.examples {
            bail!("`{}` has {} usable rows, expected at least {}", self.data.display(), examples.len(), self.examples);
        }
        examples.truncate(self.examples);
        let tokenizer = Tokenizer::load(model)?;
        let limits = Limits { max_length: self.max_length, max_prompt: None };
        let (sequences, _) = encode_all(&tokenizer, &examples, self.closed_book, limits);
        Ok((sequences, tokenizer))
    }

    fn time(&self, objective: &mut dyn Objective, operations_per_token: f64, compute: Compute) -> anyhow::Result<Timing> {
        let mut log: Vec<BTreeMap<String, f64>> = Vec::new();
        let (mut tokens, examples) = (0, objective.response_tokens().len());
        let training = self.training();
        let stop = AtomicBool::new(false);
        let job = Job { training: &training, order: Order::Data, seed: Seed(10), folder: None, stop: &stop };
        let started = Instant::now();
        train(objective, &job, &mut |event| {
            if let TrainEvent::Step { mut parts, grad_norm, tokens: read, .. } = event {
                parts.insert("grad_norm".to_owned(), grad_norm);
                log.push(parts);
                tokens += read;
            }
        })?;
        let seconds = started.elapsed().as_secs_f64();
        if let Some(path) = &self.losses {
            crate::files::write(path, serde_json::to_string_pretty(&log)?.as_bytes())
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        let peak_memory_bytes = device::peak_memory_bytes();
        let achieved = operations_per_token * tokens as f64 / seconds;
        Ok(Timing {
            examples_per_second: examples as f64 / seconds,
            tokens_per_second: tokens as f64 / seconds,
            mfu: achieved / device::product_speed(compute),
            peak_memory_bytes,
            seconds,
            capture_seconds: None,
            first: log.first().cloned().unwrap_or_default(),
            last: log.last().cloned().unwrap_or_default(),
        })
    }
}
