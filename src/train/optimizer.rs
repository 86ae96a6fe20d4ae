//! AdamW on a flat buffer (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), with
//! PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.

use std::cell::OnceCell;

use rayon::ThreadPool;
use tch::{Device, Kind, Tensor, no_grad};

use super::moments::Moments;
use super::slices;
use super::update::{self, Factors, Gradients, Numbers};
use crate::device;
use crate::experiment::settings::OptimizerStates;
use crate::tuning::flat::{Flat, Group};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Numbers updated at a time. A GPU has its work started in few large pieces, whose temporaries stay below 2 GiB
/// (reasoned, not measured); where a CPU updates by operations, a few parts fit a core's cache.
fn piece(device: Device) -> i64 {
    if device.is_cuda() { 1 << 26 } else { 1 << 17 }
}

/// Keeps the moments of the gradients.
#[derive(Debug)]
pub struct AdamW {
    moments: Moments,
    /// Updates so far.
    pub steps: u64,
    /// Threads that share an update on the CPU, started when there is something to share.
    pool: OnceCell<Option<ThreadPool>>,
}

impl AdamW {
    /// Starts with zero moments, kept as `states` says.
    pub fn new(flat: &Flat, states: OptimizerStates) -> Self {
        Self { moments: Moments::new(flat, states), steps: 0, pool: OnceCell::new() }
    }

    /// Names the tensors that hold the moments, as in saved states.
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        self.moments.tensors()
    }

    /// Updates all weights with learning rate `lr`; gradients are multiplied by `gradient_scale`
    /// first (the clipping coefficient).
    pub fn step(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        self.steps += 1;
        if flat.device() == Device::Cpu && matches!(self.moments, Moments::Whole { .. }) {
            self.at_once(flat, lr, gradient_scale);
        } else {
            self.by_operations(flat, lr, gradient_scale);
        }
    }

    /// Updates in one pass over memory.
    fn at_once(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        let Moments::Whole { first, second } = &mut self.moments else { return };
        let [correction1, correction2] = corrections(self.steps);
        let ranges = flat.ranges.clone();
        let (master, gradient, working) = flat.buffers();
        let mut numbers = Numbers {
            weights: slices::floats(master),
            first: slices::floats(first),
            second: slices::floats(second),
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
        let groups: Vec<_> = ranges.into_iter().map(of_group).collect();
        // One thread computes the same where no others can be started.
        update::update(groups, || self.pool.get_or_init(device::pool).as_ref());
    }

    /// Updates by operations of libtorch.
    fn by_operations(&mut self, flat: &mut Flat, lr: f64, gradient_scale: f64) {
        let [correction1, correction2] = corrections(self.steps);
        let update = |start: i64, count: i64, group: Group, [first, second]: &[Tensor; 2]| {
            let lr = lr * group.lr_factor;
            let (mut first, mut second) = (first.shallow_clone(), second.shallow_clone());
            let mut weight = flat.master.narrow(0, start, count);
            let mut gradient = flat.gradient().narrow(0, start, count).to_kind(Kind::Float);
            if gradient_scale != 1.0 {
                // Not in place: it may be the buffer itself.
                gradient = gradient.g_mul_scalar(gradient_scale);
            }
            let _ = first.lerp_(&gradient, 1.0 - BETA1);
            let mut second = second.g_mul_scalar_(BETA2);
            let _ = second.addcmul_(&gradient, &gradient.g_mul_scalar(1.0 - BETA2));
            let denominator = second.sqrt().g_div_scalar_(correction2.sqrt()).g_add_scalar_(EPSILON);
            if group.weight_decay > 0.0 {
                weight = weight.g_mul_scalar_(1.0 - lr * group.weight_decay);
            }
            // addcdiv without its scalar argument: the step size goes on the quotient.
            let _ = weight.g_sub_(&(first / denominator).g_mul_scalar_(lr / correction1));
        };
        let piece = piece(flat.device());
        no_grad(|| match &mut self.moments {
            // Codes, and what they stand for, come on top.
            Moments::EightBits(moments) => moments.update(piece / 4, update),
            Moments::Whole { first, second } => {
                for &(start, length, group) in &flat.ranges {
                    for offset in (start..start + length).step_by(piece as usize) {
                        let count = piece.min(start + length - offset);
                        let moments = [&*first, &*second].map(|moment| moment.narrow(0, offset, count));
                        update(offset, count, group, &moments);
                    }
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
    use std::path::Path;

    use super::*;
    use crate::device::Seed;
    use crate::models::weights::Checkpoint;
    use crate::tuning::flat::Parameter;

    fn whole(flat: &Flat) -> AdamW {
        AdamW::new(flat, OptimizerStates::F32)
    }

    #[test]
    fn eight_bits_are_those_of_bitsandbytes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adamw8bit.safetensors");
        let fixture = Checkpoint::open_file(&path).unwrap();
        let read = |name: &str, kind| fixture.read(name, kind, Device::Cpu).unwrap().unwrap();
        let mut tensors = ["large", "small"].map(|name| (name, read(&format!("{name}.start"), Kind::Float)));
        let group = Group { lr_factor: 1.0, weight_decay: 0.1 };
        let [(_, large), (_, small)] = &mut tensors;
        let gathered = [("large", large), ("small", small)].map(|(name, tensor)| Parameter {
            name: name.to_owned(),
            tensor,
            group,
            is_table: false,
        });
        let mut flat = Flat::gather(Vec::from(gathered), Kind::Float);
        let mut adam = AdamW::new(&flat, OptimizerStates::EightBits);
        for step in 0..5 {
            flat.zero_gradient();
            for (name, tensor) in &tensors {
                tensor.dot(&read(&format!("{name}.gradient.{step}"), Kind::Float)).backward();
            }
            adam.step(&mut flat, 1e-2, 1.0);
            for (name, tensor) in &tensors {
                let expected = read(&format!("{name}.{step}"), Kind::Float);
                let off = (tensor - expected).abs().max().double_value(&[]);
                assert!(off < 1e-6, "{name} {step}: {off}");
            }
        }
        // Of a block that is not full the codes go on with zeros.
        for (name, found) in adam.tensors() {
            let (moment, part) = name.split_once('.').unwrap_or((name, "rest"));
            let number = if moment == "first" { 1 } else { 2 };
            let (expected, kind) = match part {
                "codes" => (format!("large.state{number}"), Kind::Uint8),
                "scales" => (format!("large.absmax{number}"), Kind::Float),
                _ => (format!("small.state{number}"), Kind::Float),
            };
            let expected = read(&expected, kind);
            let found = found.narrow(0, 0, expected.size()[0]);
            match kind {
                // A value halfway between two goes either way.
                Kind::Uint8 => assert!(found.ne_tensor(&expected).sum(Kind::Int64).int64_value(&[]) < 5, "{name}"),
                _ => assert!(found.allclose(&expected, 1e-5, 1e-9, false), "{name}"),
            }
        }
    }

    /// Two groups of random numbers, of lengths that are no multiples of anything, to be computed with in `kind`.
    fn random(kind: Kind, counts: [i64; 2]) -> (Flat, [Tensor; 2]) {
        let mut tensors = counts.map(|count| Seed(count as u64).normal(&[count]));
        let groups = [Group { lr_factor: 3.0, weight_decay: 0.01 }, Group { lr_factor: 1.0, weight_decay: 0.0 }];
        let parameters = tensors.iter_mut().zip(groups);
        let parameter = |(tensor, group)| Parameter { name: String::new(), tensor, group, is_table: false };
        (Flat::gather(parameters.map(parameter).collect(), kind), tensors)
    }

    #[test]
    fn one_pass_computes_what_the_operations_of_libtorch_do_bit_for_bit() {
        for kind in [Kind::Float, Kind::BFloat16] {
            for counts in [[300_001, 140_009], [2_033, 7]] {
                let ((mut one, tensors), (mut other, others)) = (random(kind, counts), random(kind, counts));
                let (mut at_once, mut by_operations) = (whole(&one), whole(&other));
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
                    by_operations.by_operations(&mut other, 1e-3 / 3.0, scale);
                    let mut pairs = vec![("weights", &one.master, &other.master), ("rounded", &tensors[0], &others[0])];
                    let moments = at_once.tensors().into_iter().zip(by_operations.tensors());
                    pairs.extend(moments.map(|((name, one), (_, other))| (name, one, other)));
                    for (name, one, other) in pairs {
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
        let parameter = |name: &str, tensor, group| Parameter { name: name.to_owned(), tensor, group, is_table: false };
        let mut flat = Flat::gather(
            vec![parameter("decayed", &mut decayed, groups[0]), parameter("spared", &mut spared, groups[1])],
            Kind::Float,
        );
        let mut adam = whole(&flat);
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
        let parameter = |name: &str, tensor, group| Parameter { name: name.to_owned(), tensor, group, is_table: false };
        let mut flat = Flat::gather(vec![parameter("a", a, groups[0]), parameter("b", b, groups[1])], Kind::Float);
        let mut adam = whole(&flat);
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
        let (_, first) = adam.tensors()[0];
        assert!(first.allclose(&(flat.gradient() * 0.1), 1e-5, 0.0, false));
    }

    #[test]
    fn clips_to_the_norm_and_never_enlarges() {
        assert!((clip_coefficient(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
        assert_eq!(clip_coefficient(0.5, Some(1.0)), 1.0);
        assert_eq!(clip_coefficient(4.0, None), 1.0);
    }
}
