//! DSKD-CMA: dual-space distillation between different vocabularies through cross-model attention
//! (Zhang et al. 2024, arXiv 2406.17328, section 3.3; constants of its release).
//!
//! Each student position attends to the teacher's positions of the same response and the other way
//! round. With input ids x, ids to predict y, frozen input embeddings E and hidden states h:
//!
//! - `Q = W_q [E_S(x); E_S(y)] + b`, `K = [E_T(x); E_T(y)] / std`, `A = Q K^T / sqrt(2D)`
//! - `V_T = W_t2s (h_T / std + E_T(y) / std) + b`, `V_S = W_s2t h_S + b`
//! - `z_t2s = (softmax(A) V_T) sg[U_S]^T`, `z_s2t = (softmax(A^T) V_S) U_T^T`
//!
//! L1, L2 and L3 are those of [`super::dual_space`], L2 only where z_t2s ranks y first; `std` is one
//! number per tensor ([`super::statistics`]).
//!
//! Deviations from the release. It computes one padded product and adds -1e5 outside the response,
//! which leaves exactly 0 of those weights in f32; here each example is its own block `[n_i, m_i]`.
//! It takes the deviations over a micro-batch with its padding; here they are those of the optimiser
//! step, without the hidden states of padding.

use tch::{Kind, Tensor};

use super::dual_space::{Gate, Settings, distil};
use super::projectors::Projector;
use super::states::check;
use super::{Backward, DistillError, Projectors, States, Statistics};

/// Dual-space distillation with cross-model attention.
#[derive(Debug)]
pub struct CrossAttention {
    /// Settings.
    pub settings: Settings,
    /// t2s and s2t.
    pub projectors: Projectors,
}

impl CrossAttention {
    /// Computes `[(1 - rate) CE + rate (L1 + L2 + L3)] / normaliser` and its gradient, L2 only
    /// where the projected teacher is right; adds the projectors' gradients to them.
    ///
    /// `statistics` are those of the whole optimiser step.
    ///
    /// # Errors
    /// When student and teacher do not hold the same number of examples.
    pub fn backward(
        &self,
        student: &States<'_>,
        teacher: &States<'_>,
        statistics: &Statistics,
        normaliser: f64,
    ) -> Result<Backward, DistillError> {
        check(student, teacher)?;
        let Some(query) = &self.projectors.query else {
            return Err(DistillError::NoQuery);
        };
        Ok(distil(&self.settings, student, teacher, Gate::Correct, normaliser, |hidden| {
            self.attend(query, student, teacher, statistics, hidden)
        }))
    }

    /// Returns `(t2s [n, d], s2t [m, D])`.
    fn attend(
        &self,
        query: &Projector,
        student: &States<'_>,
        teacher: &States<'_>,
        statistics: &Statistics,
        hidden: &Tensor,
    ) -> (Tensor, Tensor) {
        let rows =
            |states: &States<'_>, ids: &Tensor| states.embedding.detach().index_select(0, ids).to_kind(Kind::Float);
        let pair = |states: &States<'_>| Tensor::cat(&[rows(states, states.inputs), rows(states, states.labels)], -1);
        let queries = query.forward(&pair(student));
        // 1 / sqrt(2D) and the keys' deviation scale the same product: applied to the keys, which need no gradient.
        let scale = statistics.key * ((2 * teacher.width()) as f64).sqrt();
        let keys = pair(teacher) / scale;
        let states = teacher.hidden_f32() / statistics.hidden + rows(teacher, teacher.labels) / statistics.label;
        let teacher_values = self.projectors.t2s.forward(&states);
        let student_values = self.projectors.s2t.forward(hidden);
        let (mut t2s, mut s2t) = (Vec::new(), Vec::new());
        for ((start, n), (other, m)) in student.spans().into_iter().zip(teacher.spans()) {
            let scores = queries.narrow(0, start, n).matmul(&keys.narrow(0, other, m).tr());
            t2s.push(scores.softmax(-1, Kind::Float).matmul(&teacher_values.narrow(0, other, m)));
            s2t.push(scores.tr().softmax(-1, Kind::Float).matmul(&student_values.narrow(0, start, n)));
        }
        if t2s.is_empty() {
            return (teacher_values, student_values);
        }
        (Tensor::cat(&t2s, 0), Tensor::cat(&s2t, 0))
    }
}
