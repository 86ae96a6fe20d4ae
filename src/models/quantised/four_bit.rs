//! A matrix in four bits: NF4 and FP4.

use tch::{Kind, Tensor};

use super::kernel;
use super::scales::Scales;
use super::tables::values;
use crate::experiment::settings::BaseFormat;
use crate::models::blocks::{by_blocks, nearest, scaled};

/// Numbers that share a scale.
pub(super) const BLOCK: i64 = 64;

/// A matrix in four bits.
#[derive(Debug)]
pub struct FourBit {
    /// Two codes to a byte, the first in the upper half `[ceil(out * in / 2)]`, u8.
    pub(super) codes: Tensor,
    pub(super) scales: Scales,
    /// NF4 or FP4.
    pub(super) format: BaseFormat,
    /// Output and input width.
    pub(super) shape: [i64; 2],
    /// Format of the numbers that were quantised, which bitsandbytes' library returns them in.
    pub(super) origin: Kind,
}

impl FourBit {
    /// Quantises a weight `[out, in]`, whose numbers are read in f32; with `doubles` its scales, too.
    pub(super) fn of(weight: &Tensor, format: BaseFormat, doubles: bool) -> Self {
        let (out, width) = weight.size2().expect("a weight has two sizes");
        let values = values(format).expect("a format of four bits");
        let (scaled, scales) = scaled(&weight.to_kind(Kind::Float).flatten(0, -1), BLOCK);
        // An odd last number shares its byte with a 0.
        let scaled = if scaled.numel() % 2 == 0 { scaled } else { scaled.constant_pad_nd([0, 1]) };
        let codes = nearest(&scaled, &values, weight.device());
        let pairs = codes.view([-1, 2]);
        let codes = (pairs.select(1, 0) * 16 + pairs.select(1, 1)).to_kind(Kind::Uint8);
        let scales = if doubles { Scales::nested(&scales) } else { Scales::Plain(scales) };
        Self { codes, scales, format, shape: [out, width], origin: weight.kind() }
    }

    /// Returns the matrix `[out, in]` that the codes stand for, computed in f32, in `kind`.
    pub(super) fn dequantised(&self, kind: Kind) -> Tensor {
        let values = values(self.format).expect("a format of four bits");
        let scales = self.scales.decoded();
        let decoded = kernel::four_bits(&self.codes, &values, (&scales, BLOCK), &self.shape, kind);
        decoded.unwrap_or_else(|| self.by_operations(&values, &scales, kind))
    }

    /// Computes [`Self::dequantised`] by libtorch's operations, which any device has.
    fn by_operations(&self, values: &[f32], scales: &Tensor, kind: Kind) -> Tensor {
        let values = Tensor::from_slice(values).to_device(self.codes.device());
        let codes = self.codes.to_kind(Kind::Int);
        let pairs = Tensor::stack(&[codes.bitwise_right_shift_tensor_scalar(4), codes.bitwise_and(15)], 1);
        let numbers = self.shape.iter().product::<i64>();
        let decoded = values.index_select(0, &pairs.flatten(0, -1).narrow(0, 0, numbers));
        by_blocks(&decoded, scales, BLOCK).view(self.shape).to_kind(kind)
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.codes.numel() + self.scales.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::quantised::tests::read;

    #[test]
    fn codes_scales_and_values_are_those_of_bitsandbytes() {
        let bytes = |name: String| read(&name, Kind::Uint8).unwrap();
        let numbers = |name: String| read(&name, Kind::Float).unwrap();
        for name in ["even", "odd", "zeros", "many", "bf16"] {
            let weight = read(name, Kind::Float).unwrap();
            for (format, told) in [(BaseFormat::Nf4, "nf4"), (BaseFormat::Fp4, "fp4")] {
                let at = format!("{name}.{told}.plain");
                let found = FourBit::of(&weight, format, false);
                assert!(found.codes.equal(&bytes(format!("{at}.codes"))), "{at}");
                let Scales::Plain(scales) = &found.scales else { panic!("{at}") };
                assert!(scales.equal(&numbers(format!("{at}.scales"))), "{at}");

                let nested = format!("{name}.{told}.nested");
                let found_nested = FourBit::of(&weight, format, true);
                let Scales::Nested { codes, scales, offset } = &found_nested.scales else { panic!("{nested}") };
                assert!(codes.equal(&bytes(format!("{nested}.scales"))), "{nested}");
                assert!(scales.allclose(&numbers(format!("{nested}.nested")), 1e-6, 0.0, false), "{nested}");
                // The order of a sum is the machine's.
                assert!(offset.allclose(&numbers(format!("{nested}.offset")), 1e-6, 0.0, false), "{nested}");

                for (at, found) in [(at, found), (nested, found_nested)] {
                    if let Some(values) = read(&format!("{at}.values"), Kind::Float) {
                        let tolerance = if at.ends_with("plain") { 0.0 } else { 1e-6 };
                        assert!(found.dequantised(Kind::Float).allclose(&values, tolerance, 0.0, false), "{at}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_pass_gives_what_operations_give_to_the_bit() {
        for name in ["even", "odd", "zeros", "many", "bf16"] {
            let weight = read(name, Kind::Float).unwrap();
            for (format, doubles) in [(BaseFormat::Nf4, true), (BaseFormat::Fp4, false)] {
                let found = FourBit::of(&weight, format, doubles);
                for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
                    let expected = found.by_operations(&values(format).unwrap(), &found.scales.decoded(), kind);
                    assert!(found.dequantised(kind).equal(&expected), "{name} {format:?} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn several_threads_decode_what_one_does() {
        tch::manual_seed(4);
        // 1,025 rows of 257: parts end within rows, and the last block is not full.
        let weight = Tensor::randn([1025, 257], (Kind::Float, tch::Device::Cpu));
        let found = FourBit::of(&weight, BaseFormat::Nf4, true);
        let expected = found.by_operations(&values(BaseFormat::Nf4).unwrap(), &found.scales.decoded(), Kind::Float);
        assert!(found.dequantised(Kind::Float).equal(&expected));
    }
}
