//! From finished stages to what a report reads: records and a study.
//!
//! Reads the store only, so that a report can be made again at any time, also of an unfinished
//! run. Everything is in the order of the plan: the same store gives the same bytes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use tutelage_metrics::energy::{Account, Component, Joules, State as EnergyState};
use tutelage_metrics::metric::MetricName;
use tutelage_reports::record::Record;
use tutelage_reports::study::{
    self, Arm, Check, Curve, Factor, Model, Outcome, Role, STUDY_FORMAT, SideBySide, StageEnergy, Study,
};

use super::environment::{Attempts, Environment};
use super::event::{self, Event};
use super::execute::Lost;
use super::failure::Failure;
use super::generation::Generation;
use super::manifest::Depth;
use super::plan::{Plan, Trial};
use super::power;
use super::prepare;
use super::readiness::{self, Dev};
use super::rows;
use super::score::{self, Value};
use super::sources;
use super::stage::{Stage, StageKind};
use super::store::{State, Store};
use super::trained::Trained;
use crate::data::{Example, SplitName};
use crate::experiment::settings::{self, Experiment, Retrain};
use crate::experiment::{Checked, FACTORS, Key, Part, resolve};
use crate::models::config::Config;

/// How [`Collecting::examples`] chooses.
const EXAMPLES_CHOSEN: &str = "The questions stand at equal distances in the order of the test split, answers are those of the first seed; nobody picked them.";

/// Gathers records and study of an experiment from a store.
///
/// # Errors
/// Outputs of finished stages that cannot be read.
pub fn collect(checked: &Checked, plan: &Plan, store: &Store) -> anyhow::Result<(Study, Vec<Record>)> {
    let collecting = Collecting { checked, plan, store, states: RefCell::default() };
    let groups = collecting.groups(SplitName::Test)?;
    let mut records = Vec::new();
    let mut metrics: Vec<study::Metric> = Vec::new();
    for trial in &plan.trials {
        let Some(output) = collecting.output(&trial.score)? else { continue };
        if metrics.is_empty() {
            metrics = score::read_metrics(&output)?;
        }
        let values = score::read_values(&output, SplitName::Test)?.unwrap_or_default();
        records.extend(values.into_iter().filter_map(|value| record(trial, value, &metrics, &groups)));
    }
    for metric in &mut metrics {
        metric.source =
            metric.name.parse().map_or_else(|_| String::new(), |name: MetricName| name.metric().citation.to_owned());
    }
    let (environment, provenance) = collecting.environment_and_keys()?;
    let study = Study {
        format: STUDY_FORMAT,
        name: plan.name.clone(),
        question: checked.experiment.question.clone(),
        reproduces: checked.experiment.reproduces.clone(),
        factors: factors(&checked.experiment),
        arms: collecting.arms()?,
        seeds: checked.experiment.seeds.clone(),
        retrained: retrained(&checked.experiment),
        baseline: baseline(checked),
        hypotheses: hypotheses(&checked.experiment),
        alpha: checked.experiment.alpha,
        unit: collecting.unit()?,
        metrics,
        models: collecting.models()?,
        data: collecting.data()?,
        training: collecting.training()?,
        methods: sources::methods(&checked.experiment),
        curves: collecting.curves()?,
        energy: collecting.energy()?,
        energy_model: power::model(&checked.experiment.energy),
        checks: collecting.checks()?,
        examples: collecting.examples()?,
        examples_chosen: EXAMPLES_CHOSEN.to_owned(),
        warnings: collecting.warnings()?,
        assumptions: checked.experiment.assumptions.clone(),
        environment,
        provenance,
        resolved: resolve(&checked.experiment)?,
    };
    Ok((study, records))
}

fn record(trial: &Trial, value: Value, metrics: &[study::Metric], groups: &BTreeMap<String, String>) -> Option<Record> {
    let metric = metrics.iter().find(|metric| metric.name == value.metric)?;
    Some(Record {
        arm: trial.arm.clone(),
        seed: trial.seed,
        group: groups.get(&value.id).cloned().unwrap_or_default(),
        example: value.id,
        metric: value.metric,
        value: value.value,
        unit: metric.unit.clone(),
        direction: metric.direction,
        counts: value.counts,
    })
}

fn factors(experiment: &Experiment) -> Vec<Factor> {
    let factor = |name: &str| {
        let levels = experiment.factors.levels(name)?.into_iter().map(str::to_owned).collect();
        Some(Factor { name: name.to_owned(), levels })
    };
    FACTORS.iter().filter_map(|name| factor(name)).collect()
}

fn baseline(checked: &Checked) -> Option<String> {
    let levels = &checked.experiment.baseline;
    if levels.is_empty() {
        return None;
    }
    let arm = checked.arms.iter().find(|arm| arm.matches(levels)).map(|arm| arm.name.clone());
    let control =
        || checked.controls.iter().find(|control| control.matches(levels)).map(|control| control.name.clone());
    arm.or_else(control)
}

/// Says what each seed trains anew; what the experiment does not train at all is not named.
fn retrained(experiment: &Experiment) -> String {
    let is_scratch = |model: &settings::Model| matches!(model, settings::Model::Scratch(_));
    let any_scratch = experiment.models.values().any(is_scratch);
    let teaches = experiment.factors.sft.iter().any(|level| level.tunes_teacher())
        || experiment.factors.teacher.iter().any(|teacher| experiment.models.get(teacher).is_some_and(is_scratch));
    match (experiment.retrain, teaches, any_scratch) {
        (Retrain::Students, ..) | (Retrain::All, false, false) => "students",
        (Retrain::All, true, false) => "students and teachers",
        (Retrain::All, false, true) => "students and pretrained models",
        (Retrain::All, true, true) => "students, teachers and pretrained models",
    }
    .to_owned()
}

fn hypotheses(experiment: &Experiment) -> Vec<study::Hypothesis> {
    let convert = |hypothesis: &settings::Hypothesis| study::Hypothesis {
        name: hypothesis.name.clone(),
        factor: hypothesis.contrast.factor.clone(),
        better: hypothesis.contrast.better.clone(),
        worse: hypothesis.contrast.worse.clone(),
        within: hypothesis.contrast.within.clone(),
        metrics: hypothesis.metrics.clone(),
    };
    experiment.hypotheses.iter().map(convert).collect()
}

struct Collecting<'a> {
    checked: &'a Checked,
    plan: &'a Plan,
    store: &'a Store,
    /// States that were asked for: every file is verified once.
    states: RefCell<BTreeMap<Key, State>>,
}

impl Collecting<'_> {
    /// Returns the output folder of a stage if it is done.
    fn output(&self, key: &Key) -> anyhow::Result<Option<std::path::PathBuf>> {
        let Some(stage) = self.plan.stage(key) else { return Ok(None) };
        let done = self.state(stage)? == State::Done;
        Ok(done.then(|| self.store.folder_of(stage).output()))
    }

    /// Says how far a stage got. What is reported is verified by its checksum.
    fn state(&self, stage: &Stage) -> anyhow::Result<State> {
        if let Some(state) = self.states.borrow().get(&stage.key) {
            return Ok(state.clone());
        }
        let state = self.store.folder_of(stage).state(Depth::Reported)?;
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

    fn arms(&self) -> anyhow::Result<Vec<Arm>> {
        let mut arms = Vec::new();
        for arm in &self.checked.arms {
            arms.push(Arm {
                name: arm.name.clone(),
                role: Role::Cell,
                levels: arm.levels(),
                model: arm.student.clone(),
                control: arm.control.clone(),
                objective: self.objective(&arm.name)?,
                outcome: self.outcome(&arm.name)?,
            });
        }
        for control in &self.checked.controls {
            arms.push(Arm {
                name: control.name.clone(),
                role: Role::Control,
                levels: control.levels(),
                model: control.student.clone(),
                control: None,
                objective: None,
                outcome: self.outcome(&control.name)?,
            });
        }
        for reference in &self.checked.references {
            arms.push(Arm {
                name: reference.name.clone(),
                role: Role::Reference,
                levels: BTreeMap::new(),
                model: reference.model.clone(),
                control: None,
                objective: None,
                outcome: self.outcome(&reference.name)?,
            });
        }
        Ok(arms)
    }

    /// Returns the form in which an arm's objective ran, as its stages recorded it; none before one did.
    fn objective(&self, arm: &str) -> anyhow::Result<Option<String>> {
        for trial in self.plan.trials.iter().filter(|trial| trial.arm == arm) {
            let answers = self.plan.stage(&trial.generate);
            let distilled =
                answers.and_then(|stage| self.plan.reads(stage).find(|read| read.kind == StageKind::Distill));
            let Some(stage) = distilled else { continue };
            if self.output(&stage.key)?.is_none() {
                continue;
            }
            let events = event::read(&self.store.folder_of(stage).events_jsonl())?;
            let mut forms = events.into_iter().filter_map(|event| match event {
                Event::Objective { form } => Some(form),
                _ => None,
            });
            if let Some(form) = forms.next_back() {
                return Ok(Some(form));
            }
        }
        Ok(None)
    }

    fn outcome(&self, arm: &str) -> anyhow::Result<Outcome> {
        let mut missing = false;
        for trial in self.plan.trials.iter().filter(|trial| trial.arm == arm) {
            if self.output(&trial.score)?.is_none() {
                missing = true;
                if let Some(reason) = self.failure_behind(&trial.score)? {
                    return Ok(Outcome::Failed { reason });
                }
            }
        }
        Ok(if missing { Outcome::Missing } else { Outcome::Done })
    }

    /// Finds the recorded failure of a stage or of anything it needs, or its damage.
    fn failure_behind(&self, key: &Key) -> anyhow::Result<Option<String>> {
        let Some(stage) = self.plan.stage(key) else { return Ok(None) };
        if self.state(stage)? == State::Done {
            return Ok(None);
        }
        if let Some(damage) = self.damage(stage)? {
            return Ok(Some(format!("{}: {damage}", stage.title())));
        }
        let file = self.store.folder_of(stage).failure_json();
        let failure = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Failure>(&bytes).ok());
        if let Some(failure) = failure {
            let reason = failure.reasons.join(": ").replace('\n', "; ");
            return Ok(Some(format!("{}: {reason}", failure.stage)));
        }
        for read in self.plan.reads(stage) {
            if let Some(reason) = self.failure_behind(&read.key)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Describes every model of the design whose weights are here.
    fn models(&self) -> anyhow::Result<Vec<Model>> {
        let mut models = Vec::new();
        for (name, model) in &self.checked.experiment.models {
            let (folder, origin) = match model {
                settings::Model::Checkpoint(checkpoint) => (super::hub::locate(checkpoint), checkpoint.clone()),
                settings::Model::Scratch(_) => {
                    let pretrain = |stage: &&Stage| stage.kind == StageKind::Pretrain && self.pretrains(stage, name);
                    let stage = self.plan.stages.iter().find(pretrain);
                    let folder = match stage {
                        Some(stage) => self.output(&stage.key)?,
                        None => None,
                    };
                    (folder, "trained from scratch".to_owned())
                }
            };
            let Some(folder) = folder else { continue };
            let config = Config::read(&folder)?;
            models.push(Model {
                name: name.clone(),
                architecture: format!("{:?}", config.architecture).to_lowercase(),
                parameters: config.parameters(),
                vocabulary: config.vocab_size.unsigned_abs(),
                vocabulary_id: super::model::tokenizer(&folder)?.vocabulary_id(),
                origin,
            });
        }
        Ok(models)
    }

    /// Says whether a stage trains the model of a name: two models of one shape are one stage.
    fn pretrains(&self, stage: &Stage, name: &str) -> bool {
        let super::job::Job::Pretrain(job) = &stage.job else { return false };
        match &self.checked.experiment.models[name] {
            settings::Model::Scratch(scratch) => {
                let tokenizers = &self.checked.experiment.tokenizers;
                let same_tokenizer = tokenizers.get(&job.model.tokenizer) == tokenizers.get(&scratch.tokenizer);
                let mut shape = scratch.clone();
                shape.tokenizer.clone_from(&job.model.tokenizer);
                same_tokenizer && shape == job.model
            }
            settings::Model::Checkpoint(_) => false,
        }
    }

    fn data(&self) -> anyhow::Result<Vec<study::Data>> {
        let mut sets = Vec::new();
        for stage in self.done()? {
            if !matches!(stage.job, super::job::Job::Data(_)) {
                continue;
            }
            let summary = prepare::read_summary(&self.store.folder_of(stage).output())?;
            let names = [SplitName::Train, SplitName::Dev, SplitName::Test].map(|split| split.to_string());
            sets.push(study::Data {
                name: stage.label.clone(),
                splits: names.into_iter().zip(summary.examples).collect(),
                skipped: summary.skipped.into_iter().collect(),
                facts: summary.facts,
                checksum: summary.checksum,
            });
        }
        Ok(sets)
    }

    fn curves(&self) -> anyhow::Result<Vec<Curve>> {
        let mut curves = Vec::new();
        for stage in self.done()? {
            if !matches!(stage.kind, StageKind::Pretrain | StageKind::Sft | StageKind::Distill) {
                continue;
            }
            let mut series: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
            for event in event::read(&self.store.folder_of(stage).events_jsonl())? {
                match event {
                    Event::Step(step) => {
                        for (name, value) in step.losses {
                            series.entry(name).or_default().push((step.step, value));
                        }
                    }
                    Event::Validation { step, loss } => {
                        series.entry("dev-loss".to_owned()).or_default().push((step, loss));
                    }
                    _ => {}
                }
            }
            let label = label(stage);
            curves.extend(series.into_iter().map(|(series, points)| Curve {
                stage: stage.kind.name().to_owned(),
                label: label.clone(),
                seed: stage.seed.unwrap_or_default(),
                series,
                points,
            }));
        }
        Ok(curves)
    }

    /// Says what was trained, with which settings, on how much.
    fn training(&self) -> anyhow::Result<Vec<study::Training>> {
        let mut trained = Trained::default();
        for stage in self.done()? {
            let folder = self.store.folder_of(stage);
            let label = label(stage);
            let is_control = self.checked.controls.iter().any(|control| control.name == label);
            trained.add(stage, &label, is_control, &event::read(&folder.events_jsonl())?, &folder.output());
        }
        Ok(trained.training())
    }

    fn energy(&self) -> anyhow::Result<Vec<StageEnergy>> {
        let mut entries = Vec::new();
        let entry = |stage: &Stage, component, joules, state: &str, method, seconds| StageEnergy {
            stage: stage.kind.name().to_owned(),
            label: stage.label.clone(),
            key: stage.key.to_string(),
            arms: stage.users.clone(),
            component: match component {
                Component::Cpu => "cpu",
                Component::Dram => "dram",
                Component::Gpu => "gpu",
            }
            .to_owned(),
            joules,
            cross_check_joules: None,
            state: state.to_owned(),
            method,
            seconds,
        };
        let mut components = BTreeSet::from([Component::Cpu]);
        for stage in self.done()? {
            let account: Account = read_json(&self.store.folder_of(stage).energy_json())?;
            components.extend(account.components.iter().map(|measured| measured.component));
            entries.extend(account.components.into_iter().map(|measured| {
                let state = match measured.state {
                    EnergyState::Measured => "measured",
                    EnergyState::Estimated => "estimated",
                    EnergyState::Unavailable => "unavailable",
                };
                let method = format!("{}: {}", measured.name, measured.method);
                let joules = measured.joules.map(|joules| joules.0);
                StageEnergy {
                    cross_check_joules: measured.cross_check_joules.map(|joules| joules.0),
                    ..entry(stage, measured.component, joules, state, method, measured.seconds)
                }
            }));
        }
        for stage in &self.plan.stages {
            let Some(damage) = self.damage(stage)? else { continue };
            // It took energy that is not known: a sum without it must say so.
            let unknown = |component: &Component| entry(stage, *component, None, "unavailable", damage.clone(), 0.0);
            entries.extend(components.iter().map(unknown));
        }
        Ok(entries)
    }

    /// Verifies on dev that fine-tuning taught each teacher something before it taught others.
    fn checks(&self) -> anyhow::Result<Vec<Check>> {
        let mut checks = Vec::new();
        let groups = self.groups(SplitName::Dev)?;
        let references = &self.checked.references;
        for tuned in references.iter().filter(|reference| reference.part == Part::Teacher && reference.sft) {
            let same = |other: &&crate::experiment::Reference| {
                other.part == tuned.part && other.model == tuned.model && !other.sft
            };
            let Some(base) = references.iter().find(same) else { continue };
            let ((before, _), (after, seeds)) = (self.dev(&base.name)?, self.dev(&tuned.name)?);
            checks.extend(readiness::checks(&tuned.model, &before, &after, seeds, &groups));
        }
        Ok(checks)
    }

    /// Returns what a reference model reached on dev, and at how many seeds.
    fn dev(&self, reference: &str) -> anyhow::Result<(Dev, usize)> {
        let (mut dev, mut seeds) = (Dev::default(), 0);
        for trial in self.plan.trials.iter().filter(|trial| trial.arm == reference) {
            let Some(output) = self.output(&trial.score)? else { continue };
            if let Some(values) = score::read_values(&output, SplitName::Dev)? {
                dev.add(values);
                seeds += 1;
            }
        }
        Ok((dev, seeds))
    }

    /// Reads a split of the data; none where it is not there or damaged.
    fn split(&self, name: SplitName) -> anyhow::Result<Option<Vec<Example>>> {
        let data = self.plan.stages.iter().find(|stage| matches!(stage.job, super::job::Job::Data(_)));
        let Some(data) = data else { return Ok(None) };
        self.output(&data.key)?.map(|folder| prepare::read_split(&folder, name)).transpose()
    }

    /// Says what the groups of the data are.
    fn unit(&self) -> anyhow::Result<study::Unit> {
        let data = self.plan.stages.iter().find(|stage| matches!(stage.job, super::job::Job::Data(_)));
        let Some(data) = data else { return Ok(study::Unit::default()) };
        let Some(folder) = self.output(&data.key)? else { return Ok(study::Unit::default()) };
        let summary: serde_json::Value = read_json(&folder.join("summary.json"))?;
        let name = summary.get("unit").and_then(|unit| unit.as_str());
        Ok(name.map_or_else(study::Unit::default, |name| study::Unit { name: name.to_owned() }))
    }

    /// Says which group each example of a split belongs to. Nothing where the data is not there: all examples
    /// are of one group then, so that nothing is tested as if they were independent.
    fn groups(&self, name: SplitName) -> anyhow::Result<BTreeMap<String, String>> {
        let examples = self.split(name)?.unwrap_or_default();
        Ok(examples.into_iter().map(|example| (example.id, example.group)).collect())
    }

    /// Sets the answers of all arms at the first seed side by side, for questions spread evenly
    /// over the test split.
    fn examples(&self) -> anyhow::Result<Vec<SideBySide>> {
        let show = self.checked.experiment.evaluation.show;
        let Some(mut test) = self.split(SplitName::Test)? else { return Ok(Vec::new()) };
        let mut answers: Vec<(&str, BTreeMap<String, String>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for trial in &self.plan.trials {
            let Some(output) = self.output(&trial.generate)? else { continue };
            if seen.insert(trial.arm.as_str()) {
                let rows: Vec<Generation> = rows::read(&output.join("test.jsonl"))?;
                answers.push((&trial.arm, rows.into_iter().map(|row| (row.id, row.answer)).collect()));
            }
        }
        test.retain(|example| answers.iter().any(|(_, answers)| answers.contains_key(&example.id)));
        let count = show.min(test.len());
        let pick = |position: usize| {
            let example = &test[position * test.len() / count];
            let of = |(arm, answers): &(&str, BTreeMap<String, String>)| {
                Some(((*arm).to_owned(), answers.get(&example.id)?.clone()))
            };
            SideBySide {
                id: example.id.clone(),
                question: example.question.clone(),
                references: example.references.clone(),
                answers: answers.iter().filter_map(of).collect(),
            }
        };
        Ok((0..count).map(pick).collect())
    }

    fn warnings(&self) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        for stage in &self.plan.stages {
            notes.extend(self.damage(stage)?.map(|damage| (stage.title(), damage)));
        }
        for stage in self.done()? {
            for event in event::read(&self.store.folder_of(stage).events_jsonl())? {
                if let Event::Note { text } = event {
                    notes.push((stage.title(), text));
                }
            }
            let lost = Lost::read(&self.store.folder_of(stage)).joules;
            if lost > Joules(0.0) {
                let hours = 1000.0 * lost.kilowatt_hours();
                let text =
                    format!("attempts that failed or were stopped took {hours:.3} Wh more, which is in no table");
                notes.push((stage.title(), text));
            }
        }
        Ok(self.checked.notes.iter().cloned().chain(merged(notes)).collect())
    }

    /// Lists code and machines of all stages, and the keys of data, models and tokenizers.
    fn environment_and_keys(&self) -> anyhow::Result<(Facts, Facts)> {
        let mut facts: Vec<(&str, BTreeSet<String>)> = Vec::new();
        let mut keys = Vec::new();
        for stage in self.done()? {
            let file = self.store.folder_of(stage).environment_json();
            let attempts = Attempts::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            for (name, value) in attempts.used().iter().flat_map(Environment::facts) {
                match facts.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, values)) => drop(values.insert(value)),
                    None => facts.push((name, BTreeSet::from([value]))),
                }
            }
            if matches!(stage.kind, StageKind::Prepare | StageKind::Pretrain) {
                keys.push((stage.title(), stage.key.to_string()));
            }
        }
        let joined = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join("; ");
        Ok((facts.into_iter().map(|(name, values)| (name.to_owned(), joined(values))).collect(), keys))
    }
}

/// Names and values.
type Facts = Vec<(String, String)>;

/// Returns what a stage works on, without its seed.
fn label(stage: &Stage) -> String {
    match stage.seed {
        Some(seed) => stage.label.trim_end_matches(&format!(" seed {seed}")).to_owned(),
        None => stage.label.clone(),
    }
}

/// Merges what several stages noted in the same words, in the order of the first.
fn merged(notes: Vec<(String, String)>) -> Vec<String> {
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    for (title, text) in notes {
        match texts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, titles)) => titles.push(title),
            None => texts.push((text, vec![title])),
        }
    }
    let line = |(text, titles): (String, Vec<String>)| match &titles[1..] {
        [] => format!("{}: {text}", titles[0]),
        [_] => format!("{} and another stage: {text}", titles[0]),
        others => format!("{} and {} other stages: {text}", titles[0], others.len()),
    };
    texts.into_iter().map(line).collect()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("`{}` is damaged\nhint: `tutelage run` verifies every file and redoes what is damaged", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Compute;
    use crate::experiment::settings::GroupBy;
    use crate::files;
    use crate::orchestrate::environment::Environment;
    use crate::orchestrate::event::Step;
    use crate::orchestrate::execute::{Execution, Inputs, Listener, News, Worker};
    use crate::orchestrate::job::Job;
    use crate::orchestrate::plan::tests::{checked, planned};
    use crate::orchestrate::report::report;
    use crate::orchestrate::rows;
    use crate::orchestrate::stop::StopFlag;
    use crate::orchestrate::store::StageFolder;
    use crate::orchestrate::worker::Engine;

    /// Prepares and scores for real; models are their `config.json` and answer by rule.
    struct WithoutModels;

    impl Worker for WithoutModels {
        fn run(
            &self,
            stage: &Stage,
            inputs: &Inputs,
            folder: &StageFolder,
            events: &mut dyn FnMut(Event),
            stop: &StopFlag,
        ) -> anyhow::Result<()> {
            let output = folder.output();
            match &stage.job {
                Job::Pretrain(job) => {
                    let config = Config::scratch(&job.model, 300, 1);
                    let tokenizer = crate::orchestrate::model::tokenizer(inputs.get("tokenizer")?)?;
                    tokenizer.save(&output)?;
                    Ok(files::write_json(&output.join("config.json"), &config.to_json())?)
                }
                Job::Sft(_) | Job::Distill(_) => {
                    if stage.kind == StageKind::Distill {
                        events(Event::Objective { form: "DSKD, one vocabulary".to_owned() });
                    }
                    let losses = BTreeMap::from([("loss".to_owned(), 1.5)]);
                    events(Event::Step(Step { step: 1, steps: 1, losses, ..Step::default() }));
                    events(Event::Validation { step: 1, loss: 1.25 });
                    Ok(())
                }
                Job::Capture(_) => Ok(()),
                Job::Generate(job) => {
                    anyhow::ensure!(!stage.label.starts_with("none/dskd"), "the loss is not finite");
                    for split in [SplitName::Test, SplitName::Dev] {
                        if split == SplitName::Test || job.dev {
                            let examples = prepare::read_split(inputs.get("data")?, split)?;
                            let tuned = stage.label.contains("(sft)") || stage.label.starts_with("both");
                            let answers: Vec<Generation> =
                                examples.iter().enumerate().map(|(n, example)| answer(n, example, tuned)).collect();
                            rows::write(&output.join(format!("{split}.jsonl")), &answers)?;
                        }
                    }
                    Ok(())
                }
                _ => Engine { compute: Compute::reference() }.run(stage, inputs, folder, events, stop),
            }
        }
    }

    fn answer(position: usize, example: &Example, tuned: bool) -> Generation {
        let right = tuned || position.is_multiple_of(3);
        Generation {
            id: example.id.clone(),
            answer: if right { example.answer.clone() } else { "unknown".to_owned() },
            new_tokens: 4,
            nll: Some(if tuned { 1.0 } else { 2.0 }),
            response_tokens: 4,
            response_bytes: example.answer.len() as u64,
        }
    }

    struct Deaf;

    impl Listener for Deaf {
        fn hear(&mut self, _stage: &Stage, _news: &News<'_>) {}
    }

    #[test]
    fn the_same_note_of_several_stages_is_one_warning() {
        let note = |title: &str, text: &str| (title.to_owned(), text.to_owned());
        let notes = vec![note("sft a", "2 prompts cut"), note("sft b", "none"), note("generate a", "2 prompts cut")];
        assert_eq!(merged(notes), ["sft a and another stage: 2 prompts cut", "sft b: none"]);
    }

    #[test]
    fn what_a_seed_retrains_is_told() {
        let told = |edit: fn(&mut Experiment)| retrained(&checked(edit).experiment);
        assert_eq!(told(|_| ()), "students");
        let all = |experiment: &mut Experiment| experiment.retrain = Retrain::All;
        assert_eq!(told(all), "students, teachers and pretrained models");
        let downloaded = |experiment: &mut Experiment| {
            experiment.retrain = Retrain::All;
            for model in experiment.models.values_mut() {
                *model = settings::Model::Checkpoint("hf:org/name".to_owned());
            }
        };
        assert_eq!(told(downloaded), "students and teachers");
        let untaught = |experiment: &mut Experiment| {
            for model in experiment.models.values_mut() {
                *model = settings::Model::Checkpoint("hf:org/name".to_owned());
            }
            experiment.factors.sft = vec![settings::SftLevel::Student];
            experiment.retrain = Retrain::All;
        };
        assert_eq!(told(untaught), "students");
    }

    #[test]
    fn a_run_becomes_records_a_study_and_a_report() {
        let edit = |experiment: &mut Experiment| {
            // Nine terms, each in all splits: of one or two nothing could be verified.
            experiment.data.values_mut().for_each(|data| {
                data.limit = Some(400);
                data.split.group_by = GroupBy::Given;
            });
            experiment.evaluation.metrics = ["token-f1", "nll"].map(str::to_owned).to_vec();
            experiment.energy.grid_kg_co2e_per_kwh = Some(0.4);
        };
        let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
        let store = Store::open(folder.path()).unwrap();
        // Another process writes a report, and ends as soon as this one is told.
        let mut elsewhere = Some(store.lock_experiment(&plan.name, || ()).unwrap());
        assert_eq!(report(&checked, &plan, &store, || elsewhere = None).unwrap(), None);
        assert!(elsewhere.is_none());
        let mut execution = Execution {
            store: &store,
            worker: &WithoutModels,
            environment: &Environment::of(Compute::reference()),
            sources: &Vec::new,
            stop: &StopFlag::default(),
            depth: Depth::Changes,
            listener: &mut Deaf,
        };
        let summary = execution.run(&plan);
        assert_eq!(summary.failures.len(), 2, "{:?}", summary.failures);

        let (study, records) = collect(&checked, &plan, &store).unwrap();
        let examples = study.data[0].splits[2].1 as usize;
        assert_eq!(records.len(), (plan.trials.len() - 2) * 2 * examples);
        let groups: BTreeSet<&str> = records.iter().map(|record| record.group.as_str()).collect();
        assert!(groups.len() == 9 && records.iter().all(|record| record.example.starts_with(&record.group)));
        let arm = |name: &str| study.arms.iter().find(|arm| arm.name == name).unwrap();
        assert_eq!(arm("both/kd").outcome, Outcome::Done);
        assert_eq!(arm("both/kd").objective.as_deref(), Some("DSKD, one vocabulary"));
        assert_eq!(study.models[0].vocabulary_id, study.models[1].vocabulary_id);
        assert_eq!(study.models[0].vocabulary_id.len(), 64);
        let Outcome::Failed { reason } = &arm("none/dskd").outcome else { panic!("none/dskd failed") };
        assert_eq!(reason, "generate none/dskd seed 10: the loss is not finite");
        assert_eq!(study.energy_model.grid_kg_co2e_per_kwh, Some(0.4));
        assert_eq!(study.models.len(), 2);
        assert_eq!(study.checks.len(), 2);
        assert!(study.checks.iter().all(|check| check.passed), "{:?}", study.checks);
        assert_eq!(
            study.checks[0].evidence,
            "2.000 to 1.000 nats per token; 95 % interval of the difference \u{2212}1.000 to \u{2212}1.000, 50 questions in 9 groups, 1 seed"
        );
        let trained: Vec<(&str, usize)> =
            study.training.iter().map(|training| (training.stage.as_str(), training.labels.len())).collect();
        assert_eq!(trained, [("pretrain", 2), ("sft", 2), ("distill", 8)]);
        assert_eq!(study.training[2].seeds, [10, 20]);
        assert!(study.training[1].settings.contains(&("trained weights".to_owned(), "all".to_owned())));
        assert!(study.metrics.iter().all(|metric| !metric.source.is_empty()));
        assert!(study.environment.iter().any(|(name, value)| name == "code" && value.starts_with("Tutelage ")));
        assert!(study.provenance.iter().any(|(name, _)| name == "pretrain big"), "{:?}", study.provenance);
        // The tuned teacher, and students at two seeds; 16 trials; each a loss and a dev loss.
        assert_eq!(study.curves.len(), (1 + 2 + 16) * 2);
        assert_eq!(study.examples.len(), 5);
        assert_eq!(collect(&checked, &plan, &store).unwrap(), (study, records));

        let first = report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored");
        assert!(first.renewed && first.document.exists());
        let again = report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored");
        assert!(!again.renewed);
        // As if the report's own code had changed since.
        let seal_file = store.experiment(&plan.name).join("report.json");
        let mut seal: serde_json::Value = serde_json::from_slice(&std::fs::read(&seal_file).unwrap()).unwrap();
        seal["look"] = 0.into();
        files::write_json(&seal_file, &seal).unwrap();
        assert!(report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored").renewed);

        // A flipped byte in an answer's score is not reported, but told.
        let trial = plan.trials.iter().find(|trial| trial.arm == "both/kd").unwrap();
        let scores = store.folder_of(plan.stage(&trial.score).unwrap()).output().join("test.jsonl");
        let mut bytes = std::fs::read(&scores).unwrap();
        bytes[0] ^= 1;
        files::write(&scores, &bytes).unwrap();
        let (study, records) = collect(&checked, &plan, &store).unwrap();
        assert!(!records.iter().any(|record| record.arm == "both/kd" && record.seed == trial.seed));
        let damaged = study.arms.iter().find(|arm| arm.name == "both/kd").unwrap();
        let Outcome::Failed { reason } = &damaged.outcome else { panic!("the damage went unnoticed") };
        assert!(reason.contains("output/test.jsonl") && reason.contains("`tutelage run`"), "{reason}");

        // Nor are the energy and the losses of a stage whose files are damaged; others stay.
        let before = study;
        let stage = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
        let (tuned, distilled) = (stage("sft big seed 10"), stage("distill both/dskd seed 20"));
        for file in [store.folder_of(tuned).energy_json(), store.folder_of(distilled).events_jsonl()] {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[0] ^= 1;
            files::write(&file, &bytes).unwrap();
        }
        let lost = store.folder_of(stage("pretrain big")).lost_json();
        files::write_json(&lost, &Lost { joules: Joules(7.2) }).unwrap();
        let (study, after) = collect(&checked, &plan, &store).unwrap();
        assert_eq!(after, records);
        assert_eq!(study.curves.len(), before.curves.len() - 4);
        for (stage, file) in [(tuned, "energy.json"), (distilled, "events.jsonl")] {
            let told = |text: &&String| text.starts_with(&stage.title()) && text.contains(file);
            assert!(study.warnings.iter().any(|text| told(&text)), "{:?}", study.warnings);
            let energy: Vec<_> = study.energy.iter().filter(|energy| energy.key == stage.key.as_str()).collect();
            assert_eq!(energy.iter().map(|energy| energy.joules).collect::<Vec<_>>(), [None]);
        }
        let told = "pretrain big: attempts that failed or were stopped took 0.002 Wh more, which is in no table";
        assert!(study.warnings.iter().any(|text| text == told), "{:?}", study.warnings);
    }
}
