//! What codes of four and eight bits stand for.

use tch::{Device, Kind, Tensor};

use crate::experiment::settings::BaseFormat;

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

/// Returns the values that codes of four bits stand for; none of other formats.
pub(super) fn values(format: BaseFormat) -> Option<Vec<f32>> {
    match format {
        BaseFormat::Full | BaseFormat::Int8 => None,
        BaseFormat::Nf4 => Some(NF4.to_vec()),
        BaseFormat::Fp4 => {
            let twelfths = FP4.into_iter().chain(FP4.map(|value| -value));
            Some(twelfths.map(|value| value / 12.0).collect())
        }
    }
}

/// The 256 values of eight-bit codes, ascending (Dettmers 2015, arXiv 1511.04561, section 2.1.3, signed): between
/// neighbouring points that divide 0.1 to 1 evenly, finer for larger powers of ten; 0, and 1.
pub(super) fn dynamic_map() -> Vec<f32> {
    let mut map = vec![0.0, 1.0];
    for power in 0..7 {
        let points = Tensor::linspace(0.1, 1.0, (1 << power) + 1, (Kind::Float, Device::Cpu));
        let middles: Vec<f32> = ((points.narrow(0, 0, 1 << power) + points.narrow(0, 1, 1 << power)) / 2.0)
            .try_into()
            .expect("numbers in f32");
        let scale = 10f64.powi(power - 6) as f32;
        map.extend(middles.iter().flat_map(|middle| [scale * middle, -scale * middle]));
    }
    map.sort_by(f32::total_cmp);
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::quantised::tests::read;

    #[test]
    fn eight_bit_values_are_those_of_bitsandbytes() {
        assert!(Tensor::from_slice(&dynamic_map()).equal(&read("map", Kind::Float).unwrap()));
    }
}
