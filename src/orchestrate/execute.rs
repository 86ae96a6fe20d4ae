//! Runs the stages of a plan, whatever happens to single ones.
//!
//! For each stage: take its lock, verify what is there, and if it is not done run the worker under
//! an energy meter and seal the outputs. A stage that fails (an error or a panic) leaves
//! `failure.json`; what depends on it and is not done is skipped, everything else goes on. A full
//! disk ends the whole run, because every other stage would meet it too.
//!
//! Next is always the first stage, in the plan's order, whose inputs are settled and which no other
//! process has: processes that run one plan on one store share its work.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tutelage_metrics::energy::{Account, Joules, Meter, Monotonic, PowerSource};

use super::environment::Environment;
use super::event::{self, Event, EventLog};
use super::failure::{Failure, brief};
use super::manifest::{Damage, Depth};
use super::plan::Plan;
use super::stage::{Source, Stage};
use super::stop::{StopFlag, Stopped};
use super::store::{FolderLock, POLL, StageFolder, State, Store};
use crate::experiment::Key;
use crate::files;

/// Does the work of a stage.
pub trait Worker {
    /// Runs one stage: reads `inputs`, writes into [`StageFolder::output`] of `folder`, tells what
    /// happens through `events`.
    ///
    /// A long stage saves its state in [`StageFolder::checkpoint`], telling [`Event::Saved`]. Where
    /// it finds one it goes on from it, and tells [`Event::Resumed`] before anything else. When
    /// `stop` is raised it saves, then returns [`Stopped`]: `stop.check()?`.
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

/// Gives the folders (or files) that a stage reads, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs(BTreeMap<String, PathBuf>);

impl Inputs {
    /// Finds the inputs of a stage in a store and on this machine.
    ///
    /// # Errors
    /// A checkpoint that is not on this machine.
    pub fn of(stage: &Stage, store: &Store) -> anyhow::Result<Self> {
        let locate = |source: &Source| match source {
            Source::Stage { kind, key } => Ok(store.stage(*kind, key).output()),
            Source::External { path: Some(path), .. } => Ok(path.clone()),
            Source::External { origin, .. } => match origin.strip_prefix("hf:") {
                Some(name) => {
                    bail!("`{origin}` is not in the local hub cache\nhint: download it first: `hf download {name}`")
                }
                None => bail!("`{origin}` is not on this machine"),
            },
        };
        let inputs = stage.inputs.iter().map(|input| Ok((input.name.clone(), locate(&input.source)?)));
        Ok(Self(inputs.collect::<anyhow::Result<_>>()?))
    }

    /// Returns an input that the stage may have.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Path> {
        self.0.get(name).map(PathBuf::as_path)
    }

    /// Returns an input that the stage must have.
    ///
    /// # Errors
    /// An input that the plan did not give.
    pub fn get(&self, name: &str) -> anyhow::Result<&Path> {
        self.find(name).with_context(|| format!("the plan gives this stage no input `{name}`"))
    }
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
            let folder = store.folder_of(stage);
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
        if self.store.folder_of(stage).state(Depth::Checksums).is_ok_and(|state| state == State::Done) {
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
        let folder = self.store.folder_of(stage);
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
        let state = folder.state(Depth::Checksums);
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
        let inputs = Inputs::of(stage, self.store)?;
        files::write_json(&folder.stage_json(), stage)?;
        files::write_json(&folder.environment_json(), self.environment)?;
        let mut telling = Telling {
            stage,
            folder,
            listener: &mut *self.listener,
            meter: Meter::start((self.sources)(), Arc::new(Monotonic::start())),
            log: EventLog::new(folder.events_jsonl()),
            has_begun: false,
            early: Vec::new(),
            earlier: None,
            saved: None,
            broken: None,
        };
        let start = Instant::now();
        let run = || self.worker.run(stage, &inputs, folder, &mut |event| telling.tell(event), self.stop);
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(describe(&*panic)));
        let error = match result {
            Ok(()) => {
                telling.tell(Event::Finished { seconds: start.elapsed().as_secs_f64() });
                telling.broken.take()
            }
            Err(error) => {
                telling.fail(&error);
                Some(error)
            }
        };
        match error {
            None => Ok(files::write_json(&folder.energy_json(), &total(telling.earlier, telling.meter.finish()))?),
            Some(error) => {
                telling.leave();
                Err(error)
            }
        }
    }

    /// Keeps the reason of a failure in the stage's folder.
    fn record(&self, stage: &Stage, error: &anyhow::Error) -> Failure {
        let folder = self.store.folder_of(stage);
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

/// Passes on what happens in one attempt at a stage, to its log and to the listener.
struct Telling<'a> {
    stage: &'a Stage,
    folder: &'a StageFolder,
    listener: &'a mut dyn Listener,
    meter: Meter,
    log: EventLog,
    has_begun: bool,
    /// Notes from before it is known whether the stage goes on from a saved state.
    early: Vec<Event>,
    /// Energy of earlier attempts, as far as their work is used.
    earlier: Option<Account>,
    /// Energy of this attempt up to the state that it saved last, and whether it has worked since.
    saved: Option<(Joules, bool)>,
    /// Why the log cannot be written.
    broken: Option<anyhow::Error>,
}

impl Telling<'_> {
    fn tell(&mut self, event: Event) {
        match event {
            Event::Note { .. } if !self.has_begun => self.early.push(event),
            Event::Resumed { .. } if !self.has_begun => {
                self.has_begun = true;
                self.earlier = Some(read_account(&self.folder.energy_json()));
                self.pass(event);
                // The attempt that saved the state has told what it found in the data.
                let told = event::read(&self.folder.events_jsonl()).unwrap_or_default();
                let early = std::mem::take(&mut self.early);
                early.into_iter().filter(|note| !told.contains(note)).for_each(|note| self.pass(note));
            }
            event => {
                if !self.has_begun {
                    self.has_begun = true;
                    self.pass(Event::Started);
                    std::mem::take(&mut self.early).into_iter().for_each(|note| self.pass(note));
                }
                self.pass(event);
            }
        }
    }

    fn pass(&mut self, event: Event) {
        self.listener.hear(self.stage, &News::Event(&event));
        if let (Event::Step(_), Some((_, is_ahead))) = (&event, &mut self.saved) {
            *is_ahead = true;
        }
        if self.broken.is_some() {
            // The log may end within a line: nothing may follow it.
            return;
        }
        let written = self.log.write(&event).and_then(|()| match event {
            Event::Saved { .. } => {
                let account = self.meter.account();
                self.saved = Some((known(&account), false));
                let account = total(self.earlier.clone(), account);
                Ok(files::write_json(&self.folder.energy_json(), &account)?)
            }
            _ => Ok(()),
        });
        self.broken = written.err();
    }

    /// Notes a failure. A stage that failed before it began leaves the log of earlier attempts; what
    /// it noted until then may be the reason, and is heard.
    fn fail(&mut self, error: &anyhow::Error) {
        if !self.has_begun {
            for note in &self.early {
                self.listener.hear(self.stage, &News::Event(note));
            }
        } else if self.broken.is_none() && !error.is::<Stopped>() {
            let reasons: Vec<String> = error.chain().map(|cause| brief(&cause.to_string())).collect();
            // Where the log cannot be written, the error of the stage is still the one to tell.
            let _ = self.log.write(&Event::Failed { reason: reasons.join(": ") });
        }
    }

    /// Keeps the account of an attempt that failed or was stopped: with the state that it saved last,
    /// or, of what it did since and the next attempt does again, as lost.
    ///
    /// Best effort: on a full disk it may not fit, and the error of the stage is the one to tell.
    fn leave(self) {
        let account = self.meter.finish();
        let (saved, is_ahead) = self.saved.unwrap_or((Joules(0.0), true));
        if !is_ahead {
            let _ = files::write_json(&self.folder.energy_json(), &total(self.earlier, account));
            return;
        }
        let lost = known(&account) - saved;
        if lost > Joules(0.0) {
            let joules = Lost::read(self.folder).joules + lost;
            let _ = files::write_json(&self.folder.lost_json(), &Lost { joules });
        }
    }
}

/// Energy of attempts at a stage that failed or were stopped, where the work had to be done again:
/// in no account of the stage, and kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// What is known of it.
    pub joules: Joules,
}

impl Lost {
    /// Reads what was lost on a stage: nothing where there is no file.
    #[must_use]
    pub fn read(folder: &StageFolder) -> Self {
        let lost = std::fs::read(folder.lost_json()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        lost.unwrap_or_default()
    }
}

/// Returns the energy of what has a value in an account.
fn known(account: &Account) -> Joules {
    account.known().map_or(Joules(0.0), |(joules, _)| joules)
}

fn total(earlier: Option<Account>, now: Account) -> Account {
    match earlier {
        Some(earlier) => earlier.then(now),
        None => now,
    }
}

/// Reads the energy of an earlier attempt. One that cannot be read makes the total unavailable, as
/// an account without devices does.
fn read_account(path: &Path) -> Account {
    let account = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    account.unwrap_or(Account { components: Vec::new() })
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
mod tests {
    use std::cell::RefCell;

    use tutelage_metrics::energy::{Component, Reading, State as EnergyState, Unavailable};

    use super::*;
    use crate::device::Compute;
    use crate::orchestrate::event::Step;
    use crate::orchestrate::plan::tests::planned;

    /// Writes its inputs' contents and its title, and misbehaves where a test asks for it.
    #[derive(Default)]
    struct Fake {
        ran: RefCell<Vec<String>>,
        fails: Option<(&'static str, Fault)>,
        stops_at: Option<u64>,
        /// Notes something about the data before it looks for a saved state, as training does.
        notes: bool,
    }

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        Error,
        Panic,
        DiskFull,
    }

    impl Worker for Fake {
        fn run(
            &self,
            stage: &Stage,
            inputs: &Inputs,
            folder: &StageFolder,
            events: &mut dyn FnMut(Event),
            stop: &StopFlag,
        ) -> anyhow::Result<()> {
            let title = stage.title();
            self.ran.borrow_mut().push(title.clone());
            match self.fails {
                Some((fails, Fault::Error)) if title == fails => bail!("loss is not finite"),
                Some((fails, Fault::Panic)) if title == fails => panic!("shapes differ"),
                Some((fails, Fault::DiskFull)) if title == fails => {
                    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                    return Err(files::failed(&folder.output(), Some(7), full).into());
                }
                _ => {}
            }
            if self.notes {
                events(Event::Note { text: "3 prompts lost their left end".to_owned() });
            }
            let saved = folder.checkpoint().join("state");
            let mut state = String::new();
            if saved.exists() {
                state = std::fs::read_to_string(&saved)?;
                events(Event::Resumed { step: state.len() as u64 });
            }
            for step in state.len() as u64 + 1..=2 {
                state.push('.');
                events(Event::Step(Step { step, steps: 2, ..Step::default() }));
                files::write(&saved, state.as_bytes())?;
                events(Event::Saved { step });
                if self.stops_at == Some(step) {
                    stop.raise();
                }
                stop.check()?;
            }
            let mut text = format!("{title} {state}\n");
            for (name, path) in &inputs.0 {
                text += &format!("{name}: {}", std::fs::read_to_string(path.join("result"))?);
            }
            Ok(files::write(&folder.output().join("result"), text.as_bytes())?)
        }
    }

    #[derive(Default)]
    struct Ear(Vec<String>);

    impl Listener for Ear {
        fn hear(&mut self, stage: &Stage, news: &News<'_>) {
            if let News::Corrupt(damages) = news {
                self.0.push(format!("{} corrupt: {}", stage.title(), damages[0].file));
            }
        }
    }

    fn run(store: &Store, plan: &Plan, worker: &Fake) -> (Summary, Vec<String>) {
        let mut ear = Ear::default();
        let summary = Execution {
            store,
            worker,
            environment: &Environment::of(Compute::reference()),
            sources: &Vec::new,
            stop: &StopFlag::default(),
            listener: &mut ear,
        }
        .run(plan);
        (summary, ear.0)
    }

    fn results(store: &Store, plan: &Plan) -> Vec<Option<String>> {
        let read = |stage| std::fs::read_to_string(store.folder_of(stage).output().join("result")).ok();
        plan.stages.iter().map(read).collect()
    }

    fn fresh() -> (tempfile::TempDir, Store, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store, planned(|_| ()))
    }

    #[test]
    fn every_stage_runs_once_and_a_second_run_does_nothing() {
        let (_folder, store, plan) = fresh();
        let worker = Fake::default();
        let (summary, _) = run(&store, &plan, &worker);
        assert!(summary.is_complete());
        assert_eq!((summary.ran, summary.reused), (plan.stages.len(), 0));
        let titles: Vec<String> = plan.stages.iter().map(Stage::title).collect();
        assert_eq!(*worker.ran.borrow(), titles);
        let (again, _) =
            run(&store, &plan, &Fake { fails: Some(("prepare glossary", Fault::Error)), ..Fake::default() });
        assert_eq!((again.ran, again.reused), (0, plan.stages.len()));
    }

    #[test]
    fn another_experiment_reuses_what_it_has_in_common() {
        let (_folder, store, plan) = fresh();
        run(&store, &plan, &Fake::default());
        let other = planned(|experiment| experiment.training.distill.lr *= 2.0);
        let (summary, _) = run(&store, &other, &Fake::default());
        // 8 arms at 2 seeds, each distilled, answering and scored anew.
        assert_eq!(summary.ran, 48);
    }

    #[test]
    fn a_failure_skips_what_depends_on_it_and_nothing_else() {
        for fault in [Fault::Error, Fault::Panic] {
            let (_folder, store, plan) = fresh();
            let fails = Some(("sft small seed 20", fault));
            let (summary, _) = run(&store, &plan, &Fake { fails, ..Fake::default() });
            assert_eq!(summary.failures.len(), 1);
            // Four arms (student and both, two algorithms) and the tuned student itself, seed 20:
            // the arms distil, answer and score; the student answers and scores.
            assert_eq!(summary.skipped.len(), 4 * 3 + 2);
            assert_eq!(summary.ran, plan.stages.len() - 1 - summary.skipped.len());
            let failure = &summary.failures[0];
            let text = std::fs::read_to_string(failure.folder.join("failure.json")).unwrap();
            assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), *failure);
            let (again, _) = run(&store, &plan, &Fake::default());
            assert!(again.is_complete());
            assert_eq!(again.ran, 15);
            assert!(!failure.folder.join("failure.json").exists());
        }
    }

    #[test]
    fn what_is_done_is_not_called_skipped() {
        for (title, fault) in [("sft small seed 20", Fault::Error), ("pretrain small", Fault::DiskFull)] {
            let (_folder, store, plan) = fresh();
            run(&store, &plan, &Fake::default());
            let lost = plan.stages.iter().find(|stage| stage.title() == title).unwrap();
            std::fs::remove_dir_all(store.folder_of(lost).path()).unwrap();
            // The last stage is damaged: it is made again where the run goes on.
            let last = store.folder_of(plan.stages.last().unwrap()).output().join("result");
            files::write(&last, b"another").unwrap();
            let (summary, _) = run(&store, &plan, &Fake { fails: Some((title, fault)), ..Fake::default() });
            let skipped = usize::from(matches!(fault, Fault::DiskFull));
            assert_eq!((summary.failures.len(), summary.skipped.len()), (1, skipped), "{title}");
            assert_eq!((summary.ran, summary.reused), (1 - skipped, plan.stages.len() - 2));
        }
    }

    #[test]
    fn a_full_disk_ends_the_run_and_leaves_the_store_usable() {
        let (_folder, store, plan) = fresh();
        let fails = Some(("pretrain small", Fault::DiskFull));
        let (summary, _) = run(&store, &plan, &Fake { fails, ..Fake::default() });
        assert_eq!(summary.failures.len(), 1);
        assert!(summary.failures[0].reasons.iter().any(|reason| reason.contains("7 bytes needed")));
        let ran = summary.ran + summary.failures.len() + summary.skipped.len();
        assert_eq!(ran, plan.stages.len());
        assert!(!summary.failures[0].folder.join("output").exists());
        let (again, _) = run(&store, &plan, &Fake::default());
        assert!(again.is_complete());
    }

    #[test]
    fn a_stage_folder_that_cannot_be_read_fails_alone() {
        let (_folder, store, plan) = fresh();
        let last = store.folder_of(plan.stages.last().unwrap());
        std::fs::create_dir_all(last.path().join("done")).unwrap();
        let (summary, _) = run(&store, &plan, &Fake::default());
        assert_eq!((summary.ran, summary.failures.len()), (plan.stages.len() - 1, 1));
        let reasons = &summary.failures[0].reasons;
        assert!(reasons[0].contains("cannot verify"), "{reasons:?}");
        assert!(last.failure_json().exists());
    }

    #[test]
    fn a_log_that_cannot_be_written_fails_its_stage_and_spares_its_end() {
        let (_folder, store, plan) = fresh();
        let last = store.folder_of(plan.stages.last().unwrap());
        std::fs::create_dir_all(last.events_jsonl()).unwrap();
        let (summary, _) = run(&store, &plan, &Fake::default());
        assert_eq!(summary.failures.len(), 1);
        let reasons = &summary.failures[0].reasons;
        assert!(reasons[0].contains("cannot write") && reasons[0].contains("events.jsonl"), "{reasons:?}");
        assert_eq!(last.state(Depth::Checksums).unwrap(), State::Partial);
    }

    /// Notes what is heard and what is run, in one list.
    struct Both<'a>(&'a RefCell<Vec<String>>);

    impl Listener for Both<'_> {
        fn hear(&mut self, stage: &Stage, news: &News<'_>) {
            self.0.borrow_mut().push(format!("{} {news:?}", stage.title()));
        }
    }

    impl Worker for Both<'_> {
        fn run(
            &self,
            stage: &Stage,
            _inputs: &Inputs,
            _folder: &StageFolder,
            _events: &mut dyn FnMut(Event),
            _stop: &StopFlag,
        ) -> anyhow::Result<()> {
            self.0.borrow_mut().push(format!("{} runs", stage.title()));
            bail!("no such model")
        }
    }

    #[test]
    fn a_stage_is_heard_of_before_it_runs() {
        let (_folder, store, plan) = fresh();
        let told = RefCell::default();
        Execution {
            store: &store,
            worker: &Both(&told),
            environment: &Environment::of(Compute::reference()),
            sources: &Vec::new,
            stop: &StopFlag::default(),
            listener: &mut Both(&told),
        }
        .run(&plan);
        let told = told.into_inner();
        assert_eq!(told[..2], ["prepare glossary Began", "prepare glossary runs"]);
        assert!(told[2].starts_with("prepare glossary Failed"), "{}", told[2]);
    }

    /// Raises the flag as soon as it hears that another process has a stage.
    struct Impatient(StopFlag);

    impl Listener for Impatient {
        fn hear(&mut self, _stage: &Stage, news: &News<'_>) {
            if matches!(news, News::Waiting) {
                self.0.raise();
            }
        }
    }

    /// Runs until everything that is left waits for what another process has.
    fn run_impatiently(store: &Store, plan: &Plan) -> Summary {
        let stop = StopFlag::default();
        Execution {
            store,
            worker: &Fake::default(),
            environment: &Environment::of(Compute::reference()),
            sources: &Vec::new,
            stop: &stop,
            listener: &mut Impatient(stop.clone()),
        }
        .run(plan)
    }

    #[test]
    fn a_run_that_waits_for_another_stops_when_asked() {
        let (_folder, store, plan) = fresh();
        let elsewhere = store.folder_of(&plan.stages[0]).try_lock().unwrap().unwrap();
        // Everything needs the data.
        assert_eq!(run_impatiently(&store, &plan), Summary { stopped: true, ..Summary::default() });
        drop(elsewhere);
        assert!(run(&store, &plan, &Fake::default()).0.is_complete());
    }

    #[test]
    fn what_another_process_has_is_left_to_it_and_the_rest_is_done() {
        let (_folder, store, plan) = fresh();
        let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
        let elsewhere = store.folder_of(find("sft small seed 20")).try_lock().unwrap().unwrap();
        // As in the test of failures: fifteen stages are that one or need it.
        let summary = run_impatiently(&store, &plan);
        assert_eq!((summary.ran, summary.stopped), (plan.stages.len() - 15, true));
        drop(elsewhere);
        assert_eq!(run(&store, &plan, &Fake::default()).0.ran, 15);
    }

    /// Computes a stage, or fails at it, as another process would while this one works.
    struct Other<'a>(&'a Store, &'a Plan, Option<Fault>);

    impl Listener for Other<'_> {
        fn hear(&mut self, stage: &Stage, news: &News<'_>) {
            let title = "sft small seed 20";
            if matches!(news, News::Event(Event::Finished { .. })) && stage.title() == "prepare glossary" {
                let fails = self.2.map(|fault| (title, fault));
                let found = Before::of(self.1, self.0);
                assert!(found.failed.is_empty());
                let needed = ["prepare tokenizer bpe", "pretrain small", title];
                let part = self.1.stages.iter().filter(|stage| needed.contains(&stage.title().as_str())).cloned();
                let plan = Plan { stages: part.collect(), ..self.1.clone() };
                run(self.0, &plan, &Fake { fails, ..Fake::default() });
            }
        }
    }

    #[test]
    fn what_others_did_meanwhile_is_told_from_what_was_done_before() {
        for fault in [None, Some(Fault::Error)] {
            let (_folder, store, plan) = fresh();
            // An older failure is tried again.
            run(&store, &plan, &Fake { fails: Some(("prepare glossary", Fault::Error)), ..Fake::default() });
            let worker = Fake::default();
            let summary = Execution {
                store: &store,
                worker: &worker,
                environment: &Environment::of(Compute::reference()),
                sources: &Vec::new,
                stop: &StopFlag::default(),
                listener: &mut Other(&store, &plan, fault),
            }
            .run(&plan);
            assert!(!worker.ran.borrow().contains(&"sft small seed 20".to_owned()), "{fault:?}");
            assert_eq!(summary.failures.len(), usize::from(fault.is_some()));
            assert_eq!(summary.elsewhere, if fault.is_some() { 2 } else { 3 });
            assert_eq!(summary.reused, 0);
        }
    }

    #[test]
    fn a_stopped_run_goes_on_to_the_same_bytes() {
        let (_folder, store, plan) = fresh();
        let (_other_folder, whole, _) = fresh();
        run(&whole, &plan, &Fake::default());
        let worker = || Fake { notes: true, ..Fake::default() };
        let (summary, _) = run(&store, &plan, &Fake { stops_at: Some(1), ..worker() });
        assert!(summary.stopped && summary.ran == 0);
        let folder = store.folder_of(&plan.stages[0]);
        assert_eq!(folder.state(Depth::Checksums).unwrap(), State::Partial);
        let (again, _) = run(&store, &plan, &worker());
        assert!(again.is_complete());
        assert_eq!(results(&store, &plan), results(&whole, &plan));
        let events = event::read(&folder.events_jsonl()).unwrap();
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Resumed { step: 1 })).count(), 1);
        let steps: Vec<u64> = events
            .iter()
            .filter_map(|event| match event {
                Event::Step(step) => Some(step.step),
                _ => None,
            })
            .collect();
        assert_eq!(steps, [1, 2]);
        // What is noted before it is known that the stage goes on neither ends the history nor repeats.
        assert_eq!(events[0], Event::Started);
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Note { .. })).count(), 1);
    }

    /// Counts a joule at each reading.
    struct Ticking(f64);

    impl PowerSource for Ticking {
        fn component(&self) -> Component {
            Component::Cpu
        }

        fn name(&self) -> String {
            "package-0".to_owned()
        }

        fn state(&self) -> EnergyState {
            EnergyState::Measured
        }

        fn method(&self) -> String {
            "test".to_owned()
        }

        fn read(&mut self) -> Result<Reading, Unavailable> {
            self.0 += 1.0;
            Ok(Reading::Energy(Joules(self.0)))
        }
    }

    fn metered(store: &Store, plan: &Plan, worker: &Fake) -> Summary {
        Execution {
            store,
            worker,
            environment: &Environment::of(Compute::reference()),
            sources: &|| vec![Box::new(Ticking(0.0))],
            stop: &StopFlag::default(),
            listener: &mut Ear::default(),
        }
        .run(plan)
    }

    #[test]
    fn energy_of_a_failed_attempt_is_kept_as_lost() {
        let (_folder, store, plan) = fresh();
        let folder = store.folder_of(&plan.stages[0]);
        let mut lost = Joules(0.0);
        for fault in [Fault::Error, Fault::Panic] {
            metered(&store, &plan, &Fake { fails: Some(("prepare glossary", fault)), ..Fake::default() });
            let now = Lost::read(&folder).joules;
            assert!(now > lost, "{now:?} {lost:?}");
            lost = now;
        }
        assert!(!folder.energy_json().exists());
        assert!(metered(&store, &plan, &Fake::default()).is_complete());
        assert_eq!(Lost::read(&folder).joules, lost);
        assert_eq!(folder.state(Depth::Checksums).unwrap(), State::Done);
        assert!(known(&read_account(&folder.energy_json())) > Joules(0.0));
    }

    #[test]
    fn energy_of_an_attempt_that_saved_its_work_counts_with_the_stage() {
        let (_folder, store, plan) = fresh();
        let folder = store.folder_of(&plan.stages[0]);
        assert!(metered(&store, &plan, &Fake { stops_at: Some(1), ..Fake::default() }).stopped);
        let stopped = known(&read_account(&folder.energy_json()));
        // Read at the start, when the state was saved, and at the end.
        assert!(stopped >= Joules(2.0), "{stopped:?}");
        assert!(metered(&store, &plan, &Fake::default()).is_complete());
        let account = read_account(&folder.energy_json());
        assert!(known(&account) > stopped, "{account:?}");
        assert_eq!(Lost::read(&folder), Lost::default());
    }

    #[test]
    fn a_damaged_output_is_named_and_redone() {
        let (_folder, store, plan) = fresh();
        run(&store, &plan, &Fake::default());
        let before = results(&store, &plan);
        let result = store.folder_of(&plan.stages[3]).output().join("result");
        let mut bytes = std::fs::read(&result).unwrap();
        bytes[0] ^= 1;
        files::write(&result, &bytes).unwrap();
        let (summary, heard) = run(&store, &plan, &Fake::default());
        assert_eq!(summary.ran, 1);
        assert_eq!(heard, [format!("{} corrupt: output/result", plan.stages[3].title())]);
        assert_eq!(results(&store, &plan), before);
    }
}
