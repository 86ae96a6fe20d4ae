//! What codes of four bits stand for.

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
