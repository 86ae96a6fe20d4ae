//! Numbers in blocks, each with a scale.

use std::cmp::Ordering;

use tch::{Device, Tensor};

/// Divides each block of `numbers` by its largest magnitude, which is returned, too; as a product with the
/// reciprocal, but in a last block that is not full.
pub(super) fn scaled(numbers: &Tensor, block: i64) -> (Tensor, Tensor) {
    let count = numbers.numel() as i64;
    let full = count - count % block;
    let blocks = numbers.narrow(0, 0, full).view([-1, block]);
    let mut scales = blocks.abs().amax([1], false);
    // Of nothing but zeros the largest magnitude is 0.
    let reciprocal = scales.clamp_min(1e-38).reciprocal().unsqueeze(1);
    let mut scaled = (blocks * reciprocal).clamp(-1.0, 1.0).flatten(0, -1);
    if full < count {
        let rest = numbers.narrow(0, full, count - full);
        let scale = rest.abs().max().clamp_min(1e-38).view([1]);
        scaled = Tensor::cat(&[scaled, (rest / &scale).clamp(-1.0, 1.0)], 0);
        scales = Tensor::cat(&[scales, scale], 0);
    }
    (scaled, scales)
}

/// Multiplies each block of `numbers` by its scale.
pub(super) fn by_blocks(numbers: &Tensor, scales: &Tensor, block: i64) -> Tensor {
    let count = numbers.numel() as i64;
    if count % block == 0 {
        return (numbers.view([-1, block]) * scales.unsqueeze(1)).view(-1);
    }
    scales.repeat_interleave_self_int(block, 0, None).narrow(0, 0, count) * numbers
}

/// Returns the codes of the values nearest to `numbers`; halfway, of the lower value.
pub(super) fn nearest(numbers: &Tensor, values: &[f32], device: Device) -> Tensor {
    let mut order: Vec<i32> = (0..values.len() as i32).collect();
    // 0 and -0 are one value: the code that comes first stands first.
    order.sort_by(|&a, &b| values[a as usize].partial_cmp(&values[b as usize]).unwrap_or(Ordering::Equal));
    let sorted: Vec<f32> = order.iter().map(|&code| values[code as usize]).collect();
    let middles: Vec<f32> = sorted.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let middles = Tensor::from_slice(&middles).to_device(device);
    let order = Tensor::from_slice(&order).to_device(device);
    order.index_select(0, &numbers.bucketize(&middles, true, false))
}
