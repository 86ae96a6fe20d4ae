//! What a result was computed with: code, libraries, machine, for each attempt at it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::{self, Compute, Precision, Processor};
use crate::files;

/// Describes code and machine of one attempt at a stage.
///
/// Number format and threads are part of a stage's key, the rest is not: a result stays valid when the
/// store moves to another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of Tutelage.
    pub tutelage: String,
    /// Commit that Tutelage was built from, marked where files differed from it; none outside a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
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
    /// Cores that the process may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Main memory of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Operating system and instruction set.
    pub system: String,
    /// Step of the saved state that the attempt went on from; none if it began with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<u64>,
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
            commit: option_env!("TUTELAGE_COMMIT").map(str::to_owned),
            libtorch: env!("TUTELAGE_LIBTORCH").to_owned(),
            device,
            precision: compute.precision,
            precision_reason: compute.reason.to_owned(),
            threads: device::threads(),
            processor: Processor::of_this_machine().name,
            cores: Some(device::cores()),
            memory_bytes: device::memory_bytes(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            resumed_from: None,
        }
    }

    /// Lists all of it for a report: name and value.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let code = match &self.commit {
            Some(commit) => format!("Tutelage {}, commit {commit}", self.tutelage),
            None => format!("Tutelage {}", self.tutelage),
        };
        let unknown = || "unknown".to_owned();
        let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        vec![
            ("code", code),
            ("libtorch", self.libtorch.clone()),
            ("device", self.device.clone()),
            ("precision", format!("{} ({})", self.precision.name(), self.precision_reason)),
            ("processor", self.processor.clone().unwrap_or_else(unknown)),
            ("cores", self.cores.map_or_else(unknown, |cores| cores.to_string())),
            ("threads of a stage", self.threads.to_string()),
            ("memory", self.memory_bytes.map_or_else(unknown, gibibytes)),
            ("system", self.system.clone()),
        ]
    }

    /// Lists what of this may change rounding beside `earlier`, in words: name, then both values.
    fn differences(&self, earlier: &Self) -> Vec<String> {
        let facts = |environment: &Self| {
            let unknown = || "unknown".to_owned();
            [
                ("Tutelage", environment.tutelage.clone()),
                ("libtorch", environment.libtorch.clone()),
                ("device", environment.device.clone()),
                ("precision", environment.precision.name().to_owned()),
                ("threads", environment.threads.to_string()),
                ("processor", environment.processor.clone().unwrap_or_else(unknown)),
                ("system", environment.system.clone()),
            ]
        };
        let both = facts(earlier).into_iter().zip(facts(self));
        both.filter(|(was, is)| was != is).map(|((name, was), (_, is))| format!("{name} {was}, now {is}")).collect()
    }
}

/// Holds every attempt at a stage, the latest last: `environment.json` beside its result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// The attempts.
    pub attempts: Vec<Environment>,
}

impl Attempts {
    /// Reads the attempts at a stage; none where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            // Older versions kept the latest attempt alone.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).or_else(|error| {
                let alone = serde_json::from_slice(&bytes).map(|environment| Self { attempts: vec![environment] });
                alone.map_err(|_| error)
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Adds an attempt, and writes the file.
    ///
    /// # Errors
    /// See [`files::write`].
    pub fn add(&mut self, path: &Path, environment: Environment) -> Result<(), files::WriteError> {
        self.attempts.push(environment);
        files::write_json(path, self)
    }

    /// Notes that the latest attempt goes on from a saved state, writes the file, and returns how it
    /// differs from the attempts that made this state.
    ///
    /// # Errors
    /// See [`files::write`].
    pub fn resume(&mut self, path: &Path, step: u64) -> Result<Vec<String>, files::WriteError> {
        let Some((latest, earlier)) = self.attempts.split_last_mut() else { return Ok(Vec::new()) };
        latest.resumed_from = Some(step);
        let mut differences = Vec::new();
        for earlier in used(earlier) {
            for difference in latest.differences(earlier) {
                if !differences.contains(&difference) {
                    differences.push(difference);
                }
            }
        }
        files::write_json(path, self)?;
        Ok(differences)
    }

    /// Returns the attempts whose work the result may hold: the last that began with nothing, and those
    /// that went on from it.
    #[must_use]
    pub fn used(&self) -> &[Environment] {
        used(&self.attempts)
    }
}

fn used(attempts: &[Environment]) -> &[Environment] {
    let first = attempts.iter().rposition(|attempt| attempt.resumed_from.is_none());
    &attempts[first.unwrap_or_default()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_threads(threads: usize) -> Environment {
        Environment { threads, ..Environment::of(Compute::reference()) }
    }

    #[test]
    fn an_attempt_that_goes_on_says_how_it_differs_from_those_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.json");
        let begin = |threads| {
            let mut attempts = Attempts::read(&path).unwrap();
            attempts.add(&path, with_threads(threads)).unwrap();
            attempts
        };
        // Its work was lost.
        begin(7);
        begin(1);
        assert_eq!(begin(1).resume(&path, 200).unwrap(), [""; 0]);
        assert_eq!(begin(2).resume(&path, 400).unwrap(), ["threads 1, now 2"]);
        assert_eq!(begin(1).resume(&path, 600).unwrap(), ["threads 2, now 1"]);
        let attempts = Attempts::read(&path).unwrap();
        let threads = |attempts: &[Environment]| attempts.iter().map(|attempt| attempt.threads).collect::<Vec<_>>();
        assert_eq!((threads(&attempts.attempts), threads(attempts.used())), (vec![7, 1, 1, 2, 1], vec![1, 1, 2, 1]));
    }

    #[test]
    fn the_file_of_an_older_version_is_an_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.json");
        files::write_json(&path, &with_threads(3)).unwrap();
        assert_eq!(Attempts::read(&path).unwrap().attempts, [with_threads(3)]);
        files::write(&path, b"{\"attempts\": 3}").unwrap();
        assert!(Attempts::read(&path).is_err());
    }

    #[test]
    fn every_difference_is_named() {
        let here = with_threads(1);
        let there = Environment {
            device: "cuda:0".to_owned(),
            precision: Precision::Bf16,
            precision_reason: "asked for".to_owned(),
            processor: None,
            libtorch: "1.0".to_owned(),
            tutelage: "0.0.1".to_owned(),
            ..here.clone()
        };
        let differences = there.differences(&here);
        assert!(differences.contains(&"device cpu, now cuda:0".to_owned()), "{differences:?}");
        assert!(differences.contains(&"precision f32, now bf16".to_owned()), "{differences:?}");
        assert!(differences.contains(&format!("Tutelage {}, now 0.0.1", here.tutelage)), "{differences:?}");
        // The reason changes nothing.
        assert_eq!(Environment { precision_reason: String::new(), ..here.clone() }.differences(&here), [""; 0]);
    }
}
