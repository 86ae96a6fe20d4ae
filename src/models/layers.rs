//! The layers that models are made of: linear with optional low-rank updates, norms, activations,
//! rotary positions. Weights are `[out, in]`, activations `[tokens, width]`.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::adapter::Adapter;
use super::config::keys::Keys;
use super::config::rope::Rope;
use super::lent::Lending;
use super::product::{few, linear};
use super::quantised::Quantised;
use crate::experiment::settings::BaseFormat;

/// Multiplies by a weight and, when adapted, adds a scaled low-rank product.
#[derive(Debug)]
pub struct Linear {
    /// Name in checkpoints, within its layer.
    pub name: &'static str,
    /// Checkpoints keep the weight transposed.
    pub is_transposed: bool,
    /// Weight `[out, in]`.
    pub weight: Weight,
    /// Bias `[out]`.
    pub bias: Option<Tensor>,
    /// Low-rank update.
    pub adapter: Option<Adapter>,
    /// Low-rank updates of earlier trainings below it, which stay as they are.
    pub stacked: Vec<Adapter>,
    /// Whether the numbers of a weight in few bits are lent to autograd.
    pub(super) lending: RefCell<Lending>,
}

/// A matrix as it is kept.
#[derive(Debug)]
pub enum Weight {
    /// Number by number `[out, in]`.
    Dense(Tensor),
    /// In few bits; it is not trained.
    Quantised(Quantised),
}

impl Weight {
    /// Returns what stands where nothing could be read.
    pub(super) fn none() -> Self {
        Self::Dense(Tensor::empty([0], (Kind::Float, Device::Cpu)))
    }

    /// Returns the parameter that is kept number by number, as all are but the matrices of layers.
    ///
    /// # Panics
    /// When it is not.
    pub(super) fn number_by_number(self) -> Tensor {
        match self {
            Self::Dense(tensor) => tensor,
            Self::Quantised(_) => unreachable!("only the matrices of layers are quantised"),
        }
    }

    /// Keeps a matrix in few bits; one in few bits, and what is no matrix, stays as it is.
    pub(super) fn quantised(self, format: BaseFormat, doubles: bool) -> Self {
        match self {
            Self::Dense(weight) if weight.dim() == 2 => Self::Quantised(Quantised::of(&weight, format, doubles)),
            other => other,
        }
    }

    /// Returns output and input width.
    pub fn shape(&self) -> [i64; 2] {
        match self {
            Self::Dense(weight) => weight.size2().map(<[i64; 2]>::from).expect("a weight has two sizes"),
            Self::Quantised(weight) => weight.shape(),
        }
    }

    /// Returns where it is kept.
    pub fn device(&self) -> Device {
        match self {
            Self::Dense(weight) => weight.device(),
            Self::Quantised(weight) => weight.device(),
        }
    }

    /// Returns the matrix number by number; `kind` is that of one that is kept in few bits.
    pub fn dense(&self, kind: Kind) -> Tensor {
        match self {
            Self::Dense(weight) => weight.shallow_clone(),
            Self::Quantised(weight) => weight.dequantised(kind),
        }
    }
}

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is on.
    Train,
    /// Dropout is off.
    Infer,
    /// Dropout is off, and rows are few: those of a tile, or a block of a prompt.
    Decode,
}

impl Linear {
    /// Creates a layer without name, bias or adapter.
    pub fn new(weight: Tensor) -> Self {
        Self::of("", Weight::Dense(weight))
    }

    /// Creates a layer of a name without bias or adapter.
    pub(super) fn of(name: &'static str, weight: Weight) -> Self {
        let (is_transposed, lending) = (false, RefCell::default());
        Self { name, is_transposed, weight, bias: None, adapter: None, stacked: Vec::new(), lending }
    }

    /// Maps `[tokens, in]` to `[tokens, out]`.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let weight = self.weight.dense(x.kind());
        let adapter = self.adapter.as_ref();
        if let Some(adapter) = adapter
            && let Some(factor) = adapter.factor(&weight)
        {
            return self.lengthened(x, &weight, adapter, &factor, mode);
        }
        let mut y = self.product(x, &weight, self.bias.as_ref(), mode);
        for adapter in &self.stacked {
            y = y.addmm_(&adapter.narrow(x), &adapter.up.tr());
        }
        let Some(adapter) = adapter else { return y };
        let dropped = adapter.dropped(x, mode);
        // In place: the backward of a product does not read its result.
        y.addmm_(&adapter.narrow(dropped.as_ref().unwrap_or(x)), &adapter.up.tr())
    }

    /// Maps `x` where the rows of weight and update together are multiplied by `factor` `[out]`. Dropout is on what
    /// the factor changes, as in PEFT: what the weight gives without it is kept whole.
    fn lengthened(&self, x: &Tensor, weight: &Tensor, adapter: &Adapter, factor: &Tensor, mode: Mode) -> Tensor {
        let dropped = adapter.dropped(x, mode);
        let read = dropped.as_ref().unwrap_or(x);
        let base = self.product(read, weight, None, mode);
        let turned = (&base + adapter.narrow(read).matmul(&adapter.up.tr())) * factor;
        let turned = match &dropped {
            Some(_) => self.product(x, weight, None, mode) - base + turned,
            None => turned,
        };
        match &self.bias {
            Some(bias) => turned + bias,
            None => turned,
        }
    }
}

impl Linear {
    /// Multiplies by the numbers of the weight, which are lent to autograd if they are to be.
    fn product(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, mode: Mode) -> Tensor {
        let mut lending = self.lending.borrow_mut();
        if let Lending::On = *lending {
            *lending = Lending::of(weight);
        }
        match (&*lending, bias) {
            (Lending::Lent(turned), Some(bias)) => bias.addmm(x, turned),
            (Lending::Lent(turned), None) => x.mm(turned),
            _ if mode == Mode::Decode => few(x, weight, bias),
            _ => linear(x, weight, bias),
        }
    }
}

/// How a norm standardises each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Divides by the root mean square and scales (Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4).
    Rms,
    /// Likewise, scaled by 1 more than the weight, in f32 throughout (Gemma).
    RmsPlusOne,
    /// Subtracts the mean, divides by the standard deviation, scales and shifts (Ba et al. 2016, arXiv
    /// 1607.06450, eq. 4).
    Layer,
}

/// Standardises the last dimension.
#[derive(Debug)]
pub struct Norm {
    /// Name in checkpoints, within its layer.
    pub name: &'static str,
    /// Scale `[width]`.
    pub weight: Tensor,
    /// Shift `[width]`.
    pub bias: Option<Tensor>,
    /// How it standardises.
    pub kind: NormKind,
    /// Added to the mean square or the variance.
    pub epsilon: f64,
}

impl Norm {
    /// Normalises each row of `[.., width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.size();
        match self.kind {
            NormKind::Rms => x.rms_norm(shape, Some(&self.weight), self.epsilon),
            NormKind::RmsPlusOne => {
                let scale = self.weight.to_kind(Kind::Float) + 1.0;
                x.to_kind(Kind::Float).rms_norm(shape, Some(&scale), self.epsilon).to_kind(x.kind())
            }
            NormKind::Layer => x.layer_norm(shape, Some(&self.weight), self.bias.as_ref(), self.epsilon, true),
        }
    }
}

/// Activation of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Phi(x)` (Hendrycks and Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// Its approximation with a hyperbolic tangent.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// Reads a key of a `config.json`.
    ///
    /// # Errors
    /// When it names another activation.
    pub(super) fn read(keys: &Keys<'_>, name: &str) -> Result<Option<Self>, String> {
        let Some(found) = keys.text(name)? else { return Ok(None) };
        Ok(Some(match found {
            "silu" | "swish" => Self::Silu,
            "gelu" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Self::GeluTanh,
            "relu" => Self::Relu,
            _ => {
                let known = "`silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `relu`";
                return Err(format!("`{name}` is `{found}`, expected {known}"));
            }
        }))
    }

    /// Applies it to every number.
    pub fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
        }
    }
}

/// Rotates query and key by their position (Su et al. 2021, arXiv 2104.09864, eq. 34), halves
/// paired as in Llama: element i with element i + rotated / 2.
#[derive(Debug)]
pub struct Rotary {
    /// Cosines `[tokens, 1, rotated]`.
    cosine: Tensor,
    /// Sines `[tokens, 1, rotated]`, the first half negated.
    sine: Tensor,
}

impl Rotary {
    /// Computes the angles of `positions` `[tokens]` in f32 and keeps them in `kind`; `lengths` `[tokens]`
    /// are those of the tokens' sequences.
    pub fn new(positions: &Tensor, lengths: &Tensor, rope: &Rope, kind: Kind) -> Self {
        let angles = rope.angles(positions, lengths).unsqueeze(1);
        let (mut cosine, mut sine) = (angles.cos(), angles.sin());
        let factor = rope.attention_factor();
        if factor != 1.0 {
            (cosine, sine) = (cosine * factor, sine * factor);
        }
        Self {
            cosine: Tensor::cat(&[&cosine, &cosine], -1).to_kind(kind),
            sine: Tensor::cat(&[&(-&sine), &sine], -1).to_kind(kind),
        }
    }

    /// Returns the rotation at `rows` `[selected]` of the positions.
    pub fn at(&self, rows: &Tensor) -> Self {
        Self { cosine: self.cosine.index_select(0, rows), sine: self.sine.index_select(0, rows) }
    }

    /// Rotates the first numbers of each head of `[tokens, heads, head_dim]`, all or as many as are turned.
    pub fn rotate(&self, x: &Tensor) -> Tensor {
        let (rotated, head_dim) = (self.cosine.size()[2], x.size()[2]);
        // roll swaps the halves; the sign is in the sines.
        let turn = |x: &Tensor| x * &self.cosine + x.roll([rotated / 2], [-1]) * &self.sine;
        if rotated == head_dim {
            return turn(x);
        }
        Tensor::cat(&[turn(&x.narrow(2, 0, rotated)), x.narrow(2, rotated, head_dim - rotated)], 2)
    }
}

/// Returns the additive causal mask `[queries, keys]`: query i stands at `keys - queries + i` and
/// sees itself and, within `window`, what is before it.
pub fn causal_mask(queries: i64, keys: i64, window: Option<i64>, kind: Kind, device: Device) -> Tensor {
    let allowed = Tensor::ones([queries, keys], (Kind::Bool, device)).tril(keys - queries);
    let allowed = match window {
        Some(window) if window < keys => allowed.logical_and(&allowed.triu(keys - queries - window + 1)),
        _ => allowed,
    };
    Tensor::zeros([queries, keys], (kind, device)).masked_fill(&allowed.logical_not(), f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_lets_a_query_see_itself_the_past_and_the_window() {
        let seen = |mask: &Tensor| {
            let rows: Vec<Vec<f64>> = Vec::try_from(mask.isfinite().to_kind(Kind::Double)).unwrap();
            rows.into_iter().map(|row| row.iter().map(|&x| x as i64).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let full = causal_mask(2, 3, None, Kind::Float, Device::Cpu);
        assert_eq!(seen(&full), [[1, 1, 0], [1, 1, 1]]);
        let windowed = causal_mask(3, 3, Some(2), Kind::Float, Device::Cpu);
        assert_eq!(seen(&windowed), [[1, 0, 0], [1, 1, 0], [0, 1, 1]]);
    }

    #[test]
    fn adapter_adds_its_scaled_product() {
        // W = 0, A = [1, 2], B = [3], x = [1, 1]: 0.5 * 3 * 3 = 4.5.
        let mut layer = Linear::new(Tensor::zeros([1, 2], (Kind::Float, Device::Cpu)));
        let (down, up) = (Tensor::from_slice(&[1f32, 2.0]).view([1, 2]), Tensor::from_slice(&[3f32]).view([1, 1]));
        layer.adapter = Some(Adapter::new(down, up, 0.5, 0.0));
        let y = layer.forward(&Tensor::ones([1, 2], (Kind::Float, Device::Cpu)), Mode::Train);
        assert_eq!(f64::try_from(y).unwrap(), 4.5);
        // Another one on top adds to it.
        let below = layer.adapter.take().unwrap();
        layer.adapter = Some(Adapter::new(below.down.copy(), &below.up * 2.0, below.scale, 0.0));
        layer.stacked.push(below);
        let y = layer.forward(&Tensor::ones([1, 2], (Kind::Float, Device::Cpu)), Mode::Train);
        assert_eq!(f64::try_from(y).unwrap(), 13.5);
    }

    #[test]
    fn rotation_keeps_length_and_depends_on_distance_only() {
        let positions = Tensor::from_slice(&[3i64, 5, 13, 15]);
        let rotary = Rotary::new(&positions, &positions, &Rope::plain(10_000.0, 8), Kind::Float);
        tch::manual_seed(1);
        let one = Tensor::randn([1, 1, 8], (Kind::Float, Device::Cpu));
        let rotated = rotary.rotate(&one.expand([4, 1, 8], false)).squeeze_dim(1);
        let products = rotated.matmul(&rotated.tr());
        let at = |i, j| products.double_value(&[i, j]);
        assert!((at(0, 0) - f64::try_from(one.square().sum(Kind::Float)).unwrap()).abs() < 1e-5);
        assert!((at(0, 1) - at(2, 3)).abs() < 1e-5);
        assert!((at(0, 1) - at(0, 2)).abs() > 1e-3);
    }
}
