//! Turns a checked experiment into a graph of stages.
//!
//! Stages are keyed by content: whatever two arms need alike is one stage, across experiments too.
//! The graph is in order: each stage comes after everything it reads, the models that students start
//! from before all others, references before arms, and the first seed of every arm before the second
//! of any.

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
use tutelage_metrics::metric::{Family, MetricName};

use self::stage::{Input, Source, Stage};
use crate::data::import;
use crate::device::Precision;
use crate::experiment::settings::{Data, Evaluation, Experiment, Model, Retrain, TokenizerSource, Training, Tuning};
use crate::experiment::{Arm, Checked, Course, Key, Lesson, Part, Reference, Task, identity};
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::capture::CaptureJob;
use crate::orchestrate::stages::data::DataJob;
use crate::orchestrate::stages::distill::DistillJob;
use crate::orchestrate::stages::generate::GenerateJob;
use crate::orchestrate::stages::pretrain::PretrainJob;
use crate::orchestrate::stages::score::ScoreJob;
use crate::orchestrate::stages::sft::SftJob;
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
    /// The stage that answers.
    pub generate: Key,
    /// The stage that scores the answers.
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
        embedded: None,
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

/// A model as later stages read it: a model folder, and an adapter folder on top of it if it was
/// tuned by adapters.
#[derive(Clone)]
struct Weights {
    model: Source,
    adapter: Option<Source>,
}

impl Weights {
    /// Names the parts as inputs: `student` and `student-adapter`.
    fn inputs(&self, name: &str, adapter_name: &str) -> Vec<Input> {
        let mut inputs = vec![input(name, self.model.clone())];
        inputs.extend(self.adapter.clone().map(|adapter| input(adapter_name, adapter)));
        inputs
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
    /// Checksum of the embedded data, likewise.
    embedded: Option<String>,
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

    fn arm(&mut self, arm: &Arm, seed: u64) -> anyhow::Result<Trial> {
        let weights = self.learned(&arm.settings, &arm.course, Part::Student, Some(&arm.name), seed)?;
        // What nothing happens to in any arm is as sure on dev as a reference.
        let dev = arm.course.lessons.is_empty();
        self.answers(&arm.settings, &arm.name, &weights, self.lengths(&arm.settings, &arm.course), dev, seed)
    }

    fn reference(&mut self, reference: &Reference, seed: u64) -> anyhow::Result<Trial> {
        let Reference { name, part, course, settings } = reference;
        let weights = self.learned(settings, course, *part, None, seed)?;
        self.answers(settings, name, &weights, self.lengths(settings, course), true, seed)
    }

    /// Returns the training at whose lengths a model answers: that of its last step. A model that nothing was
    /// trained on answers as it would after fine-tuning; where nothing is fine-tuned, as the arms do.
    fn lengths<'c>(&self, settings: &'c Experiment, course: &'c Course) -> &'c Training {
        let plan = &settings.training;
        let untrained = if self.tunes { &plan.sft } else { &plan.distill };
        course.lessons.last().map_or(untrained, |lesson| &lesson.training)
    }

    /// Plans what happens to a model. What its last step leaves is labelled by `name`, if it has one of its
    /// own.
    fn learned(
        &mut self,
        settings: &Experiment,
        course: &Course,
        part: Part,
        name: Option<&str>,
        seed: u64,
    ) -> anyhow::Result<Weights> {
        let seed = match part {
            Part::Teacher => self.shared_seed(seed),
            Part::Student => seed,
        };
        let mut weights = Weights { model: self.base(settings, &course.model, seed)?, adapter: None };
        for (place, lesson) in course.lessons.iter().enumerate() {
            let label = match name {
                Some(name) if place + 1 == course.lessons.len() => name.to_owned(),
                _ => format!("{}{}", course.model, course.first(place).suffix()),
            };
            let tuned = self.step(settings, lesson, &weights, &format!("{label} seed {seed}"), seed)?;
            weights = tuned_by(&lesson.tuning, weights, tuned);
        }
        Ok(weights)
    }

    /// Plans one step of what happens to a model, and returns what it leaves.
    fn step(
        &mut self,
        settings: &Experiment,
        lesson: &Lesson,
        weights: &Weights,
        label: &str,
        seed: u64,
    ) -> anyhow::Result<Source> {
        let Lesson { tuning, training, task, .. } = lesson;
        let (_, data) = self.data(settings)?;
        let mut inputs = vec![input("data", data)];
        let (precision, threads) = (self.site.precision, self.site.threads);
        let (tuning, training, closed_book) = (tuning.clone(), training.clone(), closed_book(settings));
        let Task::Distill { teacher: Some(teacher), objective, algorithm: name } = task else {
            // An objective without a teacher is fine-tuning, too.
            inputs.extend(weights.inputs("model", "adapter"));
            let job = SftJob { tuning, training, closed_book, precision, threads, seed };
            return self.add(label, job, inputs, Some(seed));
        };
        let taught = self.learned(settings, teacher, Part::Teacher, None, seed)?;
        let capture = self.capture(settings, teacher, &taught, &training, seed)?;
        inputs.extend(weights.inputs("student", "student-adapter"));
        inputs.extend(taught.inputs("teacher", "teacher-adapter"));
        inputs.push(input("capture", capture));
        let algorithm = objective.clone().with_context(|| format!("nothing defines the algorithm `{name}`"))?;
        let job = DistillJob { algorithm, tuning, training, closed_book, precision, threads, seed };
        self.add(label, job, inputs, Some(seed))
    }

    /// Returns what a model starts from in trials of `seed`.
    fn base(&mut self, settings: &Experiment, model: &str, seed: u64) -> anyhow::Result<Source> {
        match &settings.models[model] {
            Model::Checkpoint(checkpoint) => {
                if let Some(source) = self.sources.get(checkpoint) {
                    return Ok(source.clone());
                }
                let mut source = hub::checkpoint(checkpoint).with_context(|| format!("cannot read `{checkpoint}`"))?;
                if let Source::External { path: None, key, .. } = &mut source
                    && let Some(known) = self.site.elsewhere.get(checkpoint)
                {
                    key.clone_from(known);
                }
                self.sources.insert(checkpoint.clone(), source.clone());
                Ok(source)
            }
            Model::Scratch(scratch) => {
                let (_, data) = self.data(settings)?;
                let tokenizer = self.tokenizer(settings, &scratch.tokenizer)?;
                let seed = self.shared_seed(seed);
                let job = PretrainJob {
                    model: scratch.clone(),
                    training: settings.training.pretrain.clone(),
                    precision: self.site.precision,
                    threads: self.site.threads,
                    seed,
                };
                let inputs = vec![input("data", data), input("tokenizer", tokenizer)];
                let label = self.shared_label(model.to_owned(), seed);
                self.add(&label, job, inputs, Some(seed))
            }
        }
    }

    fn data(&mut self, settings: &Experiment) -> anyhow::Result<(Data, Source)> {
        let (name, data) = settings.data.first_key_value().context("the experiment has no data")?;
        let (mut inputs, mut embedded) = (Vec::new(), None);
        match &data.path {
            Some(path) => inputs.push(input("source", self.file(path)?)),
            None => {
                if self.embedded.is_none() {
                    self.embedded = Some(import(data, Path::new(""))?.checksum);
                }
                embedded.clone_from(&self.embedded);
            }
        }
        let job = DataJob { data: data.clone(), embedded };
        let source = self.add(name, job, inputs, None)?;
        Ok((data.clone(), source))
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
            _ => vec![input("data", self.data(settings)?.1)],
        };
        let label = format!("tokenizer {name}");
        self.add(&label, TokenizerJob { tokenizer }, inputs, None)
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
        let source = hub::tokenizer(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        self.sources.insert(name, source.clone());
        Ok(source)
    }

    fn capture(
        &mut self,
        settings: &Experiment,
        teacher: &Course,
        weights: &Weights,
        training: &Training,
        seed: u64,
    ) -> anyhow::Result<Source> {
        let (_, data) = self.data(settings)?;
        let job = CaptureJob {
            max_length: training.max_length,
            max_prompt: training.max_prompt,
            closed_book: closed_book(settings),
            precision: self.site.precision,
            threads: self.site.threads,
            batch: training.batch,
        };
        let mut inputs = vec![input("data", data)];
        inputs.extend(weights.inputs("teacher", "teacher-adapter"));
        let mut label = format!("{}{}", teacher.model, teacher.suffix());
        if self.is_retrained(settings, teacher, Part::Teacher) {
            label = self.shared_label(label, seed);
        }
        self.add(&label, job, inputs, None)
    }

    /// Plans the answers of a model within the lengths that `training` gives its sequences.
    fn answers(
        &mut self,
        settings: &Experiment,
        name: &str,
        weights: &Weights,
        training: &Training,
        dev: bool,
        seed: u64,
    ) -> anyhow::Result<Trial> {
        let (_, data) = self.data(settings)?;
        let evaluation = &settings.evaluation;
        let job = GenerateJob {
            decoding: evaluation.decoding,
            max_new_tokens: evaluation.max_new_tokens,
            max_length: training.max_length,
            max_prompt: training.max_prompt,
            limit: evaluation.limit,
            dev,
            closed_book: closed_book(settings),
            precision: self.site.precision,
            threads: self.site.threads,
            seed,
            batch: evaluation.batch,
        };
        let mut inputs = vec![input("data", data.clone())];
        inputs.extend(weights.inputs("model", "adapter"));
        let label = format!("{name} seed {seed}");
        let generations = self.add(&label, job, inputs, Some(seed))?;
        let generate = generations.key().clone();
        let (job, embedding) = self.scoring(evaluation)?;
        let mut inputs = vec![input("data", data), input("generations", generations)];
        inputs.extend(embedding);
        let score = self.add(&label, job, inputs, None)?.key().clone();
        Ok(Trial { arm: name.to_owned(), seed, generate, score })
    }

    fn scoring(&mut self, evaluation: &Evaluation) -> anyhow::Result<(ScoreJob, Option<Input>)> {
        let mut metrics = Vec::new();
        let mut embeds = false;
        for name in &evaluation.metrics {
            let metric = name.parse::<MetricName>()?.metric();
            embeds |= metric.family == Family::Embedding;
            metrics.push((name.clone(), metric.version));
        }
        let named = evaluation.embedding_model.as_ref();
        let folder = named.or(self.site.embedding_model.as_ref()).filter(|_| embeds);
        let embedding = match folder {
            Some(folder) => Some(input("embedding-model", self.file(&folder.clone())?)),
            None => None,
        };
        let threads = self.site.threads.filter(|_| embeds);
        Ok((ScoreJob { metrics, threads }, embedding))
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

/// What training leaves is a model, or an adapter for the model it started from: one that was there
/// before goes on to be trained.
fn tuned_by(tuning: &Tuning, before: Weights, result: Source) -> Weights {
    match tuning {
        Tuning::Full {} => Weights { model: result, adapter: None },
        Tuning::Lora(_) => Weights { model: before.model, adapter: Some(result) },
    }
}

fn closed_book(settings: &Experiment) -> bool {
    settings.data.values().any(|data| data.closed_book)
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
            let mut open: Vec<usize> = index.get(&trial.score).copied().into_iter().collect();
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
