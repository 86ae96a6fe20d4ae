//! Next-token cross-entropy at response positions, with its gradient written out.
//!
//! Logits exist for one chunk of tokens at a time, in one buffer that turns from logits into
//! their gradient, so that memory is chunk x vocabulary however long the batch is.

use tch::{Kind, Tensor, no_grad};

/// Bytes of one chunk of f32 logits.
const CHUNK_BYTES: i64 = 32 << 20;

/// Computes `sum_i -ln softmax(h_i U^T)[y_i]` over the tokens of `hidden` `[tokens, width]`.
///
/// Adds `scale` times the gradient to that of `head` `[vocab, width]` when it is trained, and
/// returns the sum in nats with `scale` times the gradient of `hidden` `[tokens, width]`.
pub fn backward(hidden: &Tensor, head: &Tensor, labels: &Tensor, scale: f64) -> (f64, Tensor) {
    no_grad(|| {
        let gradient = hidden.empty_like();
        let mut sum = 0.0;
        for_chunks(hidden, head, labels, |start, h, labels, mut logits| {
            let normaliser = logits.logsumexp([-1], true);
            sum += (&normaliser - logits.gather(1, labels, false)).sum(Kind::Double).double_value(&[]);
            // d/dlogits = softmax - onehot.
            let mut d = logits.g_sub_(&normaliser).exp_();
            let minus_one = Tensor::full_like(labels, -1).to_kind(Kind::Float);
            let d = d.scatter_add_(1, labels, &minus_one).g_mul_scalar_(scale).to_kind(h.kind());
            gradient.narrow(0, start, h.size()[0]).copy_(&d.matmul(head));
            if head.requires_grad() {
                let _ = head.grad().addmm_(&d.tr(), h);
            }
        });
        (sum, gradient)
    })
}

/// Computes each token's negative log-likelihood in nats `[tokens]`, without gradients.
pub fn per_token(hidden: &Tensor, head: &Tensor, labels: &Tensor) -> Tensor {
    no_grad(|| {
        let mut parts = Vec::new();
        for_chunks(hidden, head, labels, |_, _, labels, logits| {
            let picked = logits.gather(1, labels, false);
            parts.push((logits.logsumexp([-1], true) - picked).squeeze_dim(1));
        });
        Tensor::cat(&parts, 0)
    })
}

/// Gives `visit` the start, hidden states, labels `[chunk, 1]` and f32 logits of each chunk.
fn for_chunks(hidden: &Tensor, head: &Tensor, labels: &Tensor, mut visit: impl FnMut(i64, &Tensor, &Tensor, Tensor)) {
    let (tokens, vocabulary) = (hidden.size()[0], head.size()[0]);
    let chunk = (CHUNK_BYTES / 4 / vocabulary).max(1);
    for start in (0..tokens).step_by(chunk as usize) {
        let count = chunk.min(tokens - start);
        let h = hidden.narrow(0, start, count);
        let logits = h.matmul(&head.tr()).to_kind(Kind::Float);
        visit(start, &h, &labels.narrow(0, start, count).unsqueeze(1), logits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::flat::{Flat, Group, Parameter};
    use tch::Device;

    #[test]
    fn equals_autograd_in_value_and_gradient_over_several_chunks() {
        tch::manual_seed(5);
        // 20 chunks of one token: the vocabulary is larger than a chunk.
        for (tokens, vocabulary) in [(7, 11), (3, CHUNK_BYTES / 4 + 1)] {
            let hidden = Tensor::randn([tokens, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let mut head = Tensor::randn([vocabulary, 2], (Kind::Float, Device::Cpu));
            let labels = Tensor::randint(vocabulary, [tokens], (Kind::Int64, Device::Cpu));
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
            let _flat =
                Flat::gather(vec![Parameter { name: "head".to_owned(), tensor: &mut head, group }], Kind::Float);
            let (sum, gradient) = backward(&hidden.detach(), &head, &labels, 0.25);
            assert!((sum - plain.double_value(&[])).abs() < 1e-4);
            assert!(gradient.allclose(&hidden.grad(), 1e-4, 1e-6, false));
            assert!(head.grad().allclose(&plain_head.grad(), 1e-4, 1e-6, false));
            let each = per_token(&hidden, &head, &labels);
            assert!((each.sum(Kind::Double).double_value(&[]) - sum).abs() < 1e-4);
        }
    }
}
