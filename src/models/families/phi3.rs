//! Phi-3 and Phi-4-mini: Llama with query, key and value in one projection, and gate and up in another
//! (Abdin et al. 2024, arXiv 2404.14219, section 2).

use super::{Family, Maker, Places};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults, windows};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    class: "Phi3ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = Config::common(family, keys, Defaults { positions: 4096, epsilon: 1e-5, ..Defaults::LLAMA })?;
    for name in ["attention_bias", "mlp_bias", "lm_head_bias"] {
        // Phi-4-mini's file has them, all off; transformers reads none.
        if keys.flag(name)? {
            return Err(format!("`{name}` is set, expected a Phi-3 without biases"));
        }
    }
    let window = windows::stated(keys, None)?;
    let (sliding_window, full_attention_layers) = windows::read(keys, window, config.num_hidden_layers, |_| false)?;
    Ok(Config { sliding_window, full_attention_layers, ..config })
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let before = make.norm("input_layernorm", config.hidden_size)?;
    let between = make.norm("post_attention_layernorm", config.hidden_size)?;
    Ok(Layer {
        attention: Attention::fused(config, index, make, ["self_attn.qkv_proj", "self_attn.o_proj"])?,
        feed_forward: FeedForward::fused(config, make)?,
        around_attention: Around::before(before),
        around_feed_forward: Around::before(between),
        is_parallel: false,
    })
}
