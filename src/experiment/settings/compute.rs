//! What stages are computed on, and the constants of energy estimates.

use serde::{Deserialize, Serialize};

/// Chooses device and precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Compute {
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Number format of matrix products.
    pub precision: PrecisionChoice,
    /// CPU threads that a stage computes with, all cores by default. They decide how sums are rounded,
    /// and so belong to results; on a GPU they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Default for Compute {
    fn default() -> Self {
        Self { device: DeviceChoice::Auto, precision: PrecisionChoice::Auto, threads: None }
    }
}

/// Names a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// The GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first visible GPU.
    Cuda,
}

/// Names a number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// bf16 on hardware known to compute it faster, else f32.
    Auto,
    /// 32-bit floating point.
    F32,
    /// bfloat16 compute with f32 master weights.
    Bf16,
}

/// Constants of energy estimates, for components that no counter covers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Energy {
    /// Power of the whole CPU package under load, in watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_tdp_watts: Option<f64>,
    /// Power of memory, in watts per GiB in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dram_watts_per_gib: Option<f64>,
    /// Emissions of the grid, in kg CO2e per kWh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_kg_co2e_per_kwh: Option<f64>,
    /// Power usage effectiveness of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pue: Option<f64>,
}
