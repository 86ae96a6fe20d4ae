//! Gemma: Llama with GeGLU, norms that scale by `1 + w`, and embeddings scaled by the square root of their
//! width (Gemma team 2024, arXiv 2403.08295, section 2).

use super::mistral::refuse_feed_forward_bias;
use super::{Family, Places, llama};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults};
use crate::models::layers::{Activation, NormKind};

pub(super) const FAMILY: Family = Family {
    name: "gemma",
    class: "GemmaForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::RmsPlusOne,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer: llama::layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = common(family, keys, true)?;
    // The first checkpoints say `gelu` and were trained with its approximation, which transformers takes.
    let _ = Activation::read(keys, "hidden_activation")?;
    Ok(Config { activation: Activation::GeluTanh, ..config })
}

/// Reads what all Gemmas have.
pub(super) fn common(family: &'static Family, keys: &Keys<'_>, reads_rope: bool) -> Result<Config, String> {
    let defaults = Defaults {
        positions: 8192,
        head_dim: Some(256),
        activation: Activation::GeluTanh,
        tied: true,
        reads_rope,
        ..Defaults::LLAMA
    };
    let config = Config::common(family, keys, defaults)?;
    let has_bias = keys.flag("attention_bias")?;
    refuse_feed_forward_bias(keys)?;
    let embedding_scale = Some((config.hidden_size as f64).sqrt());
    Ok(Config { qkv_bias: has_bias, output_bias: has_bias, embedding_scale, ..config })
}
