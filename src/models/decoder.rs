//! A decoder: token ids to hidden states, and the head that turns those into logits.
//!
//! Logits are not part of the forward pass: a loss asks for them where it needs them.

use std::collections::BTreeSet;
use std::path::Path;

use tch::{Device, Kind, Tensor, no_grad};

use super::ModelError;
use super::attention::{Masks, Scores};
use super::block::{Layer, Shared};
use super::cache::{Past, Place, TileCache, TileStep};
use super::config::Config;
use super::config::rope::Rope;
use super::families::{Described, Maker, Role, Source};
use super::head::Head;
use super::layers::{Mode, Norm, NormKind, Rotary, Weight};
use super::packed::{Packed, Tails};
use super::quantised::Quantisation;
use super::weights::{SHARD_BYTES, save};
use crate::device::Seed;
use crate::files;

/// Name of the output head.
pub(crate) const HEAD: &str = "lm_head.weight";
/// Name of its bias.
const HEAD_BIAS: &str = "lm_head.bias";

/// A causal language model.
#[derive(Debug)]
pub struct Decoder {
    /// Sizes and constants.
    pub config: Config,
    /// Embedding of tokens `[vocab, hidden]`.
    pub embed_tokens: Tensor,
    /// Embedding of positions `[positions, hidden]`, where these are learned.
    embed_positions: Option<Tensor>,
    /// Layers, first to last.
    pub layers: Vec<Layer>,
    /// Norm after the last layer.
    pub norm: Norm,
    /// Head `[vocab, hidden]`; none when it is the embedding.
    pub lm_head: Option<Tensor>,
    /// Bias of the head `[vocab]`.
    head_bias: Option<Tensor>,
    /// Rows of the embedding that are tokens; those after them fill it up.
    pub tokens: i64,
}

/// A parameter of a decoder, to be changed.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Name in checkpoints.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The tensor.
    pub tensor: &'a mut Tensor,
}

impl Decoder {
    /// Assembles a model of tensors on one device, each asked for by its name in checkpoints and its shape in memory.
    ///
    /// # Errors
    /// What `tensor` returns.
    pub fn assemble(
        config: Config,
        mut tensor: impl FnMut(&str, &[i64]) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        build(config, &mut |described| tensor(&described.name, &described.shape).map(Weight::Dense))
    }

    /// Creates a model with normally distributed weights (standard deviation
    /// `initializer_range`), zero biases and norms that scale by one, as transformers initialises it.
    pub fn initialise(config: Config, seed: Seed, device: Device) -> Self {
        let deviation = config.initializer_range;
        let built = build(config, &mut |Described { name, role, shape, .. }| {
            let float = (Kind::Float, Device::Cpu);
            let tensor = match role {
                Role::Scale(NormKind::RmsPlusOne) | Role::Bias | Role::Shift => Tensor::zeros(shape, float),
                Role::Scale(_) => Tensor::ones(shape, float),
                Role::Table | Role::Matrix => seed.stream(&name, 0).normal(&shape) * deviation,
            };
            Ok(Weight::Dense(tensor.to_device(device)))
        });
        built.unwrap_or_else(|_: ModelError| unreachable!("no tensor is read"))
    }

    /// Creates a model whose weights libtorch draws in `kind` on `device`, for timing: others on every device.
    pub fn random(config: Config, kind: Kind, device: Device, quantised: Quantisation) -> Self {
        let deviation = config.initializer_range;
        let built = build(config, &mut |described| {
            let shape = &described.shape[..];
            let weight = Weight::Dense(match described.role {
                Role::Table | Role::Matrix => Tensor::randn(shape, (kind, device)) * deviation,
                Role::Bias | Role::Shift | Role::Scale(NormKind::RmsPlusOne) => Tensor::zeros(shape, (kind, device)),
                Role::Scale(_) => Tensor::ones(shape, (kind, device)),
            });
            Ok(match quantised.filter(|_| described.is_quantisable()) {
                Some((format, doubles)) => weight.quantised(format, doubles),
                None => weight,
            })
        });
        built.unwrap_or_else(|_: ModelError| unreachable!("no tensor is read"))
    }

    /// Writes `config.json` and the weights in f32, adapters left out.
    ///
    /// # Errors
    /// When a file cannot be written.
    ///
    /// # Panics
    /// When weights are quantised.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        self.save_in(folder, Kind::Float)
    }

    /// Writes as [`Self::save`] does, with weights in `kind`: f32, bf16 or f16.
    ///
    /// # Errors
    /// When a file cannot be written, and for another `kind`.
    ///
    /// # Panics
    /// When weights are quantised.
    pub fn save_in(&self, folder: &Path, kind: Kind) -> Result<(), ModelError> {
        assert!(!self.is_quantised(), "quantised weights are merged before they are written");
        let path = folder.join("config.json");
        let config =
            self.config.to_json_in(kind).map_err(|problem| ModelError::Config { path: path.clone(), problem })?;
        files::write(&path, format!("{config:#}\n").as_bytes())?;
        save(folder, &self.stored(Some(kind)), SHARD_BYTES)
    }

    /// Returns the parameters that are kept number by number as checkpoints keep them, in `kind` or as they are.
    pub(super) fn stored(&self, kind: Option<Kind>) -> Vec<(String, Tensor)> {
        let kept_transposed = |(i, layer): (usize, &Layer)| {
            let prefix = self.config.prefix(i as i64);
            let names = layer.linears().into_iter().filter(|linear| linear.is_transposed);
            names.map(move |linear| format!("{prefix}{}.weight", linear.name)).collect::<Vec<String>>()
        };
        let transposed: BTreeSet<String> = self.layers.iter().enumerate().flat_map(kept_transposed).collect();
        let stored = |(name, tensor): (String, &Tensor)| {
            let tensor = tensor.detach().to_kind(kind.unwrap_or(tensor.kind()));
            let tensor = if transposed.contains(&name) { tensor.tr().contiguous() } else { tensor };
            (name, tensor)
        };
        self.parameters().into_iter().map(stored).collect()
    }

    /// Computes the hidden states `[tokens, hidden]` after the last norm.
    pub fn hidden(&self, batch: &Packed, mode: Mode) -> Tensor {
        self.read(batch, None, mode)
    }

    /// Computes the hidden states `[selected, hidden]` after the last norm where `tails` asks for
    /// them: the last layer leaves out what only other tokens would need.
    pub fn hidden_at(&self, batch: &Packed, tails: &Tails, mode: Mode) -> Tensor {
        self.read(batch, Some(tails).filter(|tails| tails.lengths != batch.lengths), mode)
    }

    fn read(&self, batch: &Packed, tails: Option<&Tails>, mode: Mode) -> Tensor {
        let shared = self.share(batch);
        let mut x = self.embed(&batch.ids, &batch.positions);
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &shared, Past::None(&batch.lengths), self.last(i, tails), mode);
        }
        self.norm.forward(&x)
    }

    /// Reads a block of a prompt, alone in its batch, to a place in a tile, whose row holds what the prompt has
    /// before it; returns the hidden states `[selected, hidden]` of the block's last tokens. The whole prompt has
    /// `length` tokens.
    pub fn hidden_block(
        &self,
        block: &Packed,
        tails: &Tails,
        length: usize,
        cache: &mut TileCache,
        place: Place,
    ) -> Tensor {
        no_grad(|| {
            let whole = || Tensor::full([block.ids.numel() as i64], length as i64, (Kind::Int64, self.device()));
            let shared = self.prepare(&block.positions, whole);
            let mut x = self.embed(&block.ids, &block.positions);
            for (i, (layer, tile)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
                x = layer.forward(&x, &shared, Past::Block(tile, place), self.last(i, Some(tails)), Mode::Decode);
            }
            self.norm.forward(&x)
        })
    }

    /// Computes the hidden states `[rows, hidden]` of one new token in every row of a tile.
    ///
    /// `ids` and `positions` have one of each row; an unused row has any token and no position.
    pub fn hidden_tile(&self, ids: &[i64], positions: &[Option<i64>], cache: &mut TileCache) -> Tensor {
        no_grad(|| {
            let step = |window| cache.step(positions, window, (self.kind(), self.device()));
            let mut steps: Vec<(Option<i64>, TileStep)> = Vec::new();
            for Scores { window, .. } in self.layers.iter().map(|layer| layer.attention.scores) {
                if steps.iter().all(|(other, _)| *other != window) {
                    steps.push((window, step(window)));
                }
            }
            let positions: Vec<i64> = positions.iter().map(|position| position.unwrap_or(0)).collect();
            let [ids, positions] = [ids, &positions].map(|values| Tensor::from_slice(values).to_device(self.device()));
            // Each row is a sequence whose last token this is.
            let shared = self.prepare(&positions, || &positions + 1);
            let mut x = self.embed(&ids, &positions);
            for (layer, tile) in self.layers.iter().zip(&mut cache.layers) {
                let step = steps.iter().find(|(window, _)| *window == layer.attention.scores.window);
                let (_, step) = step.expect("a step for every layer's window");
                x = layer.forward(&x, &shared, Past::Rows(tile, step), None, Mode::Decode);
            }
            self.norm.forward(&x)
        })
    }

    /// Makes room for `capacity` tokens in each of `rows` sequences.
    pub fn tile(&self, rows: i64, capacity: i64) -> TileCache {
        TileCache::new(&self.config, (self.kind(), self.device()), rows, capacity)
    }

    /// Returns `tails` for the last layer: the others owe all their tokens to the next one.
    pub(super) fn last<'a>(&self, layer: usize, tails: Option<&'a Tails>) -> Option<&'a Tails> {
        tails.filter(|_| layer + 1 == self.layers.len())
    }

    /// Looks up tokens, and positions where these are learned: `[tokens, hidden]`.
    pub(super) fn embed(&self, ids: &Tensor, positions: &Tensor) -> Tensor {
        let look_up = |table: &Tensor, rows: &Tensor| Tensor::embedding(table, rows, -1, false, false);
        let mut x = look_up(&self.embed_tokens, ids);
        if let Some(scale) = self.config.embedding_scale {
            // Rounded to the model's format, as transformers does.
            x *= Tensor::full([1], scale, (self.kind(), self.device()));
        }
        match &self.embed_positions {
            Some(table) => x + look_up(table, positions),
            None => x,
        }
    }

    /// Says whether looking tokens up has a gradient.
    pub(super) fn embeds_with_gradient(&self) -> bool {
        let tables = std::iter::once(&self.embed_tokens).chain(&self.embed_positions);
        tables.into_iter().any(Tensor::requires_grad)
    }

    /// Returns what all layers of a pass over a batch share.
    pub(super) fn share(&self, batch: &Packed) -> Shared {
        self.prepare(&batch.positions, || sequence_lengths(&batch.positions, &batch.lengths, &batch.unfilled))
    }

    /// Returns what all layers of one forward pass share; `lengths` gives those of the sequences that the
    /// tokens at `positions` `[tokens]` are of `[tokens]`, int64.
    fn prepare(&self, positions: &Tensor, lengths: impl Fn() -> Tensor) -> Shared {
        let ropes = &self.config.ropes;
        let whole = match ropes.iter().any(Rope::depends_on_length) {
            true => lengths(),
            false => positions.shallow_clone(),
        };
        let kind = self.kind();
        let rotaries = ropes.iter().map(|rope| Rotary::new(positions, &whole, rope, kind)).collect();
        Shared { rotaries, masks: Masks::default() }
    }

    /// Returns the output head.
    pub fn head(&self) -> Head<'_> {
        Head {
            weight: self.lm_head.as_ref().unwrap_or(&self.embed_tokens),
            bias: self.head_bias.as_ref(),
            softcap: self.config.logit_softcap,
            tokens: self.tokens,
        }
    }

    /// Computes the logits `[tokens, vocab]` of hidden states, in the model's format.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        self.head().of(hidden)
    }

    /// Says whether what a token computes depends only on the tokens before it: angles of some scaled rotary
    /// positions depend on the length of the whole sequence.
    pub fn shares_beginnings(&self) -> bool {
        !self.config.ropes.iter().any(Rope::depends_on_length)
    }

    /// Says whether weights are kept in few bits.
    pub fn is_quantised(&self) -> bool {
        self.quantisation().is_some()
    }

    /// Returns the device that the weights are on.
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// Returns the number format of the weights.
    pub fn kind(&self) -> Kind {
        self.embed_tokens.kind()
    }

    /// Lists the base parameters by checkpoint name, quantised ones left out.
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        let places = &self.config.family.places;
        let mut all = vec![(weight(places.embedding), &self.embed_tokens)];
        all.extend(self.embed_positions.iter().zip(places.positions).map(|(table, name)| (weight(name), table)));
        for (i, layer) in self.layers.iter().enumerate() {
            let prefix = self.config.prefix(i as i64);
            for linear in layer.linears() {
                if let Weight::Dense(weight) = &linear.weight {
                    all.push((format!("{prefix}{}.weight", linear.name), weight));
                }
                all.extend(linear.bias.iter().map(|bias| (format!("{prefix}{}.bias", linear.name), bias)));
            }
            for norm in layer.norms() {
                all.push((format!("{prefix}{}.weight", norm.name), &norm.weight));
                all.extend(norm.bias.iter().map(|bias| (format!("{prefix}{}.bias", norm.name), bias)));
            }
        }
        all.push((weight(places.norm), &self.norm.weight));
        all.extend(self.norm.bias.iter().map(|bias| (format!("{}.bias", places.norm), bias)));
        all.extend(self.lm_head.iter().map(|head| (HEAD.to_owned(), head)));
        all.extend(self.head_bias.iter().map(|bias| (HEAD_BIAS.to_owned(), bias)));
        all
    }

    /// Lists the base parameters with their roles, to be replaced or trained; same order as
    /// [`Self::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<Parameter<'_>> {
        let prefixes: Vec<String> = (0..self.layers.len()).map(|i| self.config.prefix(i as i64)).collect();
        let Parts { mut before, layers, after } = self.parts_mut();
        for (prefix, layer) in prefixes.iter().zip(layers) {
            let (linears, norms) = layer.parts_mut();
            for linear in linears {
                let name = format!("{prefix}{}.weight", linear.name);
                if let Weight::Dense(weight) = &mut linear.weight {
                    before.push(Parameter { name, role: Role::Matrix, tensor: weight });
                }
                let name = format!("{prefix}{}.bias", linear.name);
                let bias = linear.bias.as_mut();
                before.extend(bias.map(|tensor| Parameter { name, role: Role::Bias, tensor }));
            }
            for norm in norms {
                before.extend(of_norm(prefix, norm.name, norm));
            }
        }
        before.extend(after);
        before
    }

    /// Returns the parameters outside the layers, and the layers, to be changed.
    pub fn parts_mut(&mut self) -> Parts<'_> {
        let places = &self.config.family.places;
        let table = |name: String, tensor| Parameter { name, role: Role::Table, tensor };
        let mut before = vec![table(weight(places.embedding), &mut self.embed_tokens)];
        let learned = self.embed_positions.iter_mut().zip(places.positions);
        before.extend(learned.map(|(tensor, name)| table(weight(name), tensor)));
        let mut after = of_norm("", places.norm, &mut self.norm);
        after.extend(self.lm_head.iter_mut().map(|head| table(HEAD.to_owned(), head)));
        let bias = self.head_bias.iter_mut();
        after.extend(bias.map(|tensor| Parameter { name: HEAD_BIAS.to_owned(), role: Role::Bias, tensor }));
        Parts { before, layers: &mut self.layers, after }
    }
}

/// A decoder taken apart.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Embeddings.
    pub before: Vec<Parameter<'a>>,
    /// The layers.
    pub layers: &'a mut [Layer],
    /// The last norm, and the head where it is not the embedding.
    pub after: Vec<Parameter<'a>>,
}

/// Lists the parameters of a norm.
fn of_norm<'a>(prefix: &str, name: &str, norm: &'a mut Norm) -> Vec<Parameter<'a>> {
    let Norm { weight, bias, kind, .. } = norm;
    let mut all = vec![Parameter { name: format!("{prefix}{name}.weight"), role: Role::Scale(*kind), tensor: weight }];
    let shift = |tensor| Parameter { name: format!("{prefix}{name}.bias"), role: Role::Shift, tensor };
    all.extend(bias.as_mut().map(shift));
    all
}

/// Returns the length of each token's sequence `[tokens]`, int64: one more than its last position.
fn sequence_lengths(positions: &Tensor, lengths: &[i64], unfilled: &[i64]) -> Tensor {
    let parts = positions.split_with_sizes(lengths, 0);
    let whole = |(part, &read): (&Tensor, &i64)| (part.narrow(0, 0, read).max() + 1).expand(part.size(), false);
    Tensor::cat(&parts.iter().zip(unfilled).map(whole).collect::<Vec<_>>(), 0)
}

fn weight(name: &str) -> String {
    format!("{name}.weight")
}

/// Assembles a decoder, asking `tensor` for each parameter.
pub(super) fn build(config: Config, source: Source<'_>) -> Result<Decoder, ModelError> {
    let family = config.family;
    let table = |name: String, rows: i64| Described {
        name,
        role: Role::Table,
        shape: vec![rows, config.hidden_size],
        is_transposed: false,
        is_in_layer: false,
        projection: None,
    };
    let mut tensor = |described| source(described).map(Weight::number_by_number);
    let embed_tokens = tensor(table(weight(family.places.embedding), config.vocab_size))?;
    let embed_positions = match family.places.positions {
        Some(name) => Some(tensor(table(weight(name), config.max_position_embeddings))?),
        None => None,
    };
    let norm = (family.norm, config.norm_epsilon);
    let mut layers = Vec::new();
    for i in 0..config.num_hidden_layers {
        let is_transposed = family.is_transposed;
        layers.push((family.layer)(
            &config,
            i,
            &mut Maker { source, prefix: config.prefix(i), norm, is_transposed, is_in_layer: true },
        )?);
    }
    let mut around = Maker { source, prefix: String::new(), norm, is_transposed: false, is_in_layer: false };
    let norm = around.norm(family.places.norm, config.hidden_size)?;
    let mut tensor = |described| source(described).map(Weight::number_by_number);
    let lm_head = match config.tie_word_embeddings {
        true => None,
        false => Some(tensor(table(HEAD.to_owned(), config.vocab_size))?),
    };
    let head_bias = match family.head_has_bias {
        true => {
            let shape = vec![config.vocab_size];
            Some(tensor(Described { role: Role::Bias, shape, ..table(HEAD_BIAS.to_owned(), 0) })?)
        }
        false => None,
    };
    let tokens = config.vocab_size;
    Ok(Decoder { embed_tokens, embed_positions, layers, norm, lm_head, head_bias, tokens, config })
}
