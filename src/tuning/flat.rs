//! Trainable parameters in one flat buffer.
//!
//! Every parameter is a view into one buffer of weights, its gradient a view into one buffer of
//! gradients, so that clipping, the optimiser and a checkpoint are a few large operations instead
//! of thousands of small ones. In bf16 the model computes with a rounded copy of f32 masters.

use tch::{Device, Kind, Tensor, no_grad};

/// Elements whose squares are summed in f32.
const NORM_PART: i64 = 1 << 18;

/// Groups parameters that the optimiser treats alike.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Group {
    /// Factor on the scheduled learning rate.
    pub lr_factor: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// A parameter to be trained: its name, its tensor, and how it is optimised.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Name, unique within the buffer.
    pub name: String,
    /// The tensor that the model computes with; becomes a view into the buffer.
    pub tensor: &'a mut Tensor,
    /// Group of the optimiser.
    pub group: Group,
    /// It is an embedding: a step has a gradient for some of its rows only.
    pub is_table: bool,
}

/// A parameter in the buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Where its numbers begin.
    pub offset: i64,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Group of the optimiser.
    pub group: Group,
    /// It is an embedding.
    pub is_table: bool,
}

/// Holds trainable parameters and their gradients.
#[derive(Debug)]
pub struct Flat {
    /// Weights `[parameters]`, f32.
    pub master: Tensor,
    /// What the model computes with when that is not f32 `[parameters]`.
    working: Option<Tensor>,
    /// Gradients `[parameters]` in the model's format.
    gradient: Tensor,
    /// Gradients of several micro-batches `[parameters]`, f32; only when the model's are not.
    accumulated: Option<Tensor>,
    /// Whether the gradients of this step are in `accumulated`: a step in one piece leaves them in
    /// `gradient`, also after a step in several.
    has_accumulated: bool,
    /// Consecutive parts of the buffer and their groups.
    pub ranges: Vec<(i64, i64, Group)>,
    /// The parameters, one after another.
    pub layout: Vec<Place>,
}

impl Flat {
    /// Moves `parameters` into a new buffer; the model then computes in `kind`.
    ///
    /// # Panics
    /// When there are no parameters.
    pub fn gather(mut parameters: Vec<Parameter<'_>>, kind: Kind) -> Self {
        assert!(!parameters.is_empty(), "nothing to train");
        // Groups become consecutive; within one the order of the model is kept.
        parameters.sort_by(|a, b| b.group.partial_cmp(&a.group).unwrap_or(std::cmp::Ordering::Equal));
        let device = parameters[0].tensor.device();
        let total: i64 = parameters.iter().map(|parameter| parameter.tensor.numel() as i64).sum();
        let master = Tensor::empty([total], (Kind::Float, device));
        let working = (kind != Kind::Float).then(|| Tensor::empty([total], (kind, device)));
        let gradient = Tensor::zeros([total], (kind, device));
        let mut ranges: Vec<(i64, i64, Group)> = Vec::new();
        let mut layout = Vec::new();
        let mut offset = 0;
        for parameter in parameters {
            let shape = parameter.tensor.size();
            let count = parameter.tensor.numel() as i64;
            no_grad(|| master.narrow(0, offset, count).copy_(&parameter.tensor.reshape([-1])));
            let home = working.as_ref().unwrap_or(&master).narrow(0, offset, count);
            no_grad(|| {
                if let Some(working) = &working {
                    working.narrow(0, offset, count).copy_(&master.narrow(0, offset, count));
                }
            });
            let leaf = home.view(&shape[..]).detach().set_requires_grad(true);
            adopt_gradient(&leaf, &gradient.narrow(0, offset, count).view(&shape[..]));
            *parameter.tensor = leaf;
            match ranges.last_mut() {
                Some((_, length, group)) if *group == parameter.group => *length += count,
                _ => ranges.push((offset, count, parameter.group)),
            }
            let Parameter { name, group, is_table, .. } = parameter;
            layout.push(Place { name, offset, shape, group, is_table });
            offset += count;
        }
        let _ = gradient.detach().zero_();
        Self { master, working, gradient, accumulated: None, has_accumulated: false, ranges, layout }
    }

    /// Returns the number of trainable parameters.
    pub fn count(&self) -> i64 {
        self.master.size()[0]
    }

    /// Returns the device of the buffers.
    pub fn device(&self) -> Device {
        self.master.device()
    }

    /// Sets all gradients to zero.
    pub fn zero_gradient(&mut self) {
        let _ = self.gradient.zero_();
        if let Some(accumulated) = &mut self.accumulated {
            let _ = accumulated.zero_();
        }
        self.has_accumulated = false;
    }

    /// Adds the gradients of a micro-batch in f32 and clears them, so that a sum over many
    /// micro-batches does not round to bf16 each time. In f32 they add up by themselves.
    ///
    /// Within a step, either every micro-batch ends with this or none does.
    pub fn accumulate(&mut self) {
        if self.working.is_none() {
            return;
        }
        let sum = self.accumulated.get_or_insert_with(|| self.gradient.zeros_like().to_kind(Kind::Float));
        let _ = sum.g_add_(&self.gradient);
        let _ = self.gradient.zero_();
        self.has_accumulated = true;
    }

    /// Returns the gradients of the step `[parameters]`.
    pub fn gradient(&self) -> &Tensor {
        self.accumulated.as_ref().filter(|_| self.has_accumulated).unwrap_or(&self.gradient)
    }

    /// Returns the masters, the gradients of the step, and what the model computes with where that is not the
    /// masters: all that an update reads and writes. What it writes is published.
    pub fn buffers(&mut self) -> (&mut Tensor, &mut Tensor, Option<&mut Tensor>) {
        let gradient = self.accumulated.as_mut().filter(|_| self.has_accumulated).unwrap_or(&mut self.gradient);
        (&mut self.master, gradient, self.working.as_mut())
    }

    /// Returns the Euclidean norm of all gradients.
    ///
    /// Parts are summed in f64: over tens of millions of elements f32 alone is off by 4e-4. One number
    /// is read at the end, so that a GPU is waited for once.
    pub fn gradient_norm(&self) -> f64 {
        let norm = |part: Tensor| part.norm_scalaropt_dtype(2, Kind::Float);
        let norms: Vec<Tensor> = self.gradient().split(NORM_PART, 0).into_iter().map(norm).collect();
        Tensor::stack(&norms, 0).to_kind(Kind::Double).square().sum(Kind::Double).sqrt().double_value(&[])
    }

    /// Copies the masters into what the model computes with; call it after changing them.
    pub fn publish(&mut self) {
        if let Some(working) = &mut self.working {
            no_grad(|| working.copy_(&self.master));
        }
    }

    /// Replaces all weights by `master` `[parameters]`, such as those of a checkpoint.
    pub fn restore(&mut self, master: &Tensor) {
        no_grad(|| self.master.copy_(master));
        self.publish();
    }

    /// Lists the trained weights in f32, by name.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let part = |Place { name, offset, shape, .. }: &Place| {
            let count: i64 = shape.iter().product();
            (name.clone(), self.master.narrow(0, *offset, count).view(&shape[..]))
        };
        self.layout.iter().map(part).collect()
    }
}

/// Makes `place` the storage of the leaf's gradient. Autograd adds to a gradient that is there in
/// place; libtorch's binding cannot set one, so a first backward creates it and its data is
/// exchanged.
fn adopt_gradient(leaf: &Tensor, place: &Tensor) {
    leaf.sum(leaf.kind()).backward();
    leaf.grad().set_data(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Group = Group { lr_factor: 1.0, weight_decay: 0.1 };

    fn parameter<'a>(name: &str, tensor: &'a mut Tensor, group: Group) -> Parameter<'a> {
        Parameter { name: name.to_owned(), tensor, group, is_table: false }
    }

    fn pair(kind: Kind) -> (Tensor, Tensor, Flat) {
        let mut a = Tensor::from_slice(&[1f32, 2.0]);
        let mut b = Tensor::from_slice(&[3f32]);
        let flat = Flat::gather(
            vec![parameter("a", &mut a, Group { weight_decay: 0.0, ..GROUP }), parameter("b", &mut b, GROUP)],
            kind,
        );
        (a, b, flat)
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn gradients_land_in_the_buffer_and_add_up() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let (a, b, mut flat) = pair(kind);
            // b comes first: parameters of one group are consecutive.
            assert_eq!(flat.ranges.len(), 2);
            // d/da (a . a) = 2 a; d/db (5 b) = 5.
            (a.dot(&a) + &b * 5).sum(kind).backward();
            assert_eq!(values(flat.gradient()), [5.0, 2.0, 4.0]);
            (&b * 1).sum(kind).backward();
            assert_eq!(values(flat.gradient()), [6.0, 2.0, 4.0]);
            flat.accumulate();
            (&b * 1).sum(kind).backward();
            flat.accumulate();
            assert_eq!(values(flat.gradient()), [7.0, 2.0, 4.0]);
            assert!((flat.gradient_norm() - 69f64.sqrt()).abs() < 1e-5);
            flat.zero_gradient();
            assert_eq!(values(flat.gradient()), [0.0; 3]);
            // A step in one piece after one in two.
            (&b * 1).sum(kind).backward();
            assert_eq!(values(flat.gradient()), [1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn changed_masters_reach_the_model() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let (a, b, mut flat) = pair(kind);
            flat.restore(&Tensor::from_slice(&[9f32, 8.0, 7.0]));
            assert_eq!((values(&a), values(&b)), (vec![8.0, 7.0], vec![9.0]));
            let names: Vec<String> = flat.named().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["b", "a"]);
        }
    }
}
