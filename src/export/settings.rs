//! How a model is exported.

use serde::Serialize;
use tch::Kind;

use crate::experiment::settings::BaseFormat;

/// Says what is written, and from which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What adapters are added to; none where they were trained on weights as they are.
    pub base: Option<Base>,
    /// What is written.
    pub form: Form,
}

/// The weights that adapters are added to, where they were trained on a base in few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// Those of the base's own files.
    Full,
    /// What its codes stand for.
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
    /// Safetensors with the matrices of the layers in few bits, as transformers reads them with bitsandbytes.
    Quantised {
        /// How matrices are kept.
        format: BaseFormat,
        /// Whether scales of four bits are quantised, too.
        doubles: bool,
        /// Embeddings, head, norms and biases.
        rest: Numbers,
    },
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
            // With a scale of 32 bits for 64 numbers, if that is not quantised.
            Self::Quantised { format: BaseFormat::Nf4 | BaseFormat::Fp4, .. } => 4.5,
            // With a scale of 32 bits for a row, of 8 numbers or more.
            Self::Quantised { .. } => 12.0,
            // 32 numbers of 8 bits share a scale of 16.
            Self::Gguf(Blocks::Q8_0) => 8.5,
        }
    }

    /// Returns what a number takes that is in no large matrix, in bits.
    #[must_use]
    pub fn bits_beside(self) -> f64 {
        match self {
            Self::Quantised { rest, .. } => Self::Safetensors(rest).bits(),
            Self::Safetensors(_) | Self::Gguf(_) => self.bits(),
        }
    }

    /// Says whether weights are in few bits.
    #[must_use]
    pub fn is_quantised(self) -> bool {
        matches!(self, Self::Quantised { .. } | Self::Gguf(Blocks::Q8_0))
    }

    /// Names what is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors(_) | Self::Quantised { .. } => "safetensors",
            Self::Gguf(_) => "gguf",
        }
    }

    /// Names the format of its numbers.
    #[must_use]
    pub fn numbers(self) -> &'static str {
        match self {
            Self::Safetensors(numbers) => numbers.name(),
            Self::Quantised { format, .. } => format.name(),
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
