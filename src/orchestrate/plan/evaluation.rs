//! What models are asked, set by set, as stages.

use tutelage_metrics::metric::{Family, MetricName};

use super::course::Weights;
use super::stage::{Input, Source};
use super::{Asked, Planning, Trial, input};
use crate::experiment::settings::{Data, Experiment, SplitName, Task, Training};
use crate::experiment::{Arm, Course, EvaluationSet, LessonKind, Part, Reference, evaluation_sets};
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::choose::ChooseJob;
use crate::orchestrate::stages::generate::GenerateJob;
use crate::orchestrate::stages::read::ReadJob;
use crate::orchestrate::stages::score::ScoreJob;

/// A model that is asked.
#[derive(Clone, Copy)]
struct Examinee<'e> {
    /// Name of its arm or reference.
    name: &'e str,
    weights: &'e Weights,
    /// The training at whose lengths it answers.
    training: &'e Training,
    /// Whether it answers dev, too.
    dev: bool,
    seed: u64,
}

impl Planning<'_> {
    pub(super) fn arm(&mut self, arm: &Arm, seed: u64) -> anyhow::Result<Trial> {
        let weights = self.learned(&arm.settings, &arm.course, Part::Student, Some(&arm.name), seed)?;
        let training = self.lengths(&arm.settings, &arm.course);
        // What nothing happens to in any arm is as sure on dev as a reference.
        let dev = arm.course.lessons.is_empty();
        self.asked(&arm.settings, Examinee { name: &arm.name, weights: &weights, training, dev, seed })
    }

    pub(super) fn reference(&mut self, reference: &Reference, seed: u64) -> anyhow::Result<Trial> {
        let Reference { name, part, course, settings } = reference;
        let weights = self.learned(settings, course, *part, None, seed)?;
        let training = self.lengths(settings, course);
        self.asked(settings, Examinee { name, weights: &weights, training, dev: true, seed })
    }

    /// Returns the training at whose lengths a model answers: that of its last step which answers questions. A
    /// model that was never asked answers as it would after fine-tuning; where nothing is fine-tuned, as the
    /// arms do.
    fn lengths<'c>(&self, settings: &'c Experiment, course: &'c Course) -> &'c Training {
        let plan = &settings.training;
        let untrained = if self.tunes { &plan.sft } else { &plan.distill };
        let mut asked = course.lessons.iter().rev().filter(|lesson| lesson.kind != LessonKind::Pretrain);
        asked.next().map_or(untrained, |lesson| &lesson.training)
    }

    /// Plans what a model is asked on every evaluation set.
    fn asked(&mut self, settings: &Experiment, model: Examinee<'_>) -> anyhow::Result<Trial> {
        let (mut sets, mut answered) = (Vec::new(), false);
        for set in evaluation_sets(settings) {
            // On dev the first set of answers shows whether teachers learned.
            let has_dev = settings.data.get(&set.data).is_some_and(|data| data.split.has(SplitName::Dev));
            let dev = model.dev && !answered && set.task == Task::Answer && set.split == SplitName::Test && has_dev;
            answered |= set.task == Task::Answer;
            sets.push(self.set(settings, &set, Examinee { dev, ..model })?);
        }
        Ok(Trial { arm: model.name.to_owned(), seed: model.seed, sets })
    }

    fn set(&mut self, settings: &Experiment, set: &EvaluationSet, model: Examinee<'_>) -> anyhow::Result<Asked> {
        let (data, source) = self.data(settings, &set.data)?;
        let seed = model.seed;
        let label = match &set.name {
            Some(set) => format!("{} on {set} seed {seed}", model.name),
            None => format!("{} seed {seed}", model.name),
        };
        let mut inputs = vec![input("data", source.clone())];
        inputs.extend(model.weights.inputs("model", "adapter"));
        let (job, found) = self.question(settings, set, &data, model);
        let answers = self.add(&label, job, inputs, Some(seed))?;
        let key = answers.key().clone();
        let (job, embedding) = self.scoring(settings, set)?;
        let mut inputs = vec![input("data", source), input(found, answers)];
        inputs.extend(embedding);
        let score = self.add(&label, job, inputs, None)?.key().clone();
        Ok(Asked { set: set.name.clone(), answers: key, score })
    }

    /// Returns what asks a model, and the name under which its answers are scored.
    fn question(
        &self,
        settings: &Experiment,
        set: &EvaluationSet,
        data: &Data,
        model: Examinee<'_>,
    ) -> (Job, &'static str) {
        let (precision, threads) = (self.site.precision, self.site.threads);
        let (closed_book, batch) = (data.closed_book, settings.evaluation.batch);
        let plan = &settings.training;
        match set.task {
            Task::Answer => {
                let job = GenerateJob {
                    decoding: set.decoding.clone(),
                    max_new_tokens: set.max_new_tokens,
                    max_length: set.max_length.unwrap_or(model.training.max_length),
                    max_prompt: model.training.max_prompt,
                    limit: set.limit,
                    split: set.split,
                    dev: model.dev,
                    closed_book,
                    template: data.template.clone(),
                    precision,
                    threads,
                    seed: model.seed,
                    batch,
                };
                (job.into(), "generations")
            }
            // Of one length for all arms, however each was trained: the same context for all.
            Task::Choice => {
                let job = ChooseJob {
                    split: set.split,
                    options: set.options,
                    max_length: set.max_length.unwrap_or(plan.sft.max_length),
                    limit: set.limit,
                    closed_book,
                    template: data.template.clone(),
                    precision,
                    threads,
                    batch,
                };
                (job.into(), "choices")
            }
            Task::Perplexity => {
                let job = ReadJob {
                    split: set.split,
                    max_length: set.max_length.unwrap_or(plan.pretrain.max_length),
                    limit: set.limit,
                    precision,
                    threads,
                    batch,
                };
                (job.into(), "readings")
            }
        }
    }

    fn scoring(&mut self, settings: &Experiment, set: &EvaluationSet) -> anyhow::Result<(ScoreJob, Option<Input>)> {
        let mut metrics = Vec::new();
        let mut embeds = false;
        for name in &set.metrics {
            let metric = name.parse::<MetricName>()?.metric();
            embeds |= metric.family == Family::Embedding;
            metrics.push((name.clone(), metric.version));
        }
        let named = settings.evaluation.embedding_model.as_ref();
        let folder = named.or(self.site.embedding_model.as_ref()).filter(|_| embeds).cloned();
        let embedding: Option<Source> = folder.map(|folder| self.file(&folder)).transpose()?;
        let threads = self.site.threads.filter(|_| embeds);
        Ok((ScoreJob { metrics, split: set.split, threads }, embedding.map(|source| input("embedding-model", source))))
    }
}
