//! One question with its answer, as every importer delivers it and the store keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Holds one question with its accepted answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Identifier, unique in its data set.
    pub id: String,
    /// The document (or glossary term) that the question is on.
    pub group: String,
    /// The passage shown in the prompt, cut to the window where one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The question.
    pub question: String,
    /// The first accepted answer: the one that models are trained on.
    pub answer: String,
    /// All accepted answers without repetitions, `answer` first.
    pub references: Vec<String>,
    /// The split: the importer's own before the division, the assigned one after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitName>,
}

/// Names a part of a divided data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitName {
    /// Models learn from it.
    Train,
    /// States are chosen on it.
    Dev,
    /// Results are reported on it.
    Test,
}

impl fmt::Display for SplitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        })
    }
}
