//! The stage `sft`: a model learns to answer questions.

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Read, Scene};
use super::replay::{self, Shares};
use super::{Leaves, Text, Work, model, training};
use crate::data::SplitName;
use crate::device::{Precision, Seed};
use crate::experiment::settings::{Template, Training, Tuning};
use crate::models::quantised::Quantisation;
use crate::orchestrate::kind::StageKind;
use crate::train::student::Student;
use crate::train::supervised::Supervised;
use crate::tuning::lora;

/// Fine-tunes on the training split. Inputs: `data`, other data sets (`replay-1`, ...), `model`, and `adapter`,
/// `adapter-2`, ... if it was tuned by adapters. Output: a model folder, with adapters an adapter folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SftJob {
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation.
    pub training: Training,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Part of the data set that is learned.
    #[serde(default = "train", skip_serializing_if = "is_train")]
    pub split: SplitName,
    /// Other data sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay: Vec<Replay>,
    /// Adds adapters on top of those that are there, which stay as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stack: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of adapters, dropout and order.
    pub seed: u64,
}

/// Another data set that is learned beside the step's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replay {
    /// Its share among all examples.
    pub share: f64,
    /// Leaves the context out of its prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
}

fn train() -> SplitName {
    SplitName::Train
}

// What serde asks with takes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_train(split: &SplitName) -> bool {
    *split == SplitName::Train
}

impl Work for SftJob {
    fn kind(&self) -> StageKind {
        StageKind::Sft
    }

    fn version(&self) -> u32 {
        // 3: tokenizers of checkpoints as for the tokenizer's 2.
        training::version(3, self.precision, &self.tuning)
    }

    fn texts(&self) -> &'static [Text] {
        Text::ALL
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
        let own = self.shares().own();
        let read = Read {
            train: scene.sizes.map(|sizes| sizes.of(self.split).times(1.0 / own)),
            dev: scene.sizes.map(|sizes| sizes.dev),
        };
        scene.training((scene.model)("model"), &self.tuning, &self.training, read)
    }

    fn trains(&self) -> Option<Vec<(String, String)>> {
        let mut words = training::in_words(&self.training, &self.tuning, true);
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
        sft(self, around)
    }
}

impl SftJob {
    fn shares(&self) -> Shares {
        Shares::new(self.replay.iter().map(|replay| replay.share), "examples")
    }
}

/// Fine-tunes a model on questions and answers.
///
/// # Errors
/// When an input cannot be read, an output not written, or training fails.
fn sft(job: &SftJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let (mut decoder, tokenizer) = model::load_to_train(around.inputs, "model", "adapter", &job.tuning, compute)?;
    if job.stack {
        lora::stack(&mut decoder);
    }
    let limits = training::limits(&job.training);
    let mut train = around.sequences(&tokenizer, "data", job.split, limits, (&job.template, job.closed_book))?;
    let own = train.len();
    for (place, other) in job.replay.iter().enumerate() {
        let others = around.sequences(
            &tokenizer,
            &replay::input(place),
            SplitName::Train,
            limits,
            (&other.template, other.closed_book),
        )?;
        let mixed = job.shares().draw(place, own, others.len(), job.seed, around.events)?;
        train.extend(mixed.into_iter().map(|example| others[example].clone()));
    }
    let dev = around.sequences(&tokenizer, "data", SplitName::Dev, limits, (&job.template, job.closed_book))?;
    let student = Student::new(decoder, &job.tuning, job.training.weight_decay, compute, Seed(job.seed))
        .recomputing(job.training.gradient_checkpointing);
    around.tell_of_dev(!dev.is_empty(), &job.training);
    let mut objective = Supervised::new(student, train, dev);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep(objective.student, finished, &tokenizer, &job.tuning, "model")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::stages::Job;

    fn sft(training: Training, seed: u64) -> Job {
        Job::from(SftJob {
            tuning: Tuning::default(),
            training,
            closed_book: false,
            template: Template::Plain,
            split: SplitName::Train,
            replay: vec![],
            stack: false,
            precision: Precision::F32,
            threads: None,
            seed,
        })
    }

    #[test]
    fn settings_of_how_it_is_computed_are_not_hashed() {
        let plain = sft(Training::default(), 1);
        let saved = Training { checkpoint_every: 7, checkpoint_minutes: 0.5, ..Training::default() };
        let mut training = Training { accumulation: 8, ..saved };
        assert_eq!(sft(training.clone(), 1).essential(), plain.essential());
        training.lr *= 2.0;
        assert_ne!(sft(training, 1).essential(), plain.essential());
        assert_ne!(sft(Training::default(), 2).essential(), plain.essential());
    }
}
