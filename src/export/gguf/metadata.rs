//! Keys of a GGUF file that describe the model.

use anyhow::Context;
use gguf_rs_lib::format::metadata::MetadataValue;

use super::tensors::Layout;
use crate::export::settings::Blocks;
use crate::models::config::Config;
use crate::models::config::rope::Scaling;

/// A key and its value.
pub(super) type Entry = (String, MetadataValue);

/// Lists the keys that describe a model called `title`.
///
/// # Errors
/// A size that has no place in 32 bits.
pub(super) fn of(config: &Config, layout: &Layout, title: &str, blocks: Blocks) -> anyhow::Result<Vec<Entry>> {
    let architecture = layout.architecture;
    let size = |size: i64| -> anyhow::Result<MetadataValue> {
        Ok(MetadataValue::U32(u32::try_from(size).with_context(|| format!("a size is {size}, expected 32 bits"))?))
    };
    let number = |number: f64| MetadataValue::F32(number as f32);
    let text = |text: &str| MetadataValue::String(text.to_owned());
    let file_type = match blocks {
        Blocks::F16 => 1,
        Blocks::Q8_0 => 7,
    };
    let mut entries = vec![
        ("general.architecture".to_owned(), text(architecture)),
        ("general.type".to_owned(), text("model")),
        ("general.name".to_owned(), text(title)),
        ("general.file_type".to_owned(), MetadataValue::U32(file_type)),
        ("general.quantization_version".to_owned(), MetadataValue::U32(2)),
    ];
    let mut add = |key: &str, value| entries.push((format!("{architecture}.{key}"), value));
    add("vocab_size", size(config.vocab_size)?);
    add("block_count", size(config.num_hidden_layers)?);
    add("context_length", size(context(config))?);
    add("embedding_length", size(config.hidden_size)?);
    add("feed_forward_length", size(config.intermediate_size)?);
    add("attention.head_count", size(config.num_attention_heads)?);
    add("attention.head_count_kv", size(config.num_key_value_heads)?);
    let epsilon = if architecture == "gpt2" { "layer_norm_epsilon" } else { "layer_norm_rms_epsilon" };
    add(&format!("attention.{epsilon}"), number(config.norm_epsilon));
    if let Some(rope) = config.ropes.first() {
        add("attention.key_length", size(config.head_dim)?);
        add("attention.value_length", size(config.head_dim)?);
        add("rope.dimension_count", size(rope.rotated)?);
        add("rope.freq_base", number(rope.theta));
        if let Scaling::Linear { factor } = rope.scaling {
            add("rope.scaling.type", text("linear"));
            add("rope.scaling.factor", number(factor));
        }
    }
    if has_windows(config) {
        add("attention.sliding_window", size(config.sliding_window.unwrap_or_default())?);
    }
    if let Some(cap) = config.attention_softcap {
        add("attn_logit_softcapping", number(cap));
    }
    if let Some(cap) = config.logit_softcap {
        add("final_logit_softcapping", number(cap));
    }
    Ok(entries)
}

/// Says whether llama.cpp computes the windows of a family.
fn has_windows(config: &Config) -> bool {
    ["gemma2", "gemma3_text"].contains(&config.family.name) && config.sliding_window.is_some()
}

/// Returns the longest sequence that llama.cpp computes as the model does: no longer than a window that it does not
/// know of.
fn context(config: &Config) -> i64 {
    let window = config.sliding_window.filter(|_| !has_windows(config));
    window.map_or(config.max_position_embeddings, |window| window.min(config.max_position_embeddings))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_that_is_not_computed_there_limits_the_context() {
        let mut value = json!({
            "model_type": "mistral", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 64,
            "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        });
        let keys = |value: &serde_json::Value| {
            let config = Config::from_json(value).unwrap();
            of(&config, &Layout::of(&config).unwrap(), "a model", Blocks::Q8_0).unwrap()
        };
        let find =
            |keys: &[Entry], name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let mistral = keys(&value);
        assert_eq!(find(&mistral, "general.architecture"), Some(MetadataValue::String("llama".to_owned())));
        assert_eq!(find(&mistral, "general.file_type"), Some(MetadataValue::U32(7)));
        assert_eq!(find(&mistral, "llama.context_length"), Some(MetadataValue::U32(64)));
        assert_eq!(find(&mistral, "llama.attention.sliding_window"), None);
        assert_eq!(find(&mistral, "llama.rope.scaling.factor"), Some(MetadataValue::F32(4.0)));
        assert_eq!(find(&mistral, "llama.feed_forward_length"), Some(MetadataValue::U32(12)));
        value["model_type"] = json!("gemma2");
        value["head_dim"] = json!(4);
        value["query_pre_attn_scalar"] = json!(4);
        let gemma = keys(&value);
        assert_eq!(find(&gemma, "gemma2.context_length"), Some(MetadataValue::U32(8192)));
        assert_eq!(find(&gemma, "gemma2.attention.sliding_window"), Some(MetadataValue::U32(64)));
        assert_eq!(find(&gemma, "gemma2.final_logit_softcapping"), Some(MetadataValue::F32(30.0)));
    }
}
