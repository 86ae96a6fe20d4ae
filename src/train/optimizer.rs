//! AdamW on a flat buffer (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), with
//! PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.

use tch::{Kind, Tensor, no_grad};

use crate::tuning::flat::Flat;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Elements updated at a time: the parts of four buffers then fit a core's cache for all the
/// operations of one update (reasoned, not measured).
const CHUNK: i64 = 1 << 17;

/// Keeps the moments of the gradients.
#[derive(Debug)]
pub struct AdamW {
    /// Running mean of gradients `[parameters]`, f32.
    pub first: Tensor,
    /// Running mean of squared gradients `[parameters]`, f32.
    pub second: Tensor,
    /// Updates so far.
    pub steps: u64,
}

impl AdamW {
    /// Starts with zero moments.
    pub fn new(flat: &Flat) -> Self {
        Self { first: flat.master.zeros_like(), second: flat.master.zeros_like(), steps: 0 }
    }

    /// Updates all weights with learning rate `lr`; gradients are multiplied by `gradient_scale`
    /// first (the clipping coefficient).
    pub fn step(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        self.steps += 1;
        let steps = self.steps as f64;
        let (correction1, correction2) = (1.0 - BETA1.powf(steps), 1.0 - BETA2.powf(steps));
        no_grad(|| {
            for &(start, length, group) in &flat.ranges {
                let lr = lr * group.lr_factor;
                for offset in (start..start + length).step_by(CHUNK as usize) {
                    let count = CHUNK.min(start + length - offset);
                    let part = |buffer: &Tensor| buffer.narrow(0, offset, count);
                    let mut weight = part(&flat.master);
                    let mut gradient = part(flat.gradient()).to_kind(Kind::Float);
                    if gradient_scale != 1.0 {
                        // Not in place: `part` may be the buffer itself.
                        gradient = gradient.g_mul_scalar(gradient_scale);
                    }
                    let (mut first, mut second) = (part(&self.first), part(&self.second));
                    let _ = first.lerp_(&gradient, 1.0 - BETA1);
                    let mut second = second.g_mul_scalar_(BETA2);
                    let _ = second.addcmul_(&gradient, &gradient.g_mul_scalar(1.0 - BETA2));
                    let denominator = second.sqrt().g_div_scalar_(correction2.sqrt()).g_add_scalar_(EPSILON);
                    if group.weight_decay > 0.0 {
                        weight = weight.g_mul_scalar_(1.0 - lr * group.weight_decay);
                    }
                    // addcdiv without its scalar argument: the step size goes on the quotient.
                    let _ = weight.g_sub_(&(&first / denominator).g_mul_scalar_(lr / correction1));
                }
            }
        });
        flat.publish();
    }
}

/// Returns the factor that brings a gradient of norm `norm` down to `clip` (as
/// `torch.nn.utils.clip_grad_norm_`).
pub fn clip_coefficient(norm: f64, clip: Option<f64>) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::flat::{Group, Parameter};

    /// One weight of 1, gradient 0.5, lr 0.1, decay 0.01, three steps. Adam's first step is
    /// lr * sign(g); constant gradients keep it so: w <- w (1 - 0.001) - 0.1 each time.
    #[test]
    fn follows_the_definition() {
        let mut w = Tensor::from_slice(&[1f32]);
        let group = Group { lr_factor: 1.0, weight_decay: 0.01 };
        let mut flat = Flat::gather(vec![Parameter { name: "w".to_owned(), tensor: &mut w, group }], Kind::Float);
        let mut adam = AdamW::new(&flat);
        let mut expected = 1.0;
        for _ in 0..3 {
            flat.zero_gradient();
            (&w * 0.5).sum(Kind::Float).backward();
            adam.step(&mut flat, 0.1, 1.0);
            expected = expected * 0.999 - 0.1;
            let found = w.double_value(&[0]);
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn clips_to_the_norm_and_never_enlarges() {
        assert!((clip_coefficient(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
        assert_eq!(clip_coefficient(0.5, Some(1.0)), 1.0);
        assert_eq!(clip_coefficient(4.0, None), 1.0);
    }
}
