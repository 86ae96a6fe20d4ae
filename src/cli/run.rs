//! `tutelage run`: computes what is missing, then writes the report.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::fetch::fetch_missing;
use super::jobs::{Assistants, JobsArgs, stop_when_dismissed};
use super::output::Output;
use super::plan::{on_this_machine, start};
use super::study::{Opened, StoreArgs, StudyArgs, tell_waiting};
use crate::device;
use crate::experiment::Checked;
use crate::experiment::load::quoted;
use crate::files;
use crate::orchestrate::estimate::Estimator;
use crate::orchestrate::execute::engine::Engine;
use crate::orchestrate::execute::power::sources;
use crate::orchestrate::execute::progress::Printer;
use crate::orchestrate::execute::{Execution, Listener, News, Summary};
use crate::orchestrate::gather::report::{Written, report};
use crate::orchestrate::keep::environment::Environment;
use crate::orchestrate::keep::failure::brief;
use crate::orchestrate::keep::manifest::Depth;
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::plan::Plan;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::plan::standing::{record, recorded};
use crate::orchestrate::stages::stop::StopFlag;

/// Computes every stage that is not done, then writes the report.
#[derive(Debug, Args)]
#[command(after_help = "\
Models of the hub (`hf:org/name`) that are not on this machine are downloaded first; see
`tutelage fetch --help`.

Finished stages are verified and reused, also from other experiments in the same store: checksums
are compared, of weights and captured states only where size or time of change differ from when they
were verified last (`--verify`: of every file). An interrupted stage goes on from its last saved
state. Ctrl-C stops at the next safe point, a second Ctrl-C at once (exit code 130). Stages that
fail are listed at the end and skip only what depends on them. Several processes may run on one
store: each stage is computed by one of them, and whoever finds a stage taken goes on with another.
That is how one run computes several stages at a time (`--jobs`).

Records and report lie in experiments/NAME/ of the store, NAME being the experiment file's name
without its ending: give two files of one name a store each.

Exit code: 0 every stage is done, 1 stages failed or the run was stopped, 2 usage or unexpected
error. Prints the path of the report.

Examples:
  tutelage run experiments/quickstart.toml
  tutelage run experiments/kd-telequad-scratch.toml --set data.telequad.path=TeleQuAD.json
  tutelage run study.toml --set 'seeds=[10]' --store /scratch/runs --format json")]
pub struct Run {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Verifies every byte of what is done. Without it, large files (weights and captured states) whose
    /// size and time of change are as when they were verified last are not read again.
    #[arg(long)]
    verify: bool,
    /// Helps the process that started this one: computes stages and tells nothing else.
    #[arg(long, hide = true)]
    assist: bool,
}

#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    summary: Summary,
    report: Option<Written>,
}

impl Run {
    /// Runs the experiment.
    ///
    /// # Errors
    /// A device or store that cannot be used, a report that cannot be written. Failed stages are
    /// told and make a bad verdict.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let Some(Opened { checked, .. }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
        // Before anything is written: a device that is not there leaves no store behind.
        let compute = start(&checked)?;
        // Whoever started an assistant has downloaded everything.
        let checked = if !self.assist && fetch_missing(&checked, output)? {
            // What the downloaded files say can be checked now.
            let Some(Opened { checked, .. }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
            checked
        } else {
            checked
        };
        let plan = on_this_machine(&checked, compute)?;
        let open_sources = || sources(compute.device, &checked.experiment.energy);
        let jobs = self.jobs.count(&checked.experiment.compute, compute, &open_sources())?;
        let store = Store::open(&self.store.store)
            .with_context(|| format!("cannot open the store `{}`", self.store.store.display()))?;
        tell_panics_briefly(*output);
        let stop = StopFlag::default();
        let environment = Environment::of(compute);
        let execute = |listener: &mut dyn Listener| {
            let mut execution = Execution {
                store: &store,
                worker: &Engine { compute },
                environment: &environment,
                sources: &open_sources,
                stop: &stop,
                depth: if self.verify { Depth::Checksums } else { Depth::Changes },
                listener,
            };
            execution.run(&plan)
        };
        if self.assist {
            // Whoever started this process decides when it stops.
            on_interrupt(|| ())?;
            stop_when_dismissed(stop.clone());
            execute(&mut Quiet(*output));
            return Ok(Verdict::Good);
        }

        for note in &checked.notes {
            output.say(&format!("note: {note}"));
        }
        if let Some(told) = recorded(&store, &plan.name).and_then(|before| other_numbers(&before, &plan)) {
            output.say(&format!("note: {told}"));
        }
        record(&store, &plan, || tell_waiting(&plan.name, output))?;
        let mut printer = Printer::new(output.verbosity(), plan.stages.len());
        let (device, format) = (&environment.device, compute.precision.name());
        printer.say(&format!("device {device}, {format} ({})", compute.reason));
        // No more processes than there is work for.
        let open = plan.stages.iter().filter(|stage| !is_done(&store, stage)).count();
        let assistants = Assistants::start(jobs.min(open).saturating_sub(1), compute.precision, device::threads())?;
        if jobs > 1 && open > 1 {
            printer.say(&format!("{} stages at a time", jobs.min(open)));
        }
        on_interrupt(interruption(stop.clone(), *output, assistants.dismissal()))?;
        let mut summary = execute(&mut printer);
        assistants.dismiss(output);
        advise(&mut summary, &plan, || Estimator::of_memory(&checked, &plan, &store, compute));
        printer.close();
        self.tell(&summary, output);
        self.report(&checked, &plan, &store, summary, output)
    }

    /// Writes the report of what is done, and says how the run ended.
    fn report(
        &self,
        checked: &Checked,
        plan: &Plan,
        store: &Store,
        summary: Summary,
        output: &Output,
    ) -> anyhow::Result<Verdict> {
        let written = match summary.stopped {
            true => Ok(None),
            false => {
                report(checked, plan, store, || tell_waiting(&plan.name, output)).context("cannot write the report")
            }
        };
        let complete = summary.is_complete();
        // What ran is told even where the report could not be written.
        let (written, failure) = match written {
            Ok(written) => (written, None),
            Err(error) => (None, Some(error)),
        };
        let outcome = Outcome { summary, report: written };
        output.result(&outcome, || outcome.report.as_ref().map_or(String::new(), Written::text))?;
        match failure {
            Some(error) if complete => return Err(error),
            // A disk that ended a stage has no room for a report either.
            Some(error) => output.error(&error),
            None => {}
        }
        Ok(if complete { Verdict::Good } else { Verdict::Bad })
    }

    fn tell(&self, summary: &Summary, output: &Output) {
        // Whichever process computed them.
        let (ran, reused) = (summary.ran + summary.elsewhere, summary.reused);
        let (failed, skipped) = (summary.failures.len(), summary.skipped.len());
        output.say(&format!("stages: {ran} ran, {reused} were done, {failed} failed, {skipped} skipped"));
        for failure in &summary.failures {
            output.warn(&format!("failed: {}", failure.stage));
            for reason in &failure.reasons {
                output.warn(&format!("  {reason}"));
            }
            output.warn(&format!("  see {}", failure.folder.join("failure.json").display()));
        }
        if summary.stopped {
            output.warn(&format!("stopped; to go on: {}", self.again()));
        } else if failed > 0 {
            output.warn(&format!("to try again: {}", self.again()));
        }
    }

    /// Returns the command that goes on with this run.
    fn again(&self) -> String {
        let mut command = format!("{} run {}", program(), quoted(&self.study.experiment.to_string_lossy()));
        for set in &self.study.set {
            command += &format!(" --set {}", quoted(set));
        }
        if self.store.store != Path::new("runs") {
            command += &format!(" --store {}", quoted(&self.store.store.to_string_lossy()));
        }
        command
    }
}

/// Adds to the failures for want of memory what was estimated and what would save some.
fn advise<'a>(summary: &mut Summary, plan: &Plan, estimator: impl FnOnce() -> anyhow::Result<Estimator<'a>>) {
    let mut failures = summary.failures.iter_mut().filter(|failure| failure.is_out_of_memory()).peekable();
    if failures.peek().is_none() {
        return;
    }
    // Without it the failure is told as it is.
    let Ok(estimator) = estimator() else { return };
    for failure in failures {
        let stage = plan.stages.iter().find(|stage| stage.title() == failure.stage);
        let Some(advice) = stage.and_then(|stage| estimator.advice(stage)) else { continue };
        // Before the remedy, which stands last.
        let last = failure.reasons.len().saturating_sub(1);
        failure.reasons.insert(last, advice);
        // The summary tells it either way.
        let _ = files::write_json(&failure.folder.join("failure.json"), failure);
    }
}

/// Says that the last run of an experiment computed in another format or with other threads, which are
/// part of results: none if it did not.
fn other_numbers(before: &Plan, now: &Plan) -> Option<String> {
    let numbers = |plan: &Plan| {
        let threads =
            plan.threads().map_or("on a GPU".to_owned(), |threads| format!("with `compute.threads` {threads}"));
        Some(format!("in {} {threads}", plan.precision()?.name()))
    };
    let (was, is) = (numbers(before)?, numbers(now)?);
    (was != is).then(|| {
        format!(
            "the last run of `{}` computed {was}, this one computes {is}: sums are rounded in another way, and stages \
             are computed anew",
            now.name
        )
    })
}

/// Returns what starts this program from here: its name if the shell finds it, else its path.
fn program() -> String {
    const NAME: &str = "tutelage";
    let Ok(program) = std::env::current_exe() else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let same = |folder: PathBuf| folder.join(NAME).canonicalize().is_ok_and(|found| found == program);
    if std::env::split_paths(&path).any(same) {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    let shown = match program.strip_prefix(&here) {
        Ok(inside) if inside.components().count() == 1 => Path::new(".").join(inside),
        Ok(inside) => inside.to_owned(),
        Err(_) => program,
    };
    quoted(&shown.to_string_lossy())
}

/// A panic in a stage is kept whole in its `failure.json`; the terminal gets its place and first
/// line, unless a backtrace is asked for.
fn tell_panics_briefly(output: Output) {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("no message");
        output.warn(&format!("panicked at {place}: {}", brief(text)));
    }));
}

fn is_done(store: &Store, stage: &Stage) -> bool {
    stage.folder(store).state(Depth::Sizes).is_ok_and(|state| state == State::Done)
}

/// Tells of damaged files only: all else is told by the process that this one helps.
struct Quiet(Output);

impl Listener for Quiet {
    fn hear(&mut self, stage: &Stage, news: &News<'_>) {
        if let News::Corrupt(damages) = news {
            let files: Vec<&str> = damages.iter().map(|damage| damage.file.as_str()).collect();
            self.0.warn(&format!("{}: stored files are damaged and redone: {}", stage.title(), files.join(", ")));
        }
    }
}

/// The first interrupt asks to stop, the second ends the process.
fn interruption(stop: StopFlag, output: Output, dismiss: impl Fn() + Send + 'static) -> impl FnMut() + Send + 'static {
    move || {
        if stop.is_raised() {
            #[expect(clippy::exit, reason = "the user asked twice; the store survives any kill")]
            std::process::exit(130);
        }
        stop.raise();
        dismiss();
        output.warn("stopping at the next safe point; again to stop at once");
    }
}

/// Listens to Ctrl-C. A closed terminal interrupts, too, unless the run was started under `nohup`.
fn on_interrupt(interrupt: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    #[cfg(unix)]
    let before = ignore_hangup();
    ctrlc::set_handler(interrupt).context("cannot listen to Ctrl-C")?;
    #[cfg(unix)]
    if before == libc::SIG_IGN {
        ignore_hangup();
    }
    Ok(())
}

/// Lets a closed terminal do nothing, and returns what it did before.
#[cfg(unix)]
#[expect(unsafe_code, reason = "`signal` with SIG_IGN only sets a flag of the process")]
fn ignore_hangup() -> libc::sighandler_t {
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Precision;
    use crate::orchestrate::plan::tests::{checked, site};
    use crate::orchestrate::plan::{Site, plan};

    #[test]
    fn a_run_in_another_format_or_with_other_threads_says_that_it_starts_anew() {
        let planned = |precision, threads| plan(&checked(|_| ()), &Site { threads, ..site(precision) }).unwrap();
        let before = planned(Precision::F32, Some(1));
        assert_eq!(other_numbers(&before, &before), None);
        assert_eq!(
            other_numbers(&before, &planned(Precision::F32, Some(2))).unwrap(),
            "the last run of `study` computed in f32 with `compute.threads` 1, this one computes in f32 with \
             `compute.threads` 2: sums are rounded in another way, and stages are computed anew"
        );
        let told = other_numbers(&before, &planned(Precision::Bf16, None)).unwrap();
        assert!(told.contains("this one computes in bf16 on a GPU:"), "{told}");
    }
}
