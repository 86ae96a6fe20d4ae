//! Phi-1.5 and Phi-2: attention and feed-forward side by side behind one LayerNorm, biases everywhere,
//! half of each head turned (Li et al. 2023, arXiv 2309.05463, section 2).

use super::{Family, Maker, Places};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, HeadNorms, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults};
use crate::models::layers::{Activation, NormKind};

pub(super) const FAMILY: Family = Family {
    name: "phi",
    class: "PhiForCausalLM",
    places: Places { norm: "model.final_layernorm", ..Places::LLAMA },
    norm: NormKind::Layer,
    head_has_bias: true,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let defaults = Defaults { rotated: 0.5, epsilon: 1e-5, activation: Activation::GeluTanh, ..Defaults::LLAMA };
    let config = Config::common(family, keys, defaults)?;
    let norms_heads = keys.flag("qk_layernorm")?;
    Ok(Config { qkv_bias: true, output_bias: true, mlp_bias: true, norms_heads, ..config })
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let before = make.norm("input_layernorm", config.hidden_size)?;
    let mut attention = Attention::separate(config, index, make, "self_attn.dense")?;
    if config.norms_heads {
        attention.norms = Some(HeadNorms {
            query: make.norm("self_attn.q_layernorm", config.head_dim)?,
            key: make.norm("self_attn.k_layernorm", config.head_dim)?,
            is_whole: false,
        });
    }
    Ok(Layer {
        attention,
        feed_forward: FeedForward::plain(config, make, ["mlp.fc1", "mlp.fc2"])?,
        around_attention: Around::before(before),
        around_feed_forward: Around::default(),
        is_parallel: true,
    })
}
