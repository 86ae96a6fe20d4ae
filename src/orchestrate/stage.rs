//! One unit of work: what it is, everything that can change its result, and what it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::experiment::Key;

/// Names a kind of stage, in the order of the way from data to scores.
///
/// The report is no stage: it reads whatever arms are done, failed ones included, and is written
/// again whenever that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Imports and divides data, or trains a tokenizer.
    Prepare,
    /// Trains a scratch model on texts.
    Pretrain,
    /// Fine-tunes on questions and answers.
    Sft,
    /// Stores the teacher's signal on disk.
    Capture,
    /// Trains a student with a teacher.
    Distill,
    /// Answers questions and measures the likelihood of references.
    Generate,
    /// Scores answers.
    Score,
}

impl StageKind {
    /// Every kind, in order.
    pub const ALL: [Self; 7] =
        [Self::Prepare, Self::Pretrain, Self::Sft, Self::Capture, Self::Distill, Self::Generate, Self::Score];

    /// Returns the name, as in folders of the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
            Self::Capture => "capture",
            Self::Distill => "distill",
            Self::Generate => "generate",
            Self::Score => "score",
        }
    }
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Kind of work.
    pub kind: StageKind,
    /// What it works on, unique within its kind in one plan: `llama`, `llama/both/dskd seed 10`.
    pub label: String,
    /// Hash of the job, its versions and the inputs.
    pub key: Key,
    /// What is done, with every setting that can change the result.
    pub job: Job,
    /// Versions of the code's results that are part of the key, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, u32>,
    /// What it reads, in a fixed order.
    pub inputs: Vec<Input>,
    /// Seed of its random streams, if it has any.
    pub seed: Option<u64>,
    /// Arms (or reference models) that need the result, in the order of the design.
    pub users: Vec<String>,
}

impl Stage {
    /// Returns kind and label, which name the stage for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.name(), self.label)
    }
}

/// Something that a stage reads, under the name by which it asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name: `data`, `tokenizer`, `student`, `teacher-adapter`, ...
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Says where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// The output folder of another stage.
    Stage {
        /// Its kind.
        kind: StageKind,
        /// Its key.
        key: Key,
    },
    /// A file or folder outside the store.
    External {
        /// As the experiment names it: a path or `hf:org/name`.
        origin: String,
        /// Where it lies; none if it is not on this machine.
        path: Option<PathBuf>,
        /// Hash of its content, or of its name where it is not on this machine.
        key: Key,
    },
}

impl Source {
    /// Returns what identifies the content.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Stage { key, .. } | Self::External { key, .. } => key,
        }
    }
}
