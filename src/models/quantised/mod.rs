//! Weights in four and in eight bits, as bitsandbytes computes and keeps them (Dettmers et al. 2023, arXiv
//! 2305.14314, section 3: QLoRA; Dettmers et al. 2022, arXiv 2208.07339: LLM.int8).
//!
//! In four bits, numbers are taken in blocks of 64 in the order of memory. A block is divided by its largest
//! magnitude, its scale, and each number becomes the nearest of 16 values; scales may be kept in eight bits
//! themselves, in blocks of 256 after their mean has been subtracted. In eight bits, each row has a scale, and each
//! number becomes a whole one from -127 to 127. Codes equal those of bitsandbytes' library for CPUs to the bit; its
//! CUDA kernels search the eight-bit codes of scales exactly where that library looks them up in a table, so of
//! these some can differ by one there.
//!
//! What is multiplied with a weight stays as it is: products are those with the numbers that the codes stand for.
//! In eight bits bitsandbytes multiplies so only when it trains on a CPU; else it rounds what is multiplied to eight
//! bits, too, but for columns with numbers of 6 and more.

pub(super) mod configuration;
mod eight_bit;
mod four_bit;
mod kernel;
mod scales;
pub(super) mod stored;
mod tables;
pub mod write;

use tch::{Device, Kind, Tensor, no_grad};

use self::eight_bit::EightBit;
use self::four_bit::FourBit;
use crate::experiment::settings::BaseFormat;

/// A matrix in few bits.
#[derive(Debug)]
pub enum Quantised {
    /// In four.
    Four(FourBit),
    /// In eight.
    Eight(EightBit),
}

/// How weights are kept: the format, and whether scales are quantised, too; none for weights as they are.
pub type Quantisation = Option<(BaseFormat, bool)>;

/// Returns how weights are kept in a format; only scales of four bits are quantised.
#[must_use]
pub fn quantisation(format: BaseFormat, doubles: bool) -> Quantisation {
    match format {
        BaseFormat::Full => None,
        BaseFormat::Int8 => Some((format, false)),
        BaseFormat::Nf4 | BaseFormat::Fp4 => Some((format, doubles)),
    }
}

/// Says how weights are kept, as settings name it.
#[must_use]
pub fn in_words(kept: Quantisation) -> String {
    let (format, doubles) = kept.unwrap_or((BaseFormat::Full, false));
    format.in_words(doubles)
}

impl Quantised {
    /// Quantises a weight `[out, in]`, whose numbers are read in f32, or in f16 for eight bits; with `doubles` the
    /// scales of four bits, too.
    ///
    /// # Panics
    /// When the format is that of weights that are not quantised, or the weight has not two sizes.
    pub fn of(weight: &Tensor, format: BaseFormat, doubles: bool) -> Self {
        no_grad(|| match format {
            BaseFormat::Int8 => Self::Eight(EightBit::of(weight)),
            BaseFormat::Full | BaseFormat::Nf4 | BaseFormat::Fp4 => Self::Four(FourBit::of(weight, format, doubles)),
        })
    }

    /// Returns the matrix `[out, in]` that the codes stand for, computed in f32, in `kind`.
    pub fn dequantised(&self, kind: Kind) -> Tensor {
        no_grad(|| match self {
            Self::Four(weight) => weight.dequantised(kind),
            Self::Eight(weight) => weight.dequantised(kind),
        })
    }

    /// Returns how it is kept.
    pub fn quantisation(&self) -> Quantisation {
        match self {
            Self::Four(weight) => quantisation(weight.format, weight.scales.are_nested()),
            Self::Eight(_) => quantisation(BaseFormat::Int8, false),
        }
    }

    /// Returns output and input width.
    pub fn shape(&self) -> [i64; 2] {
        match self {
            Self::Four(weight) => weight.shape,
            Self::Eight(weight) => weight.codes.size2().map(<[i64; 2]>::from).expect("codes have two sizes"),
        }
    }

    /// Returns where it is kept.
    pub fn device(&self) -> Device {
        match self {
            Self::Four(weight) => weight.codes.device(),
            Self::Eight(weight) => weight.codes.device(),
        }
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Four(weight) => weight.bytes(),
            Self::Eight(weight) => weight.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::weights::Checkpoint;

    /// Reads a tensor that `tests/fixtures/quantised.py` wrote.
    pub(super) fn read(name: &str, kind: Kind) -> Option<Tensor> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantised.safetensors");
        Checkpoint::open_file(&path).unwrap().read(name, kind, Device::Cpu).unwrap()
    }

    #[test]
    fn a_matrix_takes_its_bits_a_number_and_its_scales() {
        // 4 bits a number, and of 64 a scale of 4 bytes or of 1 and a 64th; 8 bits and a scale a row.
        let weight = Tensor::ones([128, 512], (Kind::Float, Device::Cpu));
        assert_eq!(Quantised::of(&weight, BaseFormat::Nf4, false).bytes(), 32_768 + 4 * 1024);
        assert_eq!(Quantised::of(&weight, BaseFormat::Nf4, true).bytes(), 32_768 + 1024 + 4 * 4 + 4);
        assert_eq!(Quantised::of(&weight, BaseFormat::Int8, true).bytes(), 65_536 + 4 * 128);
    }

    #[test]
    fn how_weights_are_kept_is_told_in_the_words_of_settings() {
        assert_eq!(in_words(quantisation(BaseFormat::Nf4, true)), "nf4 with double quantisation");
        assert_eq!(in_words(quantisation(BaseFormat::Int8, true)), "int8");
        assert_eq!(in_words(quantisation(BaseFormat::Full, true)), "full");
    }
}
