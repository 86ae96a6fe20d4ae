//! What each kind of stage does: one file each, with its settings (the *job*), the versions of its
//! results, what of it is hashed, what it costs, what it reads and leaves, and the work itself.
//!
//! A new kind of work is a file with a job that implements [`Work`] and its line in `jobs!` below.
//!
//! A job holds every setting that can change the stage's result, and beside them the few that say
//! only how it is computed (`accumulation`, when states are saved, the batches of a capture and of
//! decoding): these are reset by [`Job::essential`] before the job is hashed, so that changing them
//! invalidates nothing. They can change rounding and, with `accumulation`, which inputs dropout
//! drops; never what is estimated.
//! What a stage reads reaches it under the input names given with each job. A *model folder* is a
//! Hugging Face folder: `config.json`, safetensors, `tokenizer.json`; an *adapter folder* is
//! PEFT's.

pub mod around;
pub mod capture;
pub mod choose;
pub mod continual;
pub mod cost;
pub mod data;
pub mod distill;
pub mod encode;
pub mod generate;
pub mod inputs;
mod kept;
pub mod memory;
pub mod merge;
pub mod model;
pub mod pretrain;
pub mod questions;
pub mod read;
pub mod replay;
pub mod rows;
pub mod score;
pub mod sft;
#[cfg(test)]
pub(crate) mod small;
pub mod stop;
pub mod tokenizer;
pub mod training;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::around::Surroundings;
use self::capture::CaptureJob;
use self::choose::ChooseJob;
use self::continual::ContinualJob;
use self::cost::{Cost, Scene};
use self::data::DataJob;
use self::distill::DistillJob;
use self::encode::EncodeJob;
use self::generate::GenerateJob;
use self::merge::MergeJob;
use self::pretrain::PretrainJob;
use self::read::ReadJob;
use self::score::ScoreJob;
use self::sft::SftJob;
use self::tokenizer::TokenizerJob;
use crate::data::{encode as encoding, template};
use crate::device::Precision;
use crate::experiment::settings::{Scratch, Training, Tuning};
use crate::models::quantised::Quantisation;
use crate::orchestrate::kind::StageKind;

/// What every kind of work tells of itself.
pub trait Work {
    /// Returns the kind of stage that does this.
    fn kind(&self) -> StageKind;

    /// Returns the version of the code's results: raise it when the same job would give another result
    /// than before. Wording and encoding have their own, [`Work::texts`].
    fn version(&self) -> u32;

    /// Names what the code puts into words and tokens for it; the versions are hashed, too.
    fn texts(&self) -> &'static [Text] {
        &[]
    }

    /// Returns the number format of its products, where it has any.
    fn precision(&self) -> Option<Precision> {
        None
    }

    /// Returns the CPU threads that its sums are divided among, where it has any.
    fn threads(&self) -> Option<usize> {
        None
    }

    /// Resets every setting that says only how it is computed: the rest is hashed.
    fn reset(&mut self) {}

    /// Returns what says how it trains and which weights, to be changed; none where it does not, and no tuning where
    /// that is always of all weights.
    fn optimisation(&mut self) -> Option<(&mut Training, Option<&mut Tuning>)> {
        None
    }

    /// Says which model it leaves.
    fn leaves(&self) -> Leaves<'_> {
        Leaves::NoModel
    }

    /// Estimates what it costs.
    fn cost(&self, scene: &Scene<'_>) -> Cost;

    /// Returns its settings in words, if it trains: name and value.
    fn trains(&self) -> Option<Vec<(String, String)>> {
        None
    }

    /// Says how weights are kept under the adapters that it leaves.
    fn base(&self) -> Quantisation {
        None
    }

    /// Says whether it leaves adapters of earlier steps as they are, below its own.
    fn stacks(&self) -> bool {
        false
    }

    /// Does the work.
    ///
    /// # Errors
    /// Whatever keeps the stage from its outputs.
    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()>;
}

/// Something that is told in words or tokens, with a version of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The words around question, context and answer.
    Wording,
    /// How text becomes tokens and sequences.
    Encoding,
}

impl Text {
    /// Both: what reads questions and answers.
    pub const ALL: &'static [Self] = &[Self::Wording, Self::Encoding];

    fn version(self) -> (&'static str, u32) {
        match self {
            Self::Wording => ("wording", template::VERSION),
            Self::Encoding => ("encoding", encoding::VERSION),
        }
    }
}

/// Says which model a stage leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaves<'j> {
    /// None.
    NoModel,
    /// One of this shape.
    Scratch(&'j Scratch),
    /// One of the shape that it reads under a name.
    Like(&'static str),
}

macro_rules! jobs {
    ($($(#[$doc:meta])* $name:ident($job:ident),)*) => {
        /// Says what a stage does.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Job {
            $($(#[$doc])* $name($job),)*
        }

        impl Job {
            /// Returns what the job tells of itself.
            #[must_use]
            pub fn work(&self) -> &dyn Work {
                match self {
                    $(Self::$name(job) => job,)*
                }
            }

            /// Returns what the job tells of itself, to be changed.
            pub fn work_mut(&mut self) -> &mut dyn Work {
                match self {
                    $(Self::$name(job) => job,)*
                }
            }
        }

        $(impl From<$job> for Job {
            fn from(job: $job) -> Self {
                Self::$name(job)
            }
        })*
    };
}

jobs! {
    /// Imports and divides data.
    Data(DataJob),
    /// Trains or copies a tokenizer.
    Tokenizer(TokenizerJob),
    /// Turns texts into tokens.
    Encode(EncodeJob),
    /// Trains a scratch model.
    Pretrain(PretrainJob),
    /// Goes on with pretraining.
    Continual(ContinualJob),
    /// Fine-tunes a model.
    Sft(SftJob),
    /// Makes adapters a part of the weights.
    Merge(MergeJob),
    /// Stores a teacher's signal.
    Capture(CaptureJob),
    /// Trains a student with a teacher.
    Distill(DistillJob),
    /// Answers questions.
    Generate(GenerateJob),
    /// Measures the likelihood of options.
    Choose(ChooseJob),
    /// Measures the likelihood of texts.
    Read(ReadJob),
    /// Scores answers.
    Score(ScoreJob),
}

impl Job {
    /// Returns the kind of stage that does this.
    #[must_use]
    pub fn kind(&self) -> StageKind {
        self.work().kind()
    }

    /// Returns the versions of what the code puts into words and tokens for it, by name: they are
    /// hashed beside [`Work::version`].
    #[must_use]
    pub fn versions_of_texts(&self) -> BTreeMap<String, u32> {
        let versions = self.work().texts().iter().map(|text| text.version());
        versions.map(|(name, version)| (name.to_owned(), version)).collect()
    }

    /// Returns the job with every setting reset that says only how it is computed: what is hashed.
    #[must_use]
    pub fn essential(&self) -> Self {
        let mut job = self.clone();
        job.work_mut().reset();
        job
    }
}

/// Puts the remedy after the error and its causes, where people read it.
pub(crate) fn with_hint(hint: &str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::anyhow!("{:#}\nhint: {hint}", anyhow::Error::new(error))
}
