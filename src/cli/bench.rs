//! `tutelage bench`: the speed of a training stage on one's own model, rows and machine.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Verdict;
use super::bench_generate::GenerateBench;
use super::bench_gpu::GpuBench;
use super::output::{Output, columns};
use super::outputs::{self, Force};
use super::precision::PrecisionName;
use crate::data::Example;
use crate::data::encode::{Limits, Sequence, encode_all};
use crate::data::import::{ImportError, import};
use crate::data::tokenizer::Tokenizer;
use crate::data::wording::Wording;
use crate::device::{self, Compute, Seed};
use crate::distill::capture::{self, Capture};
use crate::distill::projectors::{Query, Widths};
use crate::distill::{Objective, Projectors, Vocabularies};
use crate::experiment::settings::{
    self, Algorithm, BaseFormat, Data, DeviceChoice, Divergence, Importer, Kind, Lora, Origin, Schedule, Training,
    Tuning, Validate,
};
use crate::files;
use crate::models::ModelError;
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::{product, quantised};
use crate::orchestrate::stages::with_hint;
use crate::train;
use crate::train::distillation::Distillation;
use crate::train::event::TrainEvent;
use crate::train::run::{Job, Order};
use crate::train::student::Student;
use crate::train::supervised::Supervised;
use crate::tuning::lora;

/// Times training and answering on one's own model, rows and machine; keeps nothing of what is trained.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
`sft` and `distill` train one epoch on the first rows of a file, in their order, and print (with
--format json under these names):
  examples_per_second  rows per second of training; loading, encoding and capture are left out
  tokens_per_second    tokens per second of training, prompts included
  mfu                  useful operations per second of the layers, as a share of what a large
                       product of matrices reaches here in the same number format
  peak_memory_bytes    most main memory that the process held
  seconds              duration of training
  capture_seconds      duration of capturing the teacher's signal beforehand (distill)
  first, last          loss parts of the first and the last step, nats per response token

Examples:
  tutelage bench sft --model TinyLlama --data TeleQuAD.json --tuning lora --precision bf16
  tutelage bench distill --model student --teacher teacher --data TeleQuAD.json --method dskd-cma
  tutelage bench generate --model TinyLlama --data TeleQuAD.json")]
pub enum Bench {
    /// Times fine-tuning on questions and answers.
    Sft(SftBench),
    /// Times distilling a teacher, whose signal is captured beforehand.
    Distill(DistillBench),
    /// Times answering questions.
    Generate(GenerateBench),
    /// Times training and answering on a GPU, on generated weights.
    Gpu(GpuBench),
}

/// What every benchmark needs.
#[derive(Debug, Args)]
pub struct Common {
    /// Hugging Face folder of the model that is trained; it is only read.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File with questions and answers.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Format of the file.
    #[arg(long, value_name = "NAME", default_value = Importer::Telequad.name(), value_parser = importers())]
    importer: Importer,
    /// Usable rows to train on, from the first.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    examples: usize,
    /// Sequences of one optimiser step.
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    batch_size: usize,
    /// Longest sequence, in tokens, response included; a longer prompt loses its left end.
    #[arg(long, value_name = "L", default_value_t = 512, value_parser = RangedU64ValueParser::<usize>::new().range(2..=MOST))]
    max_length: usize,
    /// Number format of matrix products; master weights and losses are f32.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Which parameters are trained: all, or LoRA of rank 16, alpha 32 on all projections.
    #[arg(long, value_enum, default_value_t = TuningName::Full)]
    tuning: TuningName,
    /// Leaves the context out of the prompt.
    #[arg(long)]
    closed_book: bool,
    /// Peak learning rate of AdamW: `sft` falls to 0 along a cosine, `distill` keeps it (projectors
    /// too).
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Writes every step's loss parts (`loss`, `ce`, `kd`, ..., `grad_norm`) to this JSON file; an
    /// existing one is only replaced if it has the very form that this command writes.
    #[arg(long, value_name = "FILE")]
    losses: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

/// Largest batch and length: their product counts tokens.
pub(super) const MOST: u64 = 1 << 24;

/// Times fine-tuning on questions and answers: the loss is on the response only.
#[derive(Debug, Args)]
#[command(after_help = "\
What is printed: `tutelage bench --help`.

Example:
  tutelage bench sft --model TinyLlama --data TeleQuAD.json --examples 48 --format json")]
pub struct SftBench {
    #[command(flatten)]
    common: Common,
}

/// Times distilling a teacher, whose signal is captured beforehand, into a temporary folder
/// ($TMPDIR): forward KL at temperature 2, loss = 0.5 CE + 0.5 KD.
#[derive(Debug, Args)]
#[command(after_help = "\
What is printed: `tutelage bench --help`.

Example:
  tutelage bench distill --model student --teacher teacher --data TeleQuAD.json --method kd \\
    --examples 24 --losses losses.json --format json")]
pub struct DistillBench {
    #[command(flatten)]
    common: Common,
    /// Hugging Face folder of the teacher; it is only read.
    #[arg(long, value_name = "DIR")]
    teacher: PathBuf,
    /// Objective.
    #[arg(long, value_enum)]
    method: MethodName,
    /// Initial projectors of DSKD (`t2s.weight`, `t2s.bias`, `s2t.*`, `query.*`) in a safetensors
    /// file; drawn at random without it.
    #[arg(long, value_name = "FILE")]
    projectors: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MethodName {
    /// Vanilla KD; student and teacher have one vocabulary.
    Kd,
    /// Dual-space KD; student and teacher have one vocabulary.
    Dskd,
    /// Dual-space KD with cross-model attention, for any two vocabularies.
    DskdCma,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TuningName {
    /// All parameters.
    Full,
    /// Low-rank adapters.
    Lora,
    /// Low-rank adapters on weights in 4-bit NormalFloat, scales in 8 bits.
    Qlora,
}

/// Reads the name of an importer of questions in a file.
pub(super) fn importers() -> impl TypedValueParser<Value = Importer> {
    let is_offered = |importer: &&Importer| importer.kind() != Kind::Text && importer.origin() != Origin::Embedded;
    let offered = Importer::ALL.iter().filter(is_offered);
    let named = |importer: &Importer| {
        PossibleValue::new(importer.name()).aliases(importer.former_names().iter().copied()).help(importer.about())
    };
    PossibleValuesParser::new(offered.map(named))
        .try_map(|name| Importer::named(&name).ok_or("no importer has this name"))
}

/// Reads a finite number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("a number above 0 expected, such as 1e-3".to_owned()),
    }
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

impl Bench {
    /// Runs a benchmark and prints its timing.
    ///
    /// # Errors
    /// When model or data cannot be read, training fails, or a file cannot be written.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let common = match self {
            Self::Sft(SftBench { common }) | Self::Distill(DistillBench { common, .. }) => common,
            Self::Generate(bench) => return bench.run(output),
            Self::Gpu(bench) => return bench.run(output),
        };
        if let Some(path) = &common.losses {
            outputs::claim("--losses", path, &self.inputs(common), common.force, is_losses)?;
        }
        let timing = match self {
            Self::Distill(bench) => bench.time()?,
            _ => common.time_sft()?,
        };
        output.result(&timing, || text(&timing))?;
        Ok(Verdict::Good)
    }

    /// The files and folders that are read.
    fn inputs<'a>(&'a self, common: &'a Common) -> Vec<(&'a str, &'a Path)> {
        let mut inputs = vec![("--model", common.model.as_path()), ("--data", common.data.as_path())];
        if let Self::Distill(bench) = self {
            inputs.push(("--teacher", &bench.teacher));
            inputs.extend(bench.projectors.as_deref().map(|path| ("--projectors", path)));
        }
        inputs
    }
}

/// Says whether a file is one that `--losses` wrote: the same bytes come out when it is written again.
fn is_losses(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let Ok(log) = serde_json::from_slice::<Vec<BTreeMap<String, f64>>>(&bytes) else { return false };
    let has_parts = log.iter().all(|parts| parts.contains_key("loss") && parts.contains_key("grad_norm"));
    has_parts && files::json(&log).is_ok_and(|written| written == bytes)
}

impl DistillBench {
    fn of_teacher(&self, error: ModelError) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("cannot load the teacher `{}`", self.teacher.display()))
    }

    fn time(&self) -> anyhow::Result<Timing> {
        let common = &self.common;
        let compute = common.compute()?;
        let (mine, tokenizer) = common.sequences(&common.model)?;
        let (theirs, teacher_tokenizer) = common.sequences(&self.teacher)?;
        if mine.len() != common.examples || theirs.len() != common.examples {
            bail!("some responses are longer than `--max-length` {}: raise it", common.max_length);
        }
        if self.method != MethodName::DskdCma && !tokenizer.same_vocabulary(&teacher_tokenizer) {
            bail!(
                "student and teacher have different vocabularies\nhint: `--method dskd-cma` distils across vocabularies"
            );
        }
        let ends = match self.method {
            MethodName::DskdCma => None,
            MethodName::Kd | MethodName::Dskd => {
                let rows = Config::read(&self.teacher).map_err(|error| self.of_teacher(error))?.vocab_size;
                let rows = usize::try_from(rows).unwrap_or(0);
                let ends = teacher_tokenizer.exchanged_ends(&tokenizer, rows);
                ends.map_err(|error| with_hint(error.hint(), error))?
            }
        };
        let folder = tempfile::tempdir()?;
        let started = Instant::now();
        {
            let teacher = Decoder::load(&self.teacher, compute.kind(), compute.device);
            let teacher = teacher.map_err(|error| self.of_teacher(error))?;
            let sequences: Vec<capture::Sequence<'_>> = theirs.iter().map(Into::into).collect();
            let budget = common.batch_size * common.max_length;
            let fingerprint = teacher_tokenizer.fingerprint();
            capture::capture(&teacher, &fingerprint, &sequences, folder.path(), budget, &mut |_| {
                ControlFlow::Continue(())
            })?;
        }
        let capture_seconds = started.elapsed().as_secs_f64();

        let mut signal = Capture::open(folder.path(), compute.kind(), compute.device)?;
        if let Some([theirs, ours]) = ends {
            signal = signal.exchanging(theirs, ours);
        }
        let decoder = common.load(&common.model, compute)?;
        let parameters = decoder.config.product_parameters();
        let (temperature, rate) = (2.0, 0.5);
        let divergence = Divergence::ForwardKl;
        let (algorithm, vocabularies) = match self.method {
            MethodName::Kd => {
                (Algorithm::Vanilla { divergence, temperature, rate, alignment: None }, Vocabularies::Same)
            }
            MethodName::Dskd | MethodName::DskdCma => {
                let projector_lr = common.lr;
                let vocabularies =
                    if self.method == MethodName::Dskd { Vocabularies::Same } else { Vocabularies::Different };
                (Algorithm::DualSpace { divergence, temperature, rate, projector_lr }, vocabularies)
            }
        };
        let widths = Widths { student: decoder.config.hidden_size, teacher: signal.width() };
        let mut objective = Objective::new(&algorithm, vocabularies, widths, Seed(10), compute.device)?;
        if let (Some(path), Some(projectors)) = (&self.projectors, objective.projectors_mut()) {
            let query = if self.method == MethodName::DskdCma { Query::Projected } else { Query::Absent };
            *projectors = Projectors::load(path, widths, query, compute.device)?;
        }
        let tuning = common.tuning();
        let student = Student::new(decoder, &tuning, common.training().weight_decay, compute, Seed(10));
        let places = (0..mine.len()).collect();
        let per_token = if matches!(tuning, Tuning::Full {}) { 6.0 } else { 4.0 };
        let mut objective = Distillation::new(student, objective, 1.0, signal, mine, places, vec![]);
        let schedule = Schedule::Constant { warmup: 0.0 };
        common.time(&mut objective, schedule, per_token * parameters as f64, compute, Some(capture_seconds))
    }
}

impl Common {
    fn time_sft(&self) -> anyhow::Result<Timing> {
        let compute = self.compute()?;
        let (sequences, tokenizer) = self.sequences(&self.model)?;
        let mut decoder = self.load(&self.model, compute)?;
        decoder.tokens = decoder.tokens.min(tokenizer.len() as i64);
        let parameters = decoder.config.product_parameters();
        let tuning = self.tuning();
        let student = Student::new(decoder, &tuning, self.training().weight_decay, compute, Seed(10));
        // Floating-point operations per token: 2 forward, 2 for the gradient of activations,
        // 2 for that of weights, which adapters of a frozen model hardly have.
        let per_token = if matches!(tuning, Tuning::Full {}) { 6.0 } else { 4.0 };
        let mut objective = Supervised::new(student, sequences, vec![]);
        let schedule = Schedule::Cosine { warmup: 0.0, floor: 0.0 };
        self.time(&mut objective, schedule, per_token * parameters as f64, compute, None)
    }

    fn compute(&self) -> anyhow::Result<Compute> {
        compute(self.precision, self.threads)
    }

    fn tuning(&self) -> Tuning {
        match self.tuning {
            TuningName::Full => Tuning::Full {},
            TuningName::Lora | TuningName::Qlora => Tuning::Lora(Lora {
                rank: 16,
                alpha: 32.0,
                target_modules: vec!["all-linear".to_owned()],
                base: if self.tuning == TuningName::Qlora { BaseFormat::Nf4 } else { BaseFormat::Full },
                ..Lora::default()
            }),
        }
    }

    fn training(&self) -> Training {
        Training {
            epochs: 1.0,
            batch: self.batch_size,
            lr: self.lr,
            max_length: self.max_length,
            validate: Validate::End,
            ..Training::default()
        }
    }

    fn load(&self, folder: &Path, compute: Compute) -> anyhow::Result<Decoder> {
        let tuning = self.tuning();
        let asked = lora::quantisation(&tuning);
        let decoder = Decoder::load_as(folder, Student::base_kind(&tuning, compute), compute.device, asked)
            .with_context(|| format!("cannot load the model `{}`", folder.display()))?;
        if decoder.quantisation() != asked {
            let kept = quantised::in_words(decoder.quantisation());
            bail!("`{}` keeps its weights in {kept}, expected a checkpoint that is not quantised", folder.display());
        }
        Ok(decoder)
    }

    fn sequences(&self, model: &Path) -> anyhow::Result<(Vec<Sequence>, Tokenizer)> {
        let examples = examples(self.importer, &self.data, self.closed_book, self.examples)?;
        let tokenizer = Tokenizer::load(model).map_err(|error| with_hint(error.hint(), error))?;
        let limits = Limits { max_length: self.max_length, max_prompt: None };
        let (sequences, _) = encode_all(&tokenizer, &examples, &Wording::plain(self.closed_book), limits)?;
        Ok((sequences, tokenizer))
    }

    fn time(
        &self,
        objective: &mut dyn train::Objective,
        schedule: Schedule,
        operations_per_token: f64,
        compute: Compute,
        capture_seconds: Option<f64>,
    ) -> anyhow::Result<Timing> {
        let mut log: Vec<BTreeMap<String, f64>> = Vec::new();
        let (mut tokens, examples) = (0, objective.response_tokens().len());
        let training = Training { schedule, ..self.training() };
        let stop = AtomicBool::new(false);
        let job = Job { training: &training, order: Order::Data, seed: Seed(10), folder: None, stop: &stop };
        let started = Instant::now();
        train::run::train(objective, &job, &mut |event| {
            if let TrainEvent::Step { mut parts, grad_norm, tokens: read, .. } = event {
                parts.insert("grad_norm".to_owned(), grad_norm);
                log.push(parts);
                tokens += read;
            }
        })?;
        let seconds = started.elapsed().as_secs_f64();
        if let Some(path) = &self.losses {
            files::write_json(path, &log)?;
        }
        let peak_memory_bytes = device::peak_memory_bytes();
        let achieved = operations_per_token * tokens as f64 / seconds;
        Ok(Timing {
            examples_per_second: examples as f64 / seconds,
            tokens_per_second: tokens as f64 / seconds,
            mfu: achieved / product::speed(compute),
            peak_memory_bytes,
            seconds,
            capture_seconds,
            first: log.first().cloned().unwrap_or_default(),
            last: log.last().cloned().unwrap_or_default(),
        })
    }
}

/// Prepares the device.
pub(super) fn compute(precision: PrecisionName, threads: Option<usize>) -> anyhow::Result<Compute> {
    let settings = settings::Compute { device: DeviceChoice::Auto, precision: precision.into(), threads };
    device::start(&settings).map_err(|error| with_hint(error.hint(), error))
}

/// Reads the first usable rows of a file.
pub(super) fn examples(
    importer: Importer,
    file: &Path,
    closed_book: bool,
    count: usize,
) -> anyhow::Result<Vec<Example>> {
    let data = Data { closed_book, ..Data::new(importer, Some(file.to_owned())) };
    let imported = import(&data, Path::new("")).map_err(|error| match error {
        ImportError::Read { .. } => with_hint("check `--data`; a relative path starts at the current folder", error),
        error => with_hint(error.hint(), error),
    })?;
    let mut examples = imported.examples;
    if examples.len() < count {
        let rows = examples.len();
        bail!(
            "`{}` has {rows} usable rows, expected at least {count}\nhint: `--examples {rows}` takes them all",
            file.display()
        );
    }
    examples.truncate(count);
    Ok(examples)
}

/// Writes an amount of memory for people.
pub(super) fn memory(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), |bytes| format!("{:.2} GB", bytes as f64 / 1e9))
}

fn text(timing: &Timing) -> String {
    let parts = |parts: &BTreeMap<String, f64>| {
        let parts: Vec<String> = parts.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        parts.join("  ")
    };
    let memory = memory(timing.peak_memory_bytes);
    let mut rows = [
        ["speed", &format!("{:.2} examples/s, {:.0} tokens/s", timing.examples_per_second, timing.tokens_per_second)],
        ["utilisation", &format!("{:.1} % of a large matrix product", timing.mfu * 100.0)],
        ["peak memory", &memory],
        ["training", &format!("{:.2} s", timing.seconds)],
    ]
    .map(|row| row.map(str::to_owned))
    .to_vec();
    if let Some(seconds) = timing.capture_seconds {
        rows.push(["capture".to_owned(), format!("{seconds:.2} s")]);
    }
    rows.push(["first step".to_owned(), parts(&timing.first)]);
    rows.push(["last step".to_owned(), parts(&timing.last)]);
    columns(&rows)
}
