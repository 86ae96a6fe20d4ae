//! Gemma 3, its text model: Gemma 2 with norms of queries and keys instead of caps, a window in five of six
//! layers, and other rotary angles in those (Gemma team 2025, arXiv 2503.19786, section 2).

use serde_json::Value;

use super::gemma2::{alternating, capped};
use super::{Family, Maker, Places, gemma, gemma2};
use crate::models::ModelError;
use crate::models::block::{HeadNorms, Layer};
use crate::models::config::Config;
use crate::models::config::keys::Keys;
use crate::models::config::rope::{Rope, Sizes, THETA};
use crate::models::layers::NormKind;

pub(super) const FAMILY: Family = Family {
    name: "gemma3_text",
    class: "Gemma3ForCausalLM",
    places: Places::LLAMA,
    norm: NormKind::RmsPlusOne,
    head_has_bias: false,
    is_transposed: false,
    read,
    layer,
};

fn read(family: &'static Family, keys: &Keys<'_>) -> Result<Config, String> {
    let config = gemma::common(family, keys, false)?;
    let longest = keys.size("max_position_embeddings")?.unwrap_or(131_072);
    let period = keys.size("sliding_window_pattern")?.or(keys.size("_sliding_window_pattern")?).unwrap_or(6);
    let (sliding_window, full_attention_layers) = alternating(keys, config.num_hidden_layers, period)?;
    let sizes = Sizes { head_dim: config.head_dim, longest, rotated: 1.0, theta: 1_000_000.0 };
    let ropes = vec![
        rope(keys, "full_attention", "rope_theta", sizes)?,
        rope(keys, "sliding_attention", "rope_local_base_freq", Sizes { theta: THETA, ..sizes })?,
    ];
    let config = Config { max_position_embeddings: longest, sliding_window, full_attention_layers, ropes, ..config };
    capped(keys, config, None, None)
}

/// Reads the angles of a kind of layer: in a table of its own (transformers 5), or at top level, where
/// `rope_scaling` is that of the layers that see all tokens.
fn rope(keys: &Keys<'_>, kind: &str, theta: &str, sizes: Sizes) -> Result<Rope, String> {
    let mut tables = Vec::new();
    if let Some(all) = keys.read("rope_parameters", "a table for each kind of layer", |value: &Value| {
        value
            .as_object()
            .filter(|table| table.values().all(|value| value.is_object() || value.is_null()))
            .map(|_| value)
    })? {
        tables.extend(all.get(kind).filter(|value| value.is_object()));
    }
    if kind == "full_attention" {
        tables.extend(keys.read("rope_scaling", "a table", |value| Some(value).filter(|value| value.is_object()))?);
    }
    Rope::of(keys, theta, &tables.into_iter().map(Keys::new).collect::<Vec<_>>(), sizes)
}

fn layer(config: &Config, index: i64, make: &mut Maker<'_>) -> Result<Layer, ModelError> {
    let mut layer = gemma2::layer(config, index, make)?;
    layer.attention.norms = Some(HeadNorms {
        query: make.norm("self_attn.q_norm", config.head_dim)?,
        key: make.norm("self_attn.k_norm", config.head_dim)?,
        is_whole: false,
    });
    Ok(layer)
}
