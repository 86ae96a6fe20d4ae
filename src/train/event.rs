//! What a training stage says while it runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing that happened; listeners draw bars or write files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum TrainEvent {
    /// An optimiser step is done.
    Step {
        /// Steps done so far.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Loss parts as means per response token, by name (`ce`, `kd`, `loss`, ...).
        parts: BTreeMap<String, f64>,
        /// Norm of the gradient before clipping.
        grad_norm: f64,
        /// Learning rate.
        lr: f64,
        /// Examples of the step.
        examples: u64,
        /// Tokens processed, prompts included.
        tokens: u64,
        /// Duration of the step in seconds.
        seconds: f64,
    },
    /// The dev split was measured.
    Validation {
        /// Steps done so far.
        step: u64,
        /// Mean negative log-likelihood in nats per response token.
        loss: f64,
        /// Whether it is the lowest so far.
        best: bool,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done so far.
        step: u64,
    },
    /// Work goes on from a checkpoint.
    Resumed {
        /// Steps done before.
        step: u64,
    },
    /// Something the user should know.
    Note {
        /// In words.
        text: String,
    },
}
