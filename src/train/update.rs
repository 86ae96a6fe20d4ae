//! One update of AdamW in one pass over memory, on the CPU.
//!
//! Gradient, weight and both moments of a number are read and written once, where an operation of libtorch each
//! would read and write them a dozen times. The results are those of these operations bit for bit: every step
//! is rounded as theirs, products with the sum that follows in one rounding where the processor does so
//! (libtorch's `lerp` and `addcmul` on x86 with FMA, measured with 2.11), and the square root, which libtorch takes
//! from MKL and which differs from the processor's in one number of a hundred, is libtorch's own.
//! Numbers depend on no others, so nothing depends on how many threads share them.

use rayon::ThreadPool;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::slices;

/// Numbers that a thread takes at a time: few beside those of a large model.
const BLOCK: usize = 1 << 17;

/// Numbers of them whose square roots it computes at a time: all of them stay in a core's cache meanwhile.
const PART: usize = 1 << 11;

/// What is the same for all numbers of a group in one update, each as libtorch rounds it to f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    /// On the gradient: clipping.
    pub(super) gradient: f32,
    /// Share of the gradient in the first moment.
    pub(super) fresh: f32,
    /// On the second moment, and on the squared gradient that is added.
    pub(super) second: [f32; 2],
    /// Divides the root of the second moment.
    pub(super) correction: f32,
    /// Added to it.
    pub(super) epsilon: f32,
    /// On the weight: decay.
    pub(super) kept: f32,
    /// Step size.
    pub(super) size: f32,
}

/// Gradients in the format that the model computes in.
#[derive(Debug)]
pub(super) enum Gradients<'a> {
    /// f32.
    Floats(&'a [f32]),
    /// bf16, by its bits.
    Halves(&'a [u16]),
}

/// Consecutive numbers to update; all parts are as long as the weights.
#[derive(Debug)]
pub(super) struct Numbers<'a> {
    /// Weights.
    pub(super) weights: &'a mut [f32],
    /// Running means of gradients.
    pub(super) first: &'a mut [f32],
    /// Running means of squared gradients.
    pub(super) second: &'a mut [f32],
    /// Gradients.
    pub(super) gradients: Gradients<'a>,
    /// The rounded weights that the model computes with, where it computes in bf16.
    pub(super) working: Option<&'a mut [u16]>,
}

impl<'a> Numbers<'a> {
    /// Takes the first `count` numbers away.
    pub(super) fn take(&mut self, count: usize) -> Self {
        Self {
            weights: front(&mut self.weights, count),
            first: front(&mut self.first, count),
            second: front(&mut self.second, count),
            gradients: match &mut self.gradients {
                Gradients::Floats(all) => Gradients::Floats(all.split_off(..count).unwrap_or_default()),
                Gradients::Halves(all) => Gradients::Halves(all.split_off(..count).unwrap_or_default()),
            },
            working: self.working.as_mut().map(|all| front(all, count)),
        }
    }
}

fn front<'a, T>(all: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    all.split_off_mut(..count).unwrap_or_default()
}

/// Updates numbers group by group, with the threads of `pool` where there are any; it is asked for where there is
/// something to share.
pub(super) fn update<'p>(groups: Vec<(Numbers<'_>, Factors)>, pool: impl FnOnce() -> Option<&'p ThreadPool>) {
    let mut blocks = Vec::new();
    for (mut numbers, factors) in groups {
        while !numbers.weights.is_empty() {
            blocks.push((numbers.take(BLOCK.min(numbers.weights.len())), factors));
        }
    }
    let pool = if blocks.len() > 1 { pool() } else { None };
    match pool {
        Some(pool) => {
            pool.install(|| blocks.into_par_iter().for_each(|(numbers, factors)| block(numbers, factors, PART)));
        }
        // Where libtorch shares a root among threads, it starts them once.
        None => blocks.into_iter().for_each(|(numbers, factors)| block(numbers, factors, BLOCK)),
    }
}

/// Updates a block, so many numbers at a time.
fn block(mut numbers: Numbers<'_>, factors: Factors, at_a_time: usize) {
    let at_a_time = at_a_time.min(numbers.weights.len());
    let mut roots = Tensor::zeros([at_a_time as i64], (Kind::Float, Device::Cpu));
    while !numbers.weights.is_empty() {
        let mut part = numbers.take(at_a_time.min(numbers.weights.len()));
        moments(&mut part, slices::floats(&mut roots), factors);
        let _ = roots.sqrt_();
        weights(&mut part, slices::floats(&mut roots), factors);
    }
}

/// Moves the moments, and leaves the second one in `roots`, too.
fn moments(part: &mut Numbers<'_>, roots: &mut [f32], factors: Factors) {
    #[cfg(target_arch = "x86_64")]
    if is_fused() {
        #[expect(unsafe_code, reason = "the processor has what the function is compiled for: it was asked")]
        unsafe {
            fused::moments(part, roots, factors);
        }
        return;
    }
    all_moments(
        part,
        roots,
        factors,
        |a, b, sum| if cfg!(target_arch = "aarch64") { a.mul_add(b, sum) } else { a * b + sum },
    );
}

/// Moves the weights by the first moment over the roots of the second.
fn weights(part: &mut Numbers<'_>, roots: &[f32], factors: Factors) {
    #[cfg(target_arch = "x86_64")]
    if is_fused() {
        #[expect(unsafe_code, reason = "the processor has what the function is compiled for: it was asked")]
        unsafe {
            fused::weights(part, roots, factors);
        }
        return;
    }
    all_weights(part, roots, factors);
}

/// Says whether libtorch rounds a product and its sum once here: its kernels for AVX2 and AVX-512 do, those for any
/// processor do not.
#[cfg(target_arch = "x86_64")]
fn is_fused() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// The loops compiled for wide registers and fused products.
#[cfg(target_arch = "x86_64")]
mod fused {
    use super::{Factors, Numbers, all_moments, all_weights};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn moments(part: &mut Numbers<'_>, roots: &mut [f32], factors: Factors) {
        all_moments(part, roots, factors, f32::mul_add);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn weights(part: &mut Numbers<'_>, roots: &[f32], factors: Factors) {
        all_weights(part, roots, factors);
    }
}

#[inline(always)]
fn all_moments(
    part: &mut Numbers<'_>,
    roots: &mut [f32],
    factors: Factors,
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    let moments = part.first.iter_mut().zip(part.second.iter_mut()).zip(roots);
    let one = |((first, second), root): ((&mut f32, &mut f32), &mut f32), gradient: f32| {
        let gradient = gradient * factors.gradient;
        *first = multiply_add(factors.fresh, gradient - *first, *first);
        *second = multiply_add(gradient, gradient * factors.second[1], *second * factors.second[0]);
        *root = *second;
    };
    match part.gradients {
        Gradients::Floats(gradients) => moments.zip(gradients).for_each(|(moments, &gradient)| one(moments, gradient)),
        Gradients::Halves(gradients) => {
            let gradients = gradients.iter().map(|&bits| f32::from_bits(u32::from(bits) << 16));
            moments.zip(gradients).for_each(|(moments, gradient)| one(moments, gradient));
        }
    }
}

#[inline(always)]
fn all_weights(part: &mut Numbers<'_>, roots: &[f32], factors: Factors) {
    for ((weight, first), root) in part.weights.iter_mut().zip(part.first.iter()).zip(roots) {
        let denominator = root / factors.correction + factors.epsilon;
        *weight = *weight * factors.kept - first / denominator * factors.size;
    }
    if let Some(working) = &mut part.working {
        for (rounded, weight) in working.iter_mut().zip(part.weights.iter()) {
            *rounded = rounded_to_half(*weight);
        }
    }
}

/// Rounds a number to the nearest of bf16, to the even one between two.
#[inline(always)]
fn rounded_to_half(number: f32) -> u16 {
    let bits = number.to_bits();
    // What is no number stays none: adding could carry it over to zero.
    if number.is_nan() { 0x7fc0 } else { (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}
