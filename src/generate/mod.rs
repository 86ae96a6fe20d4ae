//! Generation: prompts to answers, several at a time, each as if it were alone.

pub mod decode;
pub mod ends;
pub mod rules;
pub mod sampling;
mod tile;

pub use decode::{complete, generate};
pub use ends::Ends;

use crate::experiment::settings::Decoding;

/// Says how answers are generated.
#[derive(Debug, Clone)]
pub struct GenerationSettings<'t> {
    /// How the next token is chosen.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// What ends an answer: the texts of `decoding` only if they are here, too.
    pub ends: Ends<'t>,
    /// Most sequences decoded at a time, within the rows of a tile; changes no answer.
    pub batch: usize,
}

/// What a caller is told while answers are generated.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// An answer goes on.
    Token {
        /// Index of its prompt.
        example: usize,
        /// Its tokens so far; one or two more than were told before.
        answer: &'a [u32],
    },
    /// An answer is finished.
    Answer {
        /// Index of its prompt.
        example: usize,
        /// The answer.
        answer: &'a Generated,
    },
}

/// Holds one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Tokens of the answer, without the one that ended it; with those that hold the text that ended it, see
    /// [`ends::before`].
    pub tokens: Vec<u32>,
    /// Why it ends.
    pub stopped: StopReason,
}

/// Says why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model ended it, with a token.
    Eos,
    /// It holds a text that ends answers.
    Stop,
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
