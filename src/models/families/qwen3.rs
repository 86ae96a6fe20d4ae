//! Qwen3: Qwen2 without biases, each query and key behind a norm of its own (Yang et al. 2025,
//! arXiv 2505.09388, section 2).

use super::mistral::refuse_feed_forward_bias;
use super::{Family, Maker, Places, llama, qwen2};
use crate::models::ModelError;
use crate::models::block::{HeadNorms, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    class: "Qwen3ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let defaults = Defaults { positions: 32_768, head_dim: Some(128), ..Defaults::LLAMA };
    let config = Config::common(family, keys, defaults)?;
    let has_bias = keys.flag("attention_bias")?;
    refuse_feed_forward_bias(keys)?;
    let (sliding_window, full_attention_layers) = qwen2::windows(keys, config.num_hidden_layers)?;
    Ok(Config { qkv_bias: has_bias, output_bias: has_bias, sliding_window, full_attention_layers, ..config })
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let mut layer = llama::layer(config, index, make)?;
    layer.attention.norms = Some(HeadNorms {
        query: make.norm("self_attn.q_norm", config.head_dim)?,
        key: make.norm("self_attn.k_norm", config.head_dim)?,
        is_whole: false,
    });
    Ok(layer)
}
