//! `config.json` of a Llama-family checkpoint: the sizes and constants of a decoder.

use std::path::Path;

use serde_json::{Value, json};

use super::ModelError;
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
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// End-of-sequence token.
    pub eos_token_id: Option<i64>,
    /// Beginning-of-sequence token.
    pub bos_token_id: Option<i64>,
}

impl Config {
    /// Reads `config.json` from a checkpoint folder.
    ///
    /// # Errors
    /// When the file is missing or not JSON, lacks a size, or describes a decoder that this
    /// engine would compute wrongly (unknown family, scaled rotary angles, another activation).
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let value: Value =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
        Self::from_json(&value).map_err(|problem| ModelError::Config { path, problem })
    }

    /// Reads the contents of a `config.json`.
    ///
    /// # Errors
    /// What is missing or would be computed wrongly, in words.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let integer = |name: &str| value.get(name).and_then(Value::as_i64);
        let size = |name: &str| match integer(name) {
            Some(size) if size > 0 => Ok(size),
            Some(size) => Err(format!("`{name}` is {size}, expected a positive number")),
            None => Err(format!("`{name}` is missing")),
        };
        let model_type = value.get("model_type").and_then(Value::as_str).unwrap_or("");
        let architecture = match model_type {
            "llama" => Architecture::Llama,
            "mistral" => Architecture::Mistral,
            "qwen2" => Architecture::Qwen2,
            other => return Err(format!("`model_type` is `{other}`, expected one of `llama`, `mistral`, `qwen2`")),
        };
        let activation = value.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
        if activation != "silu" {
            return Err(format!("`hidden_act` is `{activation}`, expected `silu`"));
        }
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        if flag("mlp_bias") {
            return Err("`mlp_bias` is set, expected a feed-forward layer without bias".to_owned());
        }
        if architecture == Architecture::Llama && flag("attention_bias") {
            return Err("`attention_bias` is set, expected a Llama without attention bias".to_owned());
        }
        let num_attention_heads = size("num_attention_heads")?;
        let hidden_size = size("hidden_size")?;
        let windowed = match architecture {
            Architecture::Llama => false,
            Architecture::Mistral => true,
            // Qwen2 carries a window that is off unless a flag says so.
            Architecture::Qwen2 => flag("use_sliding_window") && qwen2_window(&integer, size("num_hidden_layers")?)?,
        };
        Ok(Self {
            architecture,
            vocab_size: size("vocab_size")?,
            hidden_size,
            intermediate_size: size("intermediate_size")?,
            num_hidden_layers: size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: integer("num_key_value_heads").unwrap_or(num_attention_heads),
            head_dim: integer("head_dim").unwrap_or(hidden_size / num_attention_heads),
            rope_theta: rope_theta(value)?,
            rms_norm_eps: value.get("rms_norm_eps").and_then(Value::as_f64).unwrap_or(1e-6),
            qkv_bias: architecture == Architecture::Qwen2,
            tie_word_embeddings: flag("tie_word_embeddings"),
            max_position_embeddings: integer("max_position_embeddings").unwrap_or(2048),
            sliding_window: integer("sliding_window").filter(|_| windowed),
            initializer_range: value.get("initializer_range").and_then(Value::as_f64).unwrap_or(0.02),
            // A list of end tokens: the first one closes a response.
            eos_token_id: integer("eos_token_id")
                .or_else(|| value.get("eos_token_id").and_then(|ids| ids.get(0)).and_then(Value::as_i64)),
            bos_token_id: integer("bos_token_id"),
        })
    }

    /// Returns the configuration of a scratch model with a vocabulary of `vocab_size`.
    pub fn scratch(scratch: &Scratch, vocab_size: usize, eos_token_id: u32) -> Self {
        let size = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
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
            initializer_range: 0.02,
            eos_token_id: Some(i64::from(eos_token_id)),
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
            "eos_token_id": self.eos_token_id,
            "torch_dtype": "float32",
        });
        if self.architecture == Architecture::Qwen2 {
            value["use_sliding_window"] = json!(self.sliding_window.is_some());
            value["max_window_layers"] = json!(if self.sliding_window.is_some() { 0 } else { self.num_hidden_layers });
        }
        value
    }

    /// Returns the number of parameters that every token is multiplied with: those of the layers'
    /// projections. Embeddings are looked up, the head is computed at response positions only.
    pub fn product_parameters(&self) -> u64 {
        let attention = self.head_dim * (2 * self.num_attention_heads + 2 * self.num_key_value_heads);
        let layer = self.hidden_size * (attention + 3 * self.intermediate_size);
        (self.num_hidden_layers * layer).unsigned_abs()
    }

    /// Returns the number of parameters, embeddings included and a tied head counted once.
    pub fn parameters(&self) -> u64 {
        let query = self.num_attention_heads * self.head_dim;
        let key_value = self.num_key_value_heads * self.head_dim;
        let bias = if self.qkv_bias { query + 2 * key_value } else { 0 };
        let attention = self.hidden_size * (2 * query + 2 * key_value) + bias;
        let layer = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size;
        let heads = if self.tie_word_embeddings { 1 } else { 2 };
        let total = heads * self.vocab_size * self.hidden_size + self.num_hidden_layers * layer + self.hidden_size;
        total.unsigned_abs()
    }
}

/// Says whether a Qwen2's layers are windowed: those from `max_window_layers` on are.
fn qwen2_window(integer: &dyn Fn(&str) -> Option<i64>, layers: i64) -> Result<bool, String> {
    match integer("max_window_layers").unwrap_or(28) {
        0 => Ok(true),
        first if first >= layers => Ok(false),
        first => Err(format!("`max_window_layers` is {first}, expected 0 or at least the {layers} layers: all alike")),
    }
}

/// Reads the rotary base, at top level or in `rope_parameters` (transformers 5), and refuses scaled angles.
fn rope_theta(value: &Value) -> Result<f64, String> {
    let parameters = value.get("rope_parameters").filter(|parameters| parameters.is_object());
    let scaling = value.get("rope_scaling").filter(|scaling| scaling.is_object());
    for table in [parameters, scaling].into_iter().flatten() {
        let kind = table.get("rope_type").or_else(|| table.get("type")).and_then(Value::as_str).unwrap_or("default");
        if kind != "default" {
            return Err(format!("rotary angles are scaled (`{kind}`), expected `default`"));
        }
    }
    let stated = value.get("rope_theta").or_else(|| parameters.and_then(|table| table.get("rope_theta")));
    Ok(stated.and_then(Value::as_f64).unwrap_or(10_000.0))
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
        let config = Config::from_json(&value).unwrap();
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn parameters_of_tinyllama_are_its_published_number() {
        let value = json!({"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
            "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4});
        assert_eq!(Config::from_json(&value).unwrap().parameters(), 1_100_048_384);
    }

    #[test]
    fn window_of_qwen2_covers_all_layers_or_none() {
        let mut value = minimal();
        for (name, setting) in
            [("model_type", json!("qwen2")), ("use_sliding_window", json!(true)), ("sliding_window", json!(5))]
        {
            value[name] = setting;
        }
        for (first, expected) in [(json!(28), Ok(None)), (json!(0), Ok(Some(5))), (json!(1), Err(()))] {
            value["max_window_layers"] = first;
            let config = Config::from_json(&value);
            assert_eq!(config.as_ref().map(|config| config.sliding_window).map_err(|_| ()), expected);
            if let Ok(config) = config {
                assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
            }
        }
    }

    #[test]
    fn refuses_what_it_would_compute_wrongly() {
        for (name, wrong) in [
            ("model_type", json!("gemma")),
            ("hidden_act", json!("gelu")),
            ("mlp_bias", json!(true)),
            ("attention_bias", json!(true)),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
            ("hidden_size", json!(0)),
        ] {
            let mut value = minimal();
            value[name] = wrong;
            assert!(Config::from_json(&value).is_err(), "{name}");
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
    }
}
