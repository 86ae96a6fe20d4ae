//! From finished stages to what a report reads: records and a study.
//!
//! Reads the store only, so that a report can be made again at any time, also of an unfinished
//! run. Everything is in the order of the plan: the same store gives the same bytes.

mod arms;
mod curves;
mod data;
mod decoding;
mod design;
mod energy;
mod examples;
pub mod finished;
mod models;
mod provenance;
mod quantities;
mod readiness;
pub mod report;
mod sets;
mod sources;
#[cfg(test)]
mod tests;
mod trained;
mod warnings;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use tutelage_metrics::metric::MetricName;
use tutelage_reports::record::Record;
use tutelage_reports::study::{Metric, STUDY_FORMAT, Study};

use crate::experiment::{Checked, EvaluationSet, Key, resolve};
use crate::orchestrate::execute::power;
use crate::orchestrate::keep::manifest::Depth;
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::plan::{Plan, Trial};
use crate::orchestrate::stages::score::{self, Value};

/// Gathers records and study of an experiment from a store.
///
/// # Errors
/// Outputs of finished stages that cannot be read.
pub fn collect(checked: &Checked, plan: &Plan, store: &Store) -> anyhow::Result<(Study, Vec<Record>)> {
    let (states, places) = Default::default();
    let collecting = Collecting { checked, plan, store, states, places };
    let sets = collecting.sets();
    let mut records = Vec::new();
    let mut measured: Vec<Vec<Metric>> = vec![Vec::new(); sets.len()];
    for trial in &plan.trials {
        for (set, metrics) in sets.iter().zip(&mut measured) {
            let Some(asked) = sets::on(trial, set) else { continue };
            let Some(output) = collecting.output(&asked.score)? else { continue };
            if metrics.is_empty() {
                *metrics = score::read_metrics(&output)?.into_iter().map(|metric| of_set(metric, set)).collect();
            }
            let places = collecting.places(asked, set.task, set.split)?;
            let values = score::read_values(&output, set.split)?.unwrap_or_default();
            records.extend(values.into_iter().filter_map(|value| record(trial, set, value, metrics, &places)));
        }
    }
    let (environment, provenance) = collecting.environment_and_keys()?;
    let study = Study {
        format: STUDY_FORMAT,
        name: plan.name.clone(),
        question: checked.experiment.question.clone(),
        reproduces: checked.experiment.reproduces.clone(),
        factors: design::factors(&checked.experiment),
        arms: collecting.arms()?,
        seeds: checked.experiment.seeds.clone(),
        retrained: design::retrained(checked),
        baseline: design::baseline(checked),
        hypotheses: design::hypotheses(&checked.experiment, &sets),
        alpha: checked.experiment.alpha,
        sets: collecting.described_sets()?,
        quantities: collecting.quantities()?,
        metrics: measured.concat(),
        models: collecting.models()?,
        data: collecting.data()?,
        training: collecting.training()?,
        methods: sources::methods(checked),
        curves: collecting.curves()?,
        energy: collecting.energy()?,
        energy_model: power::model(&checked.experiment.energy),
        checks: collecting.checks()?,
        examples: collecting.examples()?,
        examples_chosen: examples::EXAMPLES_CHOSEN.to_owned(),
        warnings: collecting.warnings()?,
        assumptions: checked.experiment.assumptions.clone(),
        environment,
        provenance,
        resolved: resolve(&checked.experiment)?,
    };
    Ok((study, records))
}

/// Says which set a metric is measured on, and where it is from.
fn of_set(metric: Metric, set: &EvaluationSet) -> Metric {
    let citation = |name: MetricName| name.metric().citation.to_owned();
    Metric {
        set: set.name.clone(),
        column: set.column(&metric.name),
        source: metric.name.parse().map_or_else(|_| String::new(), citation),
        ..metric
    }
}

fn record(
    trial: &Trial,
    set: &EvaluationSet,
    value: Value,
    metrics: &[Metric],
    places: &sets::Places,
) -> Option<Record> {
    let metric = metrics.iter().find(|metric| metric.name == value.metric)?;
    let place = places.get(&value.id);
    Some(Record {
        arm: trial.arm.clone(),
        seed: trial.seed,
        set: set.name.clone(),
        group: place.map(|place| place.group.clone()).unwrap_or_default(),
        stratum: place.and_then(|place| place.stratum(set)),
        example: value.id,
        metric: value.metric,
        value: value.value,
        unit: metric.unit.clone(),
        direction: metric.direction,
        counts: value.counts,
    })
}

struct Collecting<'a> {
    checked: &'a Checked,
    plan: &'a Plan,
    store: &'a Store,
    /// States that were asked for: every file is verified once.
    states: RefCell<BTreeMap<Key, State>>,
    /// Splits that were read.
    places: sets::Known,
}

impl Collecting<'_> {
    /// Returns the output folder of a stage if it is done.
    fn output(&self, key: &Key) -> anyhow::Result<Option<PathBuf>> {
        let Some(stage) = self.plan.stage(key) else { return Ok(None) };
        let done = self.state(stage)? == State::Done;
        Ok(done.then(|| stage.folder(self.store).output()))
    }

    /// Says how far a stage got. What is reported is verified by its checksum.
    fn state(&self, stage: &Stage) -> anyhow::Result<State> {
        if let Some(state) = self.states.borrow().get(&stage.key) {
            return Ok(state.clone());
        }
        let state = stage.folder(self.store).state(Depth::Reported)?;
        self.states.borrow_mut().insert(stage.key.clone(), state.clone());
        Ok(state)
    }

    /// Says which files of a stage are damaged, and what to do about it; none where all are whole.
    fn damage(&self, stage: &Stage) -> anyhow::Result<Option<String>> {
        let State::Corrupt(damages) = self.state(stage)? else { return Ok(None) };
        let files: Vec<&str> = damages.iter().map(|damage| damage.file.as_str()).collect();
        let files = files.join(", ");
        Ok(Some(format!("stored files are damaged and not used: {files}; `tutelage run` makes them again")))
    }

    fn done(&self) -> anyhow::Result<Vec<&Stage>> {
        let mut done = Vec::new();
        for stage in &self.plan.stages {
            if self.output(&stage.key)?.is_some() {
                done.push(stage);
            }
        }
        Ok(done)
    }
}

/// Returns what a stage works on, without its seed.
fn label(stage: &Stage) -> String {
    match stage.seed {
        Some(seed) => stage.label.trim_end_matches(&format!(" seed {seed}")).to_owned(),
        None => stage.label.clone(),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("`{}` is damaged\nhint: `tutelage run` verifies every file and redoes what is damaged", path.display())
    })
}
