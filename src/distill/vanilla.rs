//! Vanilla distillation over one vocabulary (Hinton et al. 2015, arXiv 1503.02531, section 2):
//! `L = [(1 - rate) sum CE(s, y) + rate sum Div(q, p)] / N`, q and p the next-token distributions
//! of student and teacher at one temperature, sums over response positions, N the response tokens
//! of the optimiser step.
//!
//! Deviations from the paper, all of them DSKD's: no factor `temperature^2`, other divergences than
//! forward KL, and responses of a language model instead of one label.

use tch::{Kind, Tensor};

use super::aligned::{self, Block, Positions};
use super::states::check_same;
use super::{Backward, DistillError, States, divergence};
use crate::experiment::settings::Divergence;

/// Settings of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vanilla {
    /// Divergence of the student from the teacher.
    pub divergence: Divergence,
    /// Softmax temperature of both.
    pub temperature: f64,
    /// Weight of the divergence; `1 - rate` is that of cross-entropy.
    pub rate: f64,
}

impl Vanilla {
    /// Computes `[(1 - rate) CE + rate sum Div] / normaliser` and its gradient.
    ///
    /// # Errors
    /// When the responses of student and teacher are not the same.
    pub fn backward(
        &self,
        student: &States<'_>,
        teacher: &States<'_>,
        normaliser: f64,
    ) -> Result<Backward, DistillError> {
        check_same(student, teacher)?;
        let compare = |block: &Block<'_>| self.compare(block);
        Ok(aligned::backward(student, teacher, Positions::Same, self.rate, normaliser, compare))
    }

    /// Returns the sum of the divergence and its weighted gradient. Heads of one vocabulary may be
    /// padded differently: both are cut to the smaller width.
    pub(super) fn compare(&self, block: &Block<'_>) -> (f64, Tensor) {
        let width = block.student.size()[1].min(block.teacher.size()[1]);
        let (mut loss, mut gradient) = divergence::with_gradient(
            self.divergence,
            &block.student.narrow(1, 0, width),
            &block.teacher.narrow(1, 0, width),
            self.temperature,
            block.weight,
        );
        if let Some(counts) = &block.counts {
            loss *= counts.squeeze_dim(1);
            gradient *= counts;
        }
        (f64::try_from(loss.sum(Kind::Double)).unwrap_or(f64::NAN), gradient)
    }
}
