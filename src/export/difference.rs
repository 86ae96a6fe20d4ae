//! How far what was written is from what was trained: logits of both on the same rows.

use serde::Serialize;
use tch::{Kind, Tensor, no_grad};

use crate::models::decoder::Decoder;
use crate::models::layers::Mode;
use crate::models::packed::Packed;

/// Says how far two models are from each other, over all tokens of some rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What was read, in words.
    pub rows_of: String,
    /// Rows.
    pub rows: usize,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Largest absolute difference of a logit.
    pub largest: f64,
    /// Mean absolute difference of logits.
    pub mean: f64,
    /// Mean over tokens of KL(trained, written), in nats.
    pub divergence_nats: f64,
    /// Share of tokens after which both find the same token the likeliest, 0 to 1.
    pub same_likeliest: f64,
}

/// Computes the logits `[tokens, vocab]` of each row in f32, on the CPU. Rows of the embedding that are no tokens
/// are left out.
pub fn logits<'a>(decoder: &'a Decoder, rows: &'a [Vec<u32>]) -> impl Iterator<Item = Tensor> + 'a {
    rows.iter().map(|row| {
        no_grad(|| {
            let packed = Packed::new(&[row], None, decoder.device());
            let logits = decoder.logits(&decoder.hidden(&packed, Mode::Infer));
            logits.narrow(1, 0, decoder.tokens).to_kind(Kind::Float).to_device(tch::Device::Cpu)
        })
    })
}

/// Compares the logits of two models, row by row; `rows_of` says what the rows are.
pub fn difference(rows_of: &str, trained: &[Tensor], written: impl Iterator<Item = Tensor>) -> Difference {
    let (mut tokens, mut numbers) = (0, 0);
    let (mut largest, mut sum, mut divergence, mut same) = (0f64, 0.0, 0.0, 0);
    for (trained, written) in trained.iter().zip(written) {
        tokens += trained.size()[0] as usize;
        numbers += trained.numel();
        let apart = (trained - &written).abs();
        // In f64: differences of models that are alike are as small as the rounding of f32.
        let log = |logits: &Tensor| logits.to_kind(Kind::Double).log_softmax(-1, Kind::Double);
        let (p, q) = (log(trained), log(&written));
        largest = largest.max(apart.max().double_value(&[]));
        sum += apart.sum(Kind::Double).double_value(&[]);
        divergence += (p.exp() * (p - q)).sum(Kind::Double).double_value(&[]);
        let alike = trained.argmax(-1, false).eq_tensor(&written.argmax(-1, false));
        same += alike.sum(Kind::Int64).int64_value(&[]);
    }
    Difference {
        rows_of: rows_of.to_owned(),
        rows: trained.len(),
        tokens,
        largest,
        mean: sum / numbers as f64,
        // Rounding can leave less than nothing.
        divergence_nats: (divergence / tokens as f64).max(0.0),
        same_likeliest: same as f64 / tokens as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_differ_by_what_is_told() {
        let one = [Tensor::from_slice2(&[[0f32, 0.0], [2.0, 0.0]]), Tensor::from_slice2(&[[1f32, 0.0]])];
        let same = difference("rows", &one, one.iter().map(Tensor::copy));
        assert_eq!((same.rows, same.tokens, same.largest, same.mean), (2, 3, 0.0, 0.0));
        assert_eq!((same.divergence_nats, same.same_likeliest), (0.0, 1.0));
        // p = (1/2, 1/2) and q = (3/4, 1/4): KL = ln 2 - (ln 3) / 2 in the first token, nothing in the others.
        let other = [Tensor::from_slice2(&[[3f32.ln(), 0.0], [2.0, 0.0]]), Tensor::from_slice2(&[[0f32, -1.0]])];
        let found = difference("rows", &one, other.into_iter());
        assert!((found.divergence_nats - (2f64.ln() - 3f64.ln() / 2.0) / 3.0).abs() < 1e-7, "{found:?}");
        assert!((found.largest - 3f64.ln()).abs() < 1e-7);
        assert!((found.mean - (3f64.ln() + 2.0) / 6.0).abs() < 1e-7);
        assert_eq!(found.same_likeliest, 1.0);
        let turned = [Tensor::from_slice2(&[[0f32, 1.0], [0.0, 2.0]]), Tensor::from_slice2(&[[1f32, 0.0]])];
        assert!((difference("rows", &one, turned.into_iter()).same_likeliest - 1.0 / 3.0).abs() < 1e-12);
    }
}
