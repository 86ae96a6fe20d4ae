//! Gemma 2: norms before and after attention and feed-forward, capped scores and logits, a window in every
//! other layer (Gemma team 2024, arXiv 2408.00118, section 2).

use super::{Family, Maker, Places, gemma};
use crate::models::ModelError;
use crate::models::block::{Around, Attention, FeedForward, Layer};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, windows};
use crate::models::layers::{Activation, NormKind};

pub(super) const FAMILY: Family = Family {
    name: "gemma2",
    class: "Gemma2ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::RmsPlusOne,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = gemma::common(family, keys, true)?;
    let (sliding_window, full_attention_layers) = alternating(keys, config.num_hidden_layers, 2)?;
    let config = Config { sliding_window, full_attention_layers, ..config };
    capped(keys, config, Some(50.0), Some(30.0))
}

/// Reads a window that every `period`-th layer does not have.
pub(super) fn alternating(keys: &Keys<'_>, layers: i64, period: i64) -> Result<windows::Windows, String> {
    let window = windows::stated(keys, Some(4096))?;
    windows::read(keys, window, layers, |layer| (layer + 1) % period == 0)
}

/// Reads activation, scale and caps, with what is taken for granted where the file does not say them.
pub(super) fn capped(
    keys: &Keys<'_>,
    config: Config,
    scores: Option<f64>,
    logits: Option<f64>,
) -> Result<Config, String> {
    let activation = Activation::read(keys, "hidden_activation")?.unwrap_or(Activation::GeluTanh);
    let cap = |name: &str, default: Option<f64>| if keys.has(name) { keys.positive(name) } else { Ok(default) };
    let scalar = keys.positive("query_pre_attn_scalar")?.unwrap_or(256.0);
    Ok(Config {
        activation,
        attention_scale: Some(scalar.powf(-0.5)),
        attention_softcap: cap("attn_logit_softcapping", scores)?,
        logit_softcap: cap("final_logit_softcapping", logits)?,
        ..config
    })
}

pub(super) fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let mut around = |before, after| -> Result<Around, ModelError> {
        let before = Some(make.norm(before, config.hidden_size)?);
        Ok(Around { before, after: Some(make.norm(after, config.hidden_size)?) })
    };
    let around_attention = around("input_layernorm", "post_attention_layernorm")?;
    let around_feed_forward = around("pre_feedforward_layernorm", "post_feedforward_layernorm")?;
    Ok(Layer {
        attention: Attention::separate(config, index, make, "self_attn.o_proj")?,
        feed_forward: FeedForward::gated(config, make)?,
        around_attention,
        around_feed_forward,
        is_parallel: false,
    })
}
