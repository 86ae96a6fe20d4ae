//! The kinds of stages, by which the store keeps them apart.

use serde::{Deserialize, Serialize};

/// Names a kind of stage, in the order of the way from data to scores.
///
/// The report is no stage: it reads whatever arms are done, failed ones included, and is written
/// again whenever that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Imports and divides data, or trains a tokenizer.
    Prepare,
    /// Turns texts into tokens.
    Encode,
    /// Trains a model on texts.
    Pretrain,
    /// Fine-tunes on questions and answers.
    Sft,
    /// Makes adapters a part of the weights.
    Merge,
    /// Stores the teacher's signal on disk.
    Capture,
    /// Trains a student with a teacher.
    Distill,
    /// Answers questions and measures the likelihood of references.
    Generate,
    /// Measures the likelihood of options.
    Choose,
    /// Measures the likelihood of texts.
    Read,
    /// Scores answers.
    Score,
}

impl StageKind {
    /// Every kind, in order.
    pub const ALL: [Self; 11] = [
        Self::Prepare,
        Self::Encode,
        Self::Pretrain,
        Self::Sft,
        Self::Merge,
        Self::Capture,
        Self::Distill,
        Self::Generate,
        Self::Choose,
        Self::Read,
        Self::Score,
    ];

    /// Returns the name, as in folders of the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Encode => "encode",
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
            Self::Merge => "merge",
            Self::Capture => "capture",
            Self::Distill => "distill",
            Self::Generate => "generate",
            Self::Choose => "choose",
            Self::Read => "read",
            Self::Score => "score",
        }
    }
}
