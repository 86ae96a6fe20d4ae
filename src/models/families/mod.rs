//! Families of decoders, one file each: what it reads of `config.json`, and what its layers are made of.
//!
//! A new family is a file with a [`Family`] and its line in [`FAMILIES`].

mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod llama;
mod mistral;
mod olmo2;
mod phi;
mod phi3;
mod qwen2;
mod qwen3;

use tch::Tensor;

use super::ModelError;
use super::block::Layer;
use super::config::keys::Keys;
use super::config::{Config, Part, Projection};
use super::layers::{Linear, Norm, NormKind, Weight};
use crate::experiment::settings::Architecture;

/// Every family, in the order of their names.
pub const FAMILIES: [&Family; 11] = [
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gpt2::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &olmo2::FAMILY,
    &phi::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
];

/// A family of decoders.
pub struct Family {
    /// Its `model_type`.
    pub name: &'static str,
    /// Its class in transformers.
    pub class: &'static str,
    /// Where checkpoints keep what is not in a layer.
    pub places: Places,
    /// How the norms of its layers and the last one standardise.
    pub norm: NormKind,
    /// Its head adds a bias.
    pub head_has_bias: bool,
    /// Checkpoints keep the matrices of its projections transposed.
    pub is_transposed: bool,
    /// Reads its `config.json`.
    pub(super) read: fn(&'static Family, &Keys<'_>) -> Result<Config, String>,
    /// Makes a layer of its parts.
    pub(super) layer: fn(&Config, i64, &mut Maker<'_>) -> Result<Layer, ModelError>,
}

/// Names in checkpoints.
#[derive(Debug)]
pub struct Places {
    /// Embedding of tokens.
    pub embedding: &'static str,
    /// Embedding of positions, where these are learned.
    pub positions: Option<&'static str>,
    /// What the number of a layer follows.
    pub layers: &'static str,
    /// The last norm.
    pub norm: &'static str,
}

impl Places {
    /// Those of Llama and of most others.
    pub(super) const LLAMA: Self =
        Self { embedding: "model.embed_tokens", positions: None, layers: "model.layers", norm: "model.norm" };
}

impl std::fmt::Debug for Family {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Returns the family of a `model_type`.
///
/// # Errors
/// When there is none; what there is.
pub(super) fn named(name: &str) -> Result<&'static Family, String> {
    FAMILIES.into_iter().find(|family| family.name == name).ok_or_else(|| {
        let names: Vec<String> = FAMILIES.iter().map(|family| format!("`{}`", family.name)).collect();
        format!("`model_type` is `{name}`, expected one of {}", names.join(", "))
    })
}

/// Returns the family of models that are built from nothing.
pub(super) fn of_scratch(architecture: Architecture) -> &'static Family {
    match architecture {
        Architecture::Llama => &llama::FAMILY,
        Architecture::Mistral => &mistral::FAMILY,
        Architecture::Qwen2 => &qwen2::FAMILY,
    }
}

/// What a parameter is for: how it starts, and whether it decays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Embedding of tokens or of positions, or a head that is not the embedding.
    Table,
    /// Matrix of a projection.
    Matrix,
    /// Bias of a projection or of the head.
    Bias,
    /// Scale of a norm; the start is 1, or 0 where 1 is added to it.
    Scale(NormKind),
    /// Shift of a norm.
    Shift,
}

impl Role {
    /// Says whether weight decay spares it: norms and biases, as DSKD and transformers have it.
    pub fn is_spared(self) -> bool {
        matches!(self, Self::Bias | Self::Scale(_) | Self::Shift)
    }
}

/// Describes a parameter.
#[derive(Debug, Clone)]
pub struct Described {
    /// Name in checkpoints.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Shape in memory.
    pub shape: Vec<i64>,
    /// Checkpoints keep it transposed.
    pub is_transposed: bool,
    /// It is in a layer, and so in every one.
    pub is_in_layer: bool,
    /// The projection whose matrix it is.
    pub projection: Option<Projection>,
}

impl Described {
    /// Says whether it is kept in few bits where weights are: the matrices of layers.
    pub(super) fn is_quantisable(&self) -> bool {
        self.is_in_layer && self.role == Role::Matrix
    }
}

/// Where the parameters of a model come from; only the matrices of layers may be quantised.
pub(super) type Source<'a> = &'a mut dyn FnMut(Described) -> Result<Weight, ModelError>;

/// Makes the parts of a layer from their tensors.
pub struct Maker<'a> {
    pub(super) source: Source<'a>,
    /// What the names of its parameters start with.
    pub(super) prefix: String,
    pub(super) norm: (NormKind, f64),
    /// Matrices are kept transposed.
    pub(super) is_transposed: bool,
    /// The parts are a layer's.
    pub(super) is_in_layer: bool,
}

impl Maker<'_> {
    fn parameter(
        &mut self,
        name: &str,
        role: Role,
        shape: &[i64],
        projection: Option<Projection>,
    ) -> Result<Weight, ModelError> {
        (self.source)(Described {
            name: format!("{}{name}", self.prefix),
            role,
            shape: shape.to_vec(),
            is_transposed: self.is_transposed && role == Role::Matrix,
            is_in_layer: self.is_in_layer,
            projection,
        })
    }

    /// Makes a projection.
    ///
    /// # Errors
    /// When a tensor cannot be had.
    pub fn linear(
        &mut self,
        (name, part): (&'static str, Part),
        output: i64,
        input: i64,
        has_bias: bool,
    ) -> Result<Linear, ModelError> {
        let projection = Projection { name, part, output, input, has_bias };
        let weight = self.parameter(&format!("{name}.weight"), Role::Matrix, &[output, input], Some(projection))?;
        let bias = match has_bias {
            true => Some(self.parameter(&format!("{name}.bias"), Role::Bias, &[output], None)?.number_by_number()),
            false => None,
        };
        Ok(Linear { is_transposed: self.is_transposed, bias, ..Linear::of(name, weight) })
    }

    /// Makes a norm of the family's kind over `width` numbers.
    ///
    /// # Errors
    /// When a tensor cannot be had.
    pub fn norm(&mut self, name: &'static str, width: i64) -> Result<Norm, ModelError> {
        let (kind, epsilon) = self.norm;
        let mut parameter = |part: &str, role| -> Result<Tensor, ModelError> {
            Ok(self.parameter(&format!("{name}.{part}"), role, &[width], None)?.number_by_number())
        };
        let weight = parameter("weight", Role::Scale(kind))?;
        let bias = match kind {
            NormKind::Layer => Some(parameter("bias", Role::Shift)?),
            NormKind::Rms | NormKind::RmsPlusOne => None,
        };
        Ok(Norm { name, weight, bias, kind, epsilon })
    }
}

/// Lists the parameters of a model, those of one layer standing for all.
pub(super) fn describe(config: &Config) -> Vec<Described> {
    let one = Config { num_hidden_layers: config.num_hidden_layers.min(1), ..config.clone() };
    let mut all = Vec::new();
    let built = super::decoder::build(one, &mut |described| {
        all.push(described);
        Ok(Weight::none())
    });
    built.map(drop).unwrap_or_else(|_: ModelError| unreachable!("no tensor is read"));
    all
}
