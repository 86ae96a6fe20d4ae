//! Divergences of a student's next-token distribution q from a teacher's p, as DSKD's criterion
//! `various_divergence` defines them (Zhang et al. 2024, arXiv 2406.17328, section 4 and release).
//!
//! p and q are softmaxes at one temperature, in f32; no `temperature^2` factor is applied. Entries
//! at which either logit is infinite contribute 0.

use tch::{Kind, Tensor};

use crate::experiment::settings::Divergence;

/// Share of the teacher (forward) or student (reverse) in the mixture of the skewed divergences (release).
const SKEW: f64 = 0.1;
/// Mass of the teacher's tail in the adaptive divergence (Wu et al. 2024, arXiv 2404.02657, and release).
const TAIL: f64 = 0.5;
/// Added inside the logarithms of Jensen-Shannon (release).
const EPSILON: f64 = 1e-9;
/// Smallest normal f32: keeps the logarithm of an underflown mixture finite.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Returns the divergence at each position `[tokens]` from logits `[tokens, vocab]`,
/// differentiable by the student's.
///
/// - forward KL: `sum p (ln p - ln q)`
/// - reverse KL: `sum q (ln q - ln p)`
/// - Jensen-Shannon: `KL(p||m) / 2 + KL(q||m) / 2`, `m = (p + q) / 2`, logarithms of `x + 1e-9`
/// - skewed forward KL: `KL(p || 0.1 p + 0.9 q)`
/// - skewed reverse KL: `KL(q || 0.9 p + 0.1 q)`
/// - adaptive KL: forward and reverse KL weighted by the shares of `sum |p - q|` in head and tail;
///   the tail is what the teacher's least likely tokens hold up to a mass of 0.5.
pub fn per_token(divergence: Divergence, student_logits: &Tensor, teacher_logits: &Tensor, temperature: f64) -> Tensor {
    let log_q = (student_logits.to_kind(Kind::Float) / temperature).log_softmax(-1, Kind::Float);
    let log_p = (teacher_logits.to_kind(Kind::Float) / temperature).log_softmax(-1, Kind::Float);
    let infinite = student_logits.isinf().logical_or(&teacher_logits.isinf());
    let sum = |terms: Tensor| terms.masked_fill(&infinite, 0.0).sum_dim_intlist(-1, false, Kind::Float);
    let (p, q) = (log_p.exp(), log_q.exp());
    let forward = || sum(&p * (&log_p - &log_q));
    let reverse = || sum(&q * (&log_q - &log_p));
    match divergence {
        Divergence::ForwardKl => forward(),
        Divergence::ReverseKl => reverse(),
        Divergence::JsDivergence => {
            let log = |x: &Tensor| (x + EPSILON).log();
            let log_m = log(&((&p + &q) / 2.0));
            (sum(&p * (log(&p) - &log_m)) + sum(&q * (log(&q) - &log_m))) / 2.0
        }
        Divergence::SkewedForwardKl => {
            let mixture = &p * SKEW + &q * (1.0 - SKEW);
            sum(&p * (&log_p - mixture.clamp_min(TINY).log()))
        }
        Divergence::SkewedReverseKl => {
            let mixture = &p * (1.0 - SKEW) + &q * SKEW;
            sum(&q * (&log_q - mixture.clamp_min(TINY).log()))
        }
        Divergence::AdaptiveKl => {
            let (head, tail) = head_and_tail(&p.detach(), &q.detach());
            // Equal distributions have no gap to share; both divergences are 0 there.
            let total = (&head + &tail).clamp_min(TINY);
            (head / &total) * forward() + (tail / &total) * reverse()
        }
    }
}

/// Returns the sums of `|p - q|` over the teacher's head and tail, each `[tokens]`.
fn head_and_tail(p: &Tensor, q: &Tensor) -> (Tensor, Tensor) {
    let (sorted, order) = p.sort(-1, false);
    let in_tail = sorted.cumsum(-1, Kind::Float).le(TAIL);
    let gap = (sorted - q.gather(-1, &order, false)).abs();
    let tail = (&gap * in_tail).sum_dim_intlist(-1, false, Kind::Float);
    (gap.sum_dim_intlist(-1, false, Kind::Float) - &tail, tail)
}

/// Returns the divergence at each position `[tokens]` and `weight` times its gradient by the
/// student's logits `[tokens, vocab]`, in f32.
///
/// Runs under `no_grad`.
pub(super) fn with_gradient(
    divergence: Divergence,
    student_logits: &Tensor,
    teacher_logits: &Tensor,
    temperature: f64,
    weight: f64,
) -> (Tensor, Tensor) {
    if divergence == Divergence::ForwardKl {
        let (loss, gradient) = forward_kl(student_logits, teacher_logits, temperature, weight);
        // Infinite logits leave their mark in the sum; then the general way leaves them out.
        if f64::try_from(loss.sum(Kind::Double)).is_ok_and(f64::is_finite) {
            return (loss, gradient);
        }
    }
    tch::with_grad(|| {
        let leaf = student_logits.detach().set_requires_grad(true);
        let loss = per_token(divergence, &leaf, teacher_logits, temperature);
        let mut gradients = Tensor::run_backward(&[loss.sum(Kind::Float) * weight], &[&leaf], false, false);
        (loss.detach(), gradients.swap_remove(0))
    })
}

/// d/ds of `sum p (ln p - ln q)`, `q = softmax(s / temperature)`, is `(q - p) / temperature`.
fn forward_kl(student: &Tensor, teacher: &Tensor, temperature: f64, weight: f64) -> (Tensor, Tensor) {
    let mut log_q = (student / temperature).log_softmax(-1, Kind::Float);
    let mut log_p = (teacher / temperature).log_softmax(-1, Kind::Float);
    let p = log_p.exp();
    log_p -= &log_q;
    log_p *= &p;
    let loss = log_p.sum_dim_intlist(-1, false, Kind::Float);
    let mut gradient = log_q.exp_();
    gradient -= &p;
    gradient *= weight / temperature;
    (loss, gradient)
}
