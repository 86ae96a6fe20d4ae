//! What happens to models as stages: from what they start from, step by step, to the weights that are asked.

use anyhow::Context;

use super::stage::{Input, Source};
use super::{Planning, hub, input};
use crate::experiment::settings::{Adapters, Experiment, Model, SplitName, Training, Tuning};
use crate::experiment::{Course, Lesson, LessonKind, Part};
use crate::orchestrate::stages::capture::CaptureJob;
use crate::orchestrate::stages::continual::ContinualJob;
use crate::orchestrate::stages::distill::DistillJob;
use crate::orchestrate::stages::encode::EncodeJob;
use crate::orchestrate::stages::merge::MergeJob;
use crate::orchestrate::stages::model::link;
use crate::orchestrate::stages::pretrain::PretrainJob;
use crate::orchestrate::stages::replay;
use crate::orchestrate::stages::sft::{Replay, SftJob};

/// A model as later stages read it: a model folder, and adapter folders on top of it, each on those before.
#[derive(Clone)]
pub(super) struct Weights {
    model: Source,
    adapters: Vec<Source>,
}

impl Weights {
    /// Names the parts as inputs: `student`, `student-adapter`, `student-adapter-2`, ...
    pub(super) fn inputs(&self, name: &str, adapter_name: &str) -> Vec<Input> {
        let adapters = self.adapters.iter().enumerate();
        let adapters = adapters.map(|(place, adapter)| input(&link(adapter_name, place), adapter.clone()));
        std::iter::once(input(name, self.model.clone())).chain(adapters).collect()
    }

    /// Returns what there is after a step left `result`: a model, or adapters for the one that it started from.
    fn after(mut self, lesson: &Lesson, result: Source) -> Self {
        match (&lesson.tuning, lesson.adapters) {
            (Tuning::Full {}, _) => return Self { model: result, adapters: Vec::new() },
            // Those that were trained on are replaced by what came of them.
            (Tuning::Lora(_), Some(Adapters::Keep)) => drop(self.adapters.pop()),
            (Tuning::Lora(_), _) => {}
        }
        self.adapters.push(result);
        self
    }
}

/// Says what a step is called, and at which seed it runs.
#[derive(Clone, Copy)]
struct Run<'r> {
    label: &'r str,
    seed: u64,
}

impl Planning<'_> {
    /// Plans what happens to a model. What its last step leaves is labelled by `name`, if it has one of its
    /// own.
    pub(super) fn learned(
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
        let mut weights = Weights { model: self.base(settings, &course.model, seed)?, adapters: Vec::new() };
        for (place, lesson) in course.lessons.iter().enumerate() {
            let label = match name {
                Some(name) if place + 1 == course.lessons.len() => name.to_owned(),
                _ => format!("{}{}", course.model, course.first(place).suffix()),
            };
            let label = format!("{label} seed {seed}");
            if lesson.adapters == Some(Adapters::Merge) {
                let inputs = weights.inputs("model", "adapter");
                weights = Weights { model: self.add(&label, MergeJob {}, inputs, Some(seed))?, adapters: Vec::new() };
            }
            let left = self.step(settings, &course.model, lesson, &weights, Run { label: &label, seed })?;
            weights = weights.after(lesson, left);
        }
        Ok(weights)
    }

    /// Plans one step of what happens to a model called `model`, and returns what it leaves.
    fn step(
        &mut self,
        settings: &Experiment,
        model: &str,
        lesson: &Lesson,
        weights: &Weights,
        run: Run<'_>,
    ) -> anyhow::Result<Source> {
        match &lesson.kind {
            LessonKind::Pretrain => self.continual(settings, model, lesson, weights, run),
            LessonKind::Distill { teacher: Some(teacher), .. } => self.distil(settings, lesson, teacher, weights, run),
            // An objective without a teacher is fine-tuning, too.
            LessonKind::Sft | LessonKind::Distill { teacher: None, .. } => self.sft(settings, lesson, weights, run),
        }
    }

    fn sft(
        &mut self,
        settings: &Experiment,
        lesson: &Lesson,
        weights: &Weights,
        Run { label, seed }: Run<'_>,
    ) -> anyhow::Result<Source> {
        let (data, source) = self.data(settings, &lesson.data)?;
        let mut inputs = vec![input("data", source)];
        inputs.extend(weights.inputs("model", "adapter"));
        let mut replay = Vec::new();
        for (place, (name, &share)) in lesson.replay.iter().enumerate() {
            let (other, source) = self.data(settings, name)?;
            inputs.push(input(&replay::input(place), source));
            replay.push(Replay { share, closed_book: other.closed_book, template: other.template });
        }
        let job = SftJob {
            tuning: lesson.tuning.clone(),
            training: lesson.training.clone(),
            closed_book: data.closed_book,
            template: data.template.clone(),
            split: lesson.split,
            replay,
            stack: lesson.adapters == Some(Adapters::Stack),
            precision: self.site.precision,
            threads: self.site.threads,
            seed,
        };
        self.add(label, job, inputs, Some(seed))
    }

    fn continual(
        &mut self,
        settings: &Experiment,
        model: &str,
        lesson: &Lesson,
        weights: &Weights,
        Run { label, seed }: Run<'_>,
    ) -> anyhow::Result<Source> {
        let mut splits = vec![lesson.split, SplitName::Dev];
        splits.sort_unstable();
        splits.dedup();
        let mut inputs = vec![input("tokens", self.tokens(settings, &lesson.data, model, splits)?)];
        inputs.extend(weights.inputs("model", "adapter"));
        for (place, name) in lesson.replay.keys().enumerate() {
            let tokens = self.tokens(settings, name, model, vec![SplitName::Train])?;
            inputs.push(input(&replay::input(place), tokens));
        }
        let job = ContinualJob {
            split: lesson.split,
            replay: lesson.replay.values().copied().collect(),
            stack: lesson.adapters == Some(Adapters::Stack),
            tuning: lesson.tuning.clone(),
            training: lesson.training.clone(),
            precision: self.site.precision,
            threads: self.site.threads,
            seed,
        };
        self.add(label, job, inputs, Some(seed))
    }

    /// Plans the tokens of texts as a model reads them.
    fn tokens(
        &mut self,
        settings: &Experiment,
        name: &str,
        model: &str,
        splits: Vec<SplitName>,
    ) -> anyhow::Result<Source> {
        let (_, data) = self.data(settings, name)?;
        let (called, tokenizer) = match &settings.models[model] {
            Model::Scratch(scratch) => (scratch.tokenizer.clone(), self.tokenizer(settings, &scratch.tokenizer)?),
            Model::Checkpoint(checkpoint) => match hub::locate(checkpoint) {
                Some(folder) => (model.to_owned(), self.tokenizer_folder(&folder)?),
                None => (model.to_owned(), self.base(settings, model, 0)?),
            },
        };
        let label = format!("{name} for {called}");
        let inputs = vec![input("data", data), input("tokenizer", tokenizer)];
        self.add(&label, EncodeJob { splits }, inputs, None)
    }

    fn distil(
        &mut self,
        settings: &Experiment,
        lesson: &Lesson,
        teacher: &Course,
        weights: &Weights,
        Run { label, seed }: Run<'_>,
    ) -> anyhow::Result<Source> {
        let LessonKind::Distill { objective, algorithm: name, .. } = &lesson.kind else {
            anyhow::bail!("the step `{}` does not distil", lesson.name);
        };
        let (data, source) = self.data(settings, &lesson.data)?;
        let mut inputs = vec![input("data", source)];
        let taught = self.learned(settings, teacher, Part::Teacher, None, seed)?;
        let capture = self.capture(settings, lesson, teacher, &taught, seed)?;
        inputs.extend(weights.inputs("student", "student-adapter"));
        inputs.extend(taught.inputs("teacher", "teacher-adapter"));
        inputs.push(input("capture", capture));
        let job = DistillJob {
            algorithm: objective.clone().with_context(|| format!("nothing defines the algorithm `{name}`"))?,
            tuning: lesson.tuning.clone(),
            training: lesson.training.clone(),
            closed_book: data.closed_book,
            template: data.template.clone(),
            stack: lesson.adapters == Some(Adapters::Stack),
            precision: self.site.precision,
            threads: self.site.threads,
            seed,
        };
        self.add(label, job, inputs, Some(seed))
    }

    fn capture(
        &mut self,
        settings: &Experiment,
        lesson: &Lesson,
        teacher: &Course,
        weights: &Weights,
        seed: u64,
    ) -> anyhow::Result<Source> {
        let (data, source) = self.data(settings, &lesson.data)?;
        let Training { max_length, max_prompt, batch, .. } = lesson.training;
        let job = CaptureJob {
            max_length,
            max_prompt,
            closed_book: data.closed_book,
            template: data.template.clone(),
            precision: self.site.precision,
            threads: self.site.threads,
            batch,
        };
        let mut inputs = vec![input("data", source)];
        inputs.extend(weights.inputs("teacher", "teacher-adapter"));
        let mut label = format!("{}{}", teacher.model, teacher.suffix());
        if self.is_retrained(settings, teacher, Part::Teacher) {
            label = self.shared_label(label, seed);
        }
        self.add(&label, job, inputs, None)
    }

    /// Returns what a model starts from in trials of `seed`.
    pub(super) fn base(&mut self, settings: &Experiment, model: &str, seed: u64) -> anyhow::Result<Source> {
        match &settings.models[model] {
            Model::Checkpoint(checkpoint) => {
                if let Some(source) = self.sources.get(checkpoint) {
                    return Ok(source.clone());
                }
                let mut source = hub::checkpoint(checkpoint).with_context(|| format!("cannot read `{checkpoint}`"))?;
                self.know(&mut source);
                self.sources.insert(checkpoint.clone(), source.clone());
                Ok(source)
            }
            Model::Scratch(scratch) => {
                let texts = Self::texts_of(settings, scratch.data.as_deref())?;
                let (_, data) = self.data(settings, texts)?;
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
}
