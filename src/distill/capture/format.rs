//! Files of a capture, as plain data.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Kind;

use super::CaptureError;
use crate::distill::statistics::Moments;
use crate::files;

/// Says what a file belongs to.
pub const FORMAT: &str = "tutelage-capture";
/// Version of the format; raised when files change their meaning.
pub const VERSION: u32 = 1;

/// Names in a capture's folder.
pub const PLAN: &str = "plan.json";
/// Head and embedding.
pub const HEAD: &str = "head.safetensors";
/// Hidden states.
pub const STATES: &str = "states.bin";
/// A line per example.
pub const INDEX: &str = "index.jsonl";
/// The last file.
pub const SEAL: &str = "capture.json";

/// Number format of the stored states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stored {
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    Bf16,
}

impl Stored {
    /// Returns the format that keeps states of `kind` exactly.
    pub fn of(kind: Kind) -> Self {
        if kind == Kind::BFloat16 { Self::Bf16 } else { Self::F32 }
    }

    /// Returns the tensor kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// Says what is captured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Fingerprint of the teacher's vocabulary.
    pub vocabulary: String,
    /// Number format of the states.
    pub stored: Stored,
    /// Width of the states.
    pub width: i64,
    /// Sequences.
    pub examples: usize,
    /// Checksum of all token ids and response starts.
    pub sequences: String,
    /// Checksum of the head's file.
    pub head: String,
    /// Rows of the head that are tokens, where it has more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<i64>,
    /// Cap of the logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
    /// Most tokens of one forward pass; it decides which sequences share one.
    pub batch_tokens: usize,
}

impl Plan {
    /// Lists the fields in which `found` differs from this plan.
    pub(super) fn differences(&self, found: &Self) -> Vec<&'static str> {
        let fields = [
            ("format", self.format != found.format || self.version != found.version),
            ("vocabulary", self.vocabulary != found.vocabulary),
            ("number format", self.stored != found.stored),
            ("width", self.width != found.width),
            ("sequences", self.examples != found.examples || self.sequences != found.sequences),
            ("head", (&self.head, self.tokens, self.softcap) != (&found.head, found.tokens, found.softcap)),
            ("tokens of a batch", self.batch_tokens != found.batch_tokens),
        ];
        fields.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

/// Describes one example of a capture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Place among the captured sequences.
    pub example: usize,
    /// First byte of its states.
    pub offset: u64,
    /// Checksum of its states.
    pub checksum: String,
    /// Positions of the whole sequence, its last token left out because it predicts nothing.
    pub positions: i64,
    /// Count, sum and sum of squares of the hidden states at all of those positions.
    pub moments: [f64; 3],
    /// Input ids at response positions.
    pub inputs: Vec<i64>,
    /// Ids to predict there.
    pub labels: Vec<i64>,
}

impl Entry {
    /// Returns the bytes of its states.
    pub(super) fn bytes(&self, stored: Stored, width: i64) -> u64 {
        self.labels.len() as u64 * width.unsigned_abs() * stored.kind().elt_size_in_bytes() as u64
    }

    /// Returns the moments of the hidden states.
    pub fn hidden(&self) -> Moments {
        let [count, sum, squares] = self.moments;
        Moments { count, sum, squares }
    }
}

/// Closes a capture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// What was captured.
    pub plan: Plan,
    /// Bytes of the states.
    pub states_bytes: u64,
    /// Checksum of the index, which holds those of the states.
    pub index: String,
}

/// Returns the checksum used throughout: BLAKE3 in hexadecimal.
pub(super) fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Returns the checksum of a file.
pub(super) fn checksum_of_file(path: &Path) -> Result<String, CaptureError> {
    files::checksum(path).map_err(|source| CaptureError::Read { path: path.to_owned(), source })
}

/// Reads a small JSON file of a capture.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CaptureError> {
    let bytes = std::fs::read(path).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CaptureError::Foreign { path: path.to_owned(), problem: error.to_string() })
}

/// Writes a small JSON file of a capture.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CaptureError> {
    Ok(files::write_json(path, value)?)
}
