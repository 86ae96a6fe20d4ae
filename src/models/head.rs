//! From hidden states to logits and back, a chunk of positions at a time.
//!
//! Gradients by logits are written out rather than left to autograd: the largest tensors are then
//! the logits themselves, overwritten by their gradient. Derivatives are in the losses' files;
//! tests compare them with autograd.

use std::ops::Range;

use tch::{Kind, Tensor, no_grad};

/// Bytes of one `[chunk, vocab]` tensor in f32.
pub const CHUNK_BYTES: i64 = 32 << 20;

/// Bytes of one block of rows on the CPU: a handful of them stay in a core's cache, so that the
/// elementwise passes of a loss do not go to memory. Measured with vanilla distillation of 100
/// positions over 32,000 tokens: 80 MB less at the peak than with whole chunks; time differs by
/// less than a busy machine's noise.
const BLOCK_BYTES: i64 = 1 << 20;

/// A range of response positions.
pub type Rows = Range<i64>;

/// Returns rows `rows` of `tensor`.
pub fn slice(tensor: &Tensor, rows: &Rows) -> Tensor {
    tensor.narrow(0, rows.start, rows.end - rows.start)
}

fn split(rows: Rows, step: i64) -> impl Iterator<Item = Rows> {
    let end = rows.end;
    rows.step_by(step.max(1) as usize).map(move |start| start..(start + step.max(1)).min(end))
}

/// Divides the positions of `hidden` so that the f32 logits of each chunk fit `CHUNK_BYTES`.
pub fn chunks(hidden: &Tensor, head: &Tensor) -> impl Iterator<Item = Rows> + use<> {
    split(0..hidden.size()[0], CHUNK_BYTES / (4 * head.size()[0]))
}

/// Returns the logits `[rows, vocab]` in f32 of rows of `hidden`.
pub fn logits(hidden: &Tensor, rows: &Rows, head: &Tensor) -> Tensor {
    // The product is in the head's kind, as the model itself computes it.
    slice(hidden, rows).to_kind(head.kind()).linear::<&Tensor>(head, None).to_kind(Kind::Float)
}

/// Applies `differentiate` to the logits of `hidden` chunk by chunk and returns the gradient by
/// `hidden` `[n, width]` in f32; a trainable head gets its own gradient.
///
/// `differentiate` receives rows and their logits and returns the gradient by those logits; it
/// runs without autograd.
pub fn differentiate(hidden: &Tensor, head: &Tensor, mut differentiate: impl FnMut(&Rows, Tensor) -> Tensor) -> Tensor {
    no_grad(|| {
        let gradient = Tensor::zeros(hidden.size(), (Kind::Float, hidden.device()));
        for rows in chunks(hidden, head) {
            let by_logits = differentiate(&rows, logits(hidden, &rows, head)).to_kind(head.kind());
            slice(&gradient, &rows).copy_(&by_logits.matmul(head));
            if head.requires_grad() {
                add_product(head, &by_logits.tr(), &slice(hidden, &rows).to_kind(head.kind()));
            }
        }
        gradient
    })
}

/// Replaces each block of rows of `logits` by what `gradient` makes of it.
///
/// `gradient` receives the block's place among the rows of `logits` and the block.
pub fn in_blocks(logits: Tensor, mut gradient: impl FnMut(&Rows, &Tensor) -> Tensor) -> Tensor {
    let (rows, vocabulary) = (logits.size()[0], logits.size()[1]);
    // A GPU prefers few large kernels.
    let step = if logits.device().is_cuda() { rows } else { BLOCK_BYTES / (4 * vocabulary) };
    for block in split(0..rows, step) {
        let mut values = slice(&logits, &block);
        let by_logits = gradient(&block, &values);
        values.copy_(&by_logits);
    }
    logits
}

/// Adds `left @ right` to the gradient of `leaf`.
fn add_product(leaf: &Tensor, left: &Tensor, right: &Tensor) {
    let mut gradient = leaf.grad();
    if gradient.defined() {
        let _ = gradient.addmm_(left, right);
        return;
    }
    // Only autograd can create a gradient: that of <leaf, product> by the leaf is the product.
    let product = left.matmul(right);
    tch::with_grad(|| leaf.flatten(0, -1).dot(&product.flatten(0, -1)).backward());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn rows_are_divided_without_gap_or_overlap() {
        assert_eq!(split(2..9, 3).collect::<Vec<_>>(), [2..5, 5..8, 8..9]);
        assert_eq!(split(0..2, 0).collect::<Vec<_>>(), [0..1, 1..2]);
        assert_eq!(split(0..0, 5).count(), 0);
    }

    #[test]
    fn gradient_of_a_product_is_created_then_added_to() {
        let leaf = Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (left, right) = (Tensor::from_slice(&[1f32, 2.0]).view([2, 1]), Tensor::from_slice(&[3f32]).view([1, 1]));
        for expected in [[3.0, 6.0], [6.0, 12.0]] {
            no_grad(|| add_product(&leaf, &left, &right));
            assert_eq!(Vec::<f64>::try_from(leaf.grad().view([-1])).unwrap(), expected);
        }
    }
}
