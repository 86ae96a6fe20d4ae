use std::cell::RefCell;

use anyhow::bail;
use tutelage_metrics::energy::{Component, Joules, Reading, State as EnergyState, Unavailable};

use super::attempt::{known, read_account};
use super::*;
use crate::device::Compute;
use crate::orchestrate::keep::event::{self, Step};
use crate::orchestrate::keep::manifest::{Manifest, Verified};
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
        for (name, path) in inputs.iter() {
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
        depth: Depth::Changes,
        listener: &mut ear,
    }
    .run(plan);
    (summary, ear.0)
}

fn results(store: &Store, plan: &Plan) -> Vec<Option<String>> {
    let read = |stage: &Stage| std::fs::read_to_string(stage.folder(store).output().join("result")).ok();
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
    let (again, _) = run(&store, &plan, &Fake { fails: Some(("prepare glossary", Fault::Error)), ..Fake::default() });
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
        std::fs::remove_dir_all(lost.folder(&store).path()).unwrap();
        // The last stage is damaged: it is made again where the run goes on.
        let last = plan.stages.last().unwrap().folder(&store).output().join("result");
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
    let last = plan.stages.last().unwrap().folder(&store);
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
    let last = plan.stages.last().unwrap().folder(&store);
    std::fs::create_dir_all(last.events_jsonl()).unwrap();
    let (summary, _) = run(&store, &plan, &Fake::default());
    assert_eq!(summary.failures.len(), 1);
    let reasons = &summary.failures[0].reasons;
    assert!(reasons[0].contains("cannot write") && reasons[0].contains("events.jsonl"), "{reasons:?}");
    assert_eq!(last.state(Depth::Checksums).unwrap(), State::Partial);
}

#[test]
fn stages_that_train_leave_curves_beside_their_log_and_no_other_does() {
    let (_folder, store, plan) = fresh();
    run(&store, &plan, &Fake::default());
    for stage in &plan.stages {
        let folder = stage.folder(&store);
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let mut curves: Vec<_> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents."))
            .map(|entry| entry.path())
            .collect();
        assert_eq!(curves.len(), usize::from(stage.job.work().trains().is_some()), "{}", stage.title());
        // Torn or removed, they make nothing undone.
        if let Some(curve) = curves.pop() {
            assert!(std::fs::metadata(&curve).unwrap().len() > 0);
            std::fs::remove_file(curve).unwrap();
            assert_eq!(folder.state(Depth::Checksums).unwrap(), State::Done);
        }
    }
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
        depth: Depth::Changes,
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
        depth: Depth::Changes,
        listener: &mut Impatient(stop.clone()),
    }
    .run(plan)
}

#[test]
fn a_run_that_waits_for_another_stops_when_asked() {
    let (_folder, store, plan) = fresh();
    let elsewhere = plan.stages[0].folder(&store).try_lock().unwrap().unwrap();
    // Everything needs the data.
    assert_eq!(run_impatiently(&store, &plan), Summary { stopped: true, ..Summary::default() });
    drop(elsewhere);
    assert!(run(&store, &plan, &Fake::default()).0.is_complete());
}

#[test]
fn what_another_process_has_is_left_to_it_and_the_rest_is_done() {
    let (_folder, store, plan) = fresh();
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let elsewhere = find("sft small seed 20").folder(&store).try_lock().unwrap().unwrap();
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
            depth: Depth::Changes,
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
    let folder = plan.stages[0].folder(&store);
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

#[test]
fn a_stage_that_goes_on_elsewhere_says_so_and_keeps_both_places() {
    let (_folder, store, plan) = fresh();
    let folder = plan.stages[0].folder(&store);
    let here = Environment::of(Compute::reference());
    let there = Environment { threads: here.threads + 3, device: "cuda:0".to_owned(), ..here.clone() };
    let run_in = |environment: &Environment, worker: Fake| {
        let (stop, listener) = (StopFlag::default(), &mut Ear::default());
        let depth = Depth::Changes;
        Execution { store: &store, worker: &worker, environment, sources: &Vec::new, stop: &stop, depth, listener }
            .run(&plan)
    };
    run_in(&here, Fake { stops_at: Some(1), ..Fake::default() });
    assert!(run_in(&there, Fake::default()).is_complete());
    let notes = |folder: &StageFolder| -> Vec<String> {
        let events = event::read(&folder.events_jsonl()).unwrap();
        let note = |event| if let Event::Note { text } = event { Some(text) } else { None };
        events.into_iter().filter_map(note).collect()
    };
    let threads = (here.threads, there.threads);
    let expected = format!(
        "goes on from step 1, which was computed with: device cpu, now cuda:0; threads {}, now {}",
        threads.0, threads.1
    );
    assert_eq!(notes(&folder), [expected]);
    let attempts = Attempts::read(&folder.environment_json()).unwrap();
    let found: Vec<_> = attempts.used().iter().map(|found| (found.threads, found.resumed_from)).collect();
    assert_eq!(found, [(threads.0, None), (threads.1, Some(1))]);
    // A stage that no attempt before it left anything to says nothing.
    assert_eq!(notes(&plan.stages[1].folder(&store)), [""; 0]);
}

#[test]
fn every_byte_is_verified_where_asked() {
    let (_folder, store, plan) = fresh();
    run(&store, &plan, &Fake::default());
    // Weights whose last change has been noted as verified, though a byte of them is another now.
    let folder = plan.stages[3].folder(&store);
    let lock = folder.try_lock().unwrap().unwrap();
    let weights = folder.output().join("model.safetensors");
    files::write(&weights, b"1234").unwrap();
    folder.finish(&lock).unwrap();
    files::write(&weights, b"1235").unwrap();
    let manifest = Manifest::read(folder.path()).unwrap().unwrap();
    Verified::now(folder.path(), &manifest).write(folder.path()).unwrap();
    drop(lock);
    let run_at = |depth| {
        let (worker, environment) = (Fake::default(), Environment::of(Compute::reference()));
        let (stop, listener) = (StopFlag::default(), &mut Ear::default());
        Execution {
            store: &store,
            worker: &worker,
            environment: &environment,
            sources: &Vec::new,
            stop: &stop,
            depth,
            listener,
        }
        .run(&plan)
        .ran
    };
    assert_eq!((run_at(Depth::Changes), run_at(Depth::Checksums)), (0, 1));
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
        depth: Depth::Changes,
        listener: &mut Ear::default(),
    }
    .run(plan)
}

#[test]
fn energy_of_a_failed_attempt_is_kept_as_lost() {
    let (_folder, store, plan) = fresh();
    let folder = plan.stages[0].folder(&store);
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
    let folder = plan.stages[0].folder(&store);
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
    let result = plan.stages[3].folder(&store).output().join("result");
    let mut bytes = std::fs::read(&result).unwrap();
    bytes[0] ^= 1;
    files::write(&result, &bytes).unwrap();
    let (summary, heard) = run(&store, &plan, &Fake::default());
    assert_eq!(summary.ran, 1);
    assert_eq!(heard, [format!("{} corrupt: output/result", plan.stages[3].title())]);
    assert_eq!(results(&store, &plan), before);
}
