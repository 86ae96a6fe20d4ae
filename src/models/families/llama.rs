//! Llama 2, 3 and 3.2, TinyLlama, SmolLM: grouped-query attention with rotary positions, then SwiGLU,
//! each behind RMSNorm and around a residual (Touvron et al. 2023, arXiv 2307.09288, section 2.2).

use super::{Family, Maker, Places};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    class: "LlamaForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = Config::common(family, keys, Defaults::LLAMA)?;
    // In transformers the bias is on attention's output, too.
    let has_bias = keys.flag("attention_bias")?;
    Ok(Config { qkv_bias: has_bias, output_bias: has_bias, mlp_bias: keys.flag("mlp_bias")?, ..config })
}

/// Makes the layer that most families have, by the names that most give its parts.
pub(super) fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let before = make.norm("input_layernorm", config.hidden_size)?;
    let between = make.norm("post_attention_layernorm", config.hidden_size)?;
    Ok(Layer {
        attention: Attention::separate(config, index, make, "self_attn.o_proj")?,
        feed_forward: FeedForward::gated(config, make)?,
        around_attention: Around::before(before),
        around_feed_forward: Around::before(between),
        is_parallel: false,
    })
}
