//! Which energy counters a run reads: CPU, memory, and the one card it computes on.

use tch::Device;
use tutelage_metrics::energy::nvml::Gpu;
use tutelage_metrics::energy::source::Missing;
use tutelage_metrics::energy::{Component, Detection, EnergyModel, PowerSource, detect};

use crate::experiment::settings;

/// Returns the energy sources for a stage on `device`, with the declared constants for what has no
/// counter.
#[must_use]
pub fn sources(device: Device, constants: &settings::Energy) -> Vec<Box<dyn PowerSource>> {
    let mut detection = Detection { model: model(constants), ..Detection::default() };
    let Device::Cuda(ordinal) = device else {
        return detect(&detection);
    };
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    match Gpu::of_cuda(ordinal, visible.as_deref()) {
        Ok(gpu) => {
            detection.gpus.push(gpu);
            detect(&detection)
        }
        Err(reason) => {
            let mut sources = detect(&detection);
            let name = format!("cuda {ordinal}");
            sources.push(Box::new(Missing::new(Component::Gpu, name, reason)));
            sources
        }
    }
}

/// Returns the declared constants as energy is accounted with.
#[must_use]
pub fn model(constants: &settings::Energy) -> EnergyModel {
    EnergyModel {
        cpu_tdp_watts: constants.cpu_tdp_watts,
        dram_watts_per_gib: constants.dram_watts_per_gib,
        grid_kg_co2e_per_kwh: constants.grid_kg_co2e_per_kwh,
        pue: constants.pue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_in_use_is_always_accounted_for() {
        let components = |device| -> Vec<Component> {
            let sources = sources(device, &settings::Energy::default());
            sources.iter().map(|source| source.component()).collect()
        };
        assert!(!components(Device::Cpu).contains(&Component::Gpu));
        assert!(components(Device::Cuda(0)).contains(&Component::Gpu));
    }
}
