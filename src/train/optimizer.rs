//! AdamW on a flat buffer (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), with
//! PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.

use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::{Device, Kind, Tensor, no_grad};

use super::slices;
use super::update::{self, Factors, Gradients, Numbers};
use crate::device;
use crate::tuning::flat::{Flat, Group};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Elements that a GPU updates at a time: its work is started in few large pieces, whose temporaries stay
/// below 2 GiB (reasoned, not measured).
const PIECE: i64 = 1 << 26;

/// Keeps the moments of the gradients.
#[derive(Debug)]
pub struct AdamW {
    /// Running mean of gradients `[parameters]`, f32.
    pub first: Tensor,
    /// Running mean of squared gradients `[parameters]`, f32.
    pub second: Tensor,
    /// Updates so far.
    pub steps: u64,
    /// Threads that share an update on the CPU; none where it is one.
    threads: Option<ThreadPool>,
}

impl AdamW {
    /// Starts with zero moments.
    pub fn new(flat: &Flat) -> Self {
        let threads = (flat.device() == Device::Cpu && device::threads() > 1)
            .then(|| ThreadPoolBuilder::new().num_threads(device::threads()).build())
            // One thread computes the same where no others can be started.
            .and_then(Result::ok);
        Self { first: flat.master.zeros_like(), second: flat.master.zeros_like(), steps: 0, threads }
    }

    /// Updates all weights with learning rate `lr`; gradients are multiplied by `gradient_scale`
    /// first (the clipping coefficient).
    pub fn step(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        self.steps += 1;
        if flat.device() == Device::Cpu {
            self.at_once(flat, lr, gradient_scale);
        } else {
            self.by_operations(flat, lr, gradient_scale, PIECE);
        }
    }

    /// Updates in one pass over memory.
    fn at_once(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        let [correction1, correction2] = corrections(self.steps);
        let ranges = flat.ranges.clone();
        let (master, gradient, working) = flat.buffers();
        let mut numbers = Numbers {
            weights: slices::floats(master),
            first: slices::floats(&mut self.first),
            second: slices::floats(&mut self.second),
            gradients: match gradient.kind() {
                Kind::Float => Gradients::Floats(slices::floats(gradient)),
                _ => Gradients::Halves(slices::halves(gradient)),
            },
            working: working.map(slices::halves),
        };
        let of_group = |(_, length, group): (i64, i64, Group)| {
            let lr = lr * group.lr_factor;
            let factors = Factors {
                gradient: gradient_scale as f32,
                fresh: (1.0 - BETA1) as f32,
                second: [BETA2, 1.0 - BETA2].map(|beta| beta as f32),
                correction: correction2.sqrt() as f32,
                epsilon: EPSILON as f32,
                kept: (1.0 - lr * group.weight_decay) as f32,
                size: (lr / correction1) as f32,
            };
            (numbers.take(length as usize), factors)
        };
        update::update(ranges.into_iter().map(of_group).collect(), self.threads.as_ref());
    }

    /// Updates by operations of libtorch, so many numbers at a time.
    fn by_operations(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64, piece: i64) {
        let [correction1, correction2] = corrections(self.steps);
        no_grad(|| {
            for &(start, length, group) in &flat.ranges {
                let lr = lr * group.lr_factor;
                for offset in (start..start + length).step_by(piece as usize) {
                    let count = piece.min(start + length - offset);
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

/// Returns what the moments are divided by after so many updates, since they began at zero.
fn corrections(steps: u64) -> [f64; 2] {
    [BETA1, BETA2].map(|beta| 1.0 - beta.powf(steps as f64))
}

/// Returns the factor that brings a gradient of norm `norm` down to `clip` (as
/// `torch.nn.utils.clip_grad_norm_`).
pub fn clip_coefficient(norm: f64, clip: Option<f64>) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Seed;
    use crate::tuning::flat::Parameter;

    /// Two groups of random numbers, of lengths that are no multiples of anything, to be computed with in `kind`.
    fn random(kind: Kind, counts: [i64; 2]) -> (Flat, [Tensor; 2]) {
        let mut tensors = counts.map(|count| Seed(count as u64).normal(&[count]));
        let groups = [Group { lr_factor: 3.0, weight_decay: 0.01 }, Group { lr_factor: 1.0, weight_decay: 0.0 }];
        let parameters = tensors.iter_mut().zip(groups);
        let parameter = |(tensor, group)| Parameter { name: String::new(), tensor, group };
        (Flat::gather(parameters.map(parameter).collect(), kind), tensors)
    }

    #[test]
    fn one_pass_computes_what_the_operations_of_libtorch_do_bit_for_bit() {
        for kind in [Kind::Float, Kind::BFloat16] {
            for counts in [[300_001, 140_009], [2_033, 7]] {
                let ((mut one, tensors), (mut other, others)) = (random(kind, counts), random(kind, counts));
                let (mut at_once, mut by_operations) = (AdamW::new(&one), AdamW::new(&other));
                for step in 0..4 {
                    // Gradients of many sizes, some of them zero.
                    let draw = |part: u64, count| {
                        let size = Seed(step).stream("size", part).normal(&[count]) * 4.0;
                        (Seed(step).stream("slope", part).normal(&[count]) * size.exp() * 1e-3).to_kind(kind)
                    };
                    let slopes = [draw(0, counts[0]), draw(1, counts[1])];
                    let _ = slopes[0].narrow(0, 0, 3).zero_();
                    for (flat, tensors) in [(&mut one, &tensors), (&mut other, &others)] {
                        flat.zero_gradient();
                        tensors.iter().zip(&slopes).for_each(|(tensor, slopes)| tensor.dot(slopes).backward());
                    }
                    let scale = [1.0, 0.3, 1.0 / 3.0, 1e-3][step as usize];
                    at_once.step(&mut one, 1e-3 / 3.0, scale);
                    by_operations.steps += 1;
                    by_operations.by_operations(&mut other, 1e-3 / 3.0, scale, 1 << 17);
                    for (name, one, other) in [
                        ("first", &at_once.first, &by_operations.first),
                        ("second", &at_once.second, &by_operations.second),
                        ("weights", &one.master, &other.master),
                        ("rounded", &tensors[0], &others[0]),
                    ] {
                        assert!(one.equal(other), "{kind:?} {counts:?} step {step}: {name}");
                    }
                }
            }
        }
    }

    /// Algorithm 2 in f64, number by number, over gradients that change: with constant ones any betas
    /// would do.
    #[test]
    fn follows_the_definition() {
        let (mut decayed, mut spared) = (Tensor::from_slice(&[1f32, -2.0]), Tensor::from_slice(&[0.5f32]));
        let groups = [Group { lr_factor: 1.0, weight_decay: 0.01 }, Group { lr_factor: 3.0, weight_decay: 0.0 }];
        let parameter = |name: &str, tensor, group| Parameter { name: name.to_owned(), tensor, group };
        let mut flat = Flat::gather(
            vec![parameter("decayed", &mut decayed, groups[0]), parameter("spared", &mut spared, groups[1])],
            Kind::Float,
        );
        let mut adam = AdamW::new(&flat);
        let (lr, scale) = (0.1, 0.5);
        // Weight, first and second moment of each number, and its group.
        let mut expected: [(f64, f64, f64, Group); 3] =
            [(1.0, 0.0, 0.0, groups[0]), (-2.0, 0.0, 0.0, groups[0]), (0.5, 0.0, 0.0, groups[1])];
        for (step, gradient) in [[0.5f64, -1.0, 2.0], [-0.25, -3.0, 0.5], [4.0, 0.125, -1.0]].iter().enumerate() {
            flat.zero_gradient();
            let slopes = Tensor::from_slice(gradient).to_kind(Kind::Float);
            (decayed.dot(&slopes.narrow(0, 0, 2)) + spared.dot(&slopes.narrow(0, 2, 1))).backward();
            adam.step(&mut flat, lr, scale);
            let t = step as i32 + 1;
            for ((weight, first, second, group), gradient) in expected.iter_mut().zip(gradient) {
                let g = gradient * scale;
                *first = 0.9 * *first + 0.1 * g;
                *second = 0.999 * *second + 0.001 * g * g;
                let (m, v) = (*first / (1.0 - 0.9f64.powi(t)), *second / (1.0 - 0.999f64.powi(t)));
                *weight -= lr * group.lr_factor * (m / (v.sqrt() + 1e-8) + group.weight_decay * *weight);
            }
            let found = [decayed.double_value(&[0]), decayed.double_value(&[1]), spared.double_value(&[0])];
            for (found, (expected, ..)) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "step {t}: {found} {expected}");
            }
        }
    }

    /// Every number is updated once, wherever the parts that are computed at a time end.
    #[test]
    fn parts_cover_all_numbers_of_all_groups() {
        let counts = [300_001, 200_000];
        let mut tensors = counts.map(|count| Tensor::ones([count], (Kind::Float, tch::Device::Cpu)));
        let groups = [Group { lr_factor: 1.0, weight_decay: 0.01 }, Group { lr_factor: 2.0, weight_decay: 0.0 }];
        let [a, b] = &mut tensors;
        let parameter = |name: &str, tensor, group| Parameter { name: name.to_owned(), tensor, group };
        let mut flat = Flat::gather(vec![parameter("a", a, groups[0]), parameter("b", b, groups[1])], Kind::Float);
        let mut adam = AdamW::new(&flat);
        // The gradient of each number is its own place: a part taken twice or left out shows.
        let slopes = counts.map(|count| Tensor::arange(count, (Kind::Float, tch::Device::Cpu)) + 1);
        (tensors[0].dot(&slopes[0]) + tensors[1].dot(&slopes[1])).backward();
        let norm = (slopes.iter().map(|slopes| slopes.to_kind(Kind::Double).square().sum(Kind::Double)))
            .map(|sum| sum.double_value(&[]))
            .sum::<f64>()
            .sqrt();
        assert!((flat.gradient_norm() / norm - 1.0).abs() < 1e-6, "{} {norm}", flat.gradient_norm());
        adam.step(&mut flat, 0.1, 1.0);
        // A first step moves by the learning rate, whatever the gradient's size: m / sqrt(v) = 1.
        for (tensor, group) in tensors.iter().zip(groups) {
            let expected = 1.0 - 0.1 * group.lr_factor * (1.0 + group.weight_decay);
            assert!((tensor - expected).abs().max().double_value(&[]) < 1e-6);
        }
        assert!(adam.first.allclose(&(flat.gradient() * 0.1), 1e-5, 0.0, false));
    }

    #[test]
    fn clips_to_the_norm_and_never_enlarges() {
        assert!((clip_coefficient(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
        assert_eq!(clip_coefficient(0.5, Some(1.0)), 1.0);
        assert_eq!(clip_coefficient(4.0, None), 1.0);
    }
}
