//! Training on texts: continued pretraining, with shares of other corpora.

use tch::{Kind, Tensor};

use super::batch::Batch;
use super::student::Student;
use super::{Objective, Parts};
use crate::data::encode::Sequence;
use crate::data::tokens::{Block, Tokens};
use crate::models::cross_entropy;
use crate::tuning::flat::Parameter;

/// Minimises the cross-entropy of every token but the first of each piece of text given those before it in
/// the piece: `L = sum_t -ln p(x_t | x_<t) / N`, N the predicted tokens of the whole optimiser step (Bengio et
/// al. 2003, "A Neural Probabilistic Language Model", section 2). An example of the loop is a block, packed
/// without one piece seeing another (Krell et al. 2021, "Efficient Sequence Packing without
/// Cross-contamination", arXiv 2107.02027).
#[derive(Debug)]
pub struct Texts {
    /// The model in training.
    pub student: Student,
    train: Vec<Tokens>,
    /// What is learned: which corpus, and the block in it.
    blocks: Vec<(usize, Block)>,
    dev: Option<(Tokens, Vec<Block>)>,
    predicted: Vec<usize>,
}

impl Texts {
    /// Trains `student` on blocks of corpora, and measures it on the blocks of `dev`.
    pub fn new(
        student: Student,
        train: Vec<Tokens>,
        blocks: Vec<(usize, Block)>,
        dev: Option<(Tokens, Vec<Block>)>,
    ) -> Self {
        let predicted = blocks.iter().map(|(_, block)| block.predicted()).collect();
        Self { student, train, blocks, dev, predicted }
    }
}

impl Objective for Texts {
    fn response_tokens(&self) -> &[usize] {
        &self.predicted
    }

    fn tokens(&self, examples: &[usize]) -> u64 {
        examples.iter().map(|&example| self.blocks[example].1.tokens() as u64).sum()
    }

    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        self.student.parameters()
    }

    fn kind(&self) -> Kind {
        self.student.kind()
    }

    fn backward(&mut self, examples: &[usize], tokens: f64) -> anyhow::Result<Parts> {
        let mut sequences: Vec<Sequence> = Vec::new();
        for &example in examples {
            let (corpus, block) = &self.blocks[example];
            sequences.extend(self.train[*corpus].sequences(block)?);
        }
        let batch = Batch::new(&sequences.iter().collect::<Vec<_>>(), self.student.decoder.device());
        let head = self.student.decoder.head();
        let differentiate = |hidden: &Tensor| -> anyhow::Result<(f64, Tensor)> {
            Ok(cross_entropy::backward(hidden, head, &batch.labels, 1.0 / tokens))
        };
        let loss = self.student.pass(&batch, differentiate)? / tokens;
        Ok(Parts::from([("ce", loss), ("loss", loss)]))
    }

    fn dev_loss(&mut self) -> anyhow::Result<Option<f64>> {
        let Some((tokens, blocks)) = &self.dev else { return Ok(None) };
        let (mut sum, mut count) = (0.0, 0);
        for block in blocks {
            let (nats, predicted) = self.student.nats(&tokens.sequences(block)?);
            sum += nats;
            count += predicted;
        }
        Ok((count > 0).then(|| sum / count as f64))
    }
}
