//! CPU packages and DRAM: the RAPL counters of Linux's powercap interface.
//!
//! A counter covers the whole package and all that runs on it. It counts microjoules up to
//! `max_energy_range_uj` and starts again at 0 (at 200 W after some twenty minutes), so it must be
//! read more often than it may turn over; [`super::meter`] does, and notices where it could not.
//!
//! Linux kernel documentation, "Power Capping Framework" (`power/powercap/powercap`).

use super::source::{Component, Joules, PowerSource, Reading, State, Turn, Unavailable};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel shows the counters.
pub const POWERCAP: &str = "/sys/class/powercap";

/// Power that no package and no memory of one exceeds, in watts: an assumption, twice what the largest
/// packages on sale are made for. Limits that the kernel states are no bound: short peaks go beyond
/// them.
const HIGHEST_WATTS: f64 = 1000.0;

/// Reads one RAPL domain.
#[derive(Debug)]
pub struct Rapl {
    component: Component,
    name: String,
    counter: PathBuf,
    turn: Turn,
}

impl Rapl {
    /// Opens every package and DRAM domain under `root` ([`POWERCAP`]), ordered by name.
    ///
    /// Core and uncore domains are parts of their package, and the platform domain contains it:
    /// counting them too would count twice.
    ///
    /// # Errors
    /// If there is no domain, a counter may not be read (kernels since 5.10 keep it for root), or the
    /// kernel does not say when it turns over.
    pub fn open(root: &Path) -> Result<Vec<Self>, Unavailable> {
        let absent = || Unavailable::because(format!("no RAPL domain under `{}`", root.display()));
        let entries = fs::read_dir(root).map_err(|_| absent())?;
        let mut domains: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            // `intel-rapl-mmio` shows the same counters a second time.
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("intel-rapl:")))
            .collect();
        domains.sort();

        let mut sources = Vec::new();
        for domain in &domains {
            let Some((component, name)) = classify(domain)? else {
                continue;
            };
            let counter = domain.join("energy_uj");
            read(&counter)?;
            sources.push(Self { component, name, counter, turn: turn(domain)? });
        }
        if sources.is_empty() { Err(absent()) } else { Ok(sources) }
    }
}

impl PowerSource for Rapl {
    fn component(&self) -> Component {
        self.component
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> State {
        State::Measured
    }

    fn method(&self) -> String {
        format!("RAPL counter of `{}`, the whole domain, all processes", self.name)
    }

    fn turn(&self) -> Option<Turn> {
        Some(self.turn)
    }

    fn read(&mut self) -> Result<Reading, Unavailable> {
        Ok(Reading::Energy(Joules(read(&self.counter)? as f64 * 1e-6)))
    }
}

/// Returns when the counter of a domain turns over.
fn turn(domain: &Path) -> Result<Turn, Unavailable> {
    let file = domain.join("max_energy_range_uj");
    let range = match read(&file)? {
        0 => return Err(Unavailable::because(format!("`{}` states no range of the counter", file.display()))),
        range => Joules(range as f64 * 1e-6),
    };
    Ok(Turn { range, highest_watts: HIGHEST_WATTS })
}

/// Returns component and name of a domain, `None` for one that is not counted.
fn classify(domain: &Path) -> Result<Option<(Component, String)>, Unavailable> {
    let name = text(&domain.join("name"))?;
    Ok(match name.as_str() {
        package if package.starts_with("package-") => Some((Component::Cpu, name)),
        "dram" => {
            // `intel-rapl:1:0` is the memory of package 1.
            let id = domain.file_name().unwrap_or_default().to_string_lossy();
            let package = id.split(':').nth(1).unwrap_or_default();
            Some((Component::Dram, format!("dram-{package}")))
        }
        _ => None,
    })
}

fn read(path: &Path) -> Result<u64, Unavailable> {
    let text = text(path)?;
    text.parse().map_err(|_| Unavailable::because(format!("`{}` holds `{text}`, not a number", path.display())))
}

fn text(path: &Path) -> Result<String, Unavailable> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Unavailable {
    if error.kind() == io::ErrorKind::PermissionDenied {
        Unavailable::because(format!("no permission to read `{}`", path.display())).with_remedy(format!(
            "let users read the counters: `sudo chmod -R a+r {POWERCAP}/intel-rapl/`, after every boot"
        ))
    } else {
        Unavailable::because(format!("`{}` cannot be read: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn domain(root: &TempDir, id: &str, name: &str, energy: u64) -> PathBuf {
        let path = root.path().join(id);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("name"), format!("{name}\n")).unwrap();
        fs::write(path.join("energy_uj"), format!("{energy}\n")).unwrap();
        fs::write(path.join("max_energy_range_uj"), "10000000\n").unwrap();
        path
    }

    #[test]
    fn packages_and_memory_are_counted_once() {
        let root = TempDir::new().unwrap();
        domain(&root, "intel-rapl:0", "package-0", 0);
        domain(&root, "intel-rapl:0:0", "core", 0);
        domain(&root, "intel-rapl:0:1", "dram", 0);
        domain(&root, "intel-rapl:1", "psys", 0);
        domain(&root, "intel-rapl-mmio:0", "package-0", 0);
        let sources = Rapl::open(root.path()).unwrap();
        let found: Vec<_> = sources.iter().map(|source| (source.component(), source.name())).collect();
        assert_eq!(found, [(Component::Cpu, "package-0".to_owned()), (Component::Dram, "dram-0".to_owned())]);
    }

    #[test]
    fn the_shortest_turn_is_that_at_the_highest_power() {
        let root = TempDir::new().unwrap();
        domain(&root, "intel-rapl:0", "package-0", 9_500_000);
        let source = &mut Rapl::open(root.path()).unwrap()[0];
        assert_eq!(source.read(), Ok(Reading::Energy(Joules(9.5))));
        let turn = source.turn().unwrap();
        assert_eq!((turn.range, turn.seconds()), (Joules(10.0), 0.01));
    }

    #[test]
    fn a_counter_without_a_range_is_not_read() {
        let root = TempDir::new().unwrap();
        let path = domain(&root, "intel-rapl:0", "package-0", 1);
        fs::write(path.join("max_energy_range_uj"), "0").unwrap();
        assert!(Rapl::open(root.path()).unwrap_err().reason.ends_with("states no range of the counter"));
        fs::remove_file(path.join("max_energy_range_uj")).unwrap();
        assert!(Rapl::open(root.path()).unwrap_err().reason.contains("max_energy_range_uj` cannot be read"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let root = TempDir::new().unwrap();
        let error = Rapl::open(&root.path().join("absent")).unwrap_err();
        assert!(error.reason.starts_with("no RAPL domain under "));
        let path = domain(&root, "intel-rapl:0", "package-0", 0);
        fs::write(path.join("energy_uj"), "many").unwrap();
        assert!(Rapl::open(root.path()).unwrap_err().reason.ends_with("holds `many`, not a number"));
        // Tests may run as root, whom no permission stops: the error is made by hand.
        let denied = unreadable(Path::new("energy_uj"), &io::ErrorKind::PermissionDenied.into());
        assert_eq!(denied.reason, "no permission to read `energy_uj`");
        assert!(denied.text().contains("hint: let users read the counters"));
    }
}
