//! Generation: prompts to answers, several at a time, each as if it were alone.

pub mod decode;
pub mod sampling;

pub use decode::generate;

use crate::experiment::settings::Decoding;

/// Says how answers are generated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// How the next token is chosen.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Tokens that end an answer, each of them.
    pub ends: Vec<u32>,
    /// Most sequences decoded at a time, within the rows of a tile; changes no answer.
    pub batch: usize,
}

/// Holds one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Tokens of the answer, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Why it ends.
    pub stopped: StopReason,
}

/// Says why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model ended it.
    Eos,
    /// It reached the longest length.
    Length,
}

/// Why nothing can be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// A prompt has no token to continue.
    #[error("prompt {example} is empty, expected at least one token")]
    EmptyPrompt {
        /// Index of the prompt.
        example: usize,
    },
    /// A prompt holds a token that the model does not have.
    #[error("prompt {example} holds token {token}, expected less than {vocabulary}")]
    UnknownToken {
        /// Index of the prompt.
        example: usize,
        /// The token.
        token: u32,
        /// Rows of the embedding.
        vocabulary: i64,
    },
    /// The caller asked to stop.
    #[error("stopped as asked")]
    Stopped,
    /// The model computes infinities or no numbers.
    #[error("the logits after prompt {example} are not finite, expected numbers: the model is damaged or diverged")]
    NotFinite {
        /// Index of the prompt.
        example: usize,
    },
}
