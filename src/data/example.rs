//! One question with its answer, or one text, as every importer delivers it and the store keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::experiment::settings::SplitName;

/// Holds one question with its accepted answers: on a passage or by itself, in a conversation, or with
/// options to choose among.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Identifier, unique in its data set.
    pub id: String,
    /// The document (or glossary term, or conversation) that the question is on.
    pub group: String,
    /// What else the source tells of it and the data set keeps, by name: a use-case, a source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// What was said before the question, where it is asked in a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<Vec<Turn>>,
    /// The passage shown in the prompt, cut to the window where one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The question.
    pub question: String,
    /// The first accepted answer: the one that models are trained on.
    pub answer: String,
    /// All accepted answers without repetitions, `answer` first.
    pub references: Vec<String>,
    /// What there is to choose among, `answer` being one of them; empty where nothing is offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The split: the importer's own before the division, the assigned one after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitName>,
}

/// Holds what one side of a conversation said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// Names a side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Who sets the rules.
    System,
    /// Who asks.
    User,
    /// Who answers: the model.
    Assistant,
}

/// Holds one text that nothing is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Identifier, unique in its data set.
    pub id: String,
    /// What it belongs to that may not be divided; itself where there is no such thing.
    pub group: String,
    /// What else the source tells of it and the data set keeps, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The text.
    pub text: String,
    /// The split: the importer's own before the division, the assigned one after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitName>,
}
