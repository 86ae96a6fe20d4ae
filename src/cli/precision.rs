//! The option `--precision`.

use clap::ValueEnum;

use crate::experiment::settings::PrecisionChoice;

/// Names a number format of matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// 32-bit floating point.
    F32,
    /// bfloat16; masters and losses stay f32.
    Bf16,
}

impl From<PrecisionName> for PrecisionChoice {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}
