//! Energy: what a stage of work consumed, by component, and how that is known.
//!
//! Every number has a [`State`]: measured by a counter or a sensor, estimated by a declared model,
//! or unavailable with the reason. Nothing is ever zero because it could not be read.
//!
//! | file | holds |
//! |---|---|
//! | [`source`] | the [`PowerSource`] trait and what a reading is |
//! | [`nvml`] | GPUs: NVIDIA's total-energy counter, with power as cross-check |
//! | [`rapl`] | CPU packages and DRAM: Linux powercap counters |
//! | [`estimate`] | CPU and DRAM by a declared model, where no counter can be read |
//! | [`model`] | the model's constants, grid factor and PUE; carbon dioxide |
//! | [`meter`] | samples the sources from start to finish |
//! | [`account`] | the result: `energy.json` of a stage |
//! | [`detect()`] | chooses the sources of this machine |

pub mod account;
pub mod detect;
pub mod estimate;
mod gap;
pub mod meter;
pub mod model;
pub mod nvml;
pub mod rapl;
pub mod source;

pub use account::{Account, Measured};
pub use detect::{Detection, detect};
pub use meter::{Clock, Meter, SinceBoot};
pub use model::EnergyModel;
pub use nvml::Gpu;
pub use source::{Component, Joules, PowerSource, Reading, State, Turn, Unavailable};
