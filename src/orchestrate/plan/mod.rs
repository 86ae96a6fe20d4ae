//! Turns a checked experiment into a graph of stages.
//!
//! Stages are keyed by content: whatever two arms need alike is one stage, across experiments too.
//! The graph is in order: each stage comes after everything it reads, the models that students start
//! from before all others, references before arms, and the first seed of every arm before the second
//! of any.

mod course;
mod evaluation;
pub mod hub;
pub mod recorded;
pub mod schedule;
pub mod stage;
pub mod standing;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use self::stage::{Input, Source, Stage};
use crate::data::embedded;
use crate::device::Precision;
use crate::experiment::settings::{Data, Experiment, Model, Retrain, TokenizerSource};
use crate::experiment::{Checked, Course, Key, Need, Part, Reference, identity, meant};
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::data::DataJob;
use crate::orchestrate::stages::tokenizer::TokenizerJob;

/// Holds the stages of one experiment and the trials that they serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the experiment.
    pub name: String,
    /// The stages, each after everything it reads.
    pub stages: Vec<Stage>,
    /// What is scored: by seed the arms and then the controls, after all of them the references.
    pub trials: Vec<Trial>,
}

/// One arm or reference model at one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Name of the arm or reference model.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// What it was asked, in the order of the evaluation sets.
    pub sets: Vec<Asked>,
}

/// What a trial does on one evaluation set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Name of the set; none of the only one of an experiment that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The stage that asks: one of `generate`, `choose`, `read`.
    pub answers: Key,
    /// The stage that scores.
    pub score: Key,
}

/// Says what a plan depends on beside the experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Number format that this machine computes in.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    pub threads: Option<usize>,
    /// The sentence-embedding model that is used where the experiment names none.
    pub embedding_model: Option<PathBuf>,
    /// Content of checkpoints by name, as another machine had them: for those that are not here.
    pub elsewhere: BTreeMap<String, Key>,
}

/// Plans an experiment.
///
/// # Errors
/// Source files or checkpoints that cannot be read.
pub fn plan(checked: &Checked, site: &Site) -> anyhow::Result<Plan> {
    let mut planning = Planning {
        study: &checked.experiment,
        tunes: checked.tunes(),
        site,
        stages: Vec::new(),
        known: BTreeSet::new(),
        sources: BTreeMap::new(),
    };
    // Every arm waits for its student: where several stages run at a time it must not come last.
    for reference in checked.references.iter().filter(|reference| reference.part == Part::Student) {
        for seed in planning.seeds_of(reference) {
            planning.base(&reference.settings, &reference.course.model, seed)?;
        }
    }
    let mut trials = Vec::new();
    for reference in &checked.references {
        for seed in planning.seeds_of(reference) {
            trials.push(planning.reference(reference, seed)?);
        }
    }
    let mut arms = Vec::new();
    for &seed in &checked.experiment.seeds {
        for arm in checked.arms.iter().chain(&checked.controls) {
            arms.push(planning.arm(arm, seed)?);
        }
    }
    let mut stages = planning.stages;
    assign_users(&mut stages, &arms, &trials);
    tell_apart(&mut stages);
    arms.append(&mut trials);
    Ok(Plan { name: checked.name.clone(), stages, trials: arms })
}

impl Plan {
    /// Returns the stage with a key.
    #[must_use]
    pub fn stage(&self, key: &Key) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.key == *key)
    }

    /// Returns the number format of the stages that compute.
    #[must_use]
    pub fn precision(&self) -> Option<Precision> {
        self.stages.iter().find_map(|stage| stage.job.work().precision())
    }

    /// Returns the CPU threads of the stages that compute; none on a GPU.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        self.stages.iter().find_map(|stage| stage.job.work().threads())
    }

    /// Returns the stages that a stage reads.
    pub fn reads<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = &'a Stage> {
        stage.inputs.iter().filter_map(|input| match &input.source {
            Source::Stage { key, .. } => self.stage(key),
            Source::External { .. } => None,
        })
    }
}

fn input(name: &str, source: Source) -> Input {
    Input { name: name.to_owned(), source }
}

struct Planning<'a> {
    /// What is the same for all arms: seeds, and what they train anew.
    study: &'a Experiment,
    /// Whether anything is fine-tuned in the design.
    tunes: bool,
    site: &'a Site,
    stages: Vec<Stage>,
    known: BTreeSet<Key>,
    /// External inputs, so that each is hashed once.
    sources: BTreeMap<String, Source>,
}

impl Planning<'_> {
    fn first_seed(&self) -> u64 {
        self.study.seeds.first().copied().unwrap_or_default()
    }

    /// Returns the seed of teachers and pretrained models in trials of `seed`: unless they are retrained,
    /// one set of weights serves all trials, as a checkpoint would, and its seed is the first.
    fn shared_seed(&self, seed: u64) -> u64 {
        match self.study.retrain {
            Retrain::Students => self.first_seed(),
            Retrain::All => seed,
        }
    }

    /// Names something that is made from teachers or pretrained models, unique among all seeds.
    fn shared_label(&self, label: String, seed: u64) -> String {
        match self.study.retrain {
            Retrain::Students => label,
            Retrain::All => format!("{label} seed {seed}"),
        }
    }

    /// Says whether the weights of a model depend on the seed, as the experiment retrains them.
    fn is_retrained(&self, settings: &Experiment, course: &Course, part: Part) -> bool {
        let is_scratch = matches!(settings.models[&course.model], Model::Scratch(_));
        let is_trained = !course.lessons.is_empty();
        match self.study.retrain {
            Retrain::Students => part == Part::Student && is_trained,
            Retrain::All => is_trained || is_scratch,
        }
    }

    fn seeds_of(&self, reference: &Reference) -> Vec<u64> {
        match self.is_retrained(&reference.settings, &reference.course, reference.part) {
            true => self.study.seeds.clone(),
            false => vec![self.first_seed()],
        }
    }

    /// Plans the import of a data set, and returns its settings, too.
    fn data(&mut self, settings: &Experiment, name: &str) -> anyhow::Result<(Data, Source)> {
        let data = settings.data.get(name).with_context(|| format!("no data set is named `{name}`"))?;
        let inputs = match &data.path {
            Some(path) => vec![input("source", self.source(path)?)],
            None => Vec::new(),
        };
        let job = DataJob { data: data.clone(), embedded: embedded(data.importer) };
        let source = self.add(name, job, inputs, None)?;
        Ok((data.clone(), source))
    }

    /// Returns the data set that texts come from, where `named` is none the only one there is.
    fn texts_of<'e>(settings: &'e Experiment, named: Option<&'e str>) -> anyhow::Result<&'e str> {
        let several = |names: Vec<&str>| anyhow::anyhow!("several data sets have texts: {}", names.join(", "));
        meant(settings, named, Need::Texts).map_err(several)
    }

    fn tokenizer(&mut self, settings: &Experiment, name: &str) -> anyhow::Result<Source> {
        let tokenizer = settings.tokenizers[name].clone();
        let inputs = match &tokenizer {
            TokenizerSource::File { path } => {
                // Files beside `tokenizer.json` name its special tokens.
                let is_file = path.is_file();
                let folder = path.parent().filter(|_| is_file).unwrap_or(path);
                vec![input("source", self.tokenizer_folder(folder)?)]
            }
            TokenizerSource::ByteLevelBpe { data, .. } | TokenizerSource::Unigram { data, .. } => {
                let name = Self::texts_of(settings, data.as_deref())?;
                vec![input("data", self.data(settings, name)?.1)]
            }
        };
        let label = format!("tokenizer {name}");
        self.add(&label, TokenizerJob { tokenizer }, inputs, None)
    }

    /// Describes the source of a data set.
    fn source(&mut self, path: &Path) -> anyhow::Result<Source> {
        let name = path.display().to_string();
        if let Some(source) = self.sources.get(&name) {
            return Ok(source.clone());
        }
        let source = hub::data(path).with_context(|| format!("cannot read `{name}`"))?;
        self.sources.insert(name, source.clone());
        Ok(source)
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<Source> {
        let name = path.display().to_string();
        if let Some(source) = self.sources.get(&name) {
            return Ok(source.clone());
        }
        let source = hub::file(path).with_context(|| format!("cannot read `{name}`"))?;
        self.sources.insert(name, source.clone());
        Ok(source)
    }

    fn tokenizer_folder(&mut self, folder: &Path) -> anyhow::Result<Source> {
        let name = format!("tokenizer in {}", folder.display());
        if let Some(source) = self.sources.get(&name) {
            return Ok(source.clone());
        }
        let mut source = hub::tokenizer(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        self.know(&mut source);
        self.sources.insert(name, source.clone());
        Ok(source)
    }

    /// Gives something that is not here the content that it had on another machine, where that is known.
    fn know(&self, source: &mut Source) {
        if let Source::External { path: None, origin, key, .. } = source
            && let Some(known) = self.site.elsewhere.get(origin)
        {
            key.clone_from(known);
        }
    }

    /// Adds a stage unless it is there already, and returns its output.
    fn add(
        &mut self,
        label: &str,
        job: impl Into<Job>,
        inputs: Vec<Input>,
        seed: Option<u64>,
    ) -> anyhow::Result<Source> {
        let job: Job = job.into();
        let kind = job.kind();
        // The names matter too: a model may be teacher or student.
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        let keys: Vec<Key> = inputs.iter().map(|input| input.source.key().clone()).collect();
        let (mut versions, version) = (job.versions_of_texts(), job.work().version());
        let key = match versions.is_empty() {
            true => identity(kind.name(), version, &(job.essential(), names), &keys)?,
            false => identity(kind.name(), version, &(job.essential(), names, &versions), &keys)?,
        };
        versions.insert("results".to_owned(), version);
        if self.known.insert(key.clone()) {
            self.stages.push(Stage {
                kind,
                label: label.to_owned(),
                key: key.clone(),
                job,
                versions,
                inputs,
                seed,
                users: Vec::new(),
            });
        }
        Ok(Source::Stage { kind, key })
    }
}

/// Names stages of one title after the first arm that needs each: a step of one name may have other settings
/// in other arms.
fn tell_apart(stages: &mut [Stage]) {
    let mut titles: BTreeMap<String, usize> = BTreeMap::new();
    for stage in stages.iter() {
        *titles.entry(stage.title()).or_default() += 1;
    }
    for stage in stages.iter_mut().filter(|stage| titles[&stage.title()] > 1) {
        let user = stage.users.first().map(String::as_str).unwrap_or_default();
        let seed = stage.seed.map_or(String::new(), |seed| format!(" seed {seed}"));
        let plain = stage.label.strip_suffix(&seed).unwrap_or(&stage.label);
        stage.label = format!("{plain} for {user}{seed}");
    }
}

/// Tells each stage which arms need it; stages that only references need, which references.
fn assign_users(stages: &mut [Stage], arms: &[Trial], references: &[Trial]) {
    let index: BTreeMap<Key, usize> =
        stages.iter().enumerate().map(|(position, stage)| (stage.key.clone(), position)).collect();
    for trials in [arms, references] {
        let free: Vec<bool> = stages.iter().map(|stage| stage.users.is_empty()).collect();
        for trial in trials {
            let mut open: Vec<usize> = trial.sets.iter().filter_map(|asked| index.get(&asked.score).copied()).collect();
            while let Some(position) = open.pop() {
                let stage = &mut stages[position];
                if free[position] && !stage.users.contains(&trial.arm) {
                    stage.users.push(trial.arm.clone());
                }
                let keys = stage.inputs.iter().map(|input| input.source.key());
                open.extend(keys.filter_map(|key| index.get(key)));
            }
        }
    }
}
