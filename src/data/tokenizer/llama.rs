//! The one tokenizer class whose `tokenizer.json` transformers does not take at its word.
//!
//! For `LlamaTokenizer`, transformers 5 keeps the vocabulary and the merges and replaces the
//! normaliser by a pre-tokeniser that marks spaces and adds one mark in front, but none before text
//! that begins with a space. Older files (Llama-2, TinyLlama) say otherwise, and ` answer` would
//! begin with another token. Models of other types with that class (Mistral) are read as they are.

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

/// Applies transformers' rule if the side files ask for it; says whether they did.
pub(super) fn apply(
    inner: &mut tokenizers::Tokenizer,
    config: Option<&Value>,
    model_type: Option<&str>,
) -> tokenizers::Result<bool> {
    let Some(config) = config else {
        return Ok(false);
    };
    let class = config.get("tokenizer_class").and_then(Value::as_str);
    let llama =
        matches!(class, Some("LlamaTokenizer" | "LlamaTokenizerFast")) && matches!(model_type, None | Some("llama"));
    let byte_fallback = matches!(inner.get_model(), ModelWrapper::BPE(bpe) if bpe.byte_fallback);
    if !llama || !byte_fallback {
        return Ok(false);
    }
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    // Defaults of the class: `add_prefix_space` is on, `legacy` is off.
    let scheme = match (flag("add_prefix_space"), flag("legacy")) {
        (Some(false), _) => PrependScheme::Never,
        (_, Some(true)) => PrependScheme::Always,
        (_, _) => PrependScheme::First,
    };
    inner.with_normalizer(None::<NormalizerWrapper>)?;
    inner.with_pre_tokenizer(Some(Metaspace::new('\u{2581}', scheme, false)));
    Ok(true)
}
