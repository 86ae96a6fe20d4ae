//! Training: one visible loop for pretraining, fine-tuning and distillation.
//!
//! [`train`](run::train) knows steps, learning rates, checkpoints and events; an [`Objective`]
//! knows what one micro-batch costs and how its gradient comes about.

pub mod batch;
pub mod checkpoint;
pub mod distillation;
pub mod event;
pub mod moments;
pub mod optimizer;
pub mod run;
pub mod schedule;
mod slices;
pub mod student;
pub mod supervised;
pub mod texts;
mod update;

use std::collections::BTreeMap;

use tch::Kind;

use crate::tuning::flat::Parameter;

/// Loss parts by name. Sums over tokens, already divided by the tokens of the whole step, so that
/// the parts of all micro-batches add up to means.
pub type Parts = BTreeMap<&'static str, f64>;

/// What is minimised, on which examples.
pub trait Objective {
    /// Returns the number of tokens that each example's loss is a sum over.
    fn response_tokens(&self) -> &[usize];

    /// Returns the number of tokens of `examples` that the model reads.
    fn tokens(&self, examples: &[usize]) -> u64;

    /// Lists what is trained; called once, before the first step.
    fn parameters(&mut self) -> Vec<Parameter<'_>>;

    /// Returns the number format that the trained parameters are computed with.
    fn kind(&self) -> Kind;

    /// Looks at all examples of a step before its first micro-batch.
    ///
    /// # Errors
    /// When what the step needs cannot be read.
    fn begin_step(&mut self, _examples: &[usize]) -> anyhow::Result<()> {
        Ok(())
    }

    /// Adds the gradient of the micro-batch `examples`, divided by `tokens`, the response tokens
    /// of the whole step, and returns the loss parts divided likewise; `loss` is what was
    /// differentiated.
    ///
    /// # Errors
    /// When what the micro-batch needs cannot be read.
    fn backward(&mut self, examples: &[usize], tokens: f64) -> anyhow::Result<Parts>;

    /// Returns the mean negative log-likelihood of the dev split in nats per token, if there is one.
    ///
    /// # Errors
    /// When the split cannot be read.
    fn dev_loss(&mut self) -> anyhow::Result<Option<f64>>;
}
