//! One finished trial of an arm: the folders of its model, and what made it.
//!
//! For whoever takes a model out of its study, with what is known of it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use tutelage_metrics::energy::Account;
use tutelage_reports::record::Record;
use tutelage_reports::study::{Study, Training};

use super::trained::Trained;
use super::{Collecting, collect, label, read_json};
use crate::data::SplitName;
use crate::experiment::settings::{Task, Template};
use crate::experiment::{Checked, evaluation_sets};
use crate::orchestrate::keep::environment::{Attempts, Environment};
use crate::orchestrate::keep::event;
use crate::orchestrate::keep::manifest::Depth;
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::stage::{Source, Stage};
use crate::orchestrate::plan::{Plan, Trial};
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::inputs::Inputs;

/// A model that a study made, and how.
#[derive(Debug)]
pub struct Finished {
    /// Name of the arm or reference.
    pub arm: String,
    /// Seed of the trial.
    pub seed: u64,
    /// Folders of the model: `model`, and `adapter`, `adapter-2`, ... on it.
    pub inputs: Inputs,
    /// What the first step started from.
    pub start: Start,
    /// The steps, first to last, what a scratch model starts from included.
    pub steps: Vec<Step>,
    /// The teacher of its last step that has one, with the steps that happened to it.
    pub teacher: Option<String>,
    /// The first rows that it was asked.
    pub asked: AskedRows,
    /// The study.
    pub study: Study,
    /// What was scored in it.
    pub records: Vec<Record>,
}

/// What a model was before anything happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Nothing: its weights were drawn at random.
    Scratch,
    /// A checkpoint.
    Checkpoint {
        /// As the experiment names it: a path, or `hf:org/name`.
        origin: String,
        /// The commit that a hub name was.
        commit: Option<String>,
        /// Where it lies on this machine.
        folder: Option<PathBuf>,
    },
}

/// One step of training.
#[derive(Debug)]
pub struct Step {
    /// Data sets that it learned from.
    pub data: Vec<String>,
    /// Kind, settings, and on how much.
    pub training: Training,
    /// What it consumed.
    pub energy: Account,
    /// Code and machine: name and value.
    pub environment: Vec<(String, String)>,
}

/// Rows that a model was asked.
#[derive(Debug, Clone)]
pub struct AskedRows {
    /// Name of the data set.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Which part of it.
    pub split: SplitName,
    /// What was asked.
    pub task: Task,
    /// How rows are worded.
    pub template: Template,
    /// Whether rows are worded without their context.
    pub closed_book: bool,
}

/// Finds the model of an arm at a seed, or at its first one, and verifies every byte of it.
///
/// # Errors
/// An arm or a seed that the study has not, stages that are not done or damaged, files that cannot be read.
pub fn finished(
    checked: &Checked,
    plan: &Plan,
    store: &Store,
    arm: &str,
    seed: Option<u64>,
) -> anyhow::Result<Finished> {
    let trial = trial(plan, arm, seed)?;
    let (states, places) = Default::default();
    let collecting = Collecting { checked, plan, store, states, places };
    let asked = trial.sets.first().context("the arm is asked nothing")?;
    let asks = plan.stage(&asked.answers).context("the plan lacks a stage that asks")?;
    for input in asks.inputs.iter().filter(|input| is_part_of_model(&input.name)) {
        if let Source::Stage { key, .. } = &input.source {
            whole(plan.stage(key).context("the plan lacks a stage that is read")?, store)?;
        }
    }
    let all = asks.read_from(store)?;
    let parts = all.iter().filter(|(name, _)| is_part_of_model(name));
    let inputs = parts.map(|(name, path)| (name.to_owned(), path.to_owned())).collect();
    let (steps, start) = collecting.made(asks)?;
    let course = checked.arms.iter().chain(&checked.controls).find(|known| known.name == arm).map(|arm| &arm.course);
    let course = course.or_else(|| Some(&checked.references.iter().find(|known| known.name == arm)?.course));
    let teacher = course.and_then(|course| course.teacher());
    let teacher = teacher.map(|teacher| format!("{}{}", teacher.model, teacher.suffix()));
    let asked = collecting.rows(trial, asks)?;
    let (study, records) = collect(checked, plan, store)?;
    Ok(Finished { arm: arm.to_owned(), seed: trial.seed, inputs, start, steps, teacher, asked, study, records })
}

/// Finds a trial by arm and seed.
fn trial<'p>(plan: &'p Plan, arm: &str, seed: Option<u64>) -> anyhow::Result<&'p Trial> {
    let named: Vec<&Trial> = plan.trials.iter().filter(|trial| trial.arm == arm).collect();
    if named.is_empty() {
        let mut arms: Vec<String> = Vec::new();
        for trial in &plan.trials {
            let name = format!("`{}`", trial.arm);
            if !arms.contains(&name) {
                arms.push(name);
            }
        }
        bail!("`{}` has no arm `{arm}`\nhint: it has {}", plan.name, arms.join(", "));
    }
    let Some(seed) = seed else { return Ok(named[0]) };
    named.iter().find(|trial| trial.seed == seed).copied().with_context(|| {
        let seeds: Vec<String> = named.iter().map(|trial| trial.seed.to_string()).collect();
        format!("`{arm}` has no seed {seed}\nhint: it has {}", seeds.join(", "))
    })
}

/// Says whether an input of a stage that asks is the model or one of its adapters.
fn is_part_of_model(name: &str) -> bool {
    name == "model" || name == "adapter" || name.starts_with("adapter-")
}

/// Makes sure that a stage is done, and that every byte is as it was written.
fn whole(stage: &Stage, store: &Store) -> anyhow::Result<()> {
    let title = stage.title();
    match stage.folder(store).state(Depth::Checksums)? {
        State::Done => Ok(()),
        State::Partial | State::Absent => {
            bail!("`{title}` is not done\nhint: `tutelage run` computes what is missing")
        }
        State::Corrupt(damages) => {
            let files: Vec<&str> = damages.iter().map(|damage| damage.file.as_str()).collect();
            let files = files.join(", ");
            bail!("files of `{title}` are damaged: {files}\nhint: `tutelage run` makes them again")
        }
    }
}

impl Collecting<'_> {
    /// Lists the steps that made the model which a stage asks, and says what they started from.
    fn made(&self, asks: &Stage) -> anyhow::Result<(Vec<Step>, Start)> {
        let mut stages = Vec::new();
        let mut first = asks;
        while let Some(before) = self.trained_before(first) {
            stages.push(before);
            first = before;
        }
        let model = first.inputs.iter().find(|input| ["model", "student"].contains(&input.name.as_str()));
        let start = match model.map(|input| &input.source) {
            Some(Source::External { origin, commit, path, .. }) => {
                Start::Checkpoint { origin: origin.clone(), commit: commit.clone(), folder: path.clone() }
            }
            // A stage that reads no model makes one.
            Some(Source::Stage { .. }) | None => Start::Scratch,
        };
        let trains = stages.into_iter().rev().filter(|stage| stage.job.work().trains().is_some());
        Ok((trains.map(|stage| self.step(stage)).collect::<anyhow::Result<_>>()?, start))
    }

    /// Describes a step; one whose folder is gone is told without what only the folder knows.
    fn step(&self, stage: &Stage) -> anyhow::Result<Step> {
        let folder = stage.folder(self.store);
        let is_there = self.output(&stage.key)?.is_some();
        let events = if is_there { event::read(&folder.events_jsonl())? } else { Vec::new() };
        let mut trained = Trained::default();
        trained.add(stage, &label(stage), false, &events, &folder.output());
        let training = trained.training().pop().context("a step that trains nothing")?;
        let energy = if is_there { read_json(&folder.energy_json())? } else { Account { components: Vec::new() } };
        let attempts = if is_there { Attempts::read(&folder.environment_json())? } else { Attempts::default() };
        let last = attempts.used().last().map(Environment::facts).unwrap_or_default();
        let environment = last.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Step { data: self.data_of(stage), training, energy, environment })
    }

    /// Lists the data sets that a stage learns from, directly or as tokens.
    fn data_of(&self, stage: &Stage) -> Vec<String> {
        let mut names = Vec::new();
        for read in self.plan.reads(stage) {
            let sets: Vec<&Stage> = match &read.job {
                Job::Encode(_) => self.plan.reads(read).collect(),
                _ => vec![read],
            };
            for set in sets.into_iter().filter(|set| set.kind == StageKind::Prepare) {
                let is_data = matches!(set.job, Job::Data(_)) && !names.contains(&set.label);
                names.extend(is_data.then(|| set.label.clone()));
            }
        }
        names
    }

    /// Says which rows a stage asked first, and how they were worded.
    fn rows(&self, trial: &Trial, asks: &Stage) -> anyhow::Result<AskedRows> {
        let asked = trial.sets.first().context("the arm is asked nothing")?;
        let set = evaluation_sets(&self.checked.experiment).into_iter().find(|set| set.name == asked.set);
        let set = set.context("the experiment lacks an evaluation set of its plan")?;
        let data = self.data_behind(asked)?;
        let (_, folder) = data.with_context(|| {
            format!("the data set `{}` is not prepared\nhint: `tutelage run` computes what is missing", set.data)
        })?;
        let (template, closed_book) = match &asks.job {
            Job::Generate(job) => (job.template.clone(), job.closed_book),
            Job::Choose(job) => (job.template.clone(), job.closed_book),
            _ => (Template::Plain, false),
        };
        Ok(AskedRows { name: set.data, folder, split: set.split, task: set.task, template, closed_book })
    }
}
