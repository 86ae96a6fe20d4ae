//! CPU and DRAM energy by a declared model, where no counter can be read.
//!
//! CPU: seconds of processor time that this process used, times the power of one logical CPU (TDP
//! over the number of CPUs). It follows use, but not frequency, memory traffic or other processes.
//! DRAM: resident memory times declared watts per GiB.

use super::model::{ASSUMED_WATTS_PER_CPU, EnergyModel};
use super::source::{Component, Joules, PowerSource, Reading, State, Unavailable};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows processes.
pub const PROC: &str = "/proc";

/// Clock ticks per second in `/proc/*/stat`: `USER_HZ`, 100 on every architecture that Rust's
/// Linux targets share.
const TICKS_PER_SECOND: f64 = 100.0;

/// Estimates the CPU energy of this process.
#[derive(Debug)]
pub struct CpuEstimate {
    stat: PathBuf,
    watts_per_cpu: f64,
    method: String,
}

impl CpuEstimate {
    /// Prepares the estimate from `proc` ([`PROC`]) with the declared or the assumed power.
    ///
    /// # Errors
    /// If the kernel does not show the number of CPUs.
    pub fn new(proc: &Path, model: &EnergyModel) -> Result<Self, Unavailable> {
        let cpus = logical_cpus(&proc.join("cpuinfo"))?;
        let (watts_per_cpu, origin) = match model.cpu_tdp_watts {
            Some(tdp) => (tdp / cpus as f64, format!("declared TDP {tdp} W over {cpus} logical CPUs")),
            None => (
                ASSUMED_WATTS_PER_CPU,
                format!("assumed {ASSUMED_WATTS_PER_CPU} W for each of {cpus} logical CPUs: no TDP declared"),
            ),
        };
        let method = format!("model: process CPU seconds x watts per logical CPU; {origin}");
        Ok(Self { stat: proc.join("self/stat"), watts_per_cpu, method })
    }

    /// Adds to the method why the counters that would be better are not read.
    #[must_use]
    pub fn instead_of(mut self, counters: &Unavailable) -> Self {
        self.method = format!("{}; not measured: {}", self.method, counters.text());
        self
    }
}

impl PowerSource for CpuEstimate {
    fn component(&self) -> Component {
        Component::Cpu
    }

    fn name(&self) -> String {
        "process".to_owned()
    }

    fn state(&self) -> State {
        State::Estimated
    }

    fn method(&self) -> String {
        self.method.clone()
    }

    fn read(&mut self) -> Result<Reading, Unavailable> {
        let stat = text(&self.stat)?;
        let seconds = cpu_seconds(&stat)
            .ok_or_else(|| Unavailable::because(format!("`{}` shows no CPU time", self.stat.display())))?;
        Ok(Reading::Energy(Joules(seconds * self.watts_per_cpu)))
    }
}

/// Estimates the DRAM power of this process.
#[derive(Debug)]
pub struct DramEstimate {
    status: PathBuf,
    watts_per_gib: f64,
}

impl DramEstimate {
    /// Prepares the estimate from `proc` ([`PROC`]).
    ///
    /// # Errors
    /// If no power per GiB is declared: no constant fits machines well enough to be assumed.
    pub fn new(proc: &Path, model: &EnergyModel) -> Result<Self, Unavailable> {
        let watts_per_gib = model.dram_watts_per_gib.ok_or_else(|| {
            Unavailable::because("no DRAM counter, and no power per GiB is declared")
                .with_remedy("declare `dram-watts-per-gib`")
        })?;
        Ok(Self { status: proc.join("self/status"), watts_per_gib })
    }
}

impl PowerSource for DramEstimate {
    fn component(&self) -> Component {
        Component::Dram
    }

    fn name(&self) -> String {
        "process".to_owned()
    }

    fn state(&self) -> State {
        State::Estimated
    }

    fn method(&self) -> String {
        format!("model: resident memory x declared {} W/GiB", self.watts_per_gib)
    }

    fn read(&mut self) -> Result<Reading, Unavailable> {
        let status = text(&self.status)?;
        let gib = resident_gib(&status)
            .ok_or_else(|| Unavailable::because(format!("`{}` shows no resident memory", self.status.display())))?;
        Ok(Reading::Power(gib * self.watts_per_gib))
    }
}

fn text(path: &Path) -> Result<String, Unavailable> {
    fs::read_to_string(path)
        .map_err(|error| Unavailable::because(format!("`{}` cannot be read: {error}", path.display())))
}

/// Counts all CPUs of the machine, not only those this process may run on: a TDP is for them all.
fn logical_cpus(cpuinfo: &Path) -> Result<usize, Unavailable> {
    let count = text(cpuinfo)?.lines().filter(|line| line.starts_with("processor")).count();
    if count == 0 {
        return Err(Unavailable::because(format!("`{}` shows no processor", cpuinfo.display())));
    }
    Ok(count)
}

/// Returns user and system time of all threads, ended ones included: fields 14 and 15.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field, the command in parentheses, may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn resident_gib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn proc(cpus: usize, user: u64, system: u64) -> TempDir {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("self")).unwrap();
        let cpuinfo: String = (0..cpus).map(|cpu| format!("processor\t: {cpu}\nmodel name\t: x\n\n")).collect();
        fs::write(root.path().join("cpuinfo"), cpuinfo).unwrap();
        let stat = format!("7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {user} {system} 99 99 20 0 1");
        fs::write(root.path().join("self/stat"), stat).unwrap();
        fs::write(root.path().join("self/status"), "Name:\tx\nVmRSS:\t  2097152 kB\n").unwrap();
        root
    }

    #[test]
    fn cpu_energy_is_cpu_time_at_the_power_of_a_cpu() {
        let root = proc(4, 250, 50);
        let declared = EnergyModel { cpu_tdp_watts: Some(80.0), ..EnergyModel::default() };
        let mut source = CpuEstimate::new(root.path(), &declared).unwrap();
        // 3 seconds of one CPU in four, 20 W each.
        assert_eq!(source.read(), Ok(Reading::Energy(Joules(60.0))));
        assert!(source.method().ends_with("declared TDP 80 W over 4 logical CPUs"));
    }

    #[test]
    fn an_assumed_power_is_called_one() {
        let root = proc(4, 250, 50);
        let mut source = CpuEstimate::new(root.path(), &EnergyModel::default()).unwrap();
        assert_eq!(source.read(), Ok(Reading::Energy(Joules(30.0))));
        assert!(source.method().ends_with("assumed 10 W for each of 4 logical CPUs: no TDP declared"));
        assert_eq!(source.state(), State::Estimated);
    }

    #[test]
    fn memory_is_estimated_only_if_declared() {
        let root = proc(1, 0, 0);
        let error = DramEstimate::new(root.path(), &EnergyModel::default()).unwrap_err();
        assert_eq!(error.remedy.as_deref(), Some("declare `dram-watts-per-gib`"));
        let declared = EnergyModel { dram_watts_per_gib: Some(0.375), ..EnergyModel::default() };
        let mut source = DramEstimate::new(root.path(), &declared).unwrap();
        assert_eq!(source.read(), Ok(Reading::Power(0.75)));
    }

    #[test]
    fn this_process_uses_cpu_time() {
        let mut source = CpuEstimate::new(Path::new(PROC), &EnergyModel::default()).unwrap();
        let Ok(Reading::Energy(before)) = source.read() else { panic!("no reading") };
        let start = std::time::Instant::now();
        let mut sum = 0u64;
        while start.elapsed().as_millis() < 150 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let Ok(Reading::Energy(after)) = source.read() else { panic!("no reading") };
        assert!(after > before);
    }

    #[test]
    fn what_the_kernel_does_not_show_is_unavailable() {
        let root = proc(1, 0, 0);
        fs::write(root.path().join("self/stat"), "7 (x) S").unwrap();
        let mut source = CpuEstimate::new(root.path(), &EnergyModel::default()).unwrap();
        assert!(source.read().unwrap_err().reason.ends_with("shows no CPU time"));
        assert!(CpuEstimate::new(Path::new("/nonexistent"), &EnergyModel::default()).is_err());
    }
}
