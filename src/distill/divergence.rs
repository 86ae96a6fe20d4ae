//! Divergences of a student's next-token distribution q from a teacher's p, as DSKD's criterion
//! `various_divergence` defines them (Zhang et al. 2024, arXiv 2406.17328, section 4 and release).
//!
//! p and q are softmaxes at one temperature, in f32; no `temperature^2` factor is applied. Entries
//! at which either logit is minus infinity contribute 0; a logit of plus infinity or one that is not a
//! number makes its whole position not a number, which stops a training.

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
    // Masked before they are multiplied as well: the derivative of 0 * infinity is not a number.
    let (log_p, log_q) = (log_p.masked_fill(&infinite, 0.0), log_q.masked_fill(&infinite, 0.0));
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

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const ALL: [Divergence; 6] = [
        Divergence::ForwardKl,
        Divergence::ReverseKl,
        Divergence::JsDivergence,
        Divergence::SkewedForwardKl,
        Divergence::SkewedReverseKl,
        Divergence::AdaptiveKl,
    ];

    /// Logits of given probabilities `[1, vocab]`.
    fn logits(probabilities: &[f64]) -> Tensor {
        Tensor::from_slice(probabilities).log().to_kind(Kind::Float).unsqueeze(0)
    }

    fn value(divergence: Divergence, student: &[f64], teacher: &[f64]) -> f64 {
        f64::try_from(per_token(divergence, &logits(student), &logits(teacher), 1.0)).unwrap()
    }

    fn kl(p: &[f64], q: &[f64]) -> f64 {
        p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
    }

    fn mix(p: &[f64], q: &[f64], share: f64) -> Vec<f64> {
        p.iter().zip(q).map(|(p, q)| share * p + (1.0 - share) * q).collect()
    }

    const P: [f64; 3] = [0.7, 0.2, 0.1];
    const Q: [f64; 3] = [0.1, 0.3, 0.6];

    #[test]
    fn are_their_formulas() {
        let m = mix(&P, &Q, 0.5);
        // Ascending p: 0.1, 0.3 (tail), 1.0 (head). |p - q|: head 0.6, tail 0.5 + 0.1.
        let adaptive = 0.5 * kl(&P, &Q) + 0.5 * kl(&Q, &P);
        for (divergence, expected) in [
            (Divergence::ForwardKl, kl(&P, &Q)),
            (Divergence::ReverseKl, kl(&Q, &P)),
            (Divergence::JsDivergence, (kl(&P, &m) + kl(&Q, &m)) / 2.0),
            (Divergence::SkewedForwardKl, kl(&P, &mix(&P, &Q, 0.1))),
            (Divergence::SkewedReverseKl, kl(&Q, &mix(&P, &Q, 0.9))),
            (Divergence::AdaptiveKl, adaptive),
        ] {
            let got = value(divergence, &Q, &P);
            assert!((got - expected).abs() < 1e-6, "{divergence:?}: {got} {expected}");
        }
    }

    #[test]
    fn vanish_between_equals_with_their_gradient() {
        for divergence in ALL {
            let (loss, gradient) = with_gradient(divergence, &logits(&P), &logits(&P), 2.0, 1.0);
            assert!(f64::try_from(loss).unwrap().abs() < 1e-7, "{divergence:?}");
            assert!(f64::try_from(gradient.abs().max()).unwrap() < 1e-6, "{divergence:?}");
        }
    }

    #[test]
    fn jensen_shannon_of_disjoint_distributions_is_ln_2() {
        let got = value(Divergence::JsDivergence, &[1.0, 1e-30], &[1e-30, 1.0]);
        assert!((got - 2f64.ln()).abs() < 1e-6, "{got}");
    }

    #[test]
    fn adaptive_kl_leans_to_where_the_gap_is() {
        // Ascending p: 0.1, 0.3, 0.7, so the first entry alone is the head. Gaps: head 0.2, tail 0.3 + 0.1.
        let (p, q) = ([0.7, 0.2, 0.1], [0.5, 0.5, 1e-9]);
        let expected = (0.2 * kl(&p, &q) + 0.4 * kl(&q, &p)) / 0.6;
        assert!((value(Divergence::AdaptiveKl, &q, &p) - expected).abs() < 1e-5);
        // A teacher without a tail: 0.5 and more from the first token on.
        let (p, q) = ([1.0, 1e-30], [0.25, 0.75]);
        let tail = 0.75 * kl(&q, &p);
        assert!((value(Divergence::AdaptiveKl, &q, &p) - (0.75 * kl(&p, &q) + tail) / 1.5).abs() < 1e-4);
    }

    #[test]
    fn temperature_divides_logits_and_nothing_else() {
        let (s, t) = (logits(&Q), logits(&P));
        for divergence in ALL {
            let hot = per_token(divergence, &s, &t, 2.0);
            let halved = per_token(divergence, &(&s / 2.0), &(&t / 2.0), 1.0);
            assert!(hot.allclose(&halved, 1e-6, 0.0, false), "{divergence:?}");
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (s, t) = (logits(&Q), logits(&P));
        // The weights of the adaptive divergence count as constants, which a difference does not know.
        for divergence in ALL.into_iter().filter(|&divergence| divergence != Divergence::AdaptiveKl) {
            let (_, gradient) = with_gradient(divergence, &s, &t, 2.0, 3.0);
            for column in 0..3 {
                let at = |step: f64| {
                    let moved = s.copy();
                    let mut entry = moved.narrow(1, column, 1);
                    entry += step;
                    f64::try_from(per_token(divergence, &moved, &t, 2.0)).unwrap()
                };
                let slope = 3.0 * (at(1e-2) - at(-1e-2)) / 2e-2;
                let got = gradient.double_value(&[0, column]);
                assert!((got - slope).abs() < 2e-4, "{divergence:?} {column}: {got} {slope}");
            }
        }
    }

    #[test]
    fn the_gradient_of_adaptive_kl_is_that_of_both_in_fixed_shares() {
        // At temperature 1 head and tail of P and Q have the same gap, see above.
        let of = |divergence| with_gradient(divergence, &logits(&Q), &logits(&P), 1.0, 3.0).1;
        let expected = (of(Divergence::ForwardKl) + of(Divergence::ReverseKl)) / 2.0;
        assert!(of(Divergence::AdaptiveKl).allclose(&expected, 1e-5, 1e-6, false));
    }

    #[test]
    fn infinite_logits_contribute_nothing_below_and_are_told_above() {
        let spoil = |logits: &Tensor| logits.index_fill(1, &Tensor::from_slice(&[1i64]), f64::NEG_INFINITY);
        let (s, t) = (logits(&Q), logits(&P));
        for divergence in ALL {
            for (student, teacher) in [(spoil(&s), t.copy()), (s.copy(), spoil(&t)), (spoil(&s), spoil(&t))] {
                let (loss, gradient) = with_gradient(divergence, &student, &teacher, 1.0, 1.0);
                let expected = per_token(divergence, &student, &teacher, 1.0);
                assert!(loss.isfinite().all().int64_value(&[]) == 1, "{divergence:?}");
                assert!(gradient.isfinite().all().int64_value(&[]) == 1, "{divergence:?}");
                assert!(loss.allclose(&expected, 1e-6, 1e-7, false), "{divergence:?}");
            }
        }
        let infinite = s.index_fill(1, &Tensor::from_slice(&[1i64]), f64::INFINITY);
        for divergence in ALL {
            let (loss, _) = with_gradient(divergence, &infinite, &t, 1.0, 1.0);
            assert!(f64::try_from(loss).unwrap().is_nan(), "{divergence:?}");
        }
        // What is left: p (0.7, 0.1) against q renormalised over the first and the last.
        let got = f64::try_from(per_token(Divergence::ForwardKl, &spoil(&s), &t, 1.0)).unwrap();
        let expected = 0.7 * (0.7f64 / (0.1 / 0.7)).ln() + 0.1 * (0.1f64 / (0.6 / 0.7)).ln();
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }

    #[test]
    fn underflown_probabilities_stay_finite() {
        let far = Tensor::from_slice(&[200f32, 0.0, -200.0]).unsqueeze(0);
        let other = Tensor::from_slice(&[-200f32, 200.0, -200.0]).unsqueeze(0).to_device(Device::Cpu);
        for divergence in ALL {
            let (loss, gradient) = with_gradient(divergence, &far, &other, 1.0, 1.0);
            assert!(loss.isfinite().all().int64_value(&[]) == 1, "{divergence:?}");
            assert!(gradient.isfinite().all().int64_value(&[]) == 1, "{divergence:?}");
        }
    }
}
