//! The product of activations with a weight, on the fastest kernel of this machine.
//!
//! libtorch multiplies f32 matrices on the CPU with MKL, which uses AVX-512 on Intel processors
//! only. Its convolutions run on oneDNN, which uses AVX-512 wherever it is there, and a 1 x 1
//! convolution over channels-last memory is the same product without a copy. Measured on a 2-core
//! Zen 5, forward and backward over [1000, 256] x [256, 688]: 191 GFLOP/s with MKL, 432 with
//! oneDNN. The choice depends on the processor alone, never on a timing, so that results repeat.

use std::sync::OnceLock;
use std::time::Instant;

use tch::{Kind, Tensor};

use crate::device::{Compute, Seed};

/// Rows from which repacking the weight for oneDNN pays.
const CONVOLUTION_ROWS: i64 = 64;

/// Computes `x weight^T + bias`: `x` is `[rows, in]`, `weight` `[out, in]`, `bias` `[out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let rows = x.size()[0];
    let convolves = is_convolution(x.kind(), x.device().is_cuda()) && rows >= CONVOLUTION_ROWS;
    if !convolves {
        return x.linear(weight, bias);
    }
    let (out, width) = weight.size2().expect("a weight has two sizes");
    // Channels-last strides over the very same memory.
    let pixels = x.reshape([1, rows, 1, width]).permute([0, 3, 1, 2]);
    let kernel = weight.view([out, 1, 1, width]).permute([0, 3, 1, 2]);
    pixels.conv2d(&kernel, bias, 1, 0, 1, 1).permute([0, 2, 3, 1]).reshape([rows, out])
}

/// Computes what [`linear`] does, of few rows, and without a gradient.
///
/// MKL and oneDNN are made for many rows: of 16 they read the weight at half the speed of memory. The weight
/// times the rows as columns is the same product. Measured on two cores with AVX-512, 23 million weights, 16
/// rows: 12.9 ms became 7.3 ms in f32, 10.1 became 7.8 in bf16; of 64 rows it is no faster.
pub fn few(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let rows = x.size()[0];
    if x.device().is_cuda() || !(2..CONVOLUTION_ROWS).contains(&rows) {
        return linear(x, weight, bias);
    }
    let y = weight.matmul(&x.tr()).tr();
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

/// Says whether products of many rows are convolutions on this machine. Autograd keeps the input of a
/// convolution for backward even where its weight is frozen, that of a plain product not.
pub fn is_convolution(kind: Kind, is_cuda: bool) -> bool {
    kind == Kind::Float && !is_cuda && mkl_lacks_avx512()
}

fn mkl_lacks_avx512() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = information.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        let avx512 = field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "avx512f"));
        avx512 && field("vendor_id").is_some_and(|vendor| vendor != "GenuineIntel")
    })
}

/// Measures how many floating-point operations per second a large matrix product reaches.
///
/// The best of a few products of square matrices, on a GPU large enough to fill it: what this machine
/// can do, not what its data sheet says.
pub fn speed(compute: Compute) -> f64 {
    const DRAWN: i64 = 1024;
    let times = if compute.device.is_cuda() { 8 } else { 1 };
    // Not of ones: a GPU draws less power for them, and so runs faster.
    let matrix = |index| {
        let drawn = Seed(1).stream("speed", index).uniform(&[DRAWN, DRAWN], 1.0);
        drawn.to_device(compute.device).to_kind(compute.kind()).repeat([times, times])
    };
    let (a, b) = (matrix(0), matrix(1));
    let side = DRAWN * times;
    let operations = 2.0 * (side as f64).powi(3);
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let started = Instant::now();
        let product = linear(&a, &b, None);
        // Reading a value waits for the device.
        let _ = product.double_value(&[0, 0]);
        best = best.min(started.elapsed().as_secs_f64());
    }
    operations / best
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn all_kernels_agree_in_value_and_gradient() {
        tch::manual_seed(2);
        let like = (Kind::Float, Device::Cpu);
        for rows in [1, 16, CONVOLUTION_ROWS, 200] {
            let x = Tensor::randn([rows, 24], like).set_requires_grad(true);
            let weight = Tensor::randn([40, 24], like).set_requires_grad(true);
            let bias = Tensor::randn([40], like).set_requires_grad(true);
            let direction = Tensor::randn([rows, 40], like);
            let gradients = |y: Tensor| {
                Tensor::run_backward(&[(y * &direction).sum(Kind::Float)], &[&x, &weight, &bias], false, false)
            };
            let (plain, fast) = (x.linear(&weight, Some(&bias)), linear(&x, &weight, Some(&bias)));
            assert!(fast.allclose(&plain, 1e-5, 1e-5, false));
            for bias in [Some(&bias), None] {
                assert!(few(&x, &weight, bias).allclose(&x.linear(&weight, bias), 1e-5, 1e-5, false));
            }
            for (fast, plain) in gradients(fast).iter().zip(gradients(plain)) {
                assert!(fast.allclose(&plain, 1e-4, 1e-4, false));
            }
        }
    }
}
