//! The stage `read`: how likely a model finds texts.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::stop::Stopped;
use super::{Text, Work, data, generate, model, rows};
use crate::data::encode::rolling_windows;
use crate::data::sample::sample_by;
use crate::data::{Document, SplitName};
use crate::device::Precision;
use crate::evaluate::likelihood::likelihood;
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::kind::StageKind;
use crate::tuning::lora;

/// Measures the likelihood of texts. Inputs: `data`, `model`, and `adapter`, `adapter-2`, ... if it was tuned by
/// adapters. Output: a file of the split, rows of [`Reading`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReadJob {
    /// Part of the data set that is read.
    pub split: SplitName,
    /// Tokens that the model reads at a time; each token of a text is predicted once.
    pub max_length: usize,
    /// Reads so many texts only, drawn by the seed of the division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Windows that are read at a time; changes no result.
    pub batch: usize,
}

impl Work for ReadJob {
    fn kind(&self) -> StageKind {
        StageKind::Read
    }

    fn version(&self) -> u32 {
        1
    }

    fn texts(&self) -> &'static [Text] {
        &[Text::Encoding]
    }

    fn precision(&self) -> Option<Precision> {
        Some(self.precision)
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn reset(&mut self) {
        self.batch = 0;
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let split = scene.sizes.map(|sizes| sizes.of(self.split).first(self.limit));
        let tokens = (self.batch * self.max_length) as f64;
        scene.reading((scene.model)("model"), split, tokens, split.map(|split| split.examples))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        run(self, around)
    }
}

/// How likely a model finds one text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Identifier of the document.
    pub id: String,
    /// Negative log-likelihood of the text, in nats; `null` where the model diverged.
    pub nats: Option<f64>,
    /// Tokens of the text.
    pub tokens: u64,
    /// Bytes of the text in UTF-8.
    pub bytes: u64,
}

/// Measures every text of the split, some of them at a time.
///
/// A text is cut into windows as lm-evaluation-harness does (`loglikelihood_rolling`): the first token of the
/// text follows the token that begins a text, every other window begins with the last token of the one
/// before, and the last window reaches back as far as it can.
///
/// # Errors
/// When model or data cannot be read, or rows not written.
fn run(job: &ReadJob, around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", job.precision.kind(), device)?;
    lora::merge(&mut decoder);
    let first = decoder.config.bos_token_id.and_then(|token| u32::try_from(token).ok());
    let first = first.filter(|&token| (token as usize) < tokenizer.len()).unwrap_or(tokenizer.eos());
    let folder = around.inputs.get("data")?;
    let mut documents: Vec<Document> = data::documents(folder, job.split)?.collect::<anyhow::Result<_>>()?;
    if documents.is_empty() {
        return Err(generate::nothing(job.split));
    }
    if let Some(limit) = job.limit {
        documents = sample_by(documents, limit, data::read_summary(folder)?.seed, |document| &document.id);
    }
    let steps = documents.len() as u64;
    let mut readings = Vec::with_capacity(documents.len());
    for document in &documents {
        let tokens = tokenizer.encode(&document.text);
        let windows = rolling_windows(&tokens, first, job.max_length);
        let stop = around.stop;
        let measured = likelihood(&decoder, &windows, job.batch, &mut |_, _| {
            if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let nats: f64 = measured.ok_or(Stopped)?.iter().map(|window| window.nats).sum();
        readings.push(Reading {
            id: document.id.clone(),
            nats: Some(nats).filter(|nats| nats.is_finite()),
            tokens: tokens.len() as u64,
            bytes: document.text.len() as u64,
        });
        (around.events)(Event::Step(Step { step: readings.len() as u64, steps, ..Step::default() }));
        around.stop.check()?;
    }
    Ok(rows::write(&around.folder.output().join(format!("{}.jsonl", job.split)), &readings)?)
}
