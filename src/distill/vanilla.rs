//! Vanilla distillation: the divergence between next-token distributions over one vocabulary
//! (Hinton et al. 2015, arXiv 1503.02531, section 2; without its `temperature^2` factor).

use tch::{Kind, Tensor, no_grad};

use super::states::check_same;
use super::{Backward, DistillError, Parts, States, cross_entropy, divergence};
use crate::experiment::settings::Divergence;
use crate::models::head::{differentiate, in_blocks, logits, slice};

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
    /// Heads of different width are padded differently: both are cut to the smaller width for the
    /// divergence.
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
        Ok(self.aligned(student, teacher, None, normaliser))
    }

    /// As [`Self::backward`]; with `pairs`, positions of student and teacher `[pairs]` that are
    /// compared, only at those.
    pub(super) fn aligned(
        &self,
        student: &States<'_>,
        teacher: &States<'_>,
        pairs: Option<&(Tensor, Tensor)>,
        normaliser: f64,
    ) -> Backward {
        let width = student.vocabulary().min(teacher.vocabulary());
        let (ce_weight, kd_weight) = ((1.0 - self.rate) / normaliser, self.rate / normaliser);
        // One row per student position: the teacher's state there, and whether it counts.
        let (teacher_hidden, counts) = match pairs {
            None => (teacher.hidden.shallow_clone(), None),
            Some((mine, theirs)) => no_grad(|| {
                let size = [student.tokens(), teacher.width()];
                let hidden = Tensor::zeros(size, (teacher.hidden.kind(), teacher.hidden.device()));
                let counts = Tensor::zeros([student.tokens(), 1], (Kind::Float, student.hidden.device()));
                (
                    hidden.index_copy(0, mine, &teacher.hidden.index_select(0, theirs)),
                    Some(counts.index_fill(0, mine, 1.0)),
                )
            }),
        };
        let (mut ce, mut kd) = (0.0, 0.0);
        let gradient = differentiate(student.hidden, student.head, |rows, student_logits| {
            let teacher_logits = logits(&teacher_hidden, rows, teacher.head);
            let labels = slice(student.labels, rows);
            in_blocks(student_logits, |block, student_logits| {
                let (loss, gradient) = cross_entropy::with_gradient(student_logits, &slice(&labels, block), ce_weight);
                ce += loss;
                let (mut loss, mut by_divergence) = divergence::with_gradient(
                    self.divergence,
                    &student_logits.narrow(1, 0, width),
                    &slice(&teacher_logits, block).narrow(1, 0, width),
                    self.temperature,
                    kd_weight,
                );
                if let Some(counts) = &counts {
                    let counts = slice(&slice(counts, rows), block);
                    loss *= counts.squeeze_dim(1);
                    by_divergence *= &counts;
                }
                kd += f64::try_from(loss.sum(Kind::Double)).unwrap_or(f64::NAN);
                let mut shared = gradient.narrow(1, 0, width);
                shared += by_divergence;
                gradient
            })
        });
        Backward {
            hidden_gradient: gradient.to_kind(student.hidden.kind()),
            parts: Parts::weighted(ce, kd, self.rate, normaliser),
        }
    }
}
