//! `tutelage bench gpu`: training and answering of published shapes on a GPU, on weights drawn at random.
//!
//! Every case is a process of its own: what the card holds at its end is the most that this case held, and
//! one that runs out of memory takes no other with it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tutelage_metrics::energy::nvml::{self, Gpu};
use tutelage_metrics::energy::{Component, Meter, SinceBoot};

use super::Verdict;
use super::output::{Output, columns};
use super::outputs::{self, Force};
use crate::data::encode::Sequence;
use crate::device::{self, Compute, Seed};
use crate::experiment::settings::{
    self, BaseFormat, Decoding, DeviceChoice, Lora, PrecisionChoice, Schedule, Training, Tuning, Validate,
};
use crate::files;
use crate::generate::{self, Ends, GenerationSettings};
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::product;
use crate::orchestrate::execute::power;
use crate::orchestrate::stages::with_hint;
use crate::train::event::TrainEvent;
use crate::train::run::{Job, Order, train};
use crate::train::student::Student;
use crate::train::supervised::Supervised;
use crate::tuning::lora;

/// Steps before timing starts: kernels are loaded and chosen in them.
const WARM_UP: usize = 3;

/// Times training and answering on a GPU, on generated weights of published shapes.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no checkpoint and no data. Each case is a process of its own and tells (with --format json
under these names):
  tokens_per_second     of training, all tokens of a sequence counted; of answering, tokens that
                        were written
  mfu                   useful operations of the layers per second, as a share of what a large
                        product of matrices reaches on the same card in the same number format
  gpu_memory_bytes      what the card holds at the end, by NVML: all that runs on it
  joules_per_token      energy of the card, by NVML
  error                 why the case did not end

LoRA has rank 16 on all projections, QLoRA the same on NF4 with double quantisation; a quarter of
each sequence is response. With --smoke tiny shapes run where there is no GPU: that shows that
everything works, and no number of it means anything.

Examples:
  tutelage bench gpu
  tutelage bench gpu --models tinyllama-1.1b --cases lora,qlora --output gpu.json")]
pub struct GpuBench {
    /// Shapes.
    #[arg(
        long,
        value_name = "NAMES",
        value_enum,
        value_delimiter = ',',
        default_value = "tinyllama-1.1b,qwen2.5-3b,phi-4-mini"
    )]
    models: Vec<Shape>,
    /// What is timed.
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',', default_value = "lora,qlora,full,answers")]
    cases: Vec<Case>,
    /// Tokens of a sequence.
    #[arg(long, value_name = "L", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(16..=131_072))]
    length: usize,
    /// Sequences of one optimiser step.
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    batch_size: usize,
    /// Optimiser steps that are timed.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    steps: usize,
    /// Writes all cases to this JSON file, too.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Runs tiny shapes on the CPU.
    #[arg(long)]
    smoke: bool,
    /// Runs one case in this process: what the command starts for each.
    #[arg(long, hide = true)]
    alone: bool,
    #[command(flatten)]
    force: Force,
}

/// A published shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// TinyLlama-1.1B.
    #[value(name = "tinyllama-1.1b")]
    TinyLlama,
    /// Qwen2.5-3B.
    #[value(name = "qwen2.5-3b")]
    Qwen,
    /// Phi-4-mini.
    #[value(name = "phi-4-mini")]
    Phi,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Fine-tuning of adapters.
    Lora,
    /// Fine-tuning of adapters on four bits.
    Qlora,
    /// Fine-tuning of all weights.
    Full,
    /// Answers to 64 prompts of a quarter of the length, 64 tokens each.
    Answers,
}

/// What a case tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    model: String,
    case: String,
    device: String,
    precision: String,
    parameters: Option<u64>,
    tokens_per_second: Option<f64>,
    mfu: Option<f64>,
    gpu_memory_bytes: Option<u64>,
    joules_per_token: Option<f64>,
    error: Option<String>,
}

impl GpuBench {
    /// Runs all cases and prints what they tell.
    ///
    /// # Errors
    /// When there is no GPU, and when a file cannot be written. A case that fails is told as such.
    pub(super) fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        if self.alone {
            let (Some(&shape), Some(&case)) = (self.models.first(), self.cases.first()) else { bail!("no case") };
            println_json(&self.case(shape, case)?)?;
            return Ok(Verdict::Good);
        }
        let compute = self.compute()?;
        if let Some(path) = &self.output {
            outputs::claim("--output", path, &[], self.force, is_cases)?;
        }
        let mut all = Vec::new();
        for &shape in &self.models {
            for &case in &self.cases {
                output.say(&format!("{} {}", name(shape), name(case)));
                all.push(self.apart(shape, case, compute)?);
            }
        }
        if let Some(path) = &self.output {
            files::write_json(path, &all)?;
        }
        output.result(&all, || table(&all))?;
        Ok(if all.iter().all(|told| told.error.is_none()) { Verdict::Good } else { Verdict::Bad })
    }

    fn compute(&self) -> anyhow::Result<Compute> {
        let (device, precision) = match self.smoke {
            true => (DeviceChoice::Cpu, PrecisionChoice::F32),
            false => (DeviceChoice::Cuda, PrecisionChoice::Auto),
        };
        device::start(&settings::Compute { device, precision, threads: None })
            .map_err(|error| with_hint("`--smoke` runs tiny shapes on the CPU", error))
    }

    /// Runs a case in a process of its own.
    fn apart(&self, shape: Shape, case: Case, compute: Compute) -> anyhow::Result<Told> {
        let program = std::env::current_exe().context("this program does not find itself")?;
        let number = |number: usize| number.to_string();
        let (length, batch, steps) = (number(self.length), number(self.batch_size), number(self.steps));
        let (shape, case) = (name(shape), name(case));
        let mut command = Command::new(program);
        command.args(["bench", "gpu", "--alone", "--models", &shape, "--cases", &case]);
        command.args(["--length", &length, "--batch-size", &batch, "--steps", &steps]);
        command.args(self.smoke.then_some("--smoke"));
        let ended = command.stdin(Stdio::null()).output().context("a case cannot be started")?;
        let text = String::from_utf8_lossy(&ended.stdout);
        if ended.status.success()
            && let Ok(told) = serde_json::from_str(&text)
        {
            return Ok(told);
        }
        let error = String::from_utf8_lossy(&ended.stderr);
        let error = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it was killed").trim();
        Ok(Told { error: Some(error.to_owned()), ..told(&shape, &case, compute) })
    }

    /// Runs a case in this process.
    fn case(&self, shape: Shape, case: Case) -> anyhow::Result<Told> {
        let compute = self.compute()?;
        let config = shape.config(self.smoke);
        let parameters = config.parameters();
        let layers = config.product_parameters() as f64;
        let tuning = case.tuning();
        let kind = Student::base_kind(&tuning, compute);
        let decoder = Decoder::random(config, kind, compute.device, lora::quantisation(&tuning));
        let timed = match case {
            Case::Answers => self.answers(&decoder, compute)?,
            _ => self.training(decoder, &tuning, compute)?,
        };
        // Operations per token: 2 forward, 2 back to activations, 2 to weights, which adapters hardly have.
        let operations = match case {
            Case::Answers => 2.0,
            Case::Lora | Case::Qlora => 4.0,
            Case::Full => 6.0,
        };
        let memory = compute.device.is_cuda().then(card).flatten().and_then(|gpu| nvml::memory_used(&gpu).ok());
        let speed = timed.tokens / timed.seconds;
        Ok(Told {
            parameters: Some(parameters),
            tokens_per_second: Some(speed),
            mfu: Some(speed * operations * layers / product::speed(compute)),
            gpu_memory_bytes: memory,
            joules_per_token: timed.joules.map(|joules| joules / timed.tokens),
            ..told(&name(shape), &name(case), compute)
        })
    }

    fn training(&self, decoder: Decoder, tuning: &Tuning, compute: Compute) -> anyhow::Result<Timed> {
        let length = self.length;
        let vocabulary = decoder.config.vocab_size as usize;
        let sequence = |example: usize| Sequence {
            example,
            tokens: tokens(example, length, vocabulary),
            response_start: length - length / 4,
        };
        let sequences = (0..self.batch_size * (WARM_UP + self.steps)).map(sequence).collect();
        let student = Student::new(decoder, tuning, 0.01, compute, Seed(1));
        let mut objective = Supervised::new(student, sequences, vec![]);
        let training = Training {
            epochs: 1.0,
            batch: self.batch_size,
            lr: 1e-5,
            schedule: Schedule::Constant { warmup: 0.0 },
            max_length: length,
            validate: Validate::End,
            ..Training::default()
        };
        let stop = AtomicBool::new(false);
        let job = Job { training: &training, order: Order::Data, seed: Seed(1), folder: None, stop: &stop };
        let (mut watch, mut read) = (None, 0);
        train(&mut objective, &job, &mut |event| {
            let TrainEvent::Step { step, tokens, .. } = event else { return };
            match step as usize {
                WARM_UP => watch = Some(Watch::start(compute)),
                after if after > WARM_UP => read += tokens,
                _ => {}
            }
        })?;
        watch.context("the warm-up is longer than the training")?.finish(read as f64)
    }

    fn answers(&self, decoder: &Decoder, compute: Compute) -> anyhow::Result<Timed> {
        const PROMPTS: usize = 64;
        let vocabulary = decoder.config.vocab_size as usize;
        let prompts: Vec<Vec<u32>> =
            (0..PROMPTS).map(|example| tokens(example, (self.length / 4).max(1), vocabulary)).collect();
        // No token ends an answer.
        let settings = |max_new_tokens: usize| GenerationSettings {
            decoding: Decoding::default(),
            max_new_tokens,
            ends: Ends::default(),
            batch: PROMPTS,
        };
        let run = |prompts: &[Vec<u32>], longest: usize| {
            generate::generate(decoder, prompts, &settings(longest), Seed(1), &mut |_| ControlFlow::Continue(()))
        };
        run(&prompts[..1], 4)?;
        let watch = Watch::start(compute);
        let answers = run(&prompts, 64)?;
        watch.finish(answers.iter().map(|answer| answer.tokens.len()).sum::<usize>() as f64)
    }
}

/// What a case did in what time.
struct Timed {
    tokens: f64,
    seconds: f64,
    /// Energy of the card, where it is known.
    joules: Option<f64>,
}

/// Times work on a device, and meters its energy.
struct Watch {
    meter: Meter,
    started: Instant,
    device: tch::Device,
}

impl Watch {
    fn start(compute: Compute) -> Self {
        device::synchronize(compute.device);
        let meter = Meter::start(power::sources(compute.device, &settings::Energy::default()), Arc::new(SinceBoot));
        Self { meter, started: Instant::now(), device: compute.device }
    }

    fn finish(self, tokens: f64) -> anyhow::Result<Timed> {
        device::synchronize(self.device);
        let seconds = self.started.elapsed().as_secs_f64();
        let joules = self.meter.finish().of(Component::Gpu).map(|(joules, _)| joules.0);
        Ok(Timed { tokens, seconds, joules })
    }
}

impl Shape {
    /// Returns the shape, or a tiny one of its family.
    fn config(self, tiny: bool) -> Config {
        let mut value = match self {
            Self::TinyLlama => json!({"model_type": "llama", "vocab_size": 32_000, "hidden_size": 2048,
                "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}),
            Self::Qwen => json!({"model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 2048,
                "intermediate_size": 11_008, "num_hidden_layers": 36, "num_attention_heads": 16,
                "num_key_value_heads": 2, "rope_theta": 1e6, "tie_word_embeddings": true}),
            Self::Phi => json!({"model_type": "phi3", "vocab_size": 200_064, "hidden_size": 3072,
                "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 24,
                "num_key_value_heads": 8, "partial_rotary_factor": 0.75, "tie_word_embeddings": true}),
        };
        value["max_position_embeddings"] = json!(131_072);
        if tiny {
            let sizes = [
                ("vocab_size", 100),
                ("hidden_size", 32),
                ("intermediate_size", 64),
                ("num_hidden_layers", 2),
                ("num_attention_heads", 4),
                ("num_key_value_heads", 2),
            ];
            for (name, size) in sizes {
                value[name] = json!(size);
            }
        }
        Config::from_json(&value).unwrap_or_else(|problem| unreachable!("{problem}"))
    }
}

impl Case {
    fn tuning(self) -> Tuning {
        let lora = |base| {
            let target_modules = vec!["all-linear".to_owned()];
            Tuning::Lora(Lora { rank: 16, alpha: 32.0, target_modules, base, ..Lora::default() })
        };
        match self {
            Self::Full => Tuning::Full {},
            Self::Qlora => lora(BaseFormat::Nf4),
            // Answers are computed with weights in the compute format, as under adapters.
            Self::Lora | Self::Answers => lora(BaseFormat::Full),
        }
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn told(model: &str, case: &str, compute: Compute) -> Told {
    Told {
        model: model.to_owned(),
        case: case.to_owned(),
        device: if compute.device.is_cuda() { "cuda" } else { "cpu" }.to_owned(),
        precision: compute.precision.name().to_owned(),
        parameters: None,
        tokens_per_second: None,
        mfu: None,
        gpu_memory_bytes: None,
        joules_per_token: None,
        error: None,
    }
}

/// Returns tokens that look like no pattern.
fn tokens(example: usize, length: usize, vocabulary: usize) -> Vec<u32> {
    (0..length).map(|at| ((example * 7919 + at * at * 31 + at * 17) % (vocabulary - 3) + 3) as u32).collect()
}

/// Returns the card that work runs on.
fn card() -> Option<Gpu> {
    Gpu::of_cuda(0, std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()).ok()
}

/// Says whether a file is one that `--output` wrote.
fn is_cases(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| serde_json::from_slice::<Vec<Told>>(&bytes).is_ok())
}

#[expect(clippy::print_stdout, reason = "the one line that the parent process reads")]
fn println_json(told: &Told) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(told)?);
    Ok(())
}

fn table(all: &[Told]) -> String {
    let shown = |value: Option<f64>, write: &dyn Fn(f64) -> String| value.map_or("unavailable".to_owned(), write);
    let mut rows =
        vec![["model", "case", "format", "tokens/s", "mfu", "card's memory", "energy/token"].map(str::to_owned)];
    for told in all {
        let start = [&told.model, &told.case, &told.precision].map(Clone::clone);
        let rest = match &told.error {
            Some(error) => [format!("failed: {error}"), String::new(), String::new(), String::new()],
            None => [
                shown(told.tokens_per_second, &|speed| format!("{speed:.0}")),
                shown(told.mfu, &|mfu| format!("{:.1} %", 100.0 * mfu)),
                shown(told.gpu_memory_bytes.map(|bytes| bytes as f64), &|bytes| format!("{:.1} GB", bytes / 1e9)),
                shown(told.joules_per_token, &|joules| format!("{:.2} mJ", 1e3 * joules)),
            ],
        };
        let [model, case, format] = start;
        let [speed, mfu, memory, energy] = rest;
        rows.push([model, case, format, speed, mfu, memory, energy]);
    }
    columns(&rows)
}
