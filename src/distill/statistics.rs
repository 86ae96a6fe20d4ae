//! Standard deviations that cross-model attention divides the teacher's tensors by.
//!
//! DSKD's release takes one scalar over a whole padded tensor. Here it is computed from sums, once
//! for all examples of an optimiser step, so that dividing the step into micro-batches changes
//! nothing.

use tch::{Kind, Tensor, no_grad};

/// Count, sum and sum of squares of many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many numbers.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Moments {
    /// Takes all numbers of `tensor`, summed in f64.
    pub fn of(tensor: &Tensor) -> Self {
        let read = |sum: Tensor| f64::try_from(sum).unwrap_or(f64::NAN);
        no_grad(|| {
            let values = tensor.to_kind(Kind::Double);
            Self {
                count: values.numel() as f64,
                sum: read(values.sum(Kind::Double)),
                squares: read(values.square().sum(Kind::Double)),
            }
        })
    }

    /// Says whether all numbers were finite.
    pub fn is_finite(self) -> bool {
        // An infinite number, or one that is none, stays so in a sum; finite squares in f64 stay finite.
        self.sum.is_finite() && self.squares.is_finite()
    }

    /// Returns both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        self.with_repeated(other, 1.0)
    }

    /// Returns these numbers and `times` copies of `other`.
    #[must_use]
    fn with_repeated(self, other: Self, times: f64) -> Self {
        Self {
            count: self.count + times * other.count,
            sum: self.sum + times * other.sum,
            squares: self.squares + times * other.squares,
        }
    }

    /// Returns the unbiased standard deviation; NaN of fewer than two numbers.
    pub fn deviation(self) -> f64 {
        let mean = self.sum / self.count;
        ((self.squares - mean * self.sum) / (self.count - 1.0)).sqrt()
    }
}

/// Says what one example adds to a step's statistics of the teacher.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// Input ids at response positions.
    pub inputs: &'a [i64],
    /// Ids to predict there.
    pub labels: &'a [i64],
    /// Positions of the whole sequence, prompt included.
    pub positions: i64,
    /// Hidden states at all of those positions.
    pub hidden: Moments,
}

/// Holds the teacher's standard deviations over one optimiser step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Of the hidden states at all positions. The release counts padding as well, whose states
    /// depend on who else is in the batch; they are left out here.
    pub hidden: f64,
    /// Of `[E(x); E(y)]`.
    pub key: f64,
    /// Of `E(y)`.
    pub label: f64,
}

impl Statistics {
    /// Computes the statistics of a step from all of its examples and the teacher's input
    /// embedding `[vocab, width]`.
    ///
    /// As in the release, the embeddings fill a tensor `[batch, longest sequence, width]` in which
    /// positions outside the response hold id 0.
    pub fn of<'a>(embedding: &Tensor, examples: impl IntoIterator<Item = Example<'a>>) -> Self {
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        let (mut hidden, mut batch, mut longest) = (Moments::default(), 0, 0);
        for example in examples {
            inputs.extend_from_slice(example.inputs);
            labels.extend_from_slice(example.labels);
            hidden = hidden.with(example.hidden);
            longest = longest.max(example.positions);
            batch += 1;
        }
        let rest = (batch * longest) as f64 - labels.len() as f64;
        let rows = |ids: &[i64]| {
            let ids = Tensor::from_slice(ids).to_device(embedding.device());
            Moments::of(&embedding.detach().index_select(0, &ids))
        };
        let outside = rows(&[0]);
        let (of_inputs, of_labels) = (rows(&inputs), rows(&labels));
        Self {
            hidden: hidden.deviation(),
            key: of_inputs.with(of_labels).with_repeated(outside, 2.0 * rest).deviation(),
            label: of_labels.with_repeated(outside, rest).deviation(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn deviation_of_known_numbers() {
        // 1, 2, 3, 4: variance 5/3.
        let moments = Moments::of(&Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]));
        assert!((moments.deviation() - (5f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn equal_those_of_the_padded_tensors() {
        tch::manual_seed(2);
        let embedding = Tensor::randn([9, 4], (Kind::Float, Device::Cpu)) + 0.3;
        let hidden =
            [Tensor::randn([5, 4], (Kind::Float, Device::Cpu)), Tensor::randn([3, 4], (Kind::Float, Device::Cpu))];
        let examples = [
            Example { inputs: &[1, 2], labels: &[2, 3], positions: 5, hidden: Moments::of(&hidden[0]) },
            Example { inputs: &[8], labels: &[7], positions: 3, hidden: Moments::of(&hidden[1]) },
        ];
        let got = Statistics::of(&embedding, examples);
        let take = |ids: &[i64]| embedding.index_select(0, &Tensor::from_slice(ids));
        let inputs = take(&[0, 0, 0, 1, 2, 0, 0, 8, 0, 0]);
        let labels = take(&[0, 0, 0, 2, 3, 0, 0, 7, 0, 0]);
        let deviation = |tensor: &Tensor| f64::try_from(tensor.to_kind(Kind::Double).std(true)).unwrap();
        assert!((got.label - deviation(&labels)).abs() < 1e-9);
        assert!((got.key - deviation(&Tensor::cat(&[&inputs, &labels], -1))).abs() < 1e-9);
        assert!((got.hidden - deviation(&Tensor::cat(&hidden, 0))).abs() < 1e-9);
    }
}
