//! Logits of both models compared position by position beside the student's cross-entropy: what
//! vanilla distillation, its naive control and ULD have in common.

use tch::{Kind, Tensor, no_grad};

use super::{Backward, Parts, States, cross_entropy};
use crate::models::head::{in_blocks, slice};

/// Says which position of the teacher is compared with each of the student's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    /// The same: both models read the same tokens.
    Same,
    /// The one at the same place of the response. Positions past the shorter response have no
    /// counterpart, and only their cross-entropy counts.
    Shared,
}

/// Logits of a few positions, and what their comparison counts.
pub(super) struct Block<'a> {
    /// The student's `[tokens, vocab]`, f32.
    pub(super) student: &'a Tensor,
    /// The teacher's at the same positions `[tokens, vocab of the teacher]`, f32.
    pub(super) teacher: &'a Tensor,
    /// 1 where there is a teacher's position, else 0 `[tokens, 1]`; none if there is one everywhere.
    pub(super) counts: Option<Tensor>,
    /// Factor of the gradient.
    pub(super) weight: f64,
}

/// Computes `[(1 - rate) CE + rate KD] / normaliser` and its gradient.
///
/// `compare` returns the sum of KD over a block's positions that count, and `weight` times its
/// gradient by the student's first so many logits `[tokens, columns]`; it runs without autograd.
pub(super) fn backward(
    student: &States<'_>,
    teacher: &States<'_>,
    positions: Positions,
    rate: f64,
    normaliser: f64,
    compare: impl Fn(&Block<'_>) -> (f64, Tensor),
) -> Backward {
    let (ce_weight, weight) = ((1.0 - rate) / normaliser, rate / normaliser);
    let (teacher_hidden, counts) = match positions {
        Positions::Same => (teacher.hidden.shallow_clone(), None),
        Positions::Shared => {
            let (hidden, counts) = at_shared_places(student, teacher);
            (hidden, Some(counts))
        }
    };
    let (mut ce, mut kd) = (0.0, 0.0);
    let gradient = student.head.differentiate(student.hidden, |rows, student_logits| {
        let teacher_logits = teacher.head.logits(&teacher_hidden, rows);
        let labels = slice(student.labels, rows);
        let counts = counts.as_ref().map(|counts| slice(counts, rows));
        in_blocks(student_logits, |block, student_logits| {
            let (loss, gradient) = cross_entropy::with_gradient(student_logits, &slice(&labels, block), ce_weight);
            ce += loss;
            let (loss, by_comparison) = compare(&Block {
                student: student_logits,
                teacher: &slice(&teacher_logits, block),
                counts: counts.as_ref().map(|counts| slice(counts, block)),
                weight,
            });
            kd += loss;
            let mut compared = gradient.narrow(1, 0, by_comparison.size()[1]);
            compared += by_comparison;
            gradient
        })
    });
    Backward {
        hidden_gradient: gradient.to_kind(student.hidden.kind()),
        parts: Parts::weighted(ce, kd, rate, normaliser),
    }
}

/// Returns the teacher's state at each position of the student `[n, width]`, zeros without a
/// counterpart, and which have one `[n, 1]`.
fn at_shared_places(student: &States<'_>, teacher: &States<'_>) -> (Tensor, Tensor) {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for ((start, n), (other, m)) in student.spans().into_iter().zip(teacher.spans()) {
        let shared = n.min(m);
        mine.extend(start..start + shared);
        theirs.extend(other..other + shared);
    }
    let device = student.hidden.device();
    let index = |places: &[i64]| Tensor::from_slice(places).to_device(device);
    let (mine, theirs) = (index(&mine), index(&theirs));
    no_grad(|| {
        let hidden = Tensor::zeros([student.tokens(), teacher.width()], (teacher.hidden.kind(), device));
        let counts = Tensor::zeros([student.tokens(), 1], (Kind::Float, device));
        (hidden.index_copy(0, &mine, &teacher.hidden.index_select(0, &theirs)), counts.index_fill(0, &mine, 1.0))
    })
}
