//! `tutelage status`: how far an experiment got.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::output::{Output, columns};
use super::plan::as_computed;
use super::study::{Opened, StoreArgs, StudyArgs};
use crate::orchestrate::keep::event::{self, Event};
use crate::orchestrate::keep::store::Store;
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::Plan;
use crate::orchestrate::plan::standing::{Standing, standings};

/// Shows how far an experiment got: stages by kind, failures, unfinished work.
#[derive(Debug, Args)]
#[command(after_help = "\
States:
  done      all outputs are there (their sizes are compared; `tutelage run` verifies them)
  partial   a saved state is there: `tutelage run` goes on from its step
  missing   nothing is there yet, or it runs and has saved nothing so far
  stale     it was planned before with other settings or inputs; `tutelage plan` says which
  failed    it was tried; the reason and the folder are shown, and `tutelage run` tries again
  corrupt   files differ from what was written: `tutelage run` computes them again

Exit code: 0 every stage is done, 1 some are not.

Examples:
  tutelage status experiments/quickstart.toml
  watch -n 30 tutelage status study.toml --store /scratch/runs")]
pub struct Status {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    stages: usize,
    done: usize,
    /// Count of stages by kind and state.
    kinds: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    open: Vec<Open>,
}

/// A stage that was begun and is not done.
#[derive(Serialize)]
struct Open {
    stage: String,
    folder: String,
    #[serde(flatten)]
    standing: Standing,
    step: Option<u64>,
    steps: Option<u64>,
}

impl Status {
    /// Shows the state.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let Some(Opened { checked, .. }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
        let store = self.store.view(output);
        let plan = as_computed(&checked, &store, output)?;
        let standings = standings(&plan, &store)?;
        let shown = shown(&plan, &store, &standings);
        output.result(&shown, || text(&shown))?;
        Ok(if shown.done == shown.stages { Verdict::Good } else { Verdict::Bad })
    }
}

fn shown<'a>(plan: &'a Plan, store: &Store, standings: &[Standing]) -> Shown<'a> {
    let mut kinds: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut open = Vec::new();
    for (stage, standing) in plan.stages.iter().zip(standings) {
        *kinds.entry(stage.kind.name()).or_default().entry(standing.word()).or_default() += 1;
        if matches!(standing, Standing::Partial | Standing::Failed { .. } | Standing::Corrupt { .. }) {
            let folder = stage.folder(store);
            let events = event::read(&folder.events_jsonl()).unwrap_or_default();
            let last = events.iter().rev().find_map(|event| match event {
                Event::Step(step) => Some((step.step, step.steps)),
                _ => None,
            });
            open.push(Open {
                stage: stage.title(),
                folder: folder.path().display().to_string(),
                standing: standing.clone(),
                step: last.map(|(step, _)| step),
                steps: last.map(|(_, steps)| steps),
            });
        }
    }
    let done = standings.iter().filter(|standing| **standing == Standing::Done).count();
    Shown { name: &plan.name, stages: plan.stages.len(), done, kinds, open }
}

fn text(shown: &Shown<'_>) -> String {
    let mut rows = Vec::new();
    for kind in StageKind::ALL {
        let Some(states) = shown.kinds.get(kind.name()) else { continue };
        let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        rows.push([kind.name().to_owned(), states.join(", ")]);
    }
    let mut text = format!("{}: {} of {} stages done\n{}", shown.name, shown.done, shown.stages, columns(&rows));
    for open in &shown.open {
        let place = open.step.zip(open.steps).map_or(String::new(), |(step, steps)| format!(" at step {step}/{steps}"));
        text += &format!("{}: {}{place}\n", open.stage, open.standing.word());
        for detail in open.standing.details() {
            text += &format!("  {detail}\n");
        }
        text += &format!("  {}\n", open.folder);
    }
    text
}
