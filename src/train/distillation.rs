//! Distillation: the student reads its batch, the teacher's signal comes from disk.

use tch::{Kind, Tensor};

use super::batch::{Batch, response_tokens};
use super::student::Student;
use super::{Objective, Parts};
use crate::data::encode::Sequence;
use crate::distill;
use crate::distill::capture::Capture;
use crate::distill::{States, Statistics};
use crate::tuning::flat::{Group, Parameter};

/// Minimises a distillation objective over captured examples.
#[derive(Debug)]
pub struct Distillation {
    /// The model in training.
    pub student: Student,
    objective: distill::Objective,
    projector_lr_factor: f64,
    capture: Capture,
    train: Vec<Sequence>,
    /// Place of each training sequence among the captured ones.
    captured: Vec<usize>,
    dev: Vec<Sequence>,
    response_tokens: Vec<usize>,
    /// The teacher's statistics of the current step, where the objective needs them.
    statistics: Option<Statistics>,
}

impl Distillation {
    /// Trains `student` on `train`, whose i-th sequence is `captured[i]` of `capture`, and measures
    /// it on `dev`. Projectors learn with `projector_lr_factor` times the learning rate, the floor of
    /// its schedule included (the release gives both the same floor).
    ///
    /// # Panics
    /// When `captured` is not as long as `train`.
    pub fn new(
        student: Student,
        objective: distill::Objective,
        projector_lr_factor: f64,
        capture: Capture,
        train: Vec<Sequence>,
        captured: Vec<usize>,
        dev: Vec<Sequence>,
    ) -> Self {
        assert_eq!(train.len(), captured.len(), "one captured example for each sequence");
        let response_tokens = train.iter().map(response_tokens).collect();
        Self {
            student,
            objective,
            projector_lr_factor,
            capture,
            train,
            captured,
            dev,
            response_tokens,
            statistics: None,
        }
    }

    fn captured(&self, examples: &[usize]) -> Vec<usize> {
        examples.iter().map(|&example| self.captured[example]).collect()
    }
}

impl Objective for Distillation {
    fn response_tokens(&self) -> &[usize] {
        &self.response_tokens
    }

    fn tokens(&self, examples: &[usize]) -> u64 {
        examples.iter().map(|&example| self.train[example].tokens.len() as u64).sum()
    }

    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        let group = Group { lr_factor: self.projector_lr_factor, weight_decay: self.student.weight_decay() };
        let mut parameters = self.student.parameters();
        if let Some(projectors) = self.objective.projectors_mut() {
            parameters.extend(projectors.parameters_mut().into_iter().map(|(name, tensor)| Parameter {
                name: format!("projectors.{name}"),
                tensor,
                group,
                is_table: false,
            }));
        }
        parameters
    }

    fn kind(&self) -> Kind {
        self.student.kind()
    }

    fn begin_step(&mut self, examples: &[usize]) -> anyhow::Result<()> {
        if self.objective.needs_statistics() {
            self.statistics = Some(self.capture.statistics(&self.captured(examples))?);
        }
        Ok(())
    }

    fn backward(&mut self, examples: &[usize], tokens: f64) -> anyhow::Result<Parts> {
        let sequences: Vec<&Sequence> = examples.iter().map(|&example| &self.train[example]).collect();
        let batch = Batch::new(&sequences, self.student.decoder.device());
        let signal = self.capture.states(&self.captured(examples))?;
        let teacher = self.capture.view(&signal);
        let differentiate = |hidden: &Tensor| -> anyhow::Result<(Parts, Tensor)> {
            let states = States {
                hidden,
                head: self.student.decoder.head(),
                embedding: &self.student.decoder.embed_tokens,
                inputs: &batch.inputs,
                labels: &batch.labels,
                lengths: &batch.response_lengths,
            };
            let step = self.objective.backward(&states, &teacher, self.statistics.as_ref(), tokens)?;
            Ok((step.parts.entries().into_iter().collect(), step.hidden_gradient))
        };
        self.student.pass(&batch, differentiate)
    }

    fn dev_loss(&mut self) -> anyhow::Result<Option<f64>> {
        Ok(self.student.loss(&self.dev))
    }
}
