//! How answers are decoded.

use serde::{Deserialize, Serialize};

/// Says how the next token is chosen, and what ends an answer beside the model's own end.
///
/// The order is that of transformers' `generate`: the repetition penalty, then n-grams that would come a
/// second time; where tokens are drawn then temperature, top-k, top-p and min-p.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decoding {
    /// The most probable one.
    Greedy(Greedy),
    /// One drawn at random.
    Sample(Sample),
}

/// Chooses the most probable token.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Greedy {
    /// As in [`Sample::repetition_penalty`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// As in [`Sample::no_repeat_ngram`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram: Option<usize>,
    /// As in [`Sample::stop`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// Draws a token at random.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sample {
    /// Softmax temperature.
    pub temperature: f64,
    /// Draws from the smallest set that holds this probability (Holtzman et al. 2020, arXiv 1904.09751,
    /// section 3.1).
    pub top_p: f64,
    /// Draws from the most probable so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Draws no token that is less probable than this times the most probable one (Nguyen et al. 2024,
    /// arXiv 2407.01082, section 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Divides positive logits of tokens that prompt or answer hold by this, and multiplies negative ones
    /// (Keskar et al. 2019, arXiv 1909.05858, section 4.1; transformers' `RepetitionPenaltyLogitsProcessor`).
    /// Above 1, tokens become less probable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Chooses no token that would end a sequence of so many tokens which prompt or answer hold already
    /// (Paulus et al. 2018, arXiv 1705.04304, section 2.5; transformers' `NoRepeatNGramLogitsProcessor`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram: Option<usize>,
    /// Texts that end an answer: it is what comes before the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            no_repeat_ngram: None,
            stop: Vec::new(),
        }
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Self::Greedy(Greedy::default())
    }
}

impl Decoding {
    /// Says whether tokens are drawn at random: a seed matters then.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        matches!(self, Self::Sample(_))
    }

    /// Returns what the logits of tokens that prompt or answer hold are divided by.
    #[must_use]
    pub fn repetition_penalty(&self) -> Option<f64> {
        match self {
            Self::Greedy(Greedy { repetition_penalty, .. }) | Self::Sample(Sample { repetition_penalty, .. }) => {
                *repetition_penalty
            }
        }
    }

    /// Returns the length of the sequences of tokens that come once only.
    #[must_use]
    pub fn no_repeat_ngram(&self) -> Option<usize> {
        match self {
            Self::Greedy(Greedy { no_repeat_ngram, .. }) | Self::Sample(Sample { no_repeat_ngram, .. }) => {
                *no_repeat_ngram
            }
        }
    }

    /// Returns the texts that end an answer.
    #[must_use]
    pub fn stop(&self) -> &[String] {
        match self {
            Self::Greedy(Greedy { stop, .. }) | Self::Sample(Sample { stop, .. }) => stop,
        }
    }
}
