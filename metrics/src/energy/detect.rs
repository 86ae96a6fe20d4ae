//! Chooses the sources of this machine.

use super::estimate::{CpuEstimate, DramEstimate, PROC};
use super::model::EnergyModel;
use super::nvml::{self, Gpu};
use super::rapl::{POWERCAP, Rapl};
use super::source::{Component, Missing, PowerSource};
use std::path::PathBuf;

/// Says what to look for, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Cards that the work runs on; no other is read.
    pub gpus: Vec<Gpu>,
    /// Declared constants, for what has no counter.
    pub model: EnergyModel,
    /// Where the kernel shows RAPL: [`POWERCAP`].
    pub powercap: PathBuf,
    /// Where the kernel shows processes: [`PROC`].
    pub proc: PathBuf,
}

impl Default for Detection {
    fn default() -> Self {
        Self { gpus: Vec::new(), model: EnergyModel::default(), powercap: POWERCAP.into(), proc: PROC.into() }
    }
}

/// Returns the sources of this machine: CPU and DRAM by RAPL, or else by the declared model, and
/// the GPUs asked for by NVML.
///
/// CPU and DRAM are always in the list, each GPU too; what can be neither measured nor estimated
/// is a source that says why.
pub fn detect(detection: &Detection) -> Vec<Box<dyn PowerSource>> {
    let mut sources: Vec<Box<dyn PowerSource>> = Vec::new();
    match Rapl::open(&detection.powercap) {
        Ok(domains) => sources.extend(domains.into_iter().map(|domain| Box::new(domain) as Box<dyn PowerSource>)),
        Err(counters) => match CpuEstimate::new(&detection.proc, &detection.model) {
            Ok(estimate) => sources.push(Box::new(estimate.instead_of(&counters))),
            Err(reason) => sources.push(Box::new(Missing::new(Component::Cpu, "process", reason))),
        },
    }
    if !sources.iter().any(|source| source.component() == Component::Dram) {
        match DramEstimate::new(&detection.proc, &detection.model) {
            Ok(estimate) => sources.push(Box::new(estimate)),
            Err(reason) => sources.push(Box::new(Missing::new(Component::Dram, "process", reason))),
        }
    }
    sources.extend(nvml::open(&detection.gpus));
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::source::State;
    use std::fs;
    use tempfile::TempDir;

    fn found(detection: &Detection) -> Vec<(Component, State)> {
        detect(detection).iter().map(|source| (source.component(), source.state())).collect()
    }

    #[test]
    fn counters_come_before_the_model() {
        let root = TempDir::new().unwrap();
        let without = Detection { powercap: root.path().into(), ..Detection::default() };
        assert_eq!(found(&without), [(Component::Cpu, State::Estimated), (Component::Dram, State::Unavailable)]);
        let method = detect(&without)[0].method();
        assert!(method.contains("assumed") && method.contains("not measured: no RAPL domain"), "{method}");

        let domain = root.path().join("intel-rapl:0");
        fs::create_dir(&domain).unwrap();
        for (file, text) in [("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "9")] {
            fs::write(domain.join(file), text).unwrap();
        }
        let model = EnergyModel { dram_watts_per_gib: Some(0.4), ..EnergyModel::default() };
        let with = Detection { model, ..without };
        assert_eq!(found(&with), [(Component::Cpu, State::Measured), (Component::Dram, State::Estimated)]);
    }
}
