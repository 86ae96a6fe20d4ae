//! Qwen2 and Qwen2.5: Llama with biases on query, key and value (Yang et al. 2024, arXiv 2407.10671,
//! section 2.2).

use serde_json::Value;

use super::mistral::refuse_feed_forward_bias;
use super::{Family, Places, llama};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults, windows};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    class: "Qwen2ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer: llama::layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = Config::common(family, keys, Defaults { positions: 32_768, ..Defaults::LLAMA })?;
    refuse_feed_forward_bias(keys)?;
    let (sliding_window, full_attention_layers) = windows(keys, config.num_hidden_layers)?;
    Ok(Config { qkv_bias: true, sliding_window, full_attention_layers, ..config })
}

/// Reads the window, which is off unless a flag says so, and which the first layers do not have.
pub(super) fn windows(keys: &Keys<'_>, layers: i64) -> Result<windows::Windows, String> {
    let stated = windows::stated(keys, Some(4096))?;
    let window = if keys.flag("use_sliding_window")? { stated } else { None };
    let first = keys.read("max_window_layers", "a whole number", Value::as_i64)?.unwrap_or(28);
    windows::read(keys, window, layers, |layer| layer < first)
}
