//! Weights in four bits, as bitsandbytes computes and keeps them (Dettmers et al. 2023, arXiv 2305.14314,
//! section 3: QLoRA).
//!
//! Numbers are taken in blocks of 64 in the order of memory. A block is divided by its largest magnitude,
//! its scale, and each number becomes the nearest of 16 values; scales may be kept in eight bits themselves,
//! in blocks of 256 after their mean has been subtracted. Codes equal those of bitsandbytes' library for
//! CPUs to the bit; its CUDA kernels search the eight-bit codes exactly where that library looks them up in
//! a table, so of the codes of scales some can differ by one there.

use tch::{Device, Kind, Tensor, no_grad};

use super::blocks::{by_blocks, dynamic_map, nearest, scaled};
use crate::experiment::settings::BaseFormat;

/// Numbers that share a scale.
const BLOCK: i64 = 64;

/// Scales that share a scale of their own.
const NESTED_BLOCK: i64 = 256;

/// Values of NF4: quantiles of a normal distribution (appendix E).
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Values of FP4 by code, in twelfths; code 8 and above are these with a minus.
const FP4: [f32; 8] = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];

/// A matrix in four bits.
#[derive(Debug)]
pub struct Quantised {
    /// Two codes to a byte, the first in the upper half `[ceil(out * in / 2)]`, u8.
    codes: Tensor,
    scales: Scales,
    format: BaseFormat,
    /// Output and input width.
    shape: [i64; 2],
}

/// Largest magnitude of each block.
#[derive(Debug)]
enum Scales {
    /// As it is `[blocks]`, f32.
    Plain(Tensor),
    /// In eight bits.
    Nested {
        /// Codes `[blocks]`, u8.
        codes: Tensor,
        /// Scales of the codes `[ceil(blocks / 256)]`, f32.
        scales: Tensor,
        /// Mean of the scales `[1]`, f32.
        offset: Tensor,
    },
}

impl Quantised {
    /// Quantises a weight `[out, in]`, whose numbers are read in f32; with `doubles` its scales, too.
    ///
    /// # Panics
    /// When the format is that of weights that are not quantised, or the weight has not two sizes.
    pub fn of(weight: &Tensor, format: BaseFormat, doubles: bool) -> Self {
        no_grad(|| {
            let (out, width) = weight.size2().expect("a weight has two sizes");
            let values = values(format).expect("a format of four bits");
            let (scaled, scales) = scaled(&weight.to_kind(Kind::Float).flatten(0, -1), BLOCK);
            // An odd last number shares its byte with a 0.
            let scaled = if scaled.numel() % 2 == 0 { scaled } else { scaled.constant_pad_nd([0, 1]) };
            let codes = nearest(&scaled, &values, weight.device());
            let pairs = codes.view([-1, 2]);
            let codes = (pairs.select(1, 0) * 16 + pairs.select(1, 1)).to_kind(Kind::Uint8);
            let scales = if doubles { Scales::nested(&scales) } else { Scales::Plain(scales) };
            Self { codes, scales, format, shape: [out, width] }
        })
    }

    /// Returns the matrix `[out, in]` that the codes stand for, computed in f32, in `kind`.
    pub fn dequantised(&self, kind: Kind) -> Tensor {
        no_grad(|| {
            let device = self.codes.device();
            let values = Tensor::from_slice(&values(self.format).expect("a format of four bits")).to_device(device);
            let codes = self.codes.to_kind(Kind::Int);
            let pairs = Tensor::stack(&[codes.bitwise_right_shift_tensor_scalar(4), codes.bitwise_and(15)], 1);
            let numbers = self.shape.iter().product::<i64>();
            let decoded = values.index_select(0, &pairs.flatten(0, -1).narrow(0, 0, numbers));
            by_blocks(&decoded, &self.scales.decoded(), BLOCK).view(self.shape).to_kind(kind)
        })
    }

    /// Returns output and input width.
    pub fn shape(&self) -> [i64; 2] {
        self.shape
    }

    /// Returns where it is kept.
    pub fn device(&self) -> Device {
        self.codes.device()
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        let scales = match &self.scales {
            Scales::Plain(scales) => 4 * scales.numel(),
            Scales::Nested { codes, scales, offset } => codes.numel() + 4 * (scales.numel() + offset.numel()),
        };
        self.codes.numel() + scales
    }
}

impl Scales {
    fn nested(scales: &Tensor) -> Self {
        let offset = scales.mean(Kind::Float).view([1]);
        let (scaled, nested) = scaled(&(scales - &offset), NESTED_BLOCK);
        // The table has 65,536 places from -1 to 1.
        let places = ((scaled + 1.0) * 0.5 * 65_535.0 + 0.5).to_kind(Kind::Int).to_kind(Kind::Float);
        let codes = nearest(&(places / 65_535.0 * 2.0 - 1.0), &dynamic_map(true), scales.device());
        Self::Nested { codes: codes.to_kind(Kind::Uint8), scales: nested, offset }
    }

    /// Returns the scales in f32 `[blocks]`.
    fn decoded(&self) -> Tensor {
        match self {
            Self::Plain(scales) => scales.shallow_clone(),
            Self::Nested { codes, scales, offset } => {
                let map = Tensor::from_slice(&dynamic_map(true)).to_device(codes.device());
                by_blocks(&map.index_select(0, &codes.to_kind(Kind::Int)), scales, NESTED_BLOCK) + offset
            }
        }
    }
}

/// Returns the values that codes stand for; none of weights that are not quantised.
fn values(format: BaseFormat) -> Option<Vec<f32>> {
    match format {
        BaseFormat::Full => None,
        BaseFormat::Nf4 => Some(NF4.to_vec()),
        BaseFormat::Fp4 => {
            let twelfths = FP4.into_iter().chain(FP4.map(|value| -value));
            Some(twelfths.map(|value| value / 12.0).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::weights::Checkpoint;

    fn fixture() -> Checkpoint {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantised.safetensors");
        Checkpoint::open_file(&path).unwrap()
    }

    fn read(name: &str, kind: Kind) -> Option<Tensor> {
        fixture().read(name, kind, Device::Cpu).unwrap()
    }

    #[test]
    fn codes_scales_and_values_are_those_of_bitsandbytes() {
        let bytes = |name: String| read(&name, Kind::Uint8).unwrap();
        let numbers = |name: String| read(&name, Kind::Float).unwrap();
        for name in ["even", "odd", "zeros", "many", "bf16"] {
            let weight = read(name, Kind::Float).unwrap();
            for (format, told) in [(BaseFormat::Nf4, "nf4"), (BaseFormat::Fp4, "fp4")] {
                let at = format!("{name}.{told}.plain");
                let found = Quantised::of(&weight, format, false);
                assert!(found.codes.equal(&bytes(format!("{at}.codes"))), "{at}");
                let Scales::Plain(scales) = &found.scales else { panic!("{at}") };
                assert!(scales.equal(&numbers(format!("{at}.scales"))), "{at}");

                let nested = format!("{name}.{told}.nested");
                let found_nested = Quantised::of(&weight, format, true);
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
    fn a_matrix_takes_four_bits_a_number_and_its_scales() {
        // 4 bits a number, and of 64 a scale of 4 bytes or of 1 and a 64th.
        let weight = Tensor::ones([128, 512], (Kind::Float, Device::Cpu));
        assert_eq!(Quantised::of(&weight, BaseFormat::Nf4, false).bytes(), 32_768 + 4 * 1024);
        assert_eq!(Quantised::of(&weight, BaseFormat::Nf4, true).bytes(), 32_768 + 1024 + 4 * 4 + 4);
    }
}
