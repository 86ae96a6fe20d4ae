//! Universal logit distillation: distributions over different vocabularies compared by rank
//! (Boizard et al. 2024, arXiv 2402.12030, eq. 5; DSKD's release of the baseline).

use tch::{Kind, Tensor, no_grad, with_grad};

use super::naive::pairs;
use super::states::check;
use super::{Backward, DistillError, Parts, States, cross_entropy};
use crate::models::head::{differentiate, in_blocks, logits, slice};

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
        let (mine, theirs) = pairs(student, teacher);
        let (ce_weight, kd_weight) = ((1.0 - self.rate) / normaliser, self.rate / normaliser);
        // Position of the teacher that belongs to each position of the student, or -1.
        let partner = no_grad(|| {
            Tensor::full([student.tokens()], -1, (Kind::Int64, mine.device())).index_copy(0, &mine, &theirs)
        });
        let (mut ce, mut kd) = (0.0, 0.0);
        let gradient = differentiate(student.hidden, student.head, |rows, student_logits| {
            let labels = slice(student.labels, rows);
            let partner = slice(&partner, rows);
            let valid = partner.ge(0);
            let teacher_hidden = teacher.hidden.index_select(0, &partner.clamp_min(0));
            let teacher_logits = logits(&teacher_hidden, &(0..rows.end - rows.start), teacher.head);
            in_blocks(student_logits, |block, student_logits| {
                let (loss, mut gradient) =
                    cross_entropy::with_gradient(student_logits, &slice(&labels, block), ce_weight);
                ce += loss;
                let (loss, by_distance) = with_grad(|| {
                    let leaf = student_logits.detach().set_requires_grad(true);
                    let distance = per_token(&leaf, &slice(&teacher_logits, block)) * slice(&valid, block);
                    let sum = distance.sum(Kind::Float);
                    let mut gradients = Tensor::run_backward(&[&sum * kd_weight], &[&leaf], false, false);
                    (sum.detach(), gradients.swap_remove(0))
                });
                kd += f64::try_from(loss).unwrap_or(f64::NAN);
                gradient += by_distance;
                gradient
            })
        });
        Ok(Backward {
            hidden_gradient: gradient.to_kind(student.hidden.kind()),
            parts: Parts::weighted(ce, kd, self.rate, normaliser),
        })
    }
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
