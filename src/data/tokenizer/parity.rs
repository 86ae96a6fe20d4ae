//! Tokens and texts equal to transformers' for small tokenizers of each kind; made by
//! `tests/fixtures/data/parity.py`.

use std::collections::BTreeMap;
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

/// A tokenizer with other files beside it.
#[derive(Deserialize)]
struct Variant {
    name: String,
    /// The tokenizer whose files are changed.
    of: String,
    /// Changes to each file, by key; null takes a key away.
    files: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// Ids that it puts before every text.
    beginning: Vec<u32>,
}

impl Variant {
    /// Lays the files into `folder`.
    fn lay(&self, folder: &Path) {
        for entry in std::fs::read_dir(fixtures().join(&self.of)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        for (name, changes) in &self.files {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
            let mut content: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
            content.extend(changes.clone());
            content.retain(|_, value| !value.is_null());
            std::fs::write(path, serde_json::to_string(&content).unwrap()).unwrap();
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data")
}

const TRAINED: [(&str, TokenizerSource); 2] = [
    ("byte-level-bpe", TokenizerSource::ByteLevelBpe { vocabulary: 400, data: None }),
    ("unigram", TokenizerSource::Unigram { vocabulary: 440, data: None }),
];

#[test]
fn tokens_and_texts_equal_transformers() {
    let rows = std::fs::read_to_string(fixtures().join("tokens.jsonl")).unwrap();
    let rows: Vec<Row> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let variants = std::fs::read_to_string(fixtures().join("variants.json")).unwrap();
    let variants: Vec<Variant> = serde_json::from_str(&variants).unwrap();
    assert_eq!((rows.len(), variants.len()), (466, 22));
    let mut tokenizers = BTreeMap::new();
    for name in ["byte-level-bpe", "unigram", "llama"] {
        tokenizers.insert(name.to_owned(), Tokenizer::load(&fixtures().join(name)).unwrap());
    }
    for variant in variants {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        variant.lay(folder.path());
        // What is saved reads the same, without the files that said so.
        Tokenizer::load(folder.path()).unwrap().save(copy.path()).unwrap();
        let tokenizer = Tokenizer::load(copy.path()).unwrap();
        assert_eq!(tokenizer.beginning(), variant.beginning, "{}", variant.name);
        tokenizers.insert(variant.name.clone(), tokenizer);
    }
    for row in rows {
        let tokenizer = &tokenizers[&row.tokenizer];
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
