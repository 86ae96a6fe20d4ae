//! Cross-entropy as distillation computes it: logits that are NaN or infinite count as 0, as in
//! DSKD's release.

use tch::{Kind, Tensor};

use crate::models::cross_entropy;

/// Returns the sum over positions and `weight` times its gradient by the f32 logits
/// `[tokens, vocab]`, 0 where a logit is NaN or infinite.
pub(super) fn with_gradient(logits: &Tensor, labels: &Tensor, weight: f64) -> (f64, Tensor) {
    // A sum is finite only where every term is: one pass instead of three.
    if logits.sum(Kind::Float).double_value(&[]).is_finite() {
        return cross_entropy::with_gradient(logits.log_softmax(-1, Kind::Float), labels, weight);
    }
    let repaired = logits.nan_to_num(0.0, 0.0, 0.0).log_softmax(-1, Kind::Float);
    let (loss, mut gradient) = cross_entropy::with_gradient(repaired, labels, weight);
    (loss, gradient.masked_fill_(&logits.isfinite().logical_not(), 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

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
            let expected = leaf.nan_to_num(0.0, 0.0, 0.0).cross_entropy_loss::<Tensor>(
                &labels,
                None,
                tch::Reduction::Sum,
                -100,
                0.0,
            );
            (&expected * 0.5).backward();
            let (loss, gradient) = with_gradient(&logits, &labels, 0.5);
            assert!((loss - f64::try_from(expected).unwrap()).abs() < 1e-5);
            assert!(gradient.allclose(&leaf.grad(), 1e-5, 1e-6, false), "{spoilt}");
            logits = logits.detach();
            assert_eq!(logits.size(), [3, 6]);
        }
    }
}
