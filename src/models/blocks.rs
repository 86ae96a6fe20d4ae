//! Numbers in blocks that share a scale, each as the code of the nearest of a few values: what bitsandbytes does
//! to weights in four bits, to their scales, and to the states of an optimiser.

use std::cmp::Ordering;

use tch::{Device, Kind, Tensor};

/// Returns the 256 values of eight-bit codes, ascending (Dettmers 2015, arXiv 1511.04561, section 2.1.3): between
/// neighbouring points that divide 0.1 to 1 evenly, finer for larger powers of ten; 0, and 1. Those of numbers
/// with a sign are as many below 0; those without have twice as many points instead (Dettmers et al. 2022,
/// arXiv 2110.02861, section 2.2).
pub fn dynamic_map(is_signed: bool) -> Vec<f32> {
    let mut map = vec![0.0, 1.0];
    for power in 0..7 {
        let count = if is_signed { 1 << power } else { 2 << power };
        let points = Tensor::linspace(0.1, 1.0, count + 1, (Kind::Float, Device::Cpu));
        let middles: Vec<f32> =
            ((points.narrow(0, 0, count) + points.narrow(0, 1, count)) / 2.0).try_into().expect("numbers in f32");
        let scale = 10f64.powi(power - 6) as f32;
        map.extend(middles.iter().map(|middle| scale * middle));
        if is_signed {
            map.extend(middles.iter().map(|middle| -scale * middle));
        }
    }
    map.sort_by(f32::total_cmp);
    map
}

/// Divides each block of `numbers` by its largest magnitude, which is returned, too; as a product with the
/// reciprocal, but in a last block that is not full.
pub fn scaled(numbers: &Tensor, block: i64) -> (Tensor, Tensor) {
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
pub fn by_blocks(numbers: &Tensor, scales: &Tensor, block: i64) -> Tensor {
    let count = numbers.numel() as i64;
    if count % block == 0 {
        return (numbers.view([-1, block]) * scales.unsqueeze(1)).view(-1);
    }
    scales.repeat_interleave_self_int(block, 0, None).narrow(0, 0, count) * numbers
}

/// Returns the codes of the values nearest to `numbers`; halfway, of the lower value.
pub fn nearest(numbers: &Tensor, values: &[f32], device: Device) -> Tensor {
    let mut order: Vec<i32> = (0..values.len() as i32).collect();
    // 0 and -0 are one value: the code that comes first stands first.
    order.sort_by(|&a, &b| values[a as usize].partial_cmp(&values[b as usize]).unwrap_or(Ordering::Equal));
    let sorted: Vec<f32> = order.iter().map(|&code| values[code as usize]).collect();
    let middles: Vec<f32> = sorted.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let middles = Tensor::from_slice(&middles).to_device(device);
    let order = Tensor::from_slice(&order).to_device(device);
    order.index_select(0, &numbers.bucketize(&middles, true, false))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::weights::Checkpoint;

    #[test]
    fn eight_bit_values_are_those_of_bitsandbytes() {
        let read = |file: &str, name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
            Checkpoint::open_file(&path).unwrap().read(name, Kind::Float, Device::Cpu).unwrap().unwrap()
        };
        assert!(Tensor::from_slice(&dynamic_map(true)).equal(&read("quantised.safetensors", "map")));
        assert!(Tensor::from_slice(&dynamic_map(false)).equal(&read("adamw8bit.safetensors", "map")));
    }
}
