//! OLMo 2: norms after attention and feed-forward instead of before them, and over all queries and all
//! keys (OLMo team 2025, arXiv 2501.00656, section 3.2).

use super::mistral::refuse_feed_forward_bias;
use super::{Family, Maker, Places};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, HeadNorms, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "olmo2",
    class: "Olmo2ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = Config::common(family, keys, Defaults { epsilon: 1e-5, ..Defaults::LLAMA })?;
    let has_bias = keys.flag("attention_bias")?;
    refuse_feed_forward_bias(keys)?;
    Ok(Config { qkv_bias: has_bias, output_bias: has_bias, ..config })
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let mut attention = Attention::separate(config, index, make, "self_attn.o_proj")?;
    attention.norms = Some(HeadNorms {
        query: make.norm("self_attn.q_norm", config.num_attention_heads * config.head_dim)?,
        key: make.norm("self_attn.k_norm", config.num_key_value_heads * config.head_dim)?,
        is_whole: true,
    });
    Ok(Layer {
        attention,
        feed_forward: FeedForward::gated(config, make)?,
        around_attention: Around::after(make.norm("post_attention_layernorm", config.hidden_size)?),
        around_feed_forward: Around::after(make.norm("post_feedforward_layernorm", config.hidden_size)?),
        is_parallel: false,
    })
}
