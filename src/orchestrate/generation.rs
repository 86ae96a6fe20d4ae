//! Answers as they lie in the store, between generating and scoring.

use serde::{Deserialize, Serialize};

/// Holds one answer and how likely the model finds the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Identifier of the example.
    pub id: String,
    /// What the model wrote, without special tokens and surrounding white space.
    pub answer: String,
    /// Tokens that it wrote, end of sequence included.
    pub new_tokens: u64,
    /// Mean negative log-likelihood of the reference response, end of sequence included, in nats
    /// per token; none if the response does not fit the positions of the model. Not finite if the model
    /// diverged, which JSON cannot say: it is none then, too, but of some tokens.
    pub nll: Option<f64>,
    /// Tokens that `nll` is the mean over.
    pub response_tokens: u64,
    /// Bytes of the reference answer in UTF-8. The space before it and the end of sequence, which `nll`
    /// covers, are none of them: they are the same for every model.
    pub response_bytes: u64,
}
