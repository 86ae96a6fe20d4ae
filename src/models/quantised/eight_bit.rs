//! A matrix in eight bits: LLM.int8's weights (Dettmers et al. 2022, arXiv 2208.07339, section 2, row by row).

use tch::{Kind, Tensor};

use super::kernel;

/// Largest code.
const LARGEST: f64 = 127.0;

/// What bitsandbytes' library multiplies with instead of dividing by 127; in f32.
pub(super) const RECIPROCAL: f64 = 7.874_015_718_698_502e-3;

/// A matrix in eight bits.
#[derive(Debug)]
pub struct EightBit {
    /// Codes `[out, in]`, i8.
    pub(super) codes: Tensor,
    /// Largest magnitude of each row `[out]`, f32.
    pub(super) scales: Tensor,
}

impl EightBit {
    /// Quantises a weight `[out, in]`, whose numbers are read in f16 as the library reads them: each is divided by
    /// the largest magnitude of its row and rounded to a 127th, halfway to the even one.
    pub(super) fn of(weight: &Tensor) -> Self {
        let weight = weight.to_kind(Kind::Half);
        let scales = weight.abs().amax([1], false).to_kind(Kind::Float);
        // Of nothing but zeros the largest magnitude is 0, and nothing is to be scaled.
        let factors = (scales.clamp_min(1e-38).reciprocal() * LARGEST).where_self(&scales.gt(0.0), &scales);
        let codes = (weight.to_kind(Kind::Float) * factors.unsqueeze(1)).round().to_kind(Kind::Int8);
        Self { codes, scales }
    }

    /// Returns the matrix `[out, in]` that the codes stand for, computed in f32, in `kind`.
    pub(super) fn dequantised(&self, kind: Kind) -> Tensor {
        kernel::eight_bits(&self.codes, &self.scales, kind).unwrap_or_else(|| self.by_operations(kind))
    }

    /// Computes [`Self::dequantised`] by libtorch's operations, which any device has.
    fn by_operations(&self, kind: Kind) -> Tensor {
        (&self.codes * self.scales.unsqueeze(1) * RECIPROCAL).to_kind(kind)
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.codes.numel() + 4 * self.scales.numel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::quantised::tests::read;

    #[test]
    fn codes_scales_and_values_are_those_of_bitsandbytes() {
        for name in ["even", "odd", "zeros", "many", "bf16"] {
            let found = EightBit::of(&read(name, Kind::Float).unwrap());
            let at = |part: &str| format!("{name}.int8.{part}");
            assert!(found.codes.equal(&read(&at("codes"), Kind::Int8).unwrap()), "{name}");
            assert!(found.scales.equal(&read(&at("scales"), Kind::Float).unwrap()), "{name}");
            if let Some(values) = read(&at("values"), Kind::Float) {
                assert!(found.dequantised(Kind::Float).equal(&values), "{name}");
            }
            for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
                assert!(found.dequantised(kind).equal(&found.by_operations(kind)), "{name} {kind:?}");
            }
        }
    }
}
