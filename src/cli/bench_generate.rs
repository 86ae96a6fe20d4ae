//! `tutelage bench generate`: the speed of answers on one's own model, questions and machine.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::Verdict;
use super::bench::{MOST, compute, examples, importers, memory};
use super::output::{Output, columns};
use super::precision::PrecisionName;
use crate::data::encode::encode_prompt;
use crate::data::{Tokenizer, Wording};
use crate::device::{self, Seed};
use crate::experiment::settings::{Decoding, Importer};
use crate::generate::{Ends, Generated, GenerationSettings, Progress, generate};
use crate::models::decoder::Decoder;
use crate::orchestrate::stages::with_hint;

/// Times greedy answers to the first questions of a file, all of them waiting at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints (with --format json under these names):
  tokens_per_second    tokens that were written per second of answering, prompts read included
  answers_per_second   answers per second, the same way
  prompt_seconds       duration of reading all prompts, up to the first token of each, by itself
  seconds              duration of answering
  answers, tokens      what was written
  prompt_tokens        tokens of the prompts
  peak_memory_bytes    most main memory that the process held
Loading and encoding are left out, and a first answer that warms up.

Example:
  tutelage bench generate --model TinyLlama --data TeleQuAD.json --batch 16 --precision bf16")]
pub struct GenerateBench {
    /// Hugging Face folder of the model that answers; it is only read.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File with questions and answers.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Format of the file.
    #[arg(long, value_name = "NAME", default_value = Importer::Telequad.name(), value_parser = importers())]
    importer: Importer,
    /// Usable rows to answer, from the first.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    examples: usize,
    /// Answers decoded at a time: at most 16 on a CPU, 32 on a GPU.
    #[arg(long, value_name = "B", default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    batch: usize,
    /// Longest answer, in tokens.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    max_new_tokens: usize,
    /// Longest prompt, in tokens; a longer one loses its left end.
    #[arg(long, value_name = "L", default_value_t = 960, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    max_prompt: usize,
    /// Number format of weights and products.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Leaves the context out of the prompt.
    #[arg(long)]
    closed_book: bool,
    /// Writes every answer to its longest length: no token ends it.
    #[arg(long)]
    endless: bool,
}

/// What the benchmark prints.
#[derive(Debug, Serialize)]
struct Timing {
    tokens_per_second: f64,
    answers_per_second: f64,
    prompt_seconds: f64,
    seconds: f64,
    answers: usize,
    tokens: usize,
    prompt_tokens: usize,
    peak_memory_bytes: Option<u64>,
}

impl GenerateBench {
    /// Runs the benchmark and prints its timing.
    ///
    /// # Errors
    /// When model or data cannot be read, or nothing can be generated.
    pub(super) fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let timing = self.time()?;
        output.result(&timing, || text(&timing))?;
        Ok(Verdict::Good)
    }

    fn time(&self) -> anyhow::Result<Timing> {
        let compute = compute(self.precision, self.threads)?;
        let examples = examples(self.importer, &self.data, self.closed_book, self.examples)?;
        let tokenizer = Tokenizer::load(&self.model).map_err(|error| with_hint(error.hint(), error))?;
        let wording = Wording::plain(self.closed_book);
        let encode = |example| Ok(encode_prompt(&tokenizer, example, &wording, self.max_prompt)?.0);
        let prompts: Vec<Vec<u32>> = examples.iter().map(encode).collect::<anyhow::Result<_>>()?;
        let mut decoder = Decoder::load(&self.model, compute.kind(), compute.device)
            .with_context(|| format!("cannot load the model `{}`", self.model.display()))?;
        decoder.tokens = decoder.tokens.min(tokenizer.len() as i64);
        let timed = |prompts: &[Vec<u32>], max_new_tokens: usize| -> anyhow::Result<(f64, Vec<Generated>)> {
            let ends = if self.endless { Ends::default() } else { Ends::of(&tokenizer, &[]) };
            let settings =
                GenerationSettings { decoding: Decoding::default(), max_new_tokens, ends, batch: self.batch };
            let started = Instant::now();
            let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
            let answers = generate(&decoder, prompts, &settings, Seed(1), go_on)?;
            Ok((started.elapsed().as_secs_f64(), answers))
        };
        timed(&prompts[..1], 4)?;
        let (prompt_seconds, _) = timed(&prompts, 1)?;
        let (seconds, answers) = timed(&prompts, self.max_new_tokens)?;
        let tokens = answers.iter().map(|answer| answer.tokens.len()).sum();
        Ok(Timing {
            tokens_per_second: tokens as f64 / seconds,
            answers_per_second: answers.len() as f64 / seconds,
            prompt_seconds,
            seconds,
            answers: answers.len(),
            tokens,
            prompt_tokens: prompts.iter().map(Vec::len).sum(),
            peak_memory_bytes: device::peak_memory_bytes(),
        })
    }
}

fn text(timing: &Timing) -> String {
    let Timing { tokens_per_second, answers_per_second, prompt_seconds, seconds, .. } = timing;
    let rows = [
        ["speed", &format!("{answers_per_second:.2} answers/s, {tokens_per_second:.0} tokens/s")],
        ["answering", &format!("{seconds:.2} s: {} answers, {} tokens", timing.answers, timing.tokens)],
        ["prompts", &format!("{prompt_seconds:.2} s: {} tokens", timing.prompt_tokens)],
        ["peak memory", &memory(timing.peak_memory_bytes)],
    ];
    columns(&rows.map(|row| row.map(str::to_owned)))
}
