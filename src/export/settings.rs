//! How a model is exported.

use serde::Serialize;
use tch::Kind;

/// Says what is written, and from which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What adapters are added to; none where they were trained on weights as they are.
    pub base: Option<Base>,
    /// What is written.
    pub form: Form,
}

/// The weights that adapters are added to, where they were trained on a base in four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// Those of the base's own files.
    Full,
    /// What the four bits stand for.
    Dequantised,
}

impl Base {
    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Dequantised => "dequantised",
        }
    }
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Safetensors, as transformers reads them.
    Safetensors(Numbers),
    /// One file, as llama.cpp reads it.
    Gguf(Blocks),
}

impl Form {
    /// Returns what a number of a large matrix takes, in bits.
    #[must_use]
    pub fn bits(self) -> f64 {
        match self {
            Self::Safetensors(Numbers::F32) => 32.0,
            Self::Safetensors(Numbers::Bf16 | Numbers::F16) | Self::Gguf(Blocks::F16) => 16.0,
            // 32 numbers of 8 bits share a scale of 16.
            Self::Gguf(Blocks::Q8_0) => 8.5,
        }
    }

    /// Names what is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors(_) => "safetensors",
            Self::Gguf(_) => "gguf",
        }
    }

    /// Names the format of its numbers.
    #[must_use]
    pub fn numbers(self) -> &'static str {
        match self {
            Self::Safetensors(numbers) => numbers.name(),
            Self::Gguf(Blocks::F16) => "f16",
            Self::Gguf(Blocks::Q8_0) => "q8_0",
        }
    }
}

/// Number format of weights in safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// 32 bits: what is computed here, without rounding.
    F32,
    /// 16 bits with the range of f32 and 8 bits of precision.
    Bf16,
    /// 16 bits up to 65,504 with 11 bits of precision.
    F16,
}

impl Numbers {
    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Returns what libtorch calls it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// How matrices are kept in a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// In f16.
    F16,
    /// In blocks of 32 numbers of eight bits with a scale in f16.
    Q8_0,
}
