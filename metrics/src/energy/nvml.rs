//! GPUs: NVIDIA's management library.
//!
//! Volta and later count their energy in millijoules since the driver was loaded; the power sensor
//! is integrated beside it as a cross-check, and instead of it on older cards. A reading covers the
//! whole card and all that runs on it. Only the cards asked for are read.
//!
//! NVML API reference, `nvmlDeviceGetTotalEnergyConsumption`, `nvmlDeviceGetPowerUsage`.

use super::source::{Component, Joules, Missing, PowerSource, Reading, State, Unavailable};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::sync::Arc;

/// The file that the driver installs and [`Nvml::init`] loads.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Names a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpu {
    /// By NVML's index: the order of PCI bus addresses.
    Index(u32),
    /// By identifier, `GPU-…` or `MIG-…`. CUDA takes an unambiguous start of one too; NVML does not,
    /// and says so when the card is opened.
    Uuid(String),
}

impl Gpu {
    /// Returns the card that CUDA calls `ordinal`, given the value of `CUDA_VISIBLE_DEVICES`.
    ///
    /// Where no list is set, CUDA's order equals NVML's only under `CUDA_DEVICE_ORDER=PCI_BUS_ID`
    /// or on machines whose cards are all of one kind.
    ///
    /// # Errors
    /// If the list has no such entry, or an entry that is neither index nor identifier.
    pub fn of_cuda(ordinal: usize, visible_devices: Option<&str>) -> Result<Self, Unavailable> {
        let Some(list) = visible_devices else {
            return Ok(Self::Index(ordinal as u32));
        };
        let entry =
            list.split(',').map(str::trim).nth(ordinal).filter(|entry| !entry.is_empty()).ok_or_else(|| {
                Unavailable::because(format!("`CUDA_VISIBLE_DEVICES={list}` has no device {ordinal}"))
            })?;
        if entry.starts_with("GPU-") || entry.starts_with("MIG-") {
            return Ok(Self::Uuid(entry.to_owned()));
        }
        entry
            .parse()
            .map(Self::Index)
            .map_err(|_| Unavailable::because(format!("`CUDA_VISIBLE_DEVICES={list}` names no device with `{entry}`")))
    }

    fn name(&self) -> String {
        match self {
            Self::Index(index) => format!("gpu {index}"),
            Self::Uuid(uuid) => format!("gpu {uuid}"),
        }
    }
}

/// Opens the cards asked for; a card that cannot be read stands in the list with the reason.
pub fn open(gpus: &[Gpu]) -> Vec<Box<dyn PowerSource>> {
    if gpus.is_empty() {
        return Vec::new();
    }
    let library = load();
    gpus.iter()
        .map(|gpu| -> Box<dyn PowerSource> {
            let opened = library.clone().and_then(|library| Card::open(library, gpu));
            match opened {
                Ok(card) => Box::new(card),
                Err(reason) => Box::new(Missing::new(Component::Gpu, gpu.name(), reason)),
            }
        })
        .collect()
}

/// Returns the CUDA compute capability (major, minor) of CUDA's first device, given the value of
/// `CUDA_VISIBLE_DEVICES`; none if NVML does not tell.
///
/// An identifier there names the card. An index does not, as CUDA may count in another order: then it
/// is the least of all cards, so that what is concluded from it holds for the one in use.
pub fn compute_capability(visible_devices: Option<&str>) -> Option<(i32, i32)> {
    of_first(visible_devices, |card| {
        let capability = card.cuda_compute_capability().ok()?;
        Some((capability.major, capability.minor))
    })
}

/// Returns the memory of CUDA's first device in bytes, found as its [`compute_capability`] is.
pub fn memory_total(visible_devices: Option<&str>) -> Option<u64> {
    of_first(visible_devices, |card| Some(card.memory_info().ok()?.total))
}

/// Reads what CUDA's first device has; where it is not known which that is, the least that a card has.
fn of_first<T: Ord>(visible_devices: Option<&str>, read: impl Fn(&Device<'_>) -> Option<T>) -> Option<T> {
    let nvml = load().ok()?;
    let of = |gpu: &Gpu| read(&find(&nvml, gpu).ok()?);
    if let Ok(gpu @ Gpu::Uuid(_)) = Gpu::of_cuda(0, visible_devices)
        && let Some(found) = of(&gpu)
    {
        return Some(found);
    }
    (0..nvml.device_count().ok()?).filter_map(|index| of(&Gpu::Index(index))).min()
}

/// Returns the memory in use on a card, in bytes, by all that runs on it.
///
/// # Errors
/// When NVML does not tell.
pub fn memory_used(gpu: &Gpu) -> Result<u64, Unavailable> {
    let nvml = load()?;
    let memory = find(&nvml, gpu)?.memory_info().map_err(|error| failed(gpu, "memory", &error))?;
    Ok(memory.used)
}

fn load() -> Result<Arc<Nvml>, Unavailable> {
    Nvml::init().map(Arc::new).map_err(|error| match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            Unavailable::because(format!("`{LIBRARY}` is not installed"))
                .with_remedy("install the NVIDIA driver, or give the container its `utility` capability")
        }
        error => Unavailable::because(format!("NVML does not start: {error}")),
    })
}

/// Reads one card.
struct Card {
    nvml: Arc<Nvml>,
    gpu: Gpu,
    model: String,
    ability: Ability,
}

/// What a card can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ability {
    EnergyAndPower,
    Energy,
    Power,
}

impl Card {
    fn open(library: Arc<Nvml>, gpu: &Gpu) -> Result<Self, Unavailable> {
        let device = find(&library, gpu)?;
        let model = device.name().map_err(|error| failed(gpu, "name", &error))?;
        let ability = match (device.total_energy_consumption(), device.power_usage()) {
            (Ok(_), Ok(_)) => Ability::EnergyAndPower,
            (Ok(_), Err(_)) => Ability::Energy,
            (Err(_), Ok(_)) => Ability::Power,
            (Err(error), Err(_)) => {
                return Err(failed(gpu, "energy counter and power sensor", &error));
            }
        };
        Ok(Self { nvml: library, gpu: gpu.clone(), model, ability })
    }
}

impl PowerSource for Card {
    fn component(&self) -> Component {
        Component::Gpu
    }

    fn name(&self) -> String {
        self.gpu.name()
    }

    fn state(&self) -> State {
        State::Measured
    }

    fn method(&self) -> String {
        let how = match self.ability {
            Ability::EnergyAndPower => "NVML total-energy counter, sampled power as cross-check",
            Ability::Energy => "NVML total-energy counter",
            Ability::Power => "NVML power, sampled and integrated: the card has no energy counter",
        };
        format!("{how}; {}, the whole card", self.model)
    }

    fn read(&mut self) -> Result<Reading, Unavailable> {
        let device = find(&self.nvml, &self.gpu)?;
        let energy = || {
            let millijoules = device.total_energy_consumption();
            millijoules
                .map(|millijoules| Joules(millijoules as f64 * 1e-3))
                .map_err(|error| failed(&self.gpu, "energy counter", &error))
        };
        let power = || {
            let milliwatts = device.power_usage();
            milliwatts
                .map(|milliwatts| f64::from(milliwatts) * 1e-3)
                .map_err(|error| failed(&self.gpu, "power sensor", &error))
        };
        reading(self.ability, energy, power)
    }
}

/// Reads what a card can be asked for. A counter stands without its cross-check.
fn reading(
    ability: Ability,
    energy: impl Fn() -> Result<Joules, Unavailable>,
    power: impl Fn() -> Result<f64, Unavailable>,
) -> Result<Reading, Unavailable> {
    match ability {
        Ability::EnergyAndPower => {
            let joules = energy()?;
            Ok(power().map_or(Reading::Energy(joules), |watts| Reading::EnergyAndPower(joules, watts)))
        }
        Ability::Energy => energy().map(Reading::Energy),
        Ability::Power => power().map(Reading::Power),
    }
}

fn find<'a>(library: &'a Nvml, gpu: &Gpu) -> Result<Device<'a>, Unavailable> {
    match gpu {
        Gpu::Index(index) => library.device_by_index(*index),
        Gpu::Uuid(uuid) => library.device_by_uuid(uuid.as_str()),
    }
    .map_err(|error| failed(gpu, "handle", &error))
}

fn failed(gpu: &Gpu, what: &str, error: &NvmlError) -> Unavailable {
    Unavailable::because(format!("{what} of {}: {error}", gpu.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_in_use_is_the_one_cuda_was_given() {
        assert_eq!(Gpu::of_cuda(1, None), Ok(Gpu::Index(1)));
        assert_eq!(Gpu::of_cuda(0, Some("3, 1")), Ok(Gpu::Index(3)));
        assert_eq!(Gpu::of_cuda(1, Some("0,GPU-8a1f")), Ok(Gpu::Uuid("GPU-8a1f".to_owned())));
        let error = Gpu::of_cuda(2, Some("3,1")).unwrap_err();
        assert_eq!(error.reason, "`CUDA_VISIBLE_DEVICES=3,1` has no device 2");
        assert!(Gpu::of_cuda(0, Some("")).is_err());
        assert!(Gpu::of_cuda(0, Some("first")).is_err());
    }

    #[test]
    fn a_card_that_is_not_there_is_in_the_list_with_the_reason() {
        // No machine has a thousand cards, and one without NVIDIA driver has none.
        let mut sources = open(&[Gpu::Index(1000)]);
        assert_eq!(sources.len(), 1);
        assert_eq!((sources[0].component(), sources[0].name()), (Component::Gpu, "gpu 1000".to_owned()));
        assert_eq!(sources[0].state(), State::Unavailable);
        let reason = sources[0].read().unwrap_err().reason;
        assert!(reason.contains("gpu 1000") || reason.contains("NVML") || reason.contains(LIBRARY), "{reason}");
        assert!(open(&[]).is_empty());
    }

    #[test]
    fn a_counter_stands_without_its_power_sensor() {
        let (works, fails) = (|| Ok(Joules(5.0)), || Err(Unavailable::because("sensor lost")));
        assert_eq!(
            reading(Ability::EnergyAndPower, works, || Ok(70.0)),
            Ok(Reading::EnergyAndPower(Joules(5.0), 70.0))
        );
        assert_eq!(reading(Ability::EnergyAndPower, works, fails), Ok(Reading::Energy(Joules(5.0))));
        assert!(reading(Ability::Power, works, fails).is_err());
        let no_counter = || Err(Unavailable::because("counter lost"));
        assert!(reading(Ability::EnergyAndPower, no_counter, || Ok(70.0)).is_err());
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn gpu_capability_is_told_for_the_card_in_use_and_for_all() {
        let least = compute_capability(None).unwrap();
        assert!(least >= (3, 0), "{least:?}");
        let uuid = Nvml::init().unwrap().device_by_index(0).unwrap().uuid().unwrap();
        assert!(compute_capability(Some(&uuid)).unwrap() >= least);
        // An abbreviated identifier, which NVML does not take.
        assert_eq!(compute_capability(Some(&uuid[..12])), Some(least));
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn gpu_counter_and_power_are_read_and_the_counter_grows() {
        let mut sources = open(&[Gpu::Index(0)]);
        let Ok(Reading::EnergyAndPower(before, watts)) = sources[0].read() else {
            panic!("{}", sources[0].method());
        };
        assert!(watts > 1.0);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let Ok(Reading::EnergyAndPower(after, _)) = sources[0].read() else {
            panic!("{}", sources[0].method());
        };
        // An idle card draws about what its sensor says: within a factor of three over two seconds.
        let drawn = (after - before).0 / 2.0;
        assert!(drawn > watts / 3.0 && drawn < watts * 3.0, "{drawn} W by counter, {watts} W by sensor");
    }
}
