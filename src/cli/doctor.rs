//! `tutelage doctor`: what this machine has, and what to do about what it lacks.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tutelage_metrics::energy::Component;

use super::Verdict;
use super::output::{Output, columns};
use super::study::StoreArgs;
use crate::device::{self, Precision, Processor};
use crate::evaluate::locate;
use crate::experiment::settings::{Compute, DeviceChoice, Energy, PrecisionChoice};
use crate::orchestrate::execute::power::sources;

/// Free disk below which a quickstart may not fit: an assumption, ten times what it writes.
const LITTLE_DISK_BYTES: u64 = 2_000_000_000;

/// Shows what this machine has: libtorch, devices, number formats, energy counters, models, disk.
#[derive(Debug, Args)]
#[command(after_help = "\
States:
  ok    there, and used
  none  not there; the line below says what that costs or how to get it
  bad   keeps studies from running: exit code 1

Only libtorch is needed for a study on the CPU; the embedding model is needed for cosine, energy
counters for measured (instead of estimated or unavailable) energy. Disk is that of the store, bad
below 2 GB.

Examples:
  tutelage doctor
  tutelage doctor --store /scratch/runs --format json")]
pub struct Doctor {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    None,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Ok, found: found.into(), remedy: None }
    }

    fn none(what: &str, found: impl Into<String>, remedy: &str) -> Self {
        let remedy = Some(remedy.to_owned());
        Self { what: what.to_owned(), state: State::None, found: found.into(), remedy }
    }

    fn bad(what: &str, found: impl Into<String>, remedy: &str) -> Self {
        Self { state: State::Bad, ..Self::none(what, found, remedy) }
    }
}

impl Doctor {
    /// Examines the machine.
    ///
    /// # Errors
    /// A stdout that cannot be written to; what is missing is the result.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let mut findings = engine();
        findings.extend(energy());
        findings.push(embedding());
        findings.push(wordnet());
        findings.push(slurm());
        findings.push(disk(&self.store.store));
        output.result(&findings, || text(&findings))?;
        let bad = findings.iter().any(|finding| finding.state == State::Bad);
        Ok(if bad { Verdict::Bad } else { Verdict::Good })
    }
}

fn engine() -> Vec<Finding> {
    let automatic = Compute { device: DeviceChoice::Auto, precision: PrecisionChoice::Auto, threads: None };
    let mut findings = vec![Finding::ok("libtorch", env!("TUTELAGE_LIBTORCH"))];
    findings.push(match device::cuda() {
        Ok(count) => Finding::ok("CUDA", format!("{count} devices")),
        Err(reason) => Finding::none(
            "CUDA",
            reason,
            "everything runs on the CPU; with a GPU install its driver and the full torch wheel, then build again",
        ),
    });
    findings.push(match device::start(&automatic) {
        Ok(compute) => Finding::ok("precision", format!("{}: {}", compute.precision.name(), compute.reason)),
        Err(error) => Finding::bad("precision", error.to_string(), "set `compute.device = \"cpu\"`"),
    });
    let processor = Processor::of_this_machine();
    let name = processor.name.as_deref().unwrap_or("unknown processor");
    findings.push(Finding::ok("threads", format!("{} on {name}", device::threads())));
    findings.push(waiting());
    findings.push(match processor.precision() {
        (Precision::Bf16, reason) => Finding::ok("bf16 on the CPU", reason),
        (Precision::F32, reason) => Finding::none(
            "bf16 on the CPU",
            reason,
            "`precision = \"auto\"` computes in f32 there; a processor with AMX is several times faster",
        ),
    });
    findings
}

/// Waiting threads that spin burn the time of other programs on the same cores.
fn waiting() -> Finding {
    let set = |name: &str| std::env::var(name).ok().map(|value| format!("{name}={value}"));
    match set("OMP_WAIT_POLICY").or_else(|| set("GOMP_SPINCOUNT")) {
        Some(setting) => Finding::ok("waiting threads", setting),
        None => Finding::none(
            "waiting threads",
            "spin for milliseconds, as libtorch does by default",
            "on cores shared with other programs set GOMP_SPINCOUNT=20000",
        ),
    }
}

fn energy() -> Vec<Finding> {
    // The zones are links, which `chmod -R` does not follow.
    let counters = "RAPL is read from /sys/class/powercap; where it is there, as root: chmod a+r \
        /sys/class/powercap/*/energy_uj; else set `energy.cpu-tdp-watts` for an estimate";
    let mut findings = Vec::new();
    let device = if device::cuda().is_ok() { tch::Device::Cuda(0) } else { tch::Device::Cpu };
    for mut source in sources(device, &Energy::default()) {
        let (what, remedy) = match source.component() {
            Component::Cpu => ("energy of the CPU", counters),
            Component::Dram => ("energy of memory", "set `energy.dram-watts-per-gib` for an estimate"),
            Component::Gpu => ("energy of the GPU", "install the NVIDIA driver with libnvidia-ml.so"),
        };
        let name = source.name().to_owned();
        findings.push(match source.read() {
            Ok(_) => Finding::ok(what, format!("{name}: {}", source.method())),
            Err(reason) => Finding::none(what, reason.text(), remedy),
        });
    }
    let nvml = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib/wsl/lib"]
        .iter()
        .map(|folder| Path::new(folder).join("libnvidia-ml.so.1"))
        .find(|library| library.exists());
    findings.push(match nvml {
        Some(library) => Finding::ok("NVML", library.display().to_string()),
        None => Finding::none("NVML", "no libnvidia-ml.so.1", "only a machine with an NVIDIA driver has it"),
    });
    findings
}

fn embedding() -> Finding {
    match locate::embedding_model(None) {
        Ok(folder) => Finding::ok("embedding model", folder.display().to_string()),
        Err(error) => {
            let remedy = format!("{}; without it leave `cosine` out of `evaluation.metrics`", error.hint());
            Finding::none("embedding model", error.to_string(), &remedy)
        }
    }
}

/// METEOR reads WordNet's noun, verb, adjective and adverb files.
fn wordnet() -> Finding {
    let variable = std::env::var_os("WNSEARCHDIR").map(PathBuf::from);
    let usual = ["/usr/share/wordnet", "/usr/local/WordNet-3.0/dict"].map(PathBuf::from);
    let folders = variable.into_iter().chain(usual);
    match folders.into_iter().find(|folder| folder.join("data.noun").is_file()) {
        Some(folder) => Finding::ok("WordNet", folder.display().to_string()),
        None => Finding::none("WordNet", "not installed", "only METEOR's synonyms need it: install `wordnet-base`"),
    }
}

fn slurm() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join("sbatch")).find(|file| file.is_file()) {
        Some(file) => Finding::ok("Slurm", file.display().to_string()),
        None => Finding::none("Slurm", "no `sbatch` in PATH", "stages run on this machine"),
    }
}

fn disk(store: &Path) -> Finding {
    let absolute = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match fs4::available_space(existing) {
        Ok(bytes) if bytes < LITTLE_DISK_BYTES => {
            let found = format!("{:.1} GB free for `{}`", bytes as f64 / 1e9, store.display());
            Finding::bad("disk", found, "free some, or put the store elsewhere with `--store`")
        }
        Ok(bytes) => Finding::ok("disk", format!("{:.1} GB free for `{}`", bytes as f64 / 1e9, store.display())),
        Err(error) => Finding::bad("disk", error.to_string(), "put the store elsewhere with `--store`"),
    }
}

fn text(findings: &[Finding]) -> String {
    let row = |finding: &Finding| {
        let state = match finding.state {
            State::Ok => "ok",
            State::None => "none",
            State::Bad => "bad",
        };
        [state.to_owned(), finding.what.clone(), finding.found.clone()]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    let mut text = String::new();
    for (line, finding) in columns(&rows).lines().zip(findings) {
        text += &format!("{line}\n");
        if let Some(remedy) = &finding.remedy {
            text += &format!("        {remedy}\n");
        }
    }
    text
}
