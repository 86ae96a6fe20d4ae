//! `config.json` of a checkpoint: the sizes and constants of a decoder.
//!
//! What a family reads of it, and how, is in the family's file in [`super::families`].

pub mod keys;
pub mod rope;
pub mod windows;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tch::Kind;

use self::keys::{Keys, LARGEST_SIZE};
use self::rope::{Rope, Sizes, THETA};
use super::ModelError;
use super::families::{self, Family};
use super::layers::Activation;
use super::quantised::{Quantisation, configuration};
use crate::experiment::settings::{BaseFormat, Scratch};

/// Holds the sizes of a decoder, named as in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decoder family.
    pub family: &'static Family,
    /// Rows of the embedding; may exceed the tokenizer's tokens.
    pub vocab_size: i64,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Width of the feed-forward layer.
    pub intermediate_size: i64,
    /// Decoder layers.
    pub num_hidden_layers: i64,
    /// Query heads.
    pub num_attention_heads: i64,
    /// Key and value heads.
    pub num_key_value_heads: i64,
    /// Width of one head.
    pub head_dim: i64,
    /// Rotary positions: of all layers, or of those that see all tokens and then of those with a window;
    /// none where positions are learned.
    pub ropes: Vec<Rope>,
    /// Added to the mean square, or to the variance, in norms.
    pub norm_epsilon: f64,
    /// Activation of the feed-forward layer.
    pub activation: Activation,
    /// Bias on query, key and value.
    pub qkv_bias: bool,
    /// Bias on attention's output.
    pub output_bias: bool,
    /// Bias in the feed-forward layer.
    pub mlp_bias: bool,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence the model was made for.
    pub max_position_embeddings: i64,
    /// Each token sees so many tokens back, itself included; all of them without it.
    pub sliding_window: Option<i64>,
    /// Layers that see all tokens though there is a window.
    pub full_attention_layers: BTreeSet<i64>,
    /// Each query and key has a norm, where that is a choice.
    pub norms_heads: bool,
    /// Factor on the scores of attention; `1 / sqrt(head_dim)` without it.
    pub attention_scale: Option<f64>,
    /// The i-th layer, counted from 1, divides its scores by i as well.
    pub scales_by_layer: bool,
    /// Scores of attention are capped: `cap tanh(score / cap)`.
    pub attention_softcap: Option<f64>,
    /// Logits are capped likewise.
    pub logit_softcap: Option<f64>,
    /// Factor on the embedding.
    pub embedding_scale: Option<f64>,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// Tokens that end a sequence.
    pub eos_token_id: Vec<i64>,
    /// Beginning-of-sequence token.
    pub bos_token_id: Option<i64>,
    /// The file as it was read, to be written again; none of a model from scratch.
    pub source: Option<Value>,
    /// What the file says and nothing here computes, in words.
    pub notes: Vec<String>,
    /// How the checkpoint keeps the matrices of its layers.
    pub quantisation: Quantisation,
}

/// Where in a layer a projection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It makes queries.
    Query,
    /// It makes keys.
    Key,
    /// It makes values.
    Value,
    /// It makes all three.
    QueryKeyValue,
    /// It reads what attention gives.
    AttentionOutput,
    /// It reads what the feed-forward layer reads.
    Widening,
    /// It gives what the feed-forward layer gives.
    Narrowing,
}

/// One of the projections of a decoder layer, weight `[output, input]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Name in checkpoints, within its layer.
    pub name: &'static str,
    /// Where it stands.
    pub part: Part,
    /// Width of what it gives.
    pub output: i64,
    /// Width of what it reads.
    pub input: i64,
    /// It adds a bias.
    pub has_bias: bool,
}

impl Config {
    /// Reads `config.json` from a checkpoint folder.
    ///
    /// # Errors
    /// When the folder holds an adapter, whether beside a model or alone; when the file is missing or not
    /// JSON, lacks a size, holds a value of another type, or describes a decoder that this engine would
    /// compute wrongly (unknown family, unknown scaling of rotary angles, quantised weights).
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        if folder.join("adapter_config.json").is_file() {
            let folder = folder.to_owned();
            return Err(match path.is_file() {
                true => ModelError::AdapterBeside { path: folder },
                false => ModelError::OnlyAdapter { path: folder },
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let value: Value =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
        Self::from_json(&value).map_err(|problem| ModelError::Config { path, problem })
    }

    /// Reads the contents of a `config.json`. What is absent has the default that transformers gives
    /// this family.
    ///
    /// # Errors
    /// What is missing, of another type or would be computed wrongly, in words.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let keys = Keys::new(value);
        let family = families::named(keys.text("model_type")?.unwrap_or(""))?;
        let quantisation = match keys.get("quantization_config") {
            Some(quantised) => configuration::read(quantised)?,
            None => None,
        };
        let config = (family.read)(family, &keys)?;
        let (heads, shared) = (config.num_attention_heads, config.num_key_value_heads);
        if heads % shared != 0 {
            return Err(format!(
                "`num_attention_heads` is {heads}, expected a multiple of the {shared} key and value heads"
            ));
        }
        let mut notes = keys.rest()?;
        if matches!(quantisation, Some((BaseFormat::Int8, _))) {
            notes.push(
                "`load_in_8bit` is true: products are those with the numbers that the codes stand for, where \
                 bitsandbytes rounds what is multiplied to eight bits, too, but in training on a CPU"
                    .to_owned(),
            );
        }
        Ok(Self { notes, source: Some(value.clone()), quantisation, ..config })
    }

    /// Reads what most families spell alike, with Llama's constants for the rest.
    ///
    /// # Errors
    /// What is missing or of another type, in words.
    pub(super) fn common(family: &'static Family, keys: &Keys<'_>, defaults: Defaults) -> Result<Self, String> {
        let hidden_size = keys.needed("hidden_size")?;
        let num_attention_heads = keys.needed("num_attention_heads")?;
        // transformers assumes 8 for Mistral and 32 for Qwen2; the weights' shapes tell if this is wrong.
        let num_key_value_heads = keys.size("num_key_value_heads")?.unwrap_or(num_attention_heads);
        let head_dim = keys.size("head_dim")?.or(defaults.head_dim).unwrap_or(hidden_size / num_attention_heads);
        if head_dim == 0 || head_dim % 2 != 0 {
            return Err(format!("a head is {head_dim} wide, expected an even width: rotary positions turn pairs"));
        }
        let max_position_embeddings = keys.size("max_position_embeddings")?.unwrap_or(defaults.positions);
        let sizes = Sizes { head_dim, longest: max_position_embeddings, rotated: defaults.rotated, theta: THETA };
        let epsilon = match keys.number("rms_norm_eps")? {
            Some(epsilon) => Some(epsilon),
            None => keys.number("layer_norm_eps")?,
        };
        let tied = keys.read("tie_word_embeddings", "true or false", Value::as_bool)?;
        Ok(Self {
            family,
            vocab_size: keys.needed("vocab_size")?,
            hidden_size,
            intermediate_size: keys.needed("intermediate_size")?,
            num_hidden_layers: keys.needed("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            ropes: if defaults.reads_rope { vec![Rope::read(keys, sizes)?] } else { Vec::new() },
            norm_epsilon: epsilon.unwrap_or(defaults.epsilon),
            activation: Activation::read(keys, "hidden_act")?.unwrap_or(defaults.activation),
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            tie_word_embeddings: tied.unwrap_or(defaults.tied),
            max_position_embeddings,
            sliding_window: None,
            full_attention_layers: BTreeSet::new(),
            norms_heads: false,
            attention_scale: None,
            scales_by_layer: false,
            attention_softcap: None,
            logit_softcap: None,
            embedding_scale: None,
            initializer_range: keys.number("initializer_range")?.unwrap_or(0.02),
            eos_token_id: end_tokens(keys)?,
            bos_token_id: keys.get("bos_token_id").and_then(Value::as_i64),
            source: None,
            notes: Vec::new(),
            quantisation: None,
        })
    }

    /// Returns the configuration of a scratch model with a vocabulary of `vocab_size`.
    pub fn scratch(scratch: &Scratch, vocab_size: usize, eos_token_id: u32) -> Self {
        let size = |value: usize| i64::try_from(value).map_or(LARGEST_SIZE, |value| value.min(LARGEST_SIZE));
        let family = families::of_scratch(scratch.architecture);
        let head_dim = size(scratch.hidden / scratch.heads.max(1));
        Self {
            family,
            vocab_size: size(vocab_size),
            hidden_size: size(scratch.hidden),
            intermediate_size: size(scratch.feed_forward),
            num_hidden_layers: size(scratch.layers),
            num_attention_heads: size(scratch.heads),
            num_key_value_heads: size(scratch.kv_heads.unwrap_or(scratch.heads)),
            head_dim,
            ropes: vec![Rope::plain(THETA, head_dim)],
            norm_epsilon: 1e-5,
            activation: Activation::Silu,
            qkv_bias: family.name == "qwen2",
            output_bias: false,
            mlp_bias: false,
            tie_word_embeddings: scratch.tied,
            max_position_embeddings: size(scratch.positions),
            sliding_window: None,
            full_attention_layers: BTreeSet::new(),
            norms_heads: false,
            attention_scale: None,
            scales_by_layer: false,
            attention_softcap: None,
            logit_softcap: None,
            embedding_scale: None,
            initializer_range: 0.02,
            eos_token_id: vec![i64::from(eos_token_id)],
            bos_token_id: None,
            source: None,
            notes: Vec::new(),
            quantisation: None,
        }
    }

    /// Returns the contents of `config.json` as transformers reads them, of weights in f32: of a model that was
    /// read, what was read, with the format and the ends of what is written.
    pub fn to_json(&self) -> Value {
        self.written("float32")
    }

    /// Returns what [`Self::to_json`] does, of weights in another format.
    ///
    /// # Errors
    /// A format that transformers has no name for here, in words.
    pub fn to_json_in(&self, kind: Kind) -> Result<Value, String> {
        match kind {
            Kind::Float => Ok(self.written("float32")),
            Kind::BFloat16 => Ok(self.written("bfloat16")),
            Kind::Half => Ok(self.written("float16")),
            other => Err(format!("weights are {other:?}, expected Float, BFloat16 or Half")),
        }
    }

    /// Returns what [`Self::to_json`] does, of a model whose numbers are in a format that PyTorch names so; how they
    /// are quantised is left to the caller.
    pub(super) fn written(&self, dtype: &str) -> Value {
        let eos_token_id = match &self.eos_token_id[..] {
            [] => Value::Null,
            [only] => json!(only),
            several => json!(several),
        };
        if let Some(Value::Object(source)) = &self.source {
            let mut written = source.clone();
            // transformers 5 calls it `dtype`.
            let format = if written.contains_key("dtype") { "dtype" } else { "torch_dtype" };
            written.insert(format.to_owned(), json!(dtype));
            written.remove("quantization_config");
            written.insert("eos_token_id".to_owned(), eos_token_id);
            return Value::Object(written);
        }
        let mut value = json!({
            "architectures": [self.family.class],
            "model_type": self.family.name,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rope_theta": THETA,
            "rms_norm_eps": self.norm_epsilon,
            "tie_word_embeddings": self.tie_word_embeddings,
            "max_position_embeddings": self.max_position_embeddings,
            "initializer_range": self.initializer_range,
            "sliding_window": self.sliding_window,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos_token_id,
            "torch_dtype": dtype,
        });
        if self.family.name == "qwen2" {
            value["use_sliding_window"] = json!(false);
            value["max_window_layers"] = json!(self.num_hidden_layers);
        }
        value
    }

    /// Returns how many tokens back a token of a layer sees, itself included; none where it sees all.
    pub fn window(&self, layer: i64) -> Option<i64> {
        self.sliding_window.filter(|_| !self.full_attention_layers.contains(&layer))
    }

    /// Returns what the names of a layer's parameters start with.
    pub fn prefix(&self, layer: i64) -> String {
        format!("{}.{layer}.", self.family.places.layers)
    }

    /// Returns which of the rotary positions a layer has.
    pub fn rope(&self, layer: i64) -> Option<usize> {
        match self.ropes.len() {
            0 => None,
            several => Some(usize::from(self.window(layer).is_some()).min(several - 1)),
        }
    }

    /// Lists the projections of a decoder layer.
    pub fn projections(&self) -> Vec<Projection> {
        families::describe(self).into_iter().filter_map(|part| part.projection).collect()
    }

    /// Returns the number of parameters that every token is multiplied with: those of the layers'
    /// projections. Embeddings are looked up, the head is computed at response positions only.
    pub fn product_parameters(&self) -> u64 {
        let size = |size: i64| u128::from(size.unsigned_abs());
        let layer: u128 = self.projections().iter().map(|part| size(part.output) * size(part.input)).sum();
        narrowed(size(self.num_hidden_layers) * layer)
    }

    /// Lists the parameters outside the layers, by their names in checkpoints: how many numbers each has.
    pub fn around_layers(&self) -> Vec<(String, u64)> {
        let numbers = |shape: &[i64]| narrowed(shape.iter().map(|&size| u128::from(size.unsigned_abs())).product());
        let around = families::describe(self).into_iter().filter(|part| !part.is_in_layer);
        around.map(|part| (part.name, numbers(&part.shape))).collect()
    }

    /// Returns the number of parameters, embeddings included and a tied head counted once.
    pub fn parameters(&self) -> u64 {
        let size = |shape: &[i64]| shape.iter().map(|&size| u128::from(size.unsigned_abs())).product::<u128>();
        let (mut within, mut around) = (0, 0);
        for part in families::describe(self) {
            let all = size(&part.shape);
            if part.is_in_layer { within += all } else { around += all }
        }
        narrowed(u128::from(self.num_hidden_layers.unsigned_abs()) * within + around)
    }
}

/// What a family takes for granted where its `config.json` does not say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    /// Longest sequence.
    pub(super) positions: i64,
    /// Width of a head, where that is not the hidden width divided among the heads.
    pub(super) head_dim: Option<i64>,
    /// Share of a head that is turned.
    pub(super) rotated: f64,
    /// Added in norms.
    pub(super) epsilon: f64,
    /// Activation of the feed-forward layer.
    pub(super) activation: Activation,
    /// The head is the embedding.
    pub(super) tied: bool,
    /// All layers have the positions that the file describes in one place.
    pub(super) reads_rope: bool,
}

impl Defaults {
    /// What Llama takes for granted.
    pub(super) const LLAMA: Self = Self {
        positions: 2048,
        head_dim: None,
        rotated: 1.0,
        epsilon: 1e-6,
        activation: Activation::Silu,
        tied: false,
        reads_rope: true,
    };
}

fn narrowed(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Reads `eos_token_id`: an id, or a list of them.
pub(super) fn end_tokens(keys: &Keys<'_>) -> Result<Vec<i64>, String> {
    let tokens = |value: &Value| match value {
        Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
        id => Some(vec![id.as_i64()?]),
    };
    Ok(keys.read("eos_token_id", "a token id or a list of them", tokens)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::Architecture;

    fn minimal() -> Value {
        json!({"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
               "num_hidden_layers": 2, "num_attention_heads": 2})
    }

    /// Reads what a configuration writes, which is written again as it is.
    fn again(config: &Config) -> Config {
        let written = config.to_json();
        let read = Config::from_json(&written).unwrap();
        assert_eq!(read.to_json(), written);
        Config { source: config.source.clone(), ..read }
    }

    #[test]
    fn written_configuration_reads_back() {
        let mut value = minimal();
        value["model_type"] = json!("mistral");
        value["sliding_window"] = json!(4096);
        for ends in [json!(null), json!(2), json!([2, 7])] {
            value["eos_token_id"] = ends.clone();
            let config = Config::from_json(&value).unwrap();
            assert_eq!(again(&config), config);
            assert_eq!(config.to_json()["eos_token_id"], ends);
        }
    }

    #[test]
    fn a_window_of_mistral_is_off_only_where_it_says_so() {
        let mut value = minimal();
        value["model_type"] = json!("mistral");
        assert_eq!(Config::from_json(&value).unwrap().sliding_window, Some(4096));
        value["sliding_window"] = json!(null);
        let config = Config::from_json(&value).unwrap();
        assert_eq!(config.sliding_window, None);
        assert_eq!(again(&config), config);
    }

    #[test]
    fn parameters_of_tinyllama_are_its_published_number() {
        let value = json!({"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
            "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4});
        assert_eq!(Config::from_json(&value).unwrap().parameters(), 1_100_048_384);
    }

    #[test]
    fn windows_are_those_of_the_layers() {
        let mut value = minimal();
        for (name, setting) in
            [("model_type", json!("qwen2")), ("use_sliding_window", json!(true)), ("sliding_window", json!(5))]
        {
            value[name] = setting;
        }
        let windows = |value: &Value| {
            let config = Config::from_json(value).unwrap();
            assert_eq!(again(&config), config);
            [config.window(0), config.window(1)]
        };
        for (first, expected) in [(28, [None, None]), (0, [Some(5), Some(5)]), (1, [None, Some(5)])] {
            value["max_window_layers"] = json!(first);
            assert_eq!(windows(&value), expected);
        }
        // Where the layers are listed, the list counts.
        let (full, sliding) = ("full_attention", "sliding_attention");
        for family in ["qwen2", "mistral"] {
            value["model_type"] = json!(family);
            for (types, expected) in [
                ([full, full], [None, None]),
                ([sliding, sliding], [Some(5), Some(5)]),
                ([sliding, full], [Some(5), None]),
            ] {
                value["layer_types"] = json!(types);
                assert_eq!(windows(&value), expected, "{family}");
            }
            for (name, wrong) in [
                ("layer_types", json!([full])),
                ("layer_types", json!([full, "chunked_attention"])),
                ("layer_types", json!([full, 1])),
                ("sliding_window", json!(null)),
            ] {
                let mut value = value.clone();
                value["layer_types"] = json!([full, sliding]);
                value[name] = wrong;
                let problem = Config::from_json(&value).unwrap_err();
                assert!(problem.contains("`layer_types`"), "{problem}");
            }
        }
        value["model_type"] = json!("llama");
        assert_eq!(windows(&value), [None, None]);
    }

    #[test]
    fn refuses_what_it_would_compute_wrongly() {
        for (name, wrong) in [
            ("model_type", json!("bloom")),
            ("hidden_act", json!("quick_gelu")),
            ("logit_scale", json!(0.5)),
            ("num_experts", json!(8)),
            ("quantization_config", json!({"quant_method": "gptq"})),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
            ("rope_scaling", json!("linear")),
            ("rope_parameters", json!({"full_attention": {"rope_theta": 1e4}})),
            ("rope_scaling", json!({"rope_type": "linear", "factor": 2.0, "offset": 3})),
            ("rope_scaling", json!({"rope_type": "axial", "factor": 2.0})),
            ("rope_parameters", json!({"partial_rotary_factor": 0.3})),
            ("rope_theta", json!("1e6")),
            ("rope_theta", json!(0)),
            ("rms_norm_eps", json!("1e-5")),
            ("tie_word_embeddings", json!("true")),
            ("eos_token_id", json!(["</s>"])),
            ("num_key_value_heads", json!(4.0)),
            ("num_key_value_heads", json!(0)),
            ("num_attention_heads", json!(3)),
            ("head_dim", json!(3)),
            ("hidden_size", json!(0)),
            ("hidden_size", json!(1_i64 << 40)),
            ("vocab_size", json!(null)),
        ] {
            let mut value = minimal();
            value["num_key_value_heads"] = json!(2);
            value[name] = wrong;
            let problem = Config::from_json(&value).unwrap_err();
            assert!(
                problem.contains(name) || problem.contains("rotary") || problem.contains("head"),
                "{name}: {problem}"
            );
        }
    }

    #[test]
    fn finds_the_rotary_base_where_either_version_keeps_it() {
        let mut value = minimal();
        value["rope_parameters"] = json!({"rope_theta": 1e6, "rope_type": "default"});
        assert_eq!(Config::from_json(&value).unwrap().ropes[0].theta, 1e6);
        let mut value = minimal();
        value["rope_theta"] = json!(5e5);
        assert_eq!(Config::from_json(&value).unwrap().ropes[0].theta, 5e5);
        // Both may say it, if they say the same.
        value["rope_parameters"] = json!({"rope_theta": 5e5, "rope_type": "default"});
        assert_eq!(Config::from_json(&value).unwrap().ropes[0].theta, 5e5);
        value["rope_theta"] = json!(1e4);
        assert!(Config::from_json(&value).is_err());
    }

    #[test]
    fn huge_sizes_are_counted_without_overflow() {
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Llama,
            tokenizer: String::new(),
            hidden: usize::MAX,
            layers: usize::MAX,
            heads: 1,
            kv_heads: None,
            feed_forward: usize::MAX,
            tied: false,
            positions: 1,
        };
        let config = Config::scratch(&scratch, usize::MAX, 0);
        assert_eq!((config.parameters(), config.product_parameters()), (u64::MAX, u64::MAX));
    }
}
