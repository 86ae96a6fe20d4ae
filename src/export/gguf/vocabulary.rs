//! A tokenizer as llama.cpp keeps it: tokens with their kinds, and how text is cut.
//!
//! Two kinds are written: byte-level BPE (`gpt2`), whose first cut is one of those that llama.cpp has by name, and
//! BPE on characters with bytes to fall back on (`llama`: SentencePiece), where the rank of a merge becomes the score
//! of the token that it gives.

use std::collections::BTreeMap;

use anyhow::Context;
use gguf_rs_lib::format::metadata::{MetadataArray, MetadataValue};
use gguf_rs_lib::format::types::GGUFValueType;
use serde_json::Value;

use super::metadata::Entry;
use crate::data::Tokenizer;
use crate::models::config::Config;

/// Cuts of byte-level BPE by regular expression, by the names that llama.cpp gives them.
const CUTS: [(&str, &str); 2] = [
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// Kinds of tokens, by the numbers of llama.cpp.
mod kind {
    pub(super) const NORMAL: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const CONTROL: i32 = 3;
    pub(super) const USER_DEFINED: i32 = 4;
    pub(super) const UNUSED: i32 = 5;
    pub(super) const BYTE: i32 = 6;
}

/// How text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Byte-level BPE with a first cut of this name.
    ByteLevel(&'static str),
    /// As SentencePiece does, with a space before a text or without.
    Pieces { prefix: bool },
}

/// Lists the keys that describe a tokenizer, of as many tokens as the model has embeddings.
///
/// # Errors
/// A tokenizer that cuts text in a way that llama.cpp is not known to have.
pub(super) fn of(config: &Config, tokenizer: &Tokenizer) -> anyhow::Result<Vec<Entry>> {
    let json: Value = serde_json::from_slice(tokenizer.json()).context("the tokenizer is no JSON")?;
    let cut = cut(&json).map_err(|problem| {
        anyhow::anyhow!("the tokenizer is not written as GGUF: {problem}\nhint: `--as safetensors`")
    })?;
    let rows = usize::try_from(config.vocab_size).unwrap_or_default();
    let tokens: Vec<String> = (0..rows)
        .map(|id| tokenizer.tokens().get(id).filter(|token| !token.is_empty()).cloned())
        .enumerate()
        .map(|(id, token)| token.unwrap_or_else(|| format!("[PAD{id}]")))
        .collect();
    let text = |text: &str| MetadataValue::String(text.to_owned());
    let mut entries = Vec::new();
    let mut add = |key: &str, value| entries.push((format!("tokenizer.{key}"), value));
    match cut {
        Cut::ByteLevel(name) => {
            add("ggml.model", text("gpt2"));
            add("ggml.pre", text(name));
            let merges = merges(&json).into_iter().map(|[a, b]| MetadataValue::String(format!("{a} {b}")));
            add("ggml.merges", array(GGUFValueType::String, merges.collect())?);
        }
        Cut::Pieces { prefix } => {
            add("ggml.model", text("llama"));
            add("ggml.pre", text("default"));
            let scores = scores(&json, &tokens).into_iter().map(MetadataValue::F32);
            add("ggml.scores", array(GGUFValueType::F32, scores.collect())?);
            add("ggml.add_space_prefix", MetadataValue::Bool(prefix));
        }
    }
    let kinds = kinds(&json, tokenizer, rows).into_iter().map(MetadataValue::I32);
    add("ggml.token_type", array(GGUFValueType::I32, kinds.collect())?);
    add("ggml.tokens", array(GGUFValueType::String, tokens.into_iter().map(MetadataValue::String).collect())?);
    if let Some(begin) = config.bos_token_id.and_then(|id| u32::try_from(id).ok()) {
        add("ggml.bos_token_id", MetadataValue::U32(begin));
    }
    add("ggml.add_bos_token", MetadataValue::Bool(begins(&json)));
    add("ggml.eos_token_id", MetadataValue::U32(tokenizer.eos()));
    if let Some(&turn) = tokenizer.ends().get(1) {
        add("ggml.eot_token_id", MetadataValue::U32(turn));
    }
    if let Some(template) = tokenizer.chat_template_source() {
        add("chat_template", text(template));
    }
    Ok(entries)
}

fn array(of: GGUFValueType, values: Vec<MetadataValue>) -> anyhow::Result<MetadataValue> {
    Ok(MetadataValue::Array(Box::new(MetadataArray::new(of, values)?)))
}

/// Says how a tokenizer cuts text.
///
/// # Errors
/// What is not known there, in words.
fn cut(json: &Value) -> Result<Cut, String> {
    let name = |value: &Value| value["type"].as_str().unwrap_or("none").to_owned();
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(format!("its model is `{}`, expected `BPE`", name(model)));
    }
    if model["byte_fallback"] == true { pieces(json) } else { byte_level(json) }
}

fn byte_level(json: &Value) -> Result<Cut, String> {
    let steps = steps(&json["pre_tokenizer"], "pretokenizers");
    let is_last = steps.last().is_some_and(|last| last["type"] == "ByteLevel" && last["add_prefix_space"] != true);
    let before = &steps[..steps.len().saturating_sub(1)];
    let ignores = json["model"]["ignore_merges"] == true;
    let by_itself = |step: &Value| step["use_regex"] != false;
    // It brings text into one form, which of these cuts llama.cpp leaves out; texts are in it as a rule.
    let is_plain = json["normalizer"].is_null() || json["normalizer"]["type"] == "NFC";
    let found = match before {
        _ if !is_last || !is_plain => None,
        [] if by_itself(steps[0]) && !ignores => Some("gpt-2"),
        [digits] if digits["type"] == "Digits" && digits["individual_digits"] == true && by_itself(steps[1]) => {
            (!ignores).then_some("smollm")
        }
        [split] if split["type"] == "Split" && !by_itself(steps[1]) => {
            let regex = split["pattern"]["Regex"].as_str();
            let named = CUTS.iter().find(|(_, known)| Some(*known) == regex).map(|(name, _)| *name);
            named.filter(|name| (*name == "llama-bpe") == ignores)
        }
        _ => None,
    };
    found
        .map(Cut::ByteLevel)
        .ok_or_else(|| "its first cut is none of `gpt-2`, `smollm`, `llama-bpe`, `qwen2`".to_owned())
}

fn pieces(json: &Value) -> Result<Cut, String> {
    let mut prefix = false;
    let mut marks = false;
    for step in steps(&json["normalizer"], "normalizers") {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "\u{2581}" => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == "\u{2581}" => marks = true,
            other => return Err(format!("its normalizer `{}` is unknown there", other.unwrap_or("none"))),
        }
    }
    for step in steps(&json["pre_tokenizer"], "pretokenizers") {
        match (step["type"].as_str(), step["prepend_scheme"].as_str()) {
            (Some("Metaspace"), Some(scheme)) if step["split"] != true => {
                prefix |= scheme != "never";
                marks = true;
            }
            // What is cut there is cut by no merge, either.
            (Some("Split"), _) if step["pattern"]["String"] == " " => {}
            (other, _) => return Err(format!("its first cut `{}` is unknown there", other.unwrap_or("none"))),
        }
    }
    if !marks {
        return Err("it does not write spaces as `\u{2581}`".to_owned());
    }
    Ok(Cut::Pieces { prefix })
}

/// Lists the steps of a part of a tokenizer: none, one, or several in order.
fn steps<'j>(part: &'j Value, several: &str) -> Vec<&'j Value> {
    match part {
        Value::Null => Vec::new(),
        part if part["type"] == "Sequence" => part[several].as_array().into_iter().flatten().collect(),
        part => vec![part],
    }
}

/// Lists the merges, first to last: pairs, or texts with a space between.
fn merges(json: &Value) -> Vec<[&str; 2]> {
    let all = json["model"]["merges"].as_array().into_iter().flatten();
    all.filter_map(pair).collect()
}

fn pair(merge: &Value) -> Option<[&str; 2]> {
    match merge {
        Value::Array(pair) => Some([pair.first()?.as_str()?, pair.get(1)?.as_str()?]),
        text => text.as_str()?.split_once(' ').map(|(a, b)| [a, b]),
    }
}

/// Scores tokens: the first merge gives the highest one. What no merge gives comes after all of them.
fn scores(json: &Value, tokens: &[String]) -> Vec<f32> {
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    let merges = merges(json);
    for (rank, [a, b]) in merges.iter().enumerate() {
        ranks.entry(format!("{a}{b}")).or_insert(rank);
    }
    tokens.iter().map(|token| -(ranks.get(token).copied().unwrap_or(merges.len()) as f32)).collect()
}

/// Says of which kind each of `rows` tokens is.
fn kinds(json: &Value, tokenizer: &Tokenizer, rows: usize) -> Vec<i32> {
    let added: BTreeMap<u64, bool> = json["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| Some((token["id"].as_u64()?, token["special"] == true)))
        .collect();
    let unknown = json["model"]["unk_token"].as_str();
    let is_pieces = json["model"]["byte_fallback"] == true;
    let of = |id: usize| match (tokenizer.tokens().get(id).map(String::as_str), added.get(&(id as u64))) {
        (None | Some(""), _) => kind::UNUSED,
        (Some(token), _) if Some(token) == unknown && is_pieces => kind::UNKNOWN,
        (Some(_), Some(true)) => kind::CONTROL,
        (Some(_), Some(false)) => kind::USER_DEFINED,
        (Some(token), None) if is_pieces && is_byte(token) => kind::BYTE,
        (Some(_), None) => kind::NORMAL,
    };
    (0..rows).map(of).collect()
}

fn is_byte(token: &str) -> bool {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Says whether a special token is put before every text, as transformers does it.
fn begins(json: &Value) -> bool {
    let steps = steps(&json["post_processor"], "processors");
    let template = steps.into_iter().find(|step| step["type"] == "TemplateProcessing");
    template.is_some_and(|template| !template["single"][0]["SpecialToken"].is_null())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn tokenizer(name: &str) -> (Tokenizer, Value) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name);
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let json = serde_json::from_slice(tokenizer.json()).unwrap();
        (tokenizer, json)
    }

    #[test]
    fn the_first_cut_is_known_by_name_or_refused() {
        assert_eq!(cut(&tokenizer("byte-level-bpe").1), Ok(Cut::ByteLevel("gpt-2")));
        assert_eq!(cut(&tokenizer("llama").1), Ok(Cut::Pieces { prefix: true }));
        assert_eq!(cut(&tokenizer("unigram").1), Err("its model is `Unigram`, expected `BPE`".to_owned()));
        let split = |regex: &str, ignores: bool| {
            let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
            let split = json!({"type": "Split", "pattern": {"Regex": regex}});
            cut(&json!({
                "model": {"type": "BPE", "ignore_merges": ignores},
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            }))
        };
        assert_eq!(split(CUTS[0].1, true), Ok(Cut::ByteLevel("llama-bpe")));
        assert_eq!(split(CUTS[1].1, false), Ok(Cut::ByteLevel("qwen2")));
        let unknown = Err("its first cut is none of `gpt-2`, `smollm`, `llama-bpe`, `qwen2`".to_owned());
        assert_eq!(split(CUTS[1].1, true), unknown);
        assert_eq!(split("[a-z]+", false), unknown);
        let mut pieces = tokenizer("llama").1;
        pieces["normalizer"] = json!({"type": "NFKC"});
        assert_eq!(cut(&pieces), Err("its normalizer `NFKC` is unknown there".to_owned()));
    }

    #[test]
    fn tokens_have_kinds_and_the_order_of_merges() {
        let (tokenizer, json) = tokenizer("llama");
        let kinds = kinds(&json, &tokenizer, tokenizer.len() + 1);
        assert_eq!(kinds[..3], [kind::UNKNOWN, kind::CONTROL, kind::CONTROL]);
        assert_eq!(kinds.iter().filter(|kind| **kind == kind::BYTE).count(), 256);
        assert_eq!(kinds.last(), Some(&kind::UNUSED));
        let scores = scores(&json, tokenizer.tokens());
        let score = |token: &str| scores[tokenizer.tokens().iter().position(|known| known == token).unwrap()];
        // The merges begin with these.
        assert_eq!([score("\u{2581}t"), score("on"), score("\u{2581}a")], [0.0, -1.0, -2.0]);
        assert!(score("t") < -100.0);
    }
}
