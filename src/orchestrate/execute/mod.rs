//! Runs the stages of a plan, whatever happens to single ones.
//!
//! For each stage: take its lock, verify what is there, and if it is not done run the worker under
//! an energy meter and seal the outputs. A stage that fails (an error or a panic) leaves
//! `failure.json`; what depends on it and is not done is skipped, everything else goes on. A full
//! disk ends the whole run, because every other stage would meet it too.
//!
//! Next is always the first stage, in the plan's order, whose inputs are settled and which no other
//! process has: processes that run one plan on one store share its work.

mod attempt;
pub mod engine;
pub mod power;
pub mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use serde::Serialize;
use tutelage_metrics::energy::PowerSource;

use self::attempt::Attempt;
pub use self::attempt::Lost;
use crate::experiment::Key;
use crate::files;
use crate::orchestrate::keep::environment::{Attempts, Environment};
use crate::orchestrate::keep::event::Event;
use crate::orchestrate::keep::failure::Failure;
use crate::orchestrate::keep::manifest::{Damage, Depth};
use crate::orchestrate::keep::store::{FolderLock, POLL, StageFolder, State, Store};
use crate::orchestrate::plan::Plan;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::stop::{StopFlag, Stopped};

/// Does the work of a stage.
pub trait Worker {
    /// Runs one stage: reads `inputs`, writes into [`StageFolder::output`] of `folder`, tells what
    /// happens through `events`; the rest is as [`Surroundings`](crate::orchestrate::stages::around::Surroundings)
    /// ask of a stage.
    ///
    /// # Errors
    /// Whatever keeps the stage from its outputs.
    fn run(
        &self,
        stage: &Stage,
        inputs: &Inputs,
        folder: &StageFolder,
        events: &mut dyn FnMut(Event),
        stop: &StopFlag,
    ) -> anyhow::Result<()>;
}

/// Hears what happens to stages.
pub trait Listener {
    /// Hears one piece of news.
    fn hear(&mut self, stage: &Stage, news: &News<'_>);
}

/// What happened to a stage.
#[derive(Debug)]
pub enum News<'a> {
    /// Its outputs were there already.
    Reused,
    /// Another process has computed it since this run began.
    Elsewhere,
    /// Its outputs differ from what was written; it is redone.
    Corrupt(&'a [Damage]),
    /// Another process has it, and nothing else can be done meanwhile.
    Waiting,
    /// It begins; whether from nothing or from a saved state, its first event tells.
    Began,
    /// Something happened while it ran.
    Event(&'a Event),
    /// It failed.
    Failed(&'a Failure),
    /// It ended as asked before its end.
    Stopped,
    /// It did not run.
    Skipped(&'a str),
}

/// Says how a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Stages that ran to their end.
    pub ran: usize,
    /// Stages that other processes have computed since this run began.
    pub elsewhere: usize,
    /// Stages whose outputs were there.
    pub reused: usize,
    /// Stages that failed.
    pub failures: Vec<Failure>,
    /// Stages that could not run, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Whether the user stopped the run.
    pub stopped: bool,
}

impl Summary {
    /// Says whether every stage has its outputs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.stopped && self.failures.is_empty() && self.skipped.is_empty()
    }
}

/// Holds what every stage of a run shares.
pub struct Execution<'a> {
    /// Where results lie.
    pub store: &'a Store,
    /// Does the work.
    pub worker: &'a dyn Worker,
    /// Code and machine.
    pub environment: &'a Environment,
    /// Returns the energy sources for one stage.
    pub sources: &'a dyn Fn() -> Vec<Box<dyn PowerSource>>,
    /// Raised when the user wants to stop.
    pub stop: &'a StopFlag,
    /// How closely what is done is verified before it is used.
    pub depth: Depth,
    /// Hears what happens.
    pub listener: &'a mut dyn Listener,
}

/// How one stage ended.
enum Ending {
    /// Another process has it.
    Busy,
    Reused,
    Elsewhere,
    Ran,
    Stopped,
    Skipped(String),
    Failed {
        failure: Failure,
        disk_is_full: bool,
    },
}

/// What was there when a run began, to be told from what other processes do meanwhile.
#[derive(Debug, Default)]
struct Before<'a> {
    done: BTreeSet<&'a Key>,
    failed: BTreeMap<&'a Key, SystemTime>,
}

impl<'a> Before<'a> {
    fn of(plan: &'a Plan, store: &Store) -> Self {
        let mut before = Self::default();
        for stage in &plan.stages {
            let folder = stage.folder(store);
            if folder.state(Depth::Sizes).is_ok_and(|state| state == State::Done) {
                before.done.insert(&stage.key);
            }
            if let Some(time) = folder.failed_at() {
                before.failed.insert(&stage.key, time);
            }
        }
        before
    }
}

impl Execution<'_> {
    /// Runs every stage of a plan that is not done; what goes wrong is in the summary.
    pub fn run(&mut self, plan: &Plan) -> Summary {
        let before = Before::of(plan, self.store);
        let mut summary = Summary::default();
        // Why stages that others read have no outputs.
        let mut lacking: BTreeMap<&Key, String> = BTreeMap::new();
        let mut halted = None;
        let mut open: Vec<&Stage> = plan.stages.iter().collect();
        let mut waits_for = None;
        while !open.is_empty() {
            let mut settled = None;
            let mut busy = None;
            for (place, &stage) in open.iter().enumerate() {
                if self.stop.is_raised() {
                    break;
                }
                if plan.reads(stage).any(|read| open.iter().any(|stage| stage.key == read.key)) {
                    continue;
                }
                let needs = plan.reads(stage).find_map(|read| lacking.get(&read.key));
                let reason = halted.clone().or_else(|| needs.cloned());
                let ending = match reason {
                    Some(reason) => self.skip(stage, reason, &before),
                    None => self.stage(stage, &before),
                };
                if let Ending::Busy = ending {
                    busy.get_or_insert(stage);
                    continue;
                }
                settled = Some((place, ending));
                break;
            }
            let Some((place, ending)) = settled else {
                if self.stop.is_raised() {
                    summary.stopped = true;
                    break;
                }
                // The first open stage has its inputs: another process has it.
                if let Some(stage) = busy
                    && waits_for.replace(&stage.key) != Some(&stage.key)
                {
                    self.listener.hear(stage, &News::Waiting);
                }
                thread::sleep(POLL);
                continue;
            };
            let stage = open.remove(place);
            match ending {
                Ending::Busy => {}
                Ending::Reused => summary.reused += 1,
                Ending::Elsewhere => summary.elsewhere += 1,
                Ending::Ran => summary.ran += 1,
                Ending::Skipped(reason) => {
                    summary.skipped.push((stage.title(), reason.clone()));
                    lacking.insert(&stage.key, reason);
                }
                Ending::Stopped => {
                    summary.stopped = true;
                    break;
                }
                Ending::Failed { failure, disk_is_full } => {
                    if disk_is_full {
                        halted = Some("the disk is full".to_owned());
                    }
                    lacking.insert(&stage.key, format!("needs `{}`, which failed", stage.title()));
                    summary.failures.push(failure);
                }
            }
        }
        summary
    }

    /// Settles a stage that cannot run. What is done stays done, whatever became of the things it was
    /// made from.
    fn skip(&mut self, stage: &Stage, reason: String, before: &Before<'_>) -> Ending {
        if stage.folder(self.store).state(self.depth).is_ok_and(|state| state == State::Done) {
            return self.found(stage, before);
        }
        self.listener.hear(stage, &News::Skipped(&reason));
        Ending::Skipped(reason)
    }

    /// Tells of a stage that is done, and since when.
    fn found(&mut self, stage: &Stage, before: &Before<'_>) -> Ending {
        let (news, ending) = match before.done.contains(&stage.key) {
            true => (News::Reused, Ending::Reused),
            false => (News::Elsewhere, Ending::Elsewhere),
        };
        self.listener.hear(stage, &news);
        ending
    }

    fn stage(&mut self, stage: &Stage, before: &Before<'_>) -> Ending {
        let folder = stage.folder(self.store);
        let lock = match folder.try_lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ending::Busy,
            Err(error) => return self.ended(stage, &error),
        };
        if let Some(failure) = failed_elsewhere(&folder, before.failed.get(&stage.key)) {
            self.listener.hear(stage, &News::Failed(&failure));
            return Ending::Failed { failure, disk_is_full: false };
        }
        match self.locked(stage, &folder, &lock, before) {
            Ok(ending) => ending,
            Err(error) => {
                if is_disk_full(&error) {
                    // Half an output is of no use, and its room is needed.
                    let _ = std::fs::remove_dir_all(folder.output());
                }
                // Under the lock still: another process may be waiting to try the stage itself.
                self.ended(stage, &error)
            }
        }
    }

    /// Runs a stage that this process holds, unless it is done.
    fn locked(
        &mut self,
        stage: &Stage,
        folder: &StageFolder,
        lock: &FolderLock,
        before: &Before<'_>,
    ) -> anyhow::Result<Ending> {
        let state = folder.verify(lock, self.depth);
        match state.with_context(|| format!("cannot verify `{}`", folder.path().display()))? {
            State::Done => {
                folder.tidy(lock);
                return Ok(self.found(stage, before));
            }
            State::Corrupt(damages) => {
                self.listener.hear(stage, &News::Corrupt(&damages));
                folder.clear(lock).with_context(|| format!("cannot clear `{}`", folder.path().display()))?;
            }
            State::Partial | State::Absent => {}
        }
        folder.begin(lock)?;
        self.attempt(stage, folder)?;
        folder.finish(lock)?;
        Ok(Ending::Ran)
    }

    /// Tells and keeps why a stage did not come to its end.
    fn ended(&mut self, stage: &Stage, error: &anyhow::Error) -> Ending {
        if error.is::<Stopped>() {
            self.listener.hear(stage, &News::Stopped);
            return Ending::Stopped;
        }
        let failure = self.record(stage, error);
        self.listener.hear(stage, &News::Failed(&failure));
        Ending::Failed { failure, disk_is_full: is_disk_full(error) }
    }

    fn attempt(&mut self, stage: &Stage, folder: &StageFolder) -> anyhow::Result<()> {
        self.listener.hear(stage, &News::Began);
        let inputs = stage.read_from(self.store)?;
        files::write_json(&folder.stage_json(), stage)?;
        // What cannot be read is no record of earlier attempts, and costs nothing else.
        let mut attempts = Attempts::read(&folder.environment_json()).unwrap_or_default();
        attempts.add(&folder.environment_json(), self.environment.clone())?;
        let mut attempt = Attempt::start(stage, folder, attempts, (self.sources)(), &mut *self.listener);
        let start = Instant::now();
        let run = || self.worker.run(stage, &inputs, folder, &mut |event| attempt.tell(event), self.stop);
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(describe(&*panic)));
        match result {
            Ok(()) => attempt.succeed(start.elapsed().as_secs_f64()),
            Err(error) => {
                attempt.fail(&error);
                Err(error)
            }
        }
    }

    /// Keeps the reason of a failure in the stage's folder.
    fn record(&self, stage: &Stage, error: &anyhow::Error) -> Failure {
        let folder = stage.folder(self.store);
        let mut failure = Failure::new(stage.title(), error, folder.path().to_owned());
        if is_disk_full(error) {
            let free = fs4::available_space(self.store.root());
            let free = free.map_or("an unknown number of".to_owned(), |bytes| bytes.to_string());
            failure.reasons.push(format!(
                "{free} bytes are free at `{}`; free some and run again: what is done is kept",
                self.store.root().display()
            ));
        }
        // On a full disk even this may not fit; the summary tells it either way.
        let _ = files::write_json(&folder.failure_json(), &failure);
        failure
    }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    anyhow::anyhow!("the stage panicked: {text}")
}

/// Returns a failure that another process has noted since `known`: what failed there fails here.
fn failed_elsewhere(folder: &StageFolder, known: Option<&SystemTime>) -> Option<Failure> {
    if folder.failed_at().as_ref() == known {
        return None;
    }
    serde_json::from_slice(&std::fs::read(folder.failure_json()).ok()?).ok()
}

/// Says whether an error comes from a full disk, however deep.
fn is_disk_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(files::is_full))
}

#[cfg(test)]
mod tests;
