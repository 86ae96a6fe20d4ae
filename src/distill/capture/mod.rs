//! The teacher's signal on disk, computed once per teacher and data.
//!
//! With the last hidden states at response positions and the head, logits are exact, so a
//! distillation needs neither the teacher's forward pass nor room for the teacher.
//!
//! A folder holds, in format version 1:
//! - `plan.json`, written first: what is captured ([`format::Plan`]); a resumed run compares it.
//! - `head.safetensors`: `lm_head.weight` and, when it is another tensor, `model.embed_tokens.weight`.
//! - `states.bin`: rows `[m, width]` of one example after another, little-endian, without header.
//! - `index.jsonl`: a line per example in that order ([`format::Entry`]): its place and checksum,
//!   ids, and the moments of its hidden states at all positions.
//! - `capture.json`, written last: sizes and checksums of the others ([`format::Seal`]).

pub mod format;
mod read;
mod write;

use std::path::PathBuf;

pub use read::{Capture, Signal};
pub use write::{Outcome, Progress, Sequence, capture};

use crate::files::WriteError;
use crate::models::ModelError;

/// Why a capture cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder holds no finished capture.
    #[error("`{}` holds no finished capture: `capture.json` is missing", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not of this format or version.
    #[error("`{}` is not a capture: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// The folder holds another capture.
    #[error("`{}` was begun for another capture: {problem}", path.display())]
    Another {
        /// The folder.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A file is truncated or changed.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A sequence has no response or no prompt.
    #[error(
        "sequence {example} has {tokens} tokens with its response from {response_start}, expected at least one token on each side"
    )]
    Sequence {
        /// Place of the sequence.
        example: usize,
        /// Tokens of the whole sequence.
        tokens: usize,
        /// Where its response starts.
        response_start: usize,
    },
    /// The teacher gives states that are no numbers; nothing can be learned from them.
    #[error(
        "the teacher's hidden states for sequence {example} are not finite: its weights are damaged, or overflow in \
         this number format (try `compute.precision = \"f32\"`)"
    )]
    NotFinite {
        /// Place of the sequence.
        example: usize,
    },
    /// An example is not part of the capture.
    #[error("example {example} was asked for, the capture holds {examples}")]
    Example {
        /// The example.
        example: usize,
        /// Examples captured.
        examples: usize,
    },
    /// The head cannot be read or written.
    #[error("the captured head cannot be read or written")]
    Head(#[from] ModelError),
    /// libtorch refused an operation, usually for want of memory.
    #[error("libtorch failed while {doing}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: tch::TchError,
    },
}

#[cfg(test)]
mod tests;
