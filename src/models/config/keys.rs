//! Values of a `config.json` by name, and which names were asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

/// Largest size that is taken at its word: products of four stay within 128 bits.
pub(super) const LARGEST_SIZE: i64 = i32::MAX as i64;

/// Keys that say nothing of what a model computes: who wrote the file, how it is kept, which tokens
/// a program may fill up with.
const HARMLESS: [&str; 27] = [
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "auto_map",
    "cache_implementation",
    "decoder_start_token_id",
    "dtype",
    "full_attn_mod",
    "id2label",
    "interpolate_factor",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "model_type",
    "n_ctx",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "problem_type",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_file",
];

/// Beginnings of names of keys that say nothing of what a model computes.
const HARMLESS_STARTS: [&str; 2] = ["summary_", "unsloth_"];

/// Keys that make another model of it, of families that are not computed here.
const CHANGING: [&str; 18] = [
    "add_cross_attention",
    "attention_chunk_size",
    "attention_multiplier",
    "clip_qkv",
    "embedding_multiplier",
    "lm_head_bias",
    "logit_scale",
    "logits_scaling",
    "mup_width_multiplier",
    "n_routed_experts",
    "no_rope_layers",
    "num_experts",
    "num_kv_shared_layers",
    "num_local_experts",
    "parallel_residual",
    "residual_multiplier",
    "rope_interleaved",
    "use_bidirectional_attention",
];

/// Dropout of a model's own, which transformers applies in training.
const DROPOUTS: [&str; 5] = ["attention_dropout", "attn_pdrop", "embd_pdrop", "hidden_dropout", "resid_pdrop"];

/// Reads values of a JSON object by name. One that is null counts as absent, one of another type is
/// a fault: a default in its place would be another model.
pub struct Keys<'a> {
    value: &'a Value,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    /// Reads an object of which nothing has been asked.
    pub fn new(value: &'a Value) -> Self {
        Self { value, asked: RefCell::default() }
    }

    /// Returns the value of a key that is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.value.get(name).filter(|value| !value.is_null())
    }

    /// Says whether a key is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.asked.borrow_mut().insert(name.to_owned());
        self.value.get(name).is_some()
    }

    /// Converts the value of a key.
    ///
    /// # Errors
    /// When it does not convert: what was found and what was `expected`.
    pub fn read<T>(
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

    /// Reads a size: a whole number from 1.
    ///
    /// # Errors
    /// When it is something else.
    pub fn size(&self, name: &str) -> Result<Option<i64>, String> {
        let whole = |value: &Value| value.as_i64().filter(|size| (1..=LARGEST_SIZE).contains(size));
        self.read(name, "a whole number from 1 to 2147483647", whole)
    }

    /// Reads a size that must be there.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn needed(&self, name: &str) -> Result<i64, String> {
        self.size(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// Reads a number from 0.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.read(name, "a number from 0", |value| value.as_f64().filter(|&number| number >= 0.0))
    }

    /// Reads a number above 0.
    ///
    /// # Errors
    /// When it is something else.
    pub fn positive(&self, name: &str) -> Result<Option<f64>, String> {
        self.read(name, "a number above 0", |value| value.as_f64().filter(|&number| number > 0.0))
    }

    /// Reads true or false; absent is false.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.read(name, "a string", Value::as_str)
    }

    /// Reads numbers, `count` of them.
    ///
    /// # Errors
    /// When they are something else or not as many.
    pub fn numbers(&self, name: &str, count: i64) -> Result<Vec<f64>, String> {
        let convert = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let numbers = self.read(name, "a list of numbers", convert)?.ok_or_else(|| format!("`{name}` is missing"))?;
        if numbers.len() as i64 == count {
            return Ok(numbers);
        }
        Err(format!("`{name}` has {} numbers, expected {count}", numbers.len()))
    }

    /// Says what of the object would change the model and is not computed, and notes what may.
    ///
    /// # Errors
    /// When a key that is known to make another model of it is set.
    pub(super) fn rest(&self) -> Result<Vec<String>, String> {
        let mut notes = Vec::new();
        let members = self.value.as_object().into_iter().flatten();
        for (name, value) in members.filter(|(name, _)| !self.asked.borrow().contains(*name)) {
            let name = name.as_str();
            let is_harmless = HARMLESS.contains(&name) || HARMLESS_STARTS.iter().any(|start| name.starts_with(start));
            if is_harmless || !is_set(value) {
                continue;
            }
            if CHANGING.contains(&name) {
                return Err(format!("`{name}` is {value}, which makes another model of it that is not computed here"));
            }
            notes.push(match DROPOUTS.contains(&name) {
                true => format!("`{name}` is {value}: training here drops out nothing but inputs of adapters"),
                false => format!("`{name}` is not known here: what it changes, if anything, is not computed"),
            });
        }
        Ok(notes)
    }
}

/// Says whether a value switches something on.
pub(in crate::models) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
