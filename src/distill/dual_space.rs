//! DSKD: distillation in the student's and in the teacher's space (Zhang et al. 2024,
//! arXiv 2406.17328, section 3.2; constants of its release):
//! `L = [(1 - rate) sum CE(s, y) + rate (L1 + L2 + L3)] / N`.
//!
//! - t2s: the teacher's states h_T are projected into the student's space and read by its head,
//!   `z_t2s = (W_t2s h_T + b) sg[U_S]^T`. `L1 = sum CE(z_t2s, y)` trains the projector,
//!   `L2 = sum Div(s, sg[z_t2s])` the student.
//! - s2t: the student's states h_S are projected into the teacher's space and read by its head,
//!   `z_s2t = (W_s2t h_S + b) U_T^T`. `L3 = sum KL(t || z_s2t)`, always forward, trains both.
//!
//! Heads of one vocabulary may be padded differently. A wider teacher's is cut to the width of the
//! student's head, as vanilla distillation cuts both logits; in the student's space all terms have the
//! columns of the student's head.
//!
//! Sums are over response positions, the teacher's in L3; all are divided by the same N, the
//! student's response tokens of the optimiser step. Divergences have the temperature, cross-entropy
//! has none, and no term a factor `temperature^2`. Projections are computed in f32, whatever the
//! models are in.

use tch::{Kind, Tensor};

use super::states::check_same;
use super::{Backward, DistillError, Parts, Projectors, States, cross_entropy, divergence};
use crate::experiment::settings::Divergence;
use crate::models::head::{Head, in_blocks, slice};

/// Settings of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Divergence in the student's space.
    pub divergence: Divergence,
    /// Softmax temperature of both models in both spaces.
    pub temperature: f64,
    /// Weight of the distillation loss; `1 - rate` is that of cross-entropy.
    pub rate: f64,
}

/// Dual-space distillation between models of one vocabulary.
#[derive(Debug)]
pub struct DualSpace {
    /// Settings.
    pub settings: Settings,
    /// t2s and s2t.
    pub projectors: Projectors,
}

impl DualSpace {
    /// Computes `[(1 - rate) CE + rate (L1 + L2 + L3)] / normaliser` and its gradient; adds the
    /// projectors' gradients to them.
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
        // Of one vocabulary, what a head has more than the other is padding.
        let tokens = student.head.tokens.min(teacher.head.tokens);
        let teacher = States { head: Head { tokens, ..teacher.head }, ..*teacher };
        let teacher = &teacher;
        Ok(distil(&self.settings, student, teacher, Gate::Open, normaliser, |hidden| {
            (self.projectors.t2s.forward(&teacher.hidden_f32()), self.projectors.s2t.forward(hidden))
        }))
    }
}

/// Says at which positions the student follows the projected teacher (L2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// At all.
    Open,
    /// Where the projected teacher is right.
    Correct,
}

/// Computes the dual-space loss and its gradient from what `project` makes of the student's hidden
/// states `[n, d]` in f32: `(t2s [n, d], s2t [m, D])`, differentiable.
///
/// Heads see these tensors chunk by chunk outside autograd; autograd then carries the gradients
/// by `t2s` and `s2t` back to the projectors and the student.
pub(super) fn distil(
    settings: &Settings,
    student: &States<'_>,
    teacher: &States<'_>,
    gate: Gate,
    normaliser: f64,
    project: impl FnOnce(&Tensor) -> (Tensor, Tensor),
) -> Backward {
    let hidden = student.hidden_f32().set_requires_grad(true);
    let (t2s, s2t) = project(&hidden);
    let space = student_space(settings, student, &t2s.detach(), gate, normaliser);
    let (s2t_gradient, s2t_kd) = teacher_space(settings, teacher, &s2t.detach(), normaliser);
    ((t2s * &space.t2s_gradient).sum(Kind::Float) + (s2t * s2t_gradient).sum(Kind::Float)).backward();
    let kd = space.t2s_ce + space.t2s_kd + s2t_kd;
    let through_projector = hidden.grad();
    let gradient = if through_projector.defined() { space.gradient + through_projector } else { space.gradient };
    Backward {
        hidden_gradient: gradient.to_kind(student.hidden.kind()),
        parts: Parts {
            t2s_ce: Some(space.t2s_ce / normaliser),
            t2s_kd: Some(space.t2s_kd / normaliser),
            s2t_kd: Some(s2t_kd / normaliser),
            ..Parts::weighted(space.ce, kd, settings.rate, normaliser)
        },
    }
}

/// Losses as token sums, gradients of the weighted loss.
struct StudentSpace {
    /// By the student's hidden states `[n, d]`.
    gradient: Tensor,
    /// By the projected teacher's `[n, d]`.
    t2s_gradient: Tensor,
    ce: f64,
    t2s_ce: f64,
    t2s_kd: f64,
}

fn student_space(settings: &Settings, student: &States<'_>, t2s: &Tensor, gate: Gate, normaliser: f64) -> StudentSpace {
    let (ce_weight, kd_weight) = ((1.0 - settings.rate) / normaliser, settings.rate / normaliser);
    let t2s_gradient = t2s.zeros_like();
    let (mut ce, mut t2s_ce, mut t2s_kd) = (0.0, 0.0, 0.0);
    let gradient = student.head.differentiate(student.hidden, |rows, student_logits| {
        let projected = student.head.logits(t2s, rows);
        let slope = student.head.slope(&projected);
        let labels = slice(student.labels, rows);
        let by_student = in_blocks(student_logits, |block, student_logits| {
            let labels = slice(&labels, block);
            let mut projected = slice(&projected, block);
            let (loss, mut gradient) = cross_entropy::with_gradient(student_logits, &labels, ce_weight);
            ce += loss;
            let follow = match gate {
                Gate::Open => None,
                Gate::Correct => Some(projected.argmax(-1, false).eq_tensor(&labels).nonzero().squeeze_dim(1)),
            };
            t2s_kd += follow_teacher(settings, student_logits, &projected, follow.as_ref(), kd_weight, &mut gradient);
            // The projected logits have served; their gradient takes their place.
            let (loss, by_projected) = cross_entropy::with_gradient(&projected, &labels, kd_weight);
            t2s_ce += loss;
            projected.copy_(&by_projected);
            gradient
        });
        slice(&t2s_gradient, rows).copy_(&student.head.back(projected, slope));
        by_student
    });
    StudentSpace { gradient, t2s_gradient, ce, t2s_ce, t2s_kd }
}

/// Adds the gradient of L2 at rows `follow` (all without it) to `gradient` and returns L2's sum.
fn follow_teacher(
    settings: &Settings,
    student_logits: &Tensor,
    projected: &Tensor,
    follow: Option<&Tensor>,
    weight: f64,
    gradient: &mut Tensor,
) -> f64 {
    let (divergence, temperature) = (settings.divergence, settings.temperature);
    let loss = match follow {
        None => {
            let (loss, by_student) =
                divergence::with_gradient(divergence, student_logits, projected, temperature, weight);
            *gradient += by_student;
            loss
        }
        Some(rows) if rows.size()[0] == 0 => return 0.0,
        Some(rows) => {
            let select = |logits: &Tensor| logits.index_select(0, rows);
            let (loss, by_student) =
                divergence::with_gradient(divergence, &select(student_logits), &select(projected), temperature, weight);
            let _ = gradient.index_add_(0, rows, &by_student);
            loss
        }
    };
    f64::try_from(loss.sum(Kind::Double)).unwrap_or(f64::NAN)
}

/// Returns the gradient of the weighted L3 by `s2t` `[m, D]` and the sum of L3.
fn teacher_space(settings: &Settings, teacher: &States<'_>, s2t: &Tensor, normaliser: f64) -> (Tensor, f64) {
    let weight = settings.rate / normaliser;
    let mut sum = 0.0;
    let gradient = teacher.head.differentiate_frozen(s2t, |rows, projected| {
        let teacher_logits = teacher.head.logits(teacher.hidden, rows);
        in_blocks(projected, |block, projected| {
            let (loss, gradient) = divergence::with_gradient(
                Divergence::ForwardKl,
                projected,
                &slice(&teacher_logits, block),
                settings.temperature,
                weight,
            );
            sum += f64::try_from(loss.sum(Kind::Double)).unwrap_or(f64::NAN);
            gradient
        })
    });
    (gradient, sum)
}
