//! From hidden states to logits and back, a chunk of positions at a time.
//!
//! Gradients by logits are written out rather than left to autograd: the largest tensors are then
//! the logits themselves, overwritten by their gradient. Derivatives are in the losses' files;
//! tests compare them with autograd.

use std::ops::Range;

use tch::{Kind, Tensor, no_grad};

use super::product::few;

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

/// What turns hidden states into logits: `cap tanh((h U^T + b) / cap)`, without cap or bias where there
/// is none, over the rows of U that are tokens.
///
/// A table often has more rows than the tokenizer has tokens. What those say is no token: they count in
/// no loss, no divergence, no likelihood and no sample.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Weight U `[rows, width]`; a trainable one gets its gradient.
    pub weight: &'a Tensor,
    /// Bias b `[rows]`, likewise.
    pub bias: Option<&'a Tensor>,
    /// Largest logit, which is approached along a hyperbolic tangent.
    pub softcap: Option<f64>,
    /// Rows that are tokens, the first ones.
    pub tokens: i64,
}

impl<'a> Head<'a> {
    /// Takes all rows of a weight for tokens, without bias or cap.
    pub fn new(weight: &'a Tensor) -> Self {
        Self { weight, bias: None, softcap: None, tokens: weight.size()[0] }
    }

    /// Returns the width of the hidden states.
    pub fn width(self) -> i64 {
        self.weight.size()[1]
    }

    /// Returns the rows that are tokens `[tokens, ..]`.
    fn cut(self, tensor: &Tensor) -> Tensor {
        tensor.narrow(0, 0, self.tokens)
    }

    /// Returns the logits `[n, tokens]` of hidden states `[n, width]`, in the head's format.
    pub fn of(self, hidden: &Tensor) -> Tensor {
        self.by(|weight, bias| hidden.linear(weight, bias))
    }

    /// Returns the logits `[n, tokens]` of few hidden states `[n, width]`, in the head's format, without a gradient.
    pub fn of_few(self, hidden: &Tensor) -> Tensor {
        self.by(|weight, bias| few(hidden, weight, bias))
    }

    fn by(self, product: impl FnOnce(&Tensor, Option<&Tensor>) -> Tensor) -> Tensor {
        let bias = self.bias.map(|bias| self.cut(bias));
        let logits = product(&self.cut(self.weight), bias.as_ref());
        match self.softcap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        }
    }

    /// Divides the positions of `hidden` so that the f32 logits of each chunk fit `CHUNK_BYTES`.
    pub fn chunks(self, hidden: &Tensor) -> impl Iterator<Item = Rows> + use<> {
        split(0..hidden.size()[0], CHUNK_BYTES / (4 * self.tokens))
    }

    /// Returns the logits `[rows, tokens]` in f32 of rows of `hidden`.
    pub fn logits(self, hidden: &Tensor, rows: &Rows) -> Tensor {
        // The product is in the head's kind, as the model itself computes it.
        self.of(&slice(hidden, rows).to_kind(self.weight.kind())).to_kind(Kind::Float)
    }

    /// Returns the derivative of the cap at `logits`; none without a cap.
    pub fn slope(self, logits: &Tensor) -> Option<Tensor> {
        // Of c tanh(x / c) it is 1 - tanh^2 (x / c).
        self.softcap.map(|cap| 1.0 - (logits / cap).square())
    }

    /// Returns the gradient by the products `h U^T + b` from that by the logits, in the head's format.
    fn by_products(self, by_logits: Tensor, slope: Option<Tensor>) -> Tensor {
        slope.map_or(by_logits.shallow_clone(), |slope| by_logits * slope).to_kind(self.weight.kind())
    }

    /// Returns the gradient by hidden states `[rows, width]` from that by their logits and the cap's slope
    /// there; it runs without autograd, and the head gets no gradient.
    pub fn back(self, by_logits: Tensor, slope: Option<Tensor>) -> Tensor {
        self.by_products(by_logits, slope).matmul(&self.cut(self.weight))
    }

    /// Applies `differentiate` to the logits of `hidden` chunk by chunk and returns the gradient by
    /// `hidden` `[n, width]` in f32; a trainable head gets its own gradient.
    ///
    /// `differentiate` receives rows and their logits and returns the gradient by those logits; it
    /// runs without autograd.
    pub fn differentiate(self, hidden: &Tensor, differentiate: impl FnMut(&Rows, Tensor) -> Tensor) -> Tensor {
        self.pass(hidden, differentiate, true)
    }

    /// Differentiates as [`Self::differentiate`] does; the head stays as it is.
    pub fn differentiate_frozen(self, hidden: &Tensor, differentiate: impl FnMut(&Rows, Tensor) -> Tensor) -> Tensor {
        self.pass(hidden, differentiate, false)
    }

    fn pass(self, hidden: &Tensor, mut differentiate: impl FnMut(&Rows, Tensor) -> Tensor, learns: bool) -> Tensor {
        no_grad(|| {
            let gradient = Tensor::zeros(hidden.size(), (Kind::Float, hidden.device()));
            // In bf16 the products of several chunks are added up in f32: each would round away others.
            let kind = self.weight.kind();
            let adds_up =
                learns && self.weight.requires_grad() && kind != Kind::Float && self.chunks(hidden).count() > 1;
            let mut sum = adds_up.then(|| self.cut(self.weight).zeros_like().to_kind(Kind::Float));
            for rows in self.chunks(hidden) {
                let logits = self.logits(hidden, &rows);
                let slope = self.slope(&logits);
                let by_products = self.by_products(differentiate(&rows, logits), slope);
                slice(&gradient, &rows).copy_(&by_products.matmul(&self.cut(self.weight)));
                if learns && self.weight.requires_grad() {
                    let read = slice(hidden, &rows).to_kind(kind);
                    match &mut sum {
                        Some(sum) => *sum += by_products.tr().matmul(&read),
                        None => add_product(self.weight, self.tokens, &by_products.tr(), &read),
                    }
                }
                if let Some(bias) = self.bias.filter(|bias| learns && bias.requires_grad()) {
                    add(bias, self.tokens, &by_products.sum_dim_intlist(0i64, false, Kind::Float));
                }
            }
            if let Some(sum) = &sum {
                add(self.weight, self.tokens, sum);
            }
            gradient
        })
    }
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

/// Adds `sum` `[rows, ..]` to the gradient of the first `rows` of `leaf`.
fn add(leaf: &Tensor, rows: i64, sum: &Tensor) {
    let (sum, gradient) = (sum.to_kind(leaf.kind()), leaf.grad());
    if gradient.defined() {
        let _ = gradient.narrow(0, 0, rows).g_add_(&sum);
        return;
    }
    tch::with_grad(|| leaf.narrow(0, 0, rows).flatten(0, -1).dot(&sum.flatten(0, -1)).backward());
}

/// Adds `left @ right` to the gradient of the first `rows` of `leaf`.
fn add_product(leaf: &Tensor, rows: i64, left: &Tensor, right: &Tensor) {
    let gradient = leaf.grad();
    if gradient.defined() {
        let _ = gradient.narrow(0, 0, rows).addmm_(left, right);
        return;
    }
    // Only autograd can create a gradient: that of <leaf, product> by the leaf is the product.
    let product = left.matmul(right);
    tch::with_grad(|| leaf.narrow(0, 0, rows).flatten(0, -1).dot(&product.flatten(0, -1)).backward());
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
            no_grad(|| add_product(&leaf, 2, &left, &right));
            assert_eq!(Vec::<f64>::try_from(leaf.grad().view([-1])).unwrap(), expected);
        }
    }

    #[test]
    fn gradients_of_several_chunks_do_not_round_each_other_away_in_bf16() {
        let float = (Kind::Float, Device::Cpu);
        // 30,000 tokens: 279 positions in a chunk, 4 chunks. Every position adds 1 to the first row; in bf16 256
        // and 1 are 256.
        let weight = Tensor::zeros([30_000, 1], (Kind::BFloat16, Device::Cpu)).set_requires_grad(true);
        let hidden = Tensor::ones([1116, 1], (Kind::BFloat16, Device::Cpu));
        let head = Head::new(&weight);
        assert_eq!(head.chunks(&hidden).count(), 4);
        let _ = head.differentiate(&hidden, |rows, _| {
            let first = Tensor::ones([rows.end - rows.start, 1], float);
            Tensor::cat(&[first, Tensor::zeros([rows.end - rows.start, 29_999], float)], 1)
        });
        // 279 is 280 in bf16: four of them, rounded once more.
        assert_eq!(weight.grad().double_value(&[0, 0]), 1120.0);
    }

    #[test]
    fn gradients_are_those_of_autograd_with_bias_cap_and_rows_that_are_no_tokens() {
        tch::manual_seed(7);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (hidden, table, shift) = (random(&[6, 3]), random(&[9, 3]), random(&[9]));
        let weights = random(&[6, 7]);
        for (has_bias, softcap) in [(false, None), (true, None), (false, Some(1.5)), (true, Some(0.8))] {
            let leaves = || [&hidden, &table, &shift].map(|leaf| leaf.copy().set_requires_grad(true));
            let [h, u, b] = leaves();
            let products = h.matmul(&u.tr()) + if has_bias { b.shallow_clone() } else { b.zeros_like() };
            let logits = softcap.map_or(products.shallow_clone(), |cap| (&products / cap).tanh() * cap);
            (logits.narrow(1, 0, 7) * &weights).sum(Kind::Float).backward();
            let [ours, weight, bias] = leaves();
            let head = Head { weight: &weight, bias: has_bias.then_some(&bias), softcap, tokens: 7 };
            for times in [1.0, 2.0] {
                let found = head.differentiate(&ours.detach(), |rows, found| {
                    assert!(found.allclose(&slice(&logits.narrow(1, 0, 7), rows), 1e-5, 1e-6, false));
                    slice(&weights, rows)
                });
                assert!(found.allclose(&h.grad(), 1e-5, 1e-6, false));
                assert!(weight.grad().allclose(&(u.grad() * times), 1e-5, 1e-6, false));
                assert!(!has_bias || bias.grad().allclose(&(b.grad() * times), 1e-5, 1e-6, false));
            }
            assert_eq!(head.of(&ours).size(), [6, 7]);
        }
    }
}
