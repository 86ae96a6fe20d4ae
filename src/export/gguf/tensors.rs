//! Tensors by the names of llama.cpp, in the order of rows that it expects.

use anyhow::bail;
use tch::{Device, Kind, Tensor};

use crate::models::config::Config;
use crate::models::config::rope::{Rope, Scaling};
use crate::models::decoder::Decoder;
use crate::models::layers::NormKind;

/// Names of the parts of a layer, here and there.
type Parts = &'static [(&'static str, &'static str)];

/// Families that are written: by their name here, that of llama.cpp, and the names of the parts of a layer that
/// differ from [`PARTS`]. Mistral is computed as a Llama there.
const ARCHITECTURES: [(&str, &str, Parts); 8] = [
    ("gemma2", "gemma2", AROUND),
    ("gemma3_text", "gemma3", AROUND),
    ("gpt2", "gpt2", GPT2),
    ("llama", "llama", &[]),
    ("mistral", "llama", &[]),
    ("phi3", "phi3", &[("mlp.gate_up_proj", "ffn_up")]),
    ("qwen2", "qwen2", &[]),
    ("qwen3", "qwen3", &[]),
];

/// Those that most families have.
const PARTS: Parts = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Those of Gemma 2 and 3, which have norms before and after.
const AROUND: Parts = &[
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
];

/// Those of GPT-2.
const GPT2: Parts = &[
    ("ln_1", "attn_norm"),
    ("attn.c_attn", "attn_qkv"),
    ("attn.c_proj", "attn_output"),
    ("ln_2", "ffn_norm"),
    ("mlp.c_fc", "ffn_up"),
    ("mlp.c_proj", "ffn_down"),
];

/// How a model is laid out in a file.
#[derive(Debug)]
pub struct Layout {
    /// What llama.cpp calls the family.
    pub architecture: &'static str,
    parts: Parts,
    config: Config,
}

/// A tensor under its name in the file.
pub(super) struct Named<'d> {
    /// Name in the file.
    pub(super) name: String,
    /// What it is made of.
    pub(super) tensor: Source<'d>,
    /// It is kept in f32 though it is a matrix.
    pub(super) is_exact: bool,
}

/// Where a tensor comes from: changed only when it is written, so that the model is never there twice.
pub(super) enum Source<'d> {
    /// A parameter, and what is changed in it.
    Parameter(&'d Tensor, Change),
    /// Computed for the file.
    Own(Tensor),
}

/// What is changed in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The scale of a norm has 1 added, which llama.cpp does not add.
    PlusOne,
    /// Rows of each of so many heads: pairs that are turned together stand side by side.
    Interleave(i64),
}

impl Layout {
    /// Lays a model out.
    ///
    /// # Errors
    /// A family or rotary angles that are not written, with those that are.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let family = config.family.name;
        let Some((_, architecture, parts)) = ARCHITECTURES.iter().find(|(name, ..)| *name == family) else {
            let known: Vec<String> = ARCHITECTURES.iter().map(|(name, ..)| format!("`{name}`")).collect();
            bail!("a `{family}` is not written as GGUF, but {} are\nhint: `--as safetensors`", known.join(", "));
        };
        let divided = |scale: f64| (scale * (config.head_dim as f64).sqrt() - 1.0).abs() < 1e-9;
        let is_known = |scaling: &Scaling| match scaling {
            Scaling::None | Scaling::Linear { .. } => true,
            Scaling::Llama3 { .. } => *architecture == "llama",
            _ => false,
        };
        let problem = match &config.ropes[..] {
            ropes if ropes.iter().any(|rope| !is_known(&rope.scaling)) => {
                Some("its rotary angles are scaled in a way that is not written")
            }
            ropes if ropes.iter().any(|rope| rope.rotated != config.head_dim) => {
                Some("only a part of each head is turned")
            }
            [_, near] if near.theta != 10_000.0 || near.scaling != Scaling::None => {
                Some("its layers with a window have rotary angles of their own")
            }
            _ if config.scales_by_layer => Some("its scores are divided by the number of the layer"),
            // What llama.cpp takes for granted.
            _ if config.attention_scale.is_some_and(|scale| !divided(scale)) => {
                Some("its scores are not divided by the root of the head's width")
            }
            _ if config.output_bias && *architecture != "gpt2" => Some("attention's output has a bias"),
            _ if config.mlp_bias && *architecture != "gpt2" => Some("the feed-forward layer has a bias"),
            _ if !is_alternating(config) => Some("its windows are in other layers than usual"),
            _ => None,
        };
        if let Some(problem) = problem {
            bail!("this `{family}` is not written as GGUF: {problem}\nhint: `--as safetensors`");
        }
        Ok(Self { architecture, parts, config: config.clone() })
    }

    /// Returns the name in the file of a parameter, by its name in checkpoints.
    #[must_use]
    pub fn name(&self, parameter: &str) -> Option<String> {
        let (module, ending) = parameter.rsplit_once('.')?;
        let places = &self.config.family.places;
        let around = [
            (Some(places.embedding), "token_embd"),
            (places.positions, "position_embd"),
            (Some(places.norm), "output_norm"),
            (Some("lm_head"), "output"),
        ];
        if let Some((_, name)) = around.into_iter().find(|(place, _)| *place == Some(module)) {
            return Some(format!("{name}.{ending}"));
        }
        let (layer, part) = module.strip_prefix(places.layers)?.strip_prefix('.')?.split_once('.')?;
        let (_, name) = self.parts.iter().chain(PARTS).find(|(known, _)| *known == part)?;
        Some(format!("blk.{layer}.{name}.{ending}"))
    }

    /// Returns what is changed in a parameter.
    fn change(&self, parameter: &str) -> Change {
        let (heads, shared) = (self.config.num_attention_heads, self.config.num_key_value_heads);
        let turns = self.architecture == "llama";
        let is_norm = parameter.ends_with("norm.weight");
        match parameter {
            _ if turns && parameter.contains(".self_attn.q_proj.") => Change::Interleave(heads),
            _ if turns && parameter.contains(".self_attn.k_proj.") => Change::Interleave(shared),
            _ if is_norm && self.config.family.norm == NormKind::RmsPlusOne => Change::PlusOne,
            _ => Change::None,
        }
    }

    /// Lists the tensors of a decoder.
    ///
    /// # Errors
    /// A parameter without a name in the file.
    pub(super) fn named<'d>(&self, decoder: &'d Decoder) -> anyhow::Result<Vec<Named<'d>>> {
        let mut all = Vec::new();
        for (parameter, tensor) in decoder.parameters() {
            let Some(name) = self.name(&parameter) else {
                bail!("`{parameter}` has no place in a GGUF file\nhint: `--as safetensors`");
            };
            let is_exact = name == "position_embd.weight";
            all.push(Named { name, tensor: Source::Parameter(tensor, self.change(&parameter)), is_exact });
        }
        if let [rope] = &self.config.ropes[..]
            && matches!(rope.scaling, Scaling::Llama3 { .. })
        {
            let name = "rope_freqs.weight".to_owned();
            all.push(Named { name, tensor: Source::Own(divisors(rope)), is_exact: true });
        }
        Ok(all)
    }

    /// Undoes what was changed in a parameter when it was written.
    pub fn restored(&self, parameter: &str, tensor: Tensor) -> Tensor {
        match self.change(parameter) {
            Change::None => tensor,
            Change::PlusOne => tensor - 1.0,
            Change::Interleave(heads) => interleaved(&tensor, heads, [tensor.size()[0] / heads / 2, 2]),
        }
    }
}

impl Source<'_> {
    /// Returns the sizes of the tensor, which no change changes.
    pub(super) fn size(&self) -> Vec<i64> {
        match self {
            Self::Parameter(tensor, _) => tensor.size(),
            Self::Own(tensor) => tensor.size(),
        }
    }

    /// Returns the tensor as it is written, in f32.
    pub(super) fn changed(&self) -> Tensor {
        let (tensor, change) = match self {
            Self::Parameter(tensor, change) => (tensor.detach().to_kind(Kind::Float), *change),
            Self::Own(tensor) => (tensor.shallow_clone(), Change::None),
        };
        match change {
            Change::None => tensor,
            Change::PlusOne => tensor + 1.0,
            Change::Interleave(heads) => interleaved(&tensor, heads, [2, tensor.size()[0] / heads / 2]),
        }
    }
}

/// Returns what the angle of each pair is divided by `[rotated / 2]`: 1 where it is as it was.
fn divisors(rope: &Rope) -> Tensor {
    let one = Tensor::ones([1], (Kind::Int64, Device::Cpu));
    let plain = Rope { scaling: Scaling::None, ..rope.clone() };
    (plain.angles(&one, &one) / rope.angles(&one, &one)).flatten(0, -1)
}

/// Exchanges the two sizes of each head's rows: halves of `[2, width / 2]` become pairs of `[width / 2, 2]`, and back.
fn interleaved(tensor: &Tensor, heads: i64, [first, second]: [i64; 2]) -> Tensor {
    let sizes = tensor.size();
    let mut apart = vec![heads, first, second];
    apart.extend(&sizes[1..]);
    tensor.view(apart.as_slice()).transpose(1, 2).reshape(&sizes)
}

/// Says whether windows are where llama.cpp takes them to be: in no layer or, of Gemma 2, in every second one and, of
/// Gemma 3, in all but every sixth. Of the others a window limits the context instead.
fn is_alternating(config: &Config) -> bool {
    let period = match config.family.name {
        "gemma2" => 2,
        "gemma3_text" => 6,
        _ => return true,
    };
    let sees_all = |layer: i64| config.window(layer).is_none();
    (0..config.num_hidden_layers).all(|layer| sees_all(layer) == ((layer + 1) % period == 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(model_type: &str, more: serde_json::Value) -> Config {
        let mut value = json!({
            "model_type": model_type, "vocab_size": 10, "hidden_size": 8, "intermediate_size": 8, "head_dim": 4,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        });
        for (key, setting) in more.as_object().unwrap() {
            value[key] = setting.clone();
        }
        Config::from_json(&value).unwrap()
    }

    #[test]
    fn parameters_have_their_names_in_the_file() {
        let llama = Layout::of(&config("mistral", json!({}))).unwrap();
        assert_eq!(llama.architecture, "llama");
        for (parameter, name) in [
            ("model.embed_tokens.weight", Some("token_embd.weight")),
            ("model.layers.13.self_attn.q_proj.bias", Some("blk.13.attn_q.bias")),
            ("model.layers.0.post_attention_layernorm.weight", Some("blk.0.ffn_norm.weight")),
            ("model.norm.weight", Some("output_norm.weight")),
            ("lm_head.weight", Some("output.weight")),
            ("model.layers.0.mlp.experts.weight", None),
        ] {
            assert_eq!(llama.name(parameter).as_deref(), name);
        }
        let gemma = Layout::of(&config("gemma2", json!({"query_pre_attn_scalar": 4, "num_hidden_layers": 2}))).unwrap();
        let norm = "model.layers.0.post_attention_layernorm.weight";
        assert_eq!(gemma.name(norm).as_deref(), Some("blk.0.post_attention_norm.weight"));
        assert_eq!((gemma.change(norm), llama.change(norm)), (Change::PlusOne, Change::None));
    }

    #[test]
    fn pairs_that_are_turned_together_stand_side_by_side() {
        let layout = Layout::of(&config("llama", json!({}))).unwrap();
        let rows = Tensor::arange(8, (Kind::Float, Device::Cpu)).view([8, 1]);
        let name = "model.layers.0.self_attn.q_proj.weight";
        let source = Source::Parameter(&rows, layout.change(name));
        let written: Vec<f32> = source.changed().flatten(0, -1).try_into().unwrap();
        assert_eq!(written, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert!(layout.restored(name, source.changed()).equal(&rows));
    }

    #[test]
    fn slow_angles_of_llama_3_are_divided() {
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192});
        let config = config("llama", json!({"rope_scaling": scaling, "rope_theta": 500_000.0, "head_dim": 8}));
        let divisors: Vec<f32> = divisors(&config.ropes[0]).try_into().unwrap();
        // Wave lengths 2 pi 500000^(i / 4): 6, 167, 4443 and 118141 tokens. Short ones, up to 8192 / 4, stay; long ones,
        // from 8192, are divided by 8; the third keeps a share of (8192 / 4443 - 1) / 3.
        let kept = (8192.0 / 4442.883 - 1.0) / 3.0;
        let expected = [1.0, 1.0, 1.0 / ((1.0 - kept) / 8.0 + kept), 8.0];
        for (found, expected) in divisors.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{divisors:?} {expected}");
        }
    }

    #[test]
    fn what_llama_cpp_would_compute_otherwise_is_refused_by_name() {
        let refused = |model_type: &str, more| Layout::of(&config(model_type, more)).unwrap_err().to_string();
        assert_eq!(
            refused("olmo2", json!({})),
            "a `olmo2` is not written as GGUF, but `gemma2`, `gemma3_text`, `gpt2`, `llama`, `mistral`, `phi3`, \
             `qwen2`, `qwen3` are\nhint: `--as safetensors`"
        );
        let yarn = json!({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}});
        assert!(
            refused("qwen2", yarn)
                .contains("this `qwen2` is not written as GGUF: its rotary angles are scaled in a way")
        );
        assert!(refused("llama", json!({"attention_bias": true})).contains("attention's output has a bias"));
        assert!(refused("gemma2", json!({"query_pre_attn_scalar": 5})).contains("the root of the head's width"));
        let windows = json!({"query_pre_attn_scalar": 4, "layer_types": ["full_attention", "full_attention"]});
        assert!(refused("gemma2", windows).contains("its windows are in other layers than usual"));
    }
}
