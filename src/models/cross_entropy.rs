//! Next-token cross-entropy at response positions, with its gradient written out.
//!
//! Of every objective that trains on text a part, and the measure of a finished model. Logits exist
//! for one chunk of positions at a time, however long the batch is.

use tch::{Kind, Tensor, no_grad};

use super::head::{Head, slice};

/// Returns the sum `-sum_i l_i[y_i]` in nats and `weight` times its gradient by the logits,
/// `softmax - onehot(y)`, which overwrites the log-probabilities `l` `[tokens, vocab]` in f32.
pub fn with_gradient(mut log_probabilities: Tensor, labels: &Tensor, weight: f64) -> (f64, Tensor) {
    let labels = labels.unsqueeze(1);
    let loss = -log_probabilities.gather(1, &labels, false).sum(Kind::Double).double_value(&[]);
    let mut gradient = log_probabilities.exp_();
    gradient *= weight;
    let minus = Tensor::full(labels.size(), -weight, (Kind::Float, gradient.device()));
    (loss, gradient.scatter_add_(1, &labels, &minus))
}

/// Computes `sum_i -ln softmax(h_i U^T)[y_i]` over the tokens of `hidden` `[tokens, width]`.
///
/// Adds `weight` times the gradient to that of the head when it is trained, and returns the sum in nats with `weight` times the gradient of `hidden` `[tokens, width]`.
pub fn backward(hidden: &Tensor, head: Head<'_>, labels: &Tensor, weight: f64) -> (f64, Tensor) {
    let mut sum = 0.0;
    // Whole chunks: blocks of a few rows took 2 to 4 times as long (400 x 32,000 on two busy cores).
    let gradient = head.differentiate(hidden, |rows, mut logits| {
        let normaliser = logits.logsumexp([-1], true);
        let (loss, gradient) = with_gradient(logits.g_sub_(&normaliser), &slice(labels, rows), weight);
        sum += loss;
        gradient
    });
    (sum, gradient.to_kind(hidden.kind()))
}

/// Computes each token's negative log-likelihood in nats `[tokens]`, without gradients.
pub fn per_token(hidden: &Tensor, head: Head<'_>, labels: &Tensor) -> Tensor {
    no_grad(|| {
        let part = |rows| {
            let logits = head.logits(hidden, &rows);
            let picked = logits.gather(1, &slice(labels, &rows).unsqueeze(1), false);
            (logits.logsumexp([-1], true) - picked).squeeze_dim(1)
        };
        Tensor::cat(&head.chunks(hidden).map(part).collect::<Vec<_>>(), 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::flat::{Flat, Group, Parameter};
    use tch::Device;

    #[test]
    fn equals_autograd_in_value_and_gradient_over_several_chunks() {
        tch::manual_seed(5);
        // The second needs three chunks. A vocabulary so large that a chunk is one token would test the
        // kernel of a matrix with a vector: with 8 million terms some sum to 1 % only.
        for (tokens, vocabulary) in [(7, 11), (601, 30_011)] {
            let hidden = Tensor::randn([tokens, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let mut head = Tensor::randn([vocabulary, 2], (Kind::Float, Device::Cpu));
            let labels = Tensor::randint(vocabulary, [tokens], (Kind::Int64, Device::Cpu));
            assert_eq!(Head::new(&head).chunks(&hidden).count(), if tokens == 7 { 1 } else { 3 });
            let plain_head = head.copy().set_requires_grad(true);
            let plain = hidden.matmul(&plain_head.tr()).cross_entropy_loss::<Tensor>(
                &labels,
                None,
                tch::Reduction::Sum,
                -100,
                0.0,
            );
            (&plain * 0.25).backward();
            let group = Group { lr_factor: 1.0, weight_decay: 0.0 };
            let _flat = Flat::gather(
                vec![Parameter { name: "head".to_owned(), tensor: &mut head, group, is_table: false }],
                Kind::Float,
            );
            let (sum, gradient) = backward(&hidden.detach(), Head::new(&head), &labels, 0.25);
            assert!((sum / plain.double_value(&[]) - 1.0).abs() < 1e-6);
            assert!(gradient.allclose(&hidden.grad(), 1e-4, 1e-6, false));
            assert!(head.grad().allclose(&plain_head.grad(), 1e-4, 1e-6, false));
            let each = per_token(&hidden, Head::new(&head), &labels);
            assert!((each.sum(Kind::Double).double_value(&[]) / sum - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_vocabulary() {
        let logits = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
        let (loss, gradient) = with_gradient(logits.log_softmax(-1, Kind::Float), &Tensor::from_slice(&[0i64, 7]), 1.0);
        assert!((loss - 2.0 * 8f64.ln()).abs() < 1e-5);
        assert!((gradient.double_value(&[0, 0]) + 7.0 / 8.0).abs() < 1e-6);
        assert!((gradient.double_value(&[0, 1]) - 1.0 / 8.0).abs() < 1e-6);
    }
}
