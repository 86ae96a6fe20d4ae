//! `config.json` of a Llama-family checkpoint: the sizes and constants of a decoder.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::ModelError;
use super::llama::PROJECTIONS;
use crate::experiment::settings::{Architecture, Scratch};

/// Holds the sizes of a decoder, named as in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decoder family.
    pub architecture: Architecture,
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
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Bias on query, key and value.
    pub qkv_bias: bool,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence the model was made for.
    pub max_position_embeddings: i64,
    /// Each token sees so many tokens back, itself included; all of them without it.
    pub sliding_window: Option<i64>,
    /// Layers that see all tokens though there is a window.
    pub full_attention_layers: BTreeSet<i64>,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// Tokens that end a sequence.
    pub eos_token_id: Vec<i64>,
    /// Beginning-of-sequence token.
    pub bos_token_id: Option<i64>,
}

/// One of the projections of a decoder layer, weight `[output, input]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Name, as in [`PROJECTIONS`].
    pub name: &'static str,
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
    /// compute wrongly (unknown family, scaled rotary angles, another activation, quantised weights).
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
        let keys = Keys(value);
        let needed = |name: &str| keys.size(name)?.ok_or_else(|| format!("`{name}` is missing"));
        let architecture = match keys.text("model_type")?.unwrap_or("") {
            "llama" => Architecture::Llama,
            "mistral" => Architecture::Mistral,
            "qwen2" => Architecture::Qwen2,
            other => return Err(format!("`model_type` is `{other}`, expected one of `llama`, `mistral`, `qwen2`")),
        };
        let activation = keys.text("hidden_act")?.unwrap_or("silu");
        if activation != "silu" {
            return Err(format!("`hidden_act` is `{activation}`, expected `silu`"));
        }
        if let Some(quantised) = keys.get("quantization_config") {
            let method = Keys(quantised).text("quant_method")?.unwrap_or("unnamed");
            return Err(format!("`quantization_config` is set (`{method}`), expected weights that are not quantised"));
        }
        if keys.flag("mlp_bias")? {
            return Err("`mlp_bias` is set, expected a feed-forward layer without bias".to_owned());
        }
        // Mistral and Qwen2 do not read this key.
        if architecture == Architecture::Llama && keys.flag("attention_bias")? {
            return Err("`attention_bias` is set, expected a Llama without attention bias".to_owned());
        }
        let num_hidden_layers = needed("num_hidden_layers")?;
        let hidden_size = needed("hidden_size")?;
        let num_attention_heads = needed("num_attention_heads")?;
        // transformers assumes 8 for Mistral and 32 for Qwen2; the weights' shapes tell if this is wrong.
        let num_key_value_heads = keys.size("num_key_value_heads")?.unwrap_or(num_attention_heads);
        if num_attention_heads % num_key_value_heads != 0 {
            return Err(format!(
                "`num_attention_heads` is {num_attention_heads}, expected a multiple of the {num_key_value_heads} key and value heads"
            ));
        }
        let head_dim = keys.size("head_dim")?.unwrap_or(hidden_size / num_attention_heads);
        if head_dim == 0 || head_dim % 2 != 0 {
            return Err(format!("a head is {head_dim} wide, expected an even width: rotary positions turn pairs"));
        }
        let max_position_embeddings = match architecture {
            Architecture::Llama => 2048,
            Architecture::Mistral => 131_072,
            Architecture::Qwen2 => 32_768,
        };
        let (sliding_window, full_attention_layers) = attention_windows(&keys, architecture, num_hidden_layers)?;
        Ok(Self {
            architecture,
            vocab_size: needed("vocab_size")?,
            hidden_size,
            intermediate_size: needed("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rope_theta: rope_theta(&keys)?,
            rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
            qkv_bias: architecture == Architecture::Qwen2,
            tie_word_embeddings: keys.flag("tie_word_embeddings")?,
            max_position_embeddings: keys.size("max_position_embeddings")?.unwrap_or(max_position_embeddings),
            sliding_window,
            full_attention_layers,
            initializer_range: keys.number("initializer_range")?.unwrap_or(0.02),
            eos_token_id: end_tokens(&keys)?,
            bos_token_id: keys.get("bos_token_id").and_then(Value::as_i64),
        })
    }

    /// Returns the configuration of a scratch model with a vocabulary of `vocab_size`.
    pub fn scratch(scratch: &Scratch, vocab_size: usize, eos_token_id: u32) -> Self {
        let size = |value: usize| i64::try_from(value).map_or(LARGEST_SIZE, |value| value.min(LARGEST_SIZE));
        Self {
            architecture: scratch.architecture,
            vocab_size: size(vocab_size),
            hidden_size: size(scratch.hidden),
            intermediate_size: size(scratch.feed_forward),
            num_hidden_layers: size(scratch.layers),
            num_attention_heads: size(scratch.heads),
            num_key_value_heads: size(scratch.kv_heads.unwrap_or(scratch.heads)),
            head_dim: size(scratch.hidden / scratch.heads.max(1)),
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            qkv_bias: scratch.architecture == Architecture::Qwen2,
            tie_word_embeddings: scratch.tied,
            max_position_embeddings: size(scratch.positions),
            sliding_window: None,
            full_attention_layers: BTreeSet::new(),
            initializer_range: 0.02,
            eos_token_id: vec![i64::from(eos_token_id)],
            bos_token_id: None,
        }
    }

    /// Returns the contents of `config.json` as transformers reads them.
    pub fn to_json(&self) -> Value {
        let (model_type, class) = match self.architecture {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Mistral => ("mistral", "MistralForCausalLM"),
            Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
        };
        let eos_token_id = match &self.eos_token_id[..] {
            [] => Value::Null,
            [only] => json!(only),
            several => json!(several),
        };
        let mut value = json!({
            "architectures": [class],
            "model_type": model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tie_word_embeddings,
            "max_position_embeddings": self.max_position_embeddings,
            "initializer_range": self.initializer_range,
            "sliding_window": self.sliding_window,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos_token_id,
            "torch_dtype": "float32",
        });
        if self.architecture == Architecture::Qwen2 {
            value["use_sliding_window"] = json!(self.sliding_window.is_some());
            value["max_window_layers"] = json!(if self.sliding_window.is_some() { 0 } else { self.num_hidden_layers });
        }
        if !self.full_attention_layers.is_empty() {
            let kind = |layer| if self.window(layer).is_some() { SLIDING_ATTENTION } else { FULL_ATTENTION };
            value["layer_types"] = (0..self.num_hidden_layers).map(kind).collect();
        }
        value
    }

    /// Returns how many tokens back a token of a layer sees, itself included; none where it sees all.
    pub fn window(&self, layer: i64) -> Option<i64> {
        self.sliding_window.filter(|_| !self.full_attention_layers.contains(&layer))
    }

    /// Lists the projections of a decoder layer in the order of [`PROJECTIONS`].
    pub fn projections(&self) -> [Projection; 7] {
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let query = self.num_attention_heads * self.head_dim;
        let key = self.num_key_value_heads * self.head_dim;
        let shapes = [
            (query, hidden, self.qkv_bias),
            (key, hidden, self.qkv_bias),
            (key, hidden, self.qkv_bias),
            (hidden, query, false),
            (wide, hidden, false),
            (wide, hidden, false),
            (hidden, wide, false),
        ];
        std::array::from_fn(|i| {
            let (output, input, has_bias) = shapes[i];
            Projection { name: PROJECTIONS[i], output, input, has_bias }
        })
    }

    /// Returns the number of parameters that every token is multiplied with: those of the layers'
    /// projections. Embeddings are looked up, the head is computed at response positions only.
    pub fn product_parameters(&self) -> u64 {
        let [_, hidden, wide, layers, query, key_value] = self.sizes();
        narrowed(layers * hidden * (2 * query + 2 * key_value + 3 * wide))
    }

    /// Returns the number of parameters, embeddings included and a tied head counted once.
    pub fn parameters(&self) -> u64 {
        let [vocabulary, hidden, wide, layers, query, key_value] = self.sizes();
        let bias = if self.qkv_bias { query + 2 * key_value } else { 0 };
        let attention = hidden * (2 * query + 2 * key_value) + bias;
        let layer = attention + 3 * hidden * wide + 2 * hidden;
        let heads = if self.tie_word_embeddings { 1 } else { 2 };
        narrowed(heads * vocabulary * hidden + layers * layer + hidden)
    }

    /// Returns vocabulary, hidden width, feed-forward width, layers, and the widths of all query and
    /// of all key heads, in a type that holds their products.
    fn sizes(&self) -> [u128; 6] {
        let query = self.num_attention_heads * self.head_dim;
        let key_value = self.num_key_value_heads * self.head_dim;
        [self.vocab_size, self.hidden_size, self.intermediate_size, self.num_hidden_layers, query, key_value]
            .map(|size| u128::from(size.unsigned_abs()))
    }
}

/// Largest size that is taken at its word: products of four stay within 128 bits.
const LARGEST_SIZE: i64 = i32::MAX as i64;

fn narrowed(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Reads values of a JSON object by name. One that is null counts as absent, one of another type is
/// a fault: a default in its place would be another model.
struct Keys<'a>(&'a Value);

impl<'a> Keys<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        convert(value).map(Some).ok_or_else(|| format!("`{name}` is {value}, expected {expected}"))
    }

    fn size(&self, name: &str) -> Result<Option<i64>, String> {
        let whole = |value: &Value| value.as_i64().filter(|size| (1..=LARGEST_SIZE).contains(size));
        self.read(name, "a whole number from 1 to 2147483647", whole)
    }

    fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.read(name, "a number from 0", |value| value.as_f64().filter(|&number| number >= 0.0))
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.read(name, "a string", Value::as_str)
    }
}

/// Reads `eos_token_id`: an id, or a list of them.
fn end_tokens(keys: &Keys<'_>) -> Result<Vec<i64>, String> {
    let tokens = |value: &Value| match value {
        Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
        id => Some(vec![id.as_i64()?]),
    };
    Ok(keys.read("eos_token_id", "a token id or a list of them", tokens)?.unwrap_or_default())
}

const FULL_ATTENTION: &str = "full_attention";
const SLIDING_ATTENTION: &str = "sliding_attention";

/// Reads how far back a token sees, and the layers in which it sees all though there is a window.
///
/// Layers are windowed as `layer_types` says, as transformers reads it (which takes a Mistral that has
/// it for a Ministral); without it all layers of a Mistral and those of a Qwen2 from
/// `max_window_layers` on. A Llama reads none of these keys.
fn attention_windows(
    keys: &Keys<'_>,
    architecture: Architecture,
    layers: i64,
) -> Result<(Option<i64>, BTreeSet<i64>), String> {
    let stated = match architecture {
        Architecture::Llama => return Ok((None, BTreeSet::new())),
        // Qwen2 carries a window that is off unless a flag says so.
        Architecture::Qwen2 if !keys.flag("use_sliding_window")? => None,
        // A null is no window, an absent key transformers' default.
        _ if keys.0.get("sliding_window").is_none() => Some(4096),
        _ => keys.size("sliding_window")?,
    };
    let Some(types) = keys.read("layer_types", "a list", Value::as_array)? else {
        let first = match architecture {
            Architecture::Qwen2 => keys.read("max_window_layers", "a whole number", Value::as_i64)?.unwrap_or(28),
            _ => 0,
        };
        return Ok(windows(stated, (0..layers.min(first)).collect(), layers));
    };
    if types.len() as i64 != layers {
        return Err(format!("`layer_types` has {} entries, expected one for each of {layers} layers", types.len()));
    }
    let mut full = BTreeSet::new();
    for (layer, kind) in (0..).zip(types) {
        match kind.as_str() {
            Some(FULL_ATTENTION) => drop(full.insert(layer)),
            Some(SLIDING_ATTENTION) if stated.is_some() => {}
            Some(SLIDING_ATTENTION) => {
                return Err(format!(
                    "`layer_types` has `{SLIDING_ATTENTION}`, expected a `sliding_window`, which is not set or not in use"
                ));
            }
            _ => {
                return Err(format!(
                    "`layer_types` holds {kind}, expected `{FULL_ATTENTION}` or `{SLIDING_ATTENTION}`"
                ));
            }
        }
    }
    Ok(windows(stated, full, layers))
}

/// Leaves the window out where no layer has one, and the list where all have.
fn windows(window: Option<i64>, full: BTreeSet<i64>, layers: i64) -> (Option<i64>, BTreeSet<i64>) {
    match window {
        Some(window) if (full.len() as i64) < layers => (Some(window), full),
        _ => (None, BTreeSet::new()),
    }
}

/// Reads the rotary base, at top level (transformers 4) or in `rope_parameters` (transformers 5,
/// which also takes `rope_scaling` for that), and refuses angles that are scaled.
fn rope_theta(keys: &Keys<'_>) -> Result<f64, String> {
    let mut stated = vec![keys.number("rope_theta")?];
    let mut rotated = vec![keys.number("partial_rotary_factor")?];
    for name in ["rope_parameters", "rope_scaling"] {
        let is_flat = |value: &&Value| value.as_object().is_some_and(|table| table.values().all(|v| !v.is_object()));
        let Some(table) = keys.read(name, "one table for all layers", |value| Some(value).filter(is_flat))? else {
            continue;
        };
        let table = Keys(table);
        let kind = table.text("rope_type")?.or(table.text("type")?).unwrap_or("default");
        if kind != "default" {
            return Err(format!("rotary angles are scaled (`{kind}`), expected `default`"));
        }
        stated.push(table.number("rope_theta")?);
        rotated.push(table.number("partial_rotary_factor")?);
    }
    if let Some(factor) = rotated.into_iter().flatten().find(|&factor| factor != 1.0) {
        return Err(format!("`partial_rotary_factor` is {factor}, expected 1: whole heads are rotated"));
    }
    let stated: Vec<f64> = stated.into_iter().flatten().collect();
    match stated[..] {
        [] => Ok(10_000.0),
        [first, ..] if stated.iter().any(|&theta| theta != first) => {
            Err(format!("`rope_theta` is {stated:?} in different places, expected one value"))
        }
        [first, ..] if first > 0.0 => Ok(first),
        [first, ..] => Err(format!("`rope_theta` is {first}, expected a positive number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Value {
        json!({"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
               "num_hidden_layers": 2, "num_attention_heads": 2})
    }

    #[test]
    fn written_configuration_reads_back() {
        let mut value = minimal();
        value["model_type"] = json!("mistral");
        value["sliding_window"] = json!(4096);
        for ends in [json!(null), json!(2), json!([2, 7])] {
            value["eos_token_id"] = ends.clone();
            let config = Config::from_json(&value).unwrap();
            assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
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
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
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
            assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
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
            ("model_type", json!("gemma")),
            ("hidden_act", json!("gelu")),
            ("mlp_bias", json!(true)),
            ("attention_bias", json!(true)),
            ("quantization_config", json!({"quant_method": "gptq"})),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
            ("rope_scaling", json!("linear")),
            ("rope_parameters", json!({"full_attention": {"rope_theta": 1e4}})),
            ("rope_parameters", json!({"partial_rotary_factor": 0.5})),
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
        assert_eq!(Config::from_json(&value).unwrap().rope_theta, 1e6);
        let mut value = minimal();
        value["rope_theta"] = json!(5e5);
        assert_eq!(Config::from_json(&value).unwrap().rope_theta, 5e5);
        // Both may say it, if they say the same.
        value["rope_parameters"] = json!({"rope_theta": 5e5, "rope_type": "default"});
        assert_eq!(Config::from_json(&value).unwrap().rope_theta, 5e5);
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
