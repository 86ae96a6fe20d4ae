//! Models, and the tokenizers that scratch models name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Says where a tokenizer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum TokenizerSource {
    /// Reads a `tokenizer.json`.
    File {
        /// Path of the file or of the folder that holds it, or of the hub `hf:org/name` or
        /// `hf:org/name@revision`.
        path: PathBuf,
    },
    /// Trains byte-level BPE on the training split.
    ByteLevelBpe {
        /// Tokens, special ones included.
        vocabulary: usize,
        /// The data set that it is trained on; the only one that has texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// Trains Unigram on the training split.
    Unigram {
        /// Tokens, special ones included.
        vocabulary: usize,
        /// The data set that it is trained on; the only one that has texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
}

/// Describes a model: a checkpoint to load, or a scratch model to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Model {
    /// Loads a Hugging Face folder, or of the hub `hf:org/name` or `hf:org/name@revision`.
    Checkpoint(String),
    /// Builds and pretrains a model.
    Scratch(Scratch),
}

/// Describes a decoder trained from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scratch {
    /// Decoder family.
    #[serde(default)]
    pub architecture: Architecture,
    /// Name of a tokenizer of the experiment.
    pub tokenizer: String,
    /// The data set that it is pretrained on; the only one that has texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; all query heads have their own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of the feed-forward layer.
    pub feed_forward: usize,
    /// Shares the embedding with the output head.
    #[serde(default = "yes")]
    pub tied: bool,
    /// Longest sequence.
    #[serde(default = "positions")]
    pub positions: usize,
}

/// Names a decoder family by its `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Llama and TinyLlama.
    #[default]
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2: bias on query, key and value.
    Qwen2,
}

fn yes() -> bool {
    true
}

fn positions() -> usize {
    2048
}
