//! `tutelage run`: computes what is missing, then writes the report.

use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::output::Output;
use super::plan::on_this_machine;
use super::study::{StoreArgs, StudyArgs};
use crate::orchestrate::environment::Environment;
use crate::orchestrate::execute::{Execution, Summary};
use crate::orchestrate::failure::brief;
use crate::orchestrate::power::sources;
use crate::orchestrate::progress::Printer;
use crate::orchestrate::report::{Written, report};
use crate::orchestrate::standing::record;
use crate::orchestrate::stop::StopFlag;
use crate::orchestrate::store::Store;
use crate::orchestrate::worker::Engine;

/// Computes every stage that is not done, then writes the report.
#[derive(Debug, Args)]
#[command(after_help = "\
Finished stages are verified and reused, also from other experiments in the same store; an
interrupted stage goes on from its last saved state. Ctrl-C stops at the next safe point, a second
Ctrl-C at once. Stages that fail are listed at the end and skip only what depends on them.

Examples:
  tutelage run experiments/quickstart.toml
  tutelage run experiments/kd-telequad-scratch.toml --set data.telequad.path=TeleQuAD.json
  tutelage run study.toml --set 'seeds=[10]' --store /scratch/runs --format json")]
pub struct Run {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    store: StoreArgs,
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
        let Some(checked) = self.study.open(output) else { return Ok(Verdict::Bad) };
        for note in &checked.notes {
            output.say(&format!("note: {note}"));
        }
        let store = Store::open(&self.store.store)
            .with_context(|| format!("cannot open the store `{}`", self.store.store.display()))?;
        let (plan, compute) = on_this_machine(&checked)?;
        record(&store, &plan)?;
        let stop = StopFlag::default();
        tell_panics_briefly(*output);
        on_interrupt(stop.clone(), *output)?;
        let mut printer = Printer::new(output.verbosity(), plan.stages.len());
        printer.say(&format!("device {:?}, {:?} ({})", compute.device, compute.precision, compute.reason));
        let mut execution = Execution {
            store: &store,
            worker: &Engine { compute },
            environment: &Environment::of(compute),
            sources: &|| sources(compute.device, &checked.experiment.energy),
            stop: &stop,
            listener: &mut printer,
        };
        let summary = execution.run(&plan);
        printer.close();
        self.tell(&summary, output);
        let written = match summary.stopped {
            true => None,
            false => report(&checked, &plan, &store)?,
        };
        let complete = summary.is_complete();
        let outcome = Outcome { summary, report: written };
        output.result(&outcome, || match &outcome.report {
            Some(written) => written.document.display().to_string(),
            None => String::new(),
        });
        Ok(if complete { Verdict::Good } else { Verdict::Bad })
    }

    fn tell(&self, summary: &Summary, output: &Output) {
        let (ran, reused) = (summary.ran, summary.reused);
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
        let mut command = format!("tutelage run {}", self.study.experiment.display());
        for set in &self.study.set {
            command += &format!(" --set '{}'", set.replace('\'', r"'\''"));
        }
        if self.store.store != Path::new("runs") {
            command += &format!(" --store {}", self.store.store.display());
        }
        command
    }
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

/// The first interrupt asks to stop, the second ends the process.
fn on_interrupt(stop: StopFlag, output: Output) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if stop.is_raised() {
            #[expect(clippy::exit, reason = "the user asked twice; the store survives any kill")]
            std::process::exit(130);
        }
        stop.raise();
        output.warn("stopping at the next safe point; again to stop at once");
    })
    .context("cannot listen to Ctrl-C")
}
