//! Cross-entropy on the data: the loss of fine-tuning, and a part of every distillation loss.

use tch::{Kind, Tensor};

use super::head::{differentiate, in_blocks, slice};
use super::{Backward, Parts, States};

/// Returns `-ln softmax(logits)[label]` of each position `[tokens]` in f32, differentiable.
///
/// Logits `[tokens, vocab]` that are NaN or infinite count as 0, as in DSKD's release.
pub fn per_token(logits: &Tensor, labels: &Tensor) -> Tensor {
    let log_probabilities = logits.to_kind(Kind::Float).nan_to_num(0.0, 0.0, 0.0).log_softmax(-1, Kind::Float);
    -log_probabilities.gather(1, &labels.unsqueeze(1), false).squeeze_dim(1)
}

/// Returns the sum over positions and `weight` times its gradient by the logits `[tokens, vocab]`:
/// `softmax(logits) - onehot(label)`, 0 where a logit is NaN or infinite.
pub(super) fn with_gradient(logits: &Tensor, labels: &Tensor, weight: f64) -> (f64, Tensor) {
    let finite = f64::try_from(logits.sum(Kind::Float)).is_ok_and(f64::is_finite);
    let repaired = if finite { None } else { Some(logits.nan_to_num(0.0, 0.0, 0.0)) };
    let mut values = repaired.as_ref().unwrap_or(logits).log_softmax(-1, Kind::Float);
    let labels = labels.unsqueeze(1);
    let loss = -f64::try_from(values.gather(1, &labels, false).sum(Kind::Double)).unwrap_or(f64::NAN);
    let mut gradient = values.exp_();
    gradient *= weight;
    let minus = Tensor::full(labels.size(), -weight, (Kind::Float, logits.device()));
    let mut gradient = gradient.scatter_add_(1, &labels, &minus);
    if !finite {
        gradient = gradient.masked_fill_(&logits.isfinite().logical_not(), 0.0);
    }
    (loss, gradient)
}

/// Computes fine-tuning's loss `CE / normaliser` and its gradient.
pub fn backward(student: &States<'_>, normaliser: f64) -> Backward {
    let mut ce = 0.0;
    let gradient = differentiate(student.hidden, student.head, |rows, logits| {
        let labels = slice(student.labels, rows);
        in_blocks(logits, |block, logits| {
            let (loss, gradient) = with_gradient(logits, &slice(&labels, block), normaliser.recip());
            ce += loss;
            gradient
        })
    });
    let ce = ce / normaliser;
    Backward {
        hidden_gradient: gradient.to_kind(student.hidden.kind()),
        parts: Parts { ce: Some(ce), loss: ce, ..Parts::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_vocabulary() {
        let logits = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
        let (loss, gradient) = with_gradient(&logits, &Tensor::from_slice(&[0i64, 7]), 1.0);
        assert!((loss - 2.0 * 8f64.ln()).abs() < 1e-5);
        assert!((gradient.double_value(&[0, 0]) + 7.0 / 8.0).abs() < 1e-6);
        assert!((gradient.double_value(&[0, 1]) - 1.0 / 8.0).abs() < 1e-6);
    }

    #[test]
    fn gradient_is_that_of_autograd_also_beside_logits_that_are_not_finite() {
        tch::manual_seed(1);
        for spoilt in [false, true] {
            let mut logits = Tensor::randn([3, 6], (Kind::Float, Device::Cpu));
            if spoilt {
                for (column, value) in [(1, f64::NAN), (2, f64::INFINITY), (3, f64::NEG_INFINITY)] {
                    let _ = logits.get(1).narrow(0, column, 1).fill_(value);
                }
            }
            let labels = Tensor::from_slice(&[5i64, 0, 2]);
            let leaf = logits.copy().set_requires_grad(true);
            let expected = per_token(&leaf, &labels).sum(Kind::Float);
            (&expected * 0.5).backward();
            let (loss, gradient) = with_gradient(&logits, &labels, 0.5);
            assert!((loss - f64::try_from(expected).unwrap()).abs() < 1e-5);
            assert!(gradient.allclose(&leaf.grad(), 1e-5, 1e-6, false), "{spoilt}");
            logits = logits.detach();
            assert_eq!(logits.size(), [3, 6]);
        }
    }
}
