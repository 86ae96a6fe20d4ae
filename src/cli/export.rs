//! `tutelage export`: a finished model as a folder that others open.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use super::Verdict;
use super::output::Output;
use super::plan::{as_computed, size};
use super::study::{Opened, StoreArgs, StudyArgs};
use crate::device;
use crate::experiment::settings::{BaseFormat, Compute, DeviceChoice, PrecisionChoice};
use crate::export::card::scientific;
use crate::export::licence::Licence;
use crate::export::rows::Source;
use crate::export::settings::{Base, Blocks, Form, Numbers, Settings};
use crate::export::{Exported, Outcome, export};
use crate::hub::Name;
use crate::orchestrate::gather::finished::{Start, finished};
use crate::orchestrate::plan::hub;
use crate::orchestrate::stages::model::link;
use crate::orchestrate::stages::with_hint;

/// Writes a finished model, its adapters merged, with a model card.
#[derive(Debug, Args)]
#[command(after_help = "\
The folder opens in transformers (`AutoModelForCausalLM.from_pretrained`), or is one file for
llama.cpp. It is written under another name beside its place and renamed when it is whole; a
folder that is there and not empty is never overwritten.

Adapters (LoRA, rsLoRA, DoRA, with modules trained beside them, several on each other) are added to
the weights in f32. If they were trained on a base in few bits, there are two bases to add them to,
and --base says which:
  --base dequantised   what its codes stand for: the model computes what it did in training
  --base full          the base's own weights, which the adapters never saw

What was written is read back, and its logits are compared with those of the model as it was
trained, adapters beside the base: on rows of the study, on --texts, or on random tokens. The
difference is printed and stands in README.md, with study, data, training, energy, metrics with
intervals, and the licence of the base, as far as they are known.

  --as safetensors     f32 by default, which loses nothing; --dtype bf16 or f16 takes half of it
  --quantize nf4       matrices in four bits (or fp4, int8), as bitsandbytes keeps them; the rest by
                       --dtype; not smaller in memory while it is written
  --as gguf-f16        one file for llama.cpp, matrices in f16
  --as gguf-q8-0       the same, matrices in blocks of eight bits

It is computed on the CPU and takes 4 bytes of main memory for every parameter.

Examples:
  tutelage export --model TinyLlama --adapter lora --output merged
  tutelage export --model hf:Qwen/Qwen2.5-3B --adapter qlora --base dequantised --output merged
  tutelage export experiments/quickstart.toml --arm llama/both/dskd --dtype bf16 --output student
  tutelage export --model student --quantize nf4 --dtype bf16 --output student-nf4
  tutelage export study.toml --arm lora --seed 20 --as gguf-q8-0 --output student-gguf")]
pub struct Export {
    /// The experiment file whose arm is exported, from what `tutelage run` finished.
    #[arg(value_name = "EXPERIMENT", conflicts_with = "model", requires = "arm")]
    experiment: Option<PathBuf>,
    /// Changes a setting of the experiment, as in `tutelage run`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", requires = "experiment")]
    set: Vec<String>,
    /// Arm or reference of the experiment.
    #[arg(long, value_name = "ARM", requires = "experiment")]
    arm: Option<String>,
    /// Seed of the arm; its first by default.
    #[arg(long, value_name = "N", requires = "experiment")]
    seed: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
    /// Hugging Face folder of the model, or `hf:organisation/name`, which is not downloaded here.
    #[arg(long, value_name = "DIR|hf:NAME", required_unless_present = "experiment")]
    model: Option<String>,
    /// PEFT folder of an adapter to merge into it; several lie on each other in their order.
    #[arg(long, value_name = "DIR", conflicts_with = "experiment")]
    adapter: Vec<PathBuf>,
    /// Folder to write: a new one.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What adapters are added to that were trained on a base in few bits.
    #[arg(long, value_enum)]
    base: Option<BaseName>,
    /// What is written.
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = FormName::Safetensors)]
    form: FormName,
    /// Number format of weights in safetensors; f32 by default.
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// Keeps the matrices of the layers in few bits, as transformers reads them with bitsandbytes.
    #[arg(long, value_name = "FORMAT", value_enum)]
    quantize: Option<Quantised>,
    /// With four bits: quantises their scales, too.
    #[arg(long, requires = "quantize")]
    double_quantisation: bool,
    /// Texts to compare logits on: one in each line or, where the name ends in `.jsonl`, rows with `text`.
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

/// Names a base on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BaseName {
    /// The base's own weights.
    Full,
    /// What its codes stand for.
    Dequantised,
}

/// Names what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormName {
    /// A folder for transformers.
    Safetensors,
    /// One file for llama.cpp, in f16.
    GgufF16,
    /// One file for llama.cpp, in blocks of eight bits.
    #[value(name = "gguf-q8-0")]
    GgufQ8,
}

/// Names a format of few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Quantised {
    /// Four bits, values at quantiles of a normal distribution.
    Nf4,
    /// Four bits, floating point.
    Fp4,
    /// Eight bits, a scale for each row.
    Int8,
}

/// Names a number format.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits up to 65,504.
    F16,
}

impl From<Quantised> for BaseFormat {
    fn from(format: Quantised) -> Self {
        match format {
            Quantised::Nf4 => Self::Nf4,
            Quantised::Fp4 => Self::Fp4,
            Quantised::Int8 => Self::Int8,
        }
    }
}

impl Export {
    /// Exports, and prints what was written.
    ///
    /// # Errors
    /// See [`export`]; also an experiment whose arm is not done.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let settings = self.settings()?;
        let Some(exported) = self.exported(output)? else { return Ok(Verdict::Bad) };
        let compute = Compute { device: DeviceChoice::Cpu, precision: PrecisionChoice::F32, threads: self.threads };
        device::start(&compute).map_err(|error| with_hint(error.hint(), error))?;
        let outcome = export(&exported, settings, &self.output, &mut |line| output.say(line))?;
        output.result(&outcome, || text(&outcome))?;
        Ok(Verdict::Good)
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let numbers = match self.dtype {
            None | Some(Dtype::F32) => Numbers::F32,
            Some(Dtype::Bf16) => Numbers::Bf16,
            Some(Dtype::F16) => Numbers::F16,
        };
        if self.form != FormName::Safetensors && self.dtype.is_some() {
            anyhow::bail!("`--dtype` is for safetensors\nhint: leave it out: `--as` names the format of a GGUF file");
        }
        if self.form != FormName::Safetensors && self.quantize.is_some() {
            anyhow::bail!("`--quantize` is for safetensors\nhint: `--as gguf-q8-0` is a GGUF file in eight bits");
        }
        if self.quantize == Some(Quantised::Int8) && self.double_quantisation {
            anyhow::bail!("`--double-quantisation` is for four bits\nhint: leave it out: eight bits have few scales");
        }
        let form = match self.form {
            FormName::Safetensors => match self.quantize {
                Some(format) => {
                    Form::Quantised { format: format.into(), doubles: self.double_quantisation, rest: numbers }
                }
                None => Form::Safetensors(numbers),
            },
            FormName::GgufF16 => Form::Gguf(Blocks::F16),
            FormName::GgufQ8 => Form::Gguf(Blocks::Q8_0),
        };
        let base = self.base.map(|base| match base {
            BaseName::Full => Base::Full,
            BaseName::Dequantised => Base::Dequantised,
        });
        Ok(Settings { base, form })
    }

    /// Finds what is exported; none of an experiment with faults, which are told.
    fn exported(&self, output: &Output) -> anyhow::Result<Option<Exported>> {
        let texts = || self.texts.clone().map(Source::Texts);
        let (Some(experiment), Some(arm)) = (&self.experiment, &self.arm) else {
            return self.folders(texts().unwrap_or(Source::Random)).map(Some);
        };
        let study = StudyArgs { experiment: experiment.clone(), set: self.set.clone() };
        let Some(Opened { checked, .. }) = study.open(output)? else { return Ok(None) };
        let store = self.store.view(output);
        let plan = as_computed(&checked, &store, output)?;
        let trial = finished(&checked, &plan, &store, arm, self.seed)?;
        if self.seed.is_none() && checked.experiment.seeds.len() > 1 {
            output.say(&format!("note: seed {} of `{arm}`; `--seed` names another", trial.seed));
        }
        Ok(Some(Exported {
            title: format!("{} of {}, seed {}", trial.arm, plan.name, trial.seed),
            inputs: trial.inputs.clone(),
            start: trial.start.clone(),
            rows: texts().unwrap_or_else(|| Source::Study(trial.asked.clone())),
            trial: Some(trial),
        }))
    }

    /// Finds a model that is named by its folder, and adapters.
    fn folders(&self, rows: Source) -> anyhow::Result<Exported> {
        let origin = self.model.clone().unwrap_or_default();
        let folder = match Name::is_meant(&origin) {
            true => {
                Name::parse(&origin).map_err(|error| with_hint(error.hint(), error))?;
                hub::locate(&origin).ok_or_else(|| {
                    anyhow::anyhow!(
                        "`{origin}` is not in the local hub cache\nhint: `tutelage fetch {origin}` downloads it"
                    )
                })?
            }
            false => PathBuf::from(&origin),
        };
        let adapters = self.adapter.iter().enumerate();
        let adapters = adapters.map(|(place, adapter)| (link("adapter", place), adapter.clone()));
        let inputs = std::iter::once(("model".to_owned(), folder.clone())).chain(adapters).collect();
        let name = self.output.file_name().map_or_else(|| origin.clone(), |name| name.to_string_lossy().into_owned());
        let commit = hub::commit(&origin);
        let start = Start::Checkpoint { origin, commit, folder: Some(folder) };
        Ok(Exported { title: name, inputs, start, trial: None, rows })
    }
}

fn text(outcome: &Outcome) -> String {
    let Outcome { difference, merge, licence, .. } = outcome;
    format!(
        "{}: {} in {}, {} files, {}\n  {}\n  logits: largest difference {}, mean {}, KL {} nats, same likeliest token \
         after {:.2} % of {} tokens\n  compared on {}\n  licence of the base: {}\n",
        outcome.output.display(),
        outcome.form,
        outcome.numbers,
        outcome.files.len(),
        size(outcome.bytes),
        merge.in_words(),
        scientific(difference.largest),
        scientific(difference.mean),
        scientific(difference.divergence_nats),
        100.0 * difference.same_likeliest,
        difference.tokens,
        difference.rows_of,
        licence.as_ref().map_or("there is no base here".to_owned(), Licence::in_words)
    )
}
