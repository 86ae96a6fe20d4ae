//! What a result was computed with: code, libraries, machine.

use serde::{Deserialize, Serialize};

use crate::device::{self, Compute, Precision};

/// Describes code and machine; kept as `environment.json` beside each result.
///
/// None of this is part of a stage's key except the number format: a result stays valid when the
/// store moves to another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of Tutelage.
    pub tutelage: String,
    /// Version of libtorch, as found when Tutelage was built.
    pub libtorch: String,
    /// Device of tensors: `cpu`, `cuda:0`.
    pub device: String,
    /// Number format of matrix products.
    pub precision: Precision,
    /// Why this format.
    pub precision_reason: String,
    /// CPU threads of libtorch.
    pub threads: usize,
    /// Name of the processor, if the system tells.
    pub processor: Option<String>,
    /// Operating system and instruction set.
    pub system: String,
}

impl Environment {
    /// Describes this process.
    #[must_use]
    pub fn of(compute: Compute) -> Self {
        let device = match compute.device {
            tch::Device::Cuda(index) => format!("cuda:{index}"),
            tch::Device::Cpu => "cpu".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        Self {
            tutelage: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: env!("TUTELAGE_LIBTORCH").to_owned(),
            device,
            precision: compute.precision,
            precision_reason: compute.reason.to_owned(),
            threads: device::threads(),
            processor: processor(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// Returns the processor's name on Linux.
#[must_use]
pub fn processor() -> Option<String> {
    let information = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
