//! Universal logit distillation: distributions over different vocabularies compared by rank
//! (Boizard et al. 2024, arXiv 2402.12030, eq. 5):
//! `L = [(1 - rate) sum CE(s, y) + rate sum_t sum_k |q_(k) - p_(k)|] / N`, q_(k) and p_(k) the k-th
//! largest probabilities of student and teacher, t over the places that both responses have.
//!
//! As in DSKD's release of this baseline, responses are compared from their first token on, the
//! temperature is 1, and the terms are weighted by `1 - rate` and `rate` where the paper weighs the
//! second alone.

use tch::{Kind, Tensor, with_grad};

use super::aligned::{self, Block, Positions};
use super::states::check;
use super::{Backward, DistillError, States};

/// Settings of the objective; its temperature is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uld {
    /// Weight of the distance; `1 - rate` is that of cross-entropy.
    pub rate: f64,
}

/// Returns `sum_k |q_(k) - p_(k)|` at each position `[tokens]`, both distributions sorted
/// descending and the smaller vocabulary padded with zeros; differentiable by the student's logits.
pub fn per_token(student_logits: &Tensor, teacher_logits: &Tensor) -> Tensor {
    let sorted = |logits: &Tensor| logits.to_kind(Kind::Float).softmax(-1, Kind::Float).sort(-1, true).0;
    let (student, teacher) = (student_logits.size()[1], teacher_logits.size()[1]);
    let padded = |sorted: Tensor, more: i64| if more > 0 { sorted.constant_pad_nd([0, more]) } else { sorted };
    let q = padded(sorted(student_logits), teacher - student);
    let p = padded(sorted(teacher_logits), student - teacher);
    (q - p).abs().sum_dim_intlist(-1, false, Kind::Float)
}

impl Uld {
    /// Computes `[(1 - rate) CE + rate sum L1] / normaliser` and its gradient; positions past the
    /// shorter response count in cross-entropy only.
    ///
    /// # Errors
    /// When student and teacher do not hold the same number of examples.
    pub fn backward(
        &self,
        student: &States<'_>,
        teacher: &States<'_>,
        normaliser: f64,
    ) -> Result<Backward, DistillError> {
        check(student, teacher)?;
        Ok(aligned::backward(student, teacher, Positions::Shared, self.rate, normaliser, compare))
    }
}

/// Returns the sum of the distance and its weighted gradient.
fn compare(block: &Block<'_>) -> (f64, Tensor) {
    with_grad(|| {
        let leaf = block.student.detach().set_requires_grad(true);
        let mut distance = per_token(&leaf, block.teacher);
        if let Some(counts) = &block.counts {
            distance *= counts.squeeze_dim(1);
        }
        let sum = distance.sum(Kind::Float);
        let mut gradients = Tensor::run_backward(&[&sum * block.weight], &[&leaf], false, false);
        (f64::try_from(sum.detach()).unwrap_or(f64::NAN), gradients.swap_remove(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_known_distributions() {
        // Sorted: 0.6, 0.3, 0.1 against 0.5, 0.5, 0: 0.1 + 0.2 + 0.1, whatever the ids.
        let logits = |p: &[f32]| Tensor::from_slice(p).log().unsqueeze(0);
        let got = per_token(&logits(&[0.1, 0.6, 0.3]), &logits(&[0.5, 0.5]));
        assert!((f64::try_from(got).unwrap() - 0.4).abs() < 1e-6);
    }
}
