//! Several stages at a time: further processes of this program that share the work of a run.
//!
//! Each computes whole stages with threads of its own, as many as the experiment gives a stage: they
//! are part of its result, which how many stages run at a time must not change. Small models gain most:
//! their products are too small to be divided among cores.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use tutelage_metrics::energy::{PowerSource, State};

use super::output::Output;
use crate::device::{self, Compute, Precision};
use crate::experiment::settings;
use crate::orchestrate::stages::stop::StopFlag;

/// Processes of one run unless more are asked for: each holds libtorch and its models in memory.
const MOST: usize = 4;

/// Says how many stages are computed at a time.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Stages computed at a time, each by a process of its own; changes no result. By default as many as
    /// the cores have room for with `compute.threads` each, at most 4; one where `compute.threads` is
    /// not set, on a GPU, and where a counter measures the energy of all processes together.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub jobs: Option<usize>,
}

impl JobsArgs {
    /// Returns how many stages are computed at a time.
    ///
    /// # Errors
    /// More than one asked for where their energy could not be told apart, or where the threads of a
    /// stage are not fixed: all cores for each would be slower than one after another, and fewer would
    /// be another result.
    pub fn count(
        &self,
        settings: &settings::Compute,
        compute: Compute,
        sources: &[Box<dyn PowerSource>],
    ) -> anyhow::Result<usize> {
        let counter = sources.iter().find(|source| source.state() == State::Measured);
        let shared = match (compute.device.is_cuda(), counter) {
            (true, _) => Some("the GPU".to_owned()),
            (false, Some(counter)) => Some(format!("the energy counter `{}`", counter.name())),
            (false, None) => None,
        };
        match (self.jobs, shared) {
            (Some(jobs @ 2..), Some(shared)) => bail!(
                "{jobs} stages at a time would share {shared}, and their energy could not be told apart\n\
                 hint: leave out `--jobs`"
            ),
            (Some(jobs @ 2..), None) if settings.threads.is_none() => {
                let threads = (device::cores() / jobs).max(1);
                bail!(
                    "{jobs} stages at a time share the cores, and the threads of a stage, all cores by default, are \
                     part of its result\n\
                     hint: fix them in the experiment: `[compute] threads = {threads}`, or \
                     `--set compute.threads={threads}` with every command"
                )
            }
            (Some(jobs), _) => Ok(jobs),
            (None, Some(_)) => Ok(1),
            (None, None) => {
                let room = settings.threads.map_or(1, |threads| device::cores() / threads.max(1));
                Ok(room.clamp(1, MOST))
            }
        }
    }
}

/// The further processes of a run. They stop at their next safe point when they are dismissed, and when
/// this process ends, however it ends.
#[derive(Debug, Default)]
pub struct Assistants {
    children: Vec<Child>,
    /// An assistant stops when its standard input ends.
    inputs: Arc<Mutex<Vec<ChildStdin>>>,
}

impl Assistants {
    /// Starts this program `count` times more, with the arguments of this one, its number format and its
    /// threads.
    ///
    /// # Errors
    /// A process that cannot be started.
    pub fn start(count: usize, precision: Precision, threads: usize) -> anyhow::Result<Self> {
        let mut assistants = Self::default();
        let format = format!("compute.precision={}", precision.name());
        let threads = format!("compute.threads={threads}");
        for _ in 0..count {
            let program = std::env::current_exe().context("this program cannot be found")?;
            let mut child = Command::new(program)
                .args(std::env::args_os().skip(1))
                .args(["--assist", "--set", &format, "--set", &threads])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .context("a further process cannot be started\nhint: `--jobs 1` needs none")?;
            let mut inputs = assistants.inputs.lock().unwrap_or_else(PoisonError::into_inner);
            inputs.extend(child.stdin.take());
            drop(inputs);
            assistants.children.push(child);
        }
        Ok(assistants)
    }

    /// Returns what asks them to stop, from any thread.
    pub fn dismissal(&self) -> impl Fn() + Send + 'static {
        let inputs = Arc::clone(&self.inputs);
        move || inputs.lock().unwrap_or_else(PoisonError::into_inner).clear()
    }

    /// Asks them to stop and waits until they have; tells of those that did not end by themselves.
    pub fn dismiss(mut self, output: &Output) {
        self.dismissal()();
        for child in &mut self.children {
            match child.wait() {
                // Faults and failed stages are told by this process.
                Ok(status) if matches!(status.code(), Some(0 | 1)) => {}
                Ok(status) if matches!(status.signal(), Some(libc::SIGKILL | libc::SIGABRT)) => output.warn(&format!(
                    "note: a further process of this run ended with {status}, as where memory runs out; `--jobs 1` \
                     computes one stage at a time"
                )),
                Ok(status) => output.warn(&format!("note: a further process of this run ended with {status}")),
                Err(error) => output.warn(&format!("note: a further process of this run is lost: {error}")),
            }
        }
    }
}

impl Drop for Assistants {
    fn drop(&mut self) {
        self.dismissal()();
    }
}

/// In an assistant: raises `stop` when the process that started it dismisses it or is gone.
pub fn stop_when_dismissed(stop: StopFlag) {
    std::thread::spawn(move || {
        let mut ignored = [0];
        while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
        stop.raise();
    });
}

#[cfg(test)]
mod tests {
    use tutelage_metrics::energy::source::{Component, Missing, Unavailable};

    use super::*;

    fn count(jobs: Option<usize>, threads: Option<usize>, sources: &[Box<dyn PowerSource>]) -> anyhow::Result<usize> {
        let settings = settings::Compute { threads, ..settings::Compute::default() };
        JobsArgs { jobs }.count(&settings, Compute::reference(), sources)
    }

    /// A counter of the whole package.
    struct Counter(Missing);

    impl PowerSource for Counter {
        fn component(&self) -> Component {
            self.0.component()
        }
        fn name(&self) -> String {
            self.0.name()
        }
        fn state(&self) -> State {
            State::Measured
        }
        fn method(&self) -> String {
            self.0.method()
        }
        fn read(&mut self) -> Result<tutelage_metrics::energy::source::Reading, Unavailable> {
            self.0.read()
        }
    }

    #[test]
    fn cores_are_filled_with_stages_only_where_their_threads_are_known() {
        assert_eq!(count(None, None, &[]).unwrap(), 1);
        assert_eq!(count(None, Some(1), &[]).unwrap(), device::cores().clamp(1, MOST));
        assert_eq!(count(None, Some(1000), &[]).unwrap(), 1);
        assert_eq!(count(Some(7), Some(1), &[]).unwrap(), 7);
        assert_eq!(count(Some(1), None, &[]).unwrap(), 1);
    }

    #[test]
    fn stages_at_a_time_do_not_choose_their_threads() {
        let error = count(Some(64), None, &[]).unwrap_err().to_string();
        let threads = (device::cores() / 64).max(1);
        assert!(error.contains(&format!("`--set compute.threads={threads}`")), "{error}");
    }

    #[test]
    fn energy_that_a_counter_measures_for_all_is_not_counted_twice() {
        let missing = Missing::new(Component::Cpu, "package-0", Unavailable::because("a test"));
        let sources: [Box<dyn PowerSource>; 1] = [Box::new(Counter(missing))];
        assert_eq!(count(None, Some(1), &sources).unwrap(), 1);
        assert_eq!(count(Some(1), Some(1), &sources).unwrap(), 1);
        let error = count(Some(2), Some(1), &sources).unwrap_err().to_string();
        assert!(error.contains("`package-0`") && error.contains("hint"), "{error}");
    }
}
