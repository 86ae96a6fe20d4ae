//! How models are evaluated: on which sets, by which tasks and metrics, with which decoding.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Decoding, SplitName};
use crate::experiment::beside::{Beside, Tables};

/// Describes decoding and the metrics that score it, and the evaluation sets, tables of any name beside them.
/// Where there is none, the only data set is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Evaluation {
    /// Metrics by name, of sets that are answered.
    pub metrics: Vec<String>,
    /// How answers are decoded.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Sequences at a time; changes no answer. References are measured in batches of it; of answers
    /// at most 16 on a CPU, 32 on a GPU are decoded at a time, and memory is that of a full tile.
    pub batch: usize,
    /// Asks so many examples of a split only, drawn at random by the seed of the data's split: the
    /// same ones for every arm and seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Folder of the sentence-embedding model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_model: Option<PathBuf>,
    /// Examples that the report prints side by side.
    pub show: usize,
    /// The sets, in the order of the file.
    #[serde(skip)]
    pub sets: Vec<(String, SetSettings)>,
}

impl<'de> Deserialize<'de> for Evaluation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sets = Vec::new();
        let evaluation = Self::deserialize(Beside::new(deserializer, &mut sets))?;
        Ok(Self { sets, ..evaluation })
    }
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Plain<'e>(&'e Evaluation);

        impl Serialize for Plain<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Evaluation::serialize(self.0, serializer)
            }
        }

        #[derive(Serialize)]
        struct Whole<'e> {
            #[serde(flatten)]
            plain: Plain<'e>,
            #[serde(flatten)]
            sets: Tables<'e, SetSettings>,
        }

        let whole = Whole { plain: Plain(self), sets: Tables(&self.sets) };
        Serialize::serialize(&whole, serializer)
    }
}

/// Describes an evaluation set. What it leaves out is as `[evaluation]` has it, or as its data say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SetSettings {
    /// A data set; the one of the set's own name, or the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Which part of it; test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitName>,
    /// What is asked of models; `choice` of options, `perplexity` of texts, else `answer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Metrics by name; all that the task has, of answers those of `[evaluation]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<String>>,
    /// What results are divided by: a name of the data's `fields`, or `group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How answers are decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding: Option<Decoding>,
    /// Longest answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
    /// Longest sequence, in tokens: prompt and answer, or window of a text. As the model was trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Asks so many examples only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How options are offered; of `choice` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<OptionsShown>,
}

/// Says what is asked of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// To write an answer, and how likely the reference is.
    Answer,
    /// Which option is the most likely.
    Choice,
    /// How likely a text is.
    Perplexity,
}

/// Says how options are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionsShown {
    /// Not in the prompt: each is an answer by itself (HellaSwag).
    #[default]
    Text,
    /// In the prompt, with letters; a letter is the answer (MMLU).
    Letters,
}

impl Default for Evaluation {
    fn default() -> Self {
        let metrics = [
            "bleu",
            "chrf",
            "rouge-1",
            "rouge-2",
            "rouge-l",
            "exact-match",
            "token-f1",
            "cosine",
            "nll",
            "perplexity",
            "bits-per-byte",
        ];
        Self {
            metrics: metrics.map(str::to_owned).to_vec(),
            decoding: Decoding::default(),
            max_new_tokens: 64,
            batch: 32,
            limit: None,
            embedding_model: None,
            show: 5,
            sets: Vec::new(),
        }
    }
}
