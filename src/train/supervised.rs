//! Supervised training: pretraining on texts, fine-tuning on questions and answers.

use tch::{Kind, Tensor};

use super::batch::{Batch, response_tokens};
use super::student::Student;
use super::{Objective, Parts};
use crate::data::encode::Sequence;
use crate::models::cross_entropy;
use crate::tuning::flat::Parameter;

/// Minimises the cross-entropy of the response y to the prompt x, end of sequence included:
/// `L = sum_t -ln p(y_t | y_<t, x) / N`, N the response tokens of the whole optimiser step. This is
/// the causal language-model loss of transformers with labels of -100 on the prompt; in pretraining
/// every token but the first of a block is response.
#[derive(Debug)]
pub struct Supervised {
    /// The model in training.
    pub student: Student,
    train: Vec<Sequence>,
    dev: Vec<Sequence>,
    response_tokens: Vec<usize>,
}

impl Supervised {
    /// Trains `student` on `train` and measures it on `dev`, which may be empty.
    pub fn new(student: Student, train: Vec<Sequence>, dev: Vec<Sequence>) -> Self {
        let response_tokens = train.iter().map(response_tokens).collect();
        Self { student, train, dev, response_tokens }
    }
}

impl Objective for Supervised {
    fn response_tokens(&self) -> &[usize] {
        &self.response_tokens
    }

    fn tokens(&self, examples: &[usize]) -> u64 {
        examples.iter().map(|&example| self.train[example].tokens.len() as u64).sum()
    }

    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        self.student.parameters()
    }

    fn kind(&self) -> Kind {
        self.student.kind()
    }

    fn backward(&mut self, examples: &[usize], tokens: f64) -> anyhow::Result<Parts> {
        let sequences: Vec<&Sequence> = examples.iter().map(|&example| &self.train[example]).collect();
        let batch = Batch::new(&sequences, self.student.decoder.device());
        let head = self.student.decoder.head();
        let differentiate = |hidden: &Tensor| -> anyhow::Result<(f64, Tensor)> {
            Ok(cross_entropy::backward(hidden, head, &batch.labels, 1.0 / tokens))
        };
        let loss = self.student.pass(&batch, differentiate)? / tokens;
        Ok(Parts::from([("ce", loss), ("loss", loss)]))
    }

    fn dev_loss(&mut self) -> anyhow::Result<Option<f64>> {
        Ok(self.student.loss(&self.dev))
    }
}
