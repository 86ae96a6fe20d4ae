//! Mistral: Llama with a window in its attention (Jiang et al. 2023, arXiv 2310.06825, section 2).

use super::{Family, Places, llama};
use crate::models::config::keys::Keys;
use crate::models::config::{Config, Defaults, windows};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    class: "MistralForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::Rms,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer: llama::layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = Config::common(family, keys, Defaults { positions: 131_072, ..Defaults::LLAMA })?;
    refuse_feed_forward_bias(keys)?;
    // With `layer_types`, transformers takes it for a Ministral and computes as they say.
    let window = windows::stated(keys, Some(4096))?;
    let (sliding_window, full_attention_layers) = windows::read(keys, window, config.num_hidden_layers, |_| false)?;
    Ok(Config { sliding_window, full_attention_layers, ..config })
}

/// Refuses a bias that only Llama reads.
pub(super) fn refuse_feed_forward_bias(keys: &Keys<'_>) -> Result<(), String> {
    if keys.flag("mlp_bias")? {
        return Err("`mlp_bias` is set, expected a feed-forward layer without bias".to_owned());
    }
    // transformers does not read it for these families either.
    let _ = keys.flag("attention_bias")?;
    Ok(())
}
