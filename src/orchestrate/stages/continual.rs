//! The stage `pretrain` of a model that is there already: it goes on learning texts.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Read, Scene};
use super::replay::{self, Shares};
use super::{Leaves, Text, Work, model, training};
use crate::data::SplitName;
use crate::data::tokens::{Block, Tokens};
use crate::device::{Precision, Seed};
use crate::experiment::settings::{Training, Tuning};
use crate::models::quantised::Quantisation;
use crate::orchestrate::kind::StageKind;
use crate::train::student::Student;
use crate::train::texts::Texts;
use crate::tuning::lora;

/// Trains a model on texts. Inputs: `tokens`, those of other corpora (`replay-1`, ...), `model`, and `adapter`,
/// `adapter-2`, ... if it was tuned by adapters. Output: a model folder, with adapters an adapter folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContinualJob {
    /// Part of the data set that is learned.
    pub split: SplitName,
    /// Shares of other corpora among the blocks that are learned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay: Vec<f64>,
    /// Adds adapters on top of those that are there, which stay as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stack: bool,
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation; a batch counts blocks of `max-length` tokens.
    pub training: Training,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of adapters, dropout, order, and of what is drawn from other corpora.
    pub seed: u64,
}

impl Work for ContinualJob {
    fn kind(&self) -> StageKind {
        StageKind::Pretrain
    }

    fn version(&self) -> u32 {
        training::version(1, self.precision, &self.tuning)
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
        training::reset(&mut self.training);
    }

    fn optimisation(&mut self) -> Option<(&mut Training, Option<&mut Tuning>)> {
        Some((&mut self.training, Some(&mut self.tuning)))
    }

    fn leaves(&self) -> Leaves<'_> {
        Leaves::Like("model")
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let tokens = scene.sizes.map(|sizes| sizes.of(self.split).whole / self.shares().own());
        let read = Read { dev: scene.sizes.map(|sizes| sizes.dev), ..Read::texts(tokens, self.training.max_length) };
        scene.training((scene.model)("model"), &self.tuning, &self.training, read)
    }

    fn trains(&self) -> Option<Vec<(String, String)>> {
        let mut words = training::in_words(&self.training, &self.tuning, true);
        words.retain(|(name, _)| name != "longest prompt");
        words.extend(self.shares().in_words());
        Some(words)
    }

    fn base(&self) -> Quantisation {
        lora::quantisation(&self.tuning)
    }

    fn stacks(&self) -> bool {
        self.stack
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        continual(self, around)
    }
}

impl ContinualJob {
    fn shares(&self) -> Shares {
        Shares::new(self.replay.iter().copied(), "blocks")
    }
}

/// Goes on with pretraining.
///
/// # Errors
/// When an input cannot be read, an output not written, or training fails.
fn continual(job: &ContinualJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let (mut decoder, tokenizer) = model::load_to_train(around.inputs, "model", "adapter", &job.tuning, compute)?;
    if job.stack {
        lora::stack(&mut decoder);
    }
    let length = job.training.max_length;
    let open = |name: &str, split: SplitName| -> anyhow::Result<Tokens> {
        let folder = around.inputs.get(name)?;
        Tokens::open(folder, split).with_context(|| format!("cannot read the tokens in `{}`", folder.display()))
    };
    let mut corpora = vec![open("tokens", job.split)?];
    let mut blocks: Vec<(usize, Block)> = corpora[0].blocks(length).into_iter().map(|block| (0, block)).collect();
    let dev = open("tokens", SplitName::Dev)?;
    let own = blocks.len();
    for place in 0..job.replay.len() {
        let tokens = open(&replay::input(place), SplitName::Train)?;
        let others = tokens.blocks(length);
        let mixed = job.shares().draw(place, own, others.len(), job.seed, around.events)?;
        blocks.extend(mixed.into_iter().map(|block| (place + 1, others[block].clone())));
        corpora.push(tokens);
    }
    let measured = dev.blocks(length);
    let dev = (!measured.is_empty()).then_some((dev, measured));
    around.tell_of_dev(dev.is_some(), &job.training);
    let student = Student::new(decoder, &job.tuning, job.training.weight_decay, compute, Seed(job.seed))
        .recomputing(job.training.gradient_checkpointing);
    let mut objective = Texts::new(student, corpora, blocks, dev);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep(objective.student, finished, &tokenizer, &job.tuning, "model")
}
