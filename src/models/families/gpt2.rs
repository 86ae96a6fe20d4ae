//! GPT-2: learned positions, LayerNorm, one projection for query, key and value, matrices kept transposed
//! (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Family, Maker, Places};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, end_tokens};
use crate::models::layers::{Activation, NormKind};

pub(super) const FAMILY: Family = Family {
    name: "gpt2",
    class: "GPT2LMHeadModel",
    places: Places {
        embedding: "transformer.wte",
        positions: Some("transformer.wpe"),
        layers: "transformer.h",
        norm: "transformer.ln_f",
    },
    norm: NormKind::Layer,
    head_has_bias: false,
    is_transposed: true,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let (hidden_size, heads) = (keys.needed("n_embd")?, keys.needed("n_head")?);
    if hidden_size % heads != 0 {
        return Err(format!("`n_embd` is {hidden_size}, expected a multiple of the {heads} heads"));
    }
    let head_dim = hidden_size / heads;
    let flag = |name: &str, default: bool| -> Result<bool, String> {
        Ok(keys.read(name, "true or false", Value::as_bool)?.unwrap_or(default))
    };
    // It changes the order of operations, not what they compute.
    let _ = keys.flag("reorder_and_upcast_attn")?;
    Ok(Config {
        family,
        vocab_size: keys.needed("vocab_size")?,
        hidden_size,
        intermediate_size: keys.size("n_inner")?.unwrap_or(4 * hidden_size),
        num_hidden_layers: keys.needed("n_layer")?,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        ropes: Vec::new(),
        norm_epsilon: keys.number("layer_norm_epsilon")?.unwrap_or(1e-5),
        activation: Activation::read(keys, "activation_function")?.unwrap_or(Activation::GeluTanh),
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        tie_word_embeddings: flag("tie_word_embeddings", true)?,
        max_position_embeddings: keys.size("n_positions")?.unwrap_or(1024),
        sliding_window: None,
        full_attention_layers: BTreeSet::new(),
        norms_heads: false,
        attention_scale: (!flag("scale_attn_weights", true)?).then_some(1.0),
        scales_by_layer: flag("scale_attn_by_inverse_layer_idx", false)?,
        attention_softcap: None,
        logit_softcap: None,
        embedding_scale: None,
        initializer_range: keys.number("initializer_range")?.unwrap_or(0.02),
        eos_token_id: end_tokens(keys)?,
        bos_token_id: keys.get("bos_token_id").and_then(Value::as_i64),
        source: None,
        notes: Vec::new(),
        quantisation: None,
    })
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let (before, between) = (make.norm("ln_1", config.hidden_size)?, make.norm("ln_2", config.hidden_size)?);
    Ok(Layer {
        attention: Attention::fused(config, index, make, ["attn.c_attn", "attn.c_proj"])?,
        feed_forward: FeedForward::plain(config, make, ["mlp.c_fc", "mlp.c_proj"])?,
        around_attention: Around::before(before),
        around_feed_forward: Around::before(between),
        is_parallel: false,
    })
}
