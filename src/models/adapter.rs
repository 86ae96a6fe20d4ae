//! Low-rank updates of a projection: LoRA and DoRA.

use tch::{Kind, Tensor, no_grad};

use super::layers::Mode;

/// Holds an update `scale * B A` of a weight (Hu et al. 2021, arXiv 2106.09685, section 4.1).
#[derive(Debug)]
pub struct Adapter {
    /// Down projection A `[rank, in]`.
    pub down: Tensor,
    /// Up projection B `[out, rank]`.
    pub up: Tensor,
    /// Factor on the product.
    pub scale: f64,
    /// Probability of dropping an input of A during training.
    pub dropout: f64,
    /// Lengths of the updated weight's rows, where they are learned apart: DoRA.
    pub lengths: Option<Lengths>,
    /// A and B of a product that was taken out of the weight, so that the model first computes what it computed
    /// before.
    pub removed: Option<(Tensor, Tensor)>,
}

/// Learned lengths of rows: the weight becomes `m (W + scale B A) / |W + scale B A|`, row by row, and no gradient
/// goes through the denominator (Liu et al. 2024, arXiv 2402.09353, eq. 5 and section 4.3).
#[derive(Debug)]
pub struct Lengths {
    /// m `[out]`.
    pub learned: Tensor,
    /// Squared lengths of the rows of W `[out]`, f32.
    squared: Tensor,
    /// `m / |W + scale B A|` `[out]`, once neither side changes any more.
    settled: Option<Tensor>,
}

impl Lengths {
    /// Returns the lengths of the rows of `weight` `[out, in]`, as they are before an update, in f32.
    pub fn of(weight: &Tensor) -> Self {
        let squared = squares(weight);
        Self { learned: squared.sqrt(), squared, settled: None }
    }

    /// Returns lengths that were learned for rows of `weight`.
    pub fn learned(learned: Tensor, weight: &Tensor) -> Self {
        Self { learned, squared: squares(weight), settled: None }
    }
}

/// Returns the sum of squares of each row, in f32.
fn squares(weight: &Tensor) -> Tensor {
    no_grad(|| weight.to_kind(Kind::Float).square().sum_dim_intlist(1, false, Kind::Float))
}

impl Adapter {
    /// Makes an update of A `[rank, in]` and B `[out, rank]`, and nothing beside them.
    pub fn new(down: Tensor, up: Tensor, scale: f64, dropout: f64) -> Self {
        Self { down, up, scale, dropout, lengths: None, removed: None }
    }

    /// Returns the narrow side of the update for `x` `[tokens, in]`: `[tokens, rank]`. The scale is in it: there
    /// are fewer numbers than in the result.
    pub(super) fn narrow(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.down.tr()) * self.scale
    }

    /// Returns `x` with some of its numbers dropped, in training with dropout.
    pub(super) fn dropped(&self, x: &Tensor, mode: Mode) -> Option<Tensor> {
        (mode == Mode::Train && self.dropout > 0.0).then(|| x.dropout(self.dropout, true))
    }

    /// Returns the update `[out, in]` of the weight.
    pub fn update(&self) -> Tensor {
        self.up.matmul(&self.down) * self.scale
    }

    /// Returns what the rows of `weight + update` are multiplied by: `[out]`; none without learned lengths.
    ///
    /// The squared length of a row is that of the weight's row, twice its product with the update's, and that of
    /// the update's: `W A'` and `A A'` give all of it, and the updated weight need not be there.
    pub(super) fn factor(&self, weight: &Tensor) -> Option<Tensor> {
        let lengths = self.lengths.as_ref()?;
        if let Some(settled) = &lengths.settled {
            return Some(settled.shallow_clone());
        }
        let norm = no_grad(|| {
            let (down, up) = (self.down.to_kind(Kind::Float), self.up.to_kind(Kind::Float));
            let sum = |rows: Tensor| rows.sum_dim_intlist(1, false, Kind::Float);
            let crossed = weight.matmul(&self.down.to_kind(weight.kind()).tr()).to_kind(Kind::Float) * &up;
            let own = up.matmul(&down.matmul(&down.tr())) * &up;
            (&lengths.squared + sum(crossed) * (2.0 * self.scale) + sum(own) * self.scale.powi(2)).sqrt()
        });
        Some((lengths.learned.to_kind(Kind::Float) / norm).to_kind(weight.kind()))
    }

    /// Computes once what inference multiplies the rows of `weight + update` by.
    pub fn settle(&mut self, weight: &Tensor) {
        let factor = no_grad(|| self.factor(weight));
        if let Some(lengths) = &mut self.lengths {
            lengths.settled = factor;
        }
    }

    /// Returns `weight` with the update in it.
    pub fn merged(&self, weight: &Tensor) -> Tensor {
        no_grad(|| {
            let sum = weight + self.update().to_kind(weight.kind());
            match self.factor(weight) {
                Some(factor) => sum * factor.unsqueeze(1),
                None => sum,
            }
            .detach()
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn rows_get_their_learned_lengths() {
        tch::manual_seed(3);
        let random = |rows, columns| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu));
        let (weight, down, up) = (random(5, 7), random(2, 7), random(5, 2));
        let learned = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0]);
        let lengths = Some(Lengths::learned(learned.shallow_clone(), &weight));
        let adapter = Adapter { lengths, ..Adapter::new(down, up, 0.5, 0.0) };
        let merged = adapter.merged(&weight);
        let norms = squares(&merged).sqrt();
        assert!(norms.allclose(&learned, 1e-5, 0.0, false), "{norms}");
        // The directions are those of the sum.
        let sum = &weight + adapter.update();
        let expected = &sum / squares(&sum).sqrt().unsqueeze(1) * learned.unsqueeze(1);
        assert!(merged.allclose(&expected, 1e-5, 1e-6, false));
        // No gradient goes through the denominator.
        let x = random(4, 7);
        let gradients = |computed: &dyn Fn(&Adapter) -> Tensor| {
            let leaf = |tensor: &Tensor| tensor.copy().set_requires_grad(true);
            let lengths = Some(Lengths::learned(leaf(&learned), &weight));
            let adapter = Adapter { lengths, ..Adapter::new(leaf(&adapter.down), leaf(&adapter.up), 0.5, 0.0) };
            computed(&adapter).square().sum(Kind::Float).backward();
            let learned = &adapter.lengths.as_ref().unwrap().learned;
            [&adapter.down, &adapter.up, learned].map(Tensor::grad)
        };
        let by_hand = gradients(&|adapter| {
            let sum = &weight + adapter.update();
            let norm = squares(&sum).sqrt();
            let rows = &adapter.lengths.as_ref().unwrap().learned / norm;
            x.matmul(&(sum * rows.unsqueeze(1)).tr())
        });
        let found = gradients(&|adapter| {
            let factor = adapter.factor(&weight).unwrap();
            (x.matmul(&weight.tr()) + adapter.narrow(&x).matmul(&adapter.up.tr())) * factor
        });
        for (found, expected) in found.iter().zip(&by_hand) {
            assert!(found.allclose(expected, 1e-4, 1e-4, false), "{found} {expected}");
        }
        // As it starts, nothing changes.
        let start = Adapter { up: adapter.up.zeros_like(), lengths: Some(Lengths::of(&weight)), ..adapter };
        assert!(start.merged(&weight).allclose(&weight, 1e-6, 0.0, false));
    }
}
