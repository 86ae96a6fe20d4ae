//! A decoder: token ids to hidden states, and the head that turns those into logits.
//!
//! Logits are not part of the forward pass: a loss asks for them where it needs them.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::attention::Masks;
use super::config::{Config, Projection};
use super::layers::{Linear, Mode, RmsNorm, Rotary};
use super::llama::{Layer, Past, Shared};
use super::packed::{Packed, Tails};
use super::weights::{Checkpoint, SHARD_BYTES, save};
use super::{Misfits, ModelError};
use crate::device::Seed;
use crate::files;

/// Name of the output head.
const HEAD: &str = "lm_head.weight";

/// A causal language model of the Llama family.
#[derive(Debug)]
pub struct Decoder {
    /// Sizes and constants.
    pub config: Config,
    /// Embedding `[vocab, hidden]`.
    pub embed_tokens: Tensor,
    /// Layers, first to last.
    pub layers: Vec<Layer>,
    /// Norm after the last layer.
    pub norm: RmsNorm,
    /// Head `[vocab, hidden]`; none when it is the embedding.
    pub lm_head: Option<Tensor>,
}

impl Decoder {
    /// Loads a checkpoint folder into `kind` on `device`.
    ///
    /// # Errors
    /// When files are missing or damaged, when weights are missing, left over, of another shape than
    /// `config.json` says or hold no numbers (all misfits at once), and when a head is stored that
    /// differs from the embedding it is tied to.
    pub fn load(folder: &Path, kind: Kind, device: Device) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        let mut misfits = Misfits::default();
        let mut used = std::collections::BTreeSet::new();
        let decoder = build(config, |name, shape| {
            used.insert(name.to_owned());
            match checkpoint.shape(name) {
                None => misfits.add(format!("`{name}` is missing")),
                Some(found) if found != shape => {
                    misfits.add(format!("`{name}` has shape {found:?}, expected {shape:?}"));
                }
                Some(_) => {
                    if let Some(tensor) = checkpoint.read_weights(name, kind, device, &mut misfits)? {
                        return Ok(tensor);
                    }
                }
            }
            Ok(Tensor::empty([0], (kind, device)))
        })?;
        for name in checkpoint.names() {
            let derived = name.ends_with("rotary_emb.inv_freq") || (name == HEAD && decoder.lm_head.is_none());
            if !used.contains(name) && !derived {
                misfits.add(format!("`{name}` is not part of the model"));
            }
        }
        // A tied head that is stored as well is the embedding once more. Where it differs, some
        // versions of transformers take it and some do not: nobody can say which model is meant.
        if decoder.lm_head.is_none()
            && decoder.embed_tokens.numel() > 0
            && let Some(head) = checkpoint.read(HEAD, kind, device)?
            && !head.equal(&decoder.embed_tokens)
        {
            misfits.add(format!("`{HEAD}` differs from the embedding, expected `tie_word_embeddings` to be false"));
        }
        misfits.check(folder)?;
        Ok(decoder)
    }

    /// Creates a model with normally distributed weights (standard deviation
    /// `initializer_range`), zero biases and unit norms, as transformers initialises it.
    pub fn initialise(config: Config, seed: Seed, device: Device) -> Self {
        let deviation = config.initializer_range;
        let built = build(config, |name, shape| {
            let tensor = if name.ends_with("norm.weight") {
                Tensor::ones(shape, (Kind::Float, Device::Cpu))
            } else if name.ends_with(".bias") {
                Tensor::zeros(shape, (Kind::Float, Device::Cpu))
            } else {
                seed.stream(name, 0).normal(shape) * deviation
            };
            Ok(tensor.to_device(device))
        });
        built.unwrap_or_else(|_: ModelError| unreachable!("no tensor is read"))
    }

    /// Writes `config.json` and the weights in f32, adapters left out.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let path = folder.join("config.json");
        let text = format!("{:#}\n", self.config.to_json());
        files::write(&path, text.as_bytes())?;
        let tensors: Vec<(String, Tensor)> =
            self.parameters().into_iter().map(|(name, tensor)| (name, tensor.detach().to_kind(Kind::Float))).collect();
        save(folder, &tensors, SHARD_BYTES)
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
        let shared = self.prepare(&batch.positions);
        let mut x = Tensor::embedding(&self.embed_tokens, &batch.ids, -1, false, false);
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &shared, Past::None(&batch.lengths), self.last(i, tails), mode);
        }
        self.norm.forward(&x)
    }

    /// Returns `tails` for the last layer: the others owe all their tokens to the next one.
    pub(super) fn last<'a>(&self, layer: usize, tails: Option<&'a Tails>) -> Option<&'a Tails> {
        tails.filter(|_| layer + 1 == self.layers.len())
    }

    /// Returns what all layers of one forward pass share.
    pub(super) fn prepare(&self, positions: &Tensor) -> Shared {
        let rotary = Rotary::new(positions, self.config.head_dim, self.config.rope_theta, self.kind());
        Shared { rotary, masks: Masks::default() }
    }

    /// Returns the output head `[vocab, hidden]`.
    pub fn head(&self) -> &Tensor {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// Computes the logits `[tokens, vocab]` of hidden states.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        hidden.linear::<&Tensor>(self.head(), None)
    }

    /// Returns the device that the weights are on.
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// Returns the number format of the weights.
    pub fn kind(&self) -> Kind {
        self.embed_tokens.kind()
    }

    /// Lists the base parameters by checkpoint name.
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        let mut all = vec![("model.embed_tokens.weight".to_owned(), &self.embed_tokens)];
        for (i, layer) in self.layers.iter().enumerate() {
            for (name, linear) in layer.linears() {
                all.push((format!("model.layers.{i}.{name}.weight"), &linear.weight));
                if let Some(bias) = &linear.bias {
                    all.push((format!("model.layers.{i}.{name}.bias"), bias));
                }
            }
            all.push((format!("model.layers.{i}.input_layernorm.weight"), &layer.input_layernorm.weight));
            all.push((
                format!("model.layers.{i}.post_attention_layernorm.weight"),
                &layer.post_attention_layernorm.weight,
            ));
        }
        all.push(("model.norm.weight".to_owned(), &self.norm.weight));
        if let Some(head) = &self.lm_head {
            all.push((HEAD.to_owned(), head));
        }
        all
    }

    /// Lists the base parameters by checkpoint name, to be replaced or trained; same order as
    /// [`Self::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<(String, &mut Tensor)> {
        let mut all = vec![("model.embed_tokens.weight".to_owned(), &mut self.embed_tokens)];
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (linears, norms) = layer.parts_mut();
            for (name, linear) in linears {
                all.push((format!("model.layers.{i}.{name}.weight"), &mut linear.weight));
                if let Some(bias) = &mut linear.bias {
                    all.push((format!("model.layers.{i}.{name}.bias"), bias));
                }
            }
            for (name, norm) in norms {
                all.push((format!("model.layers.{i}.{name}.weight"), &mut norm.weight));
            }
        }
        all.push(("model.norm.weight".to_owned(), &mut self.norm.weight));
        if let Some(head) = &mut self.lm_head {
            all.push((HEAD.to_owned(), head));
        }
        all
    }
}

/// Assembles a decoder, asking `tensor` for each parameter by name and shape.
fn build(
    config: Config,
    mut tensor: impl FnMut(&str, &[i64]) -> Result<Tensor, ModelError>,
) -> Result<Decoder, ModelError> {
    let hidden = config.hidden_size;
    let [q, k, v, o, gate, up, down] = config.projections();
    let epsilon = config.rms_norm_eps;
    let embed_tokens = tensor("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
    let mut layers = Vec::new();
    for i in 0..config.num_hidden_layers {
        let mut norm = |name: &str| -> Result<RmsNorm, ModelError> {
            Ok(RmsNorm { weight: tensor(&format!("model.layers.{i}.{name}.weight"), &[hidden])?, epsilon })
        };
        let input_layernorm = norm("input_layernorm")?;
        let post_attention_layernorm = norm("post_attention_layernorm")?;
        let mut linear = |projection: Projection| -> Result<Linear, ModelError> {
            let Projection { name, output, input, has_bias } = projection;
            let mut linear = Linear::new(tensor(&format!("model.layers.{i}.{name}.weight"), &[output, input])?);
            if has_bias {
                linear.bias = Some(tensor(&format!("model.layers.{i}.{name}.bias"), &[output])?);
            }
            Ok(linear)
        };
        layers.push(Layer {
            input_layernorm,
            q_proj: linear(q)?,
            k_proj: linear(k)?,
            v_proj: linear(v)?,
            o_proj: linear(o)?,
            post_attention_layernorm,
            gate_proj: linear(gate)?,
            up_proj: linear(up)?,
            down_proj: linear(down)?,
            head_dim: config.head_dim,
            sliding_window: config.window(i),
        });
    }
    let norm = RmsNorm { weight: tensor("model.norm.weight", &[hidden])?, epsilon };
    let lm_head = if config.tie_word_embeddings { None } else { Some(tensor(HEAD, &[config.vocab_size, hidden])?) };
    Ok(Decoder { config, embed_tokens, layers, norm, lm_head })
}
