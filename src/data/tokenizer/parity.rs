//! Tokens and texts equal to transformers' for small tokenizers of each kind; made by
//! `tests/fixtures/data/parity.py`.

use std::path::PathBuf;

use serde::Deserialize;

use super::*;
use crate::data::glossary;

#[derive(Deserialize)]
struct Row {
    tokenizer: String,
    text: String,
    tokens: Vec<u32>,
    decoded: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data")
}

const TRAINED: [(&str, TokenizerSource); 2] = [
    ("byte-level-bpe", TokenizerSource::ByteLevelBpe { vocabulary: 400 }),
    ("unigram", TokenizerSource::Unigram { vocabulary: 440 }),
];

#[test]
fn tokens_and_texts_equal_transformers() {
    let rows = std::fs::read_to_string(fixtures().join("tokens.jsonl")).unwrap();
    let rows: Vec<Row> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 48);
    for row in rows {
        let tokenizer = Tokenizer::load(&fixtures().join(&row.tokenizer)).unwrap();
        let case = format!("{}: {:?}", row.tokenizer, row.text);
        assert_eq!(tokenizer.encode(&row.text), row.tokens, "{case}");
        assert_eq!(tokenizer.decode(&row.tokens), row.decoded, "{case}");
    }
}

#[test]
fn a_llama_tokenizer_saved_beside_another_model_encodes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let original = Tokenizer::load(&fixtures().join("llama")).unwrap();
    original.save(folder.path()).unwrap();
    for model_type in ["llama", "mistral"] {
        let config = format!("{{\"model_type\": \"{model_type}\"}}");
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let copy = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(copy.fingerprint(), original.fingerprint());
        assert_eq!(copy.encode(" answer"), original.encode(" answer"));
    }
}

/// Training is part of published results: the same texts give the same tokenizer as when the
/// fixture was made.
#[test]
fn training_gives_the_stored_tokenizers() {
    for (name, source) in TRAINED {
        let stored = Tokenizer::load(&fixtures().join(name)).unwrap();
        let trained = Tokenizer::train(&source, &glossary::texts()).unwrap();
        assert_eq!(trained.tokens(), stored.tokens(), "{name}");
        assert_eq!(trained.fingerprint(), stored.fingerprint(), "{name}");
    }
}

#[test]
#[ignore = "writes into tests/fixtures/data"]
fn writes_the_fixture_tokenizers() {
    for (name, source) in TRAINED {
        let trained = Tokenizer::train(&source, &glossary::texts()).unwrap();
        trained.save(&fixtures().join(name)).unwrap();
    }
}
