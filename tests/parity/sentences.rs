//! Sentence vectors equal to those of sentence-transformers within 1e-4.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tch::Device;
use tutelage::evaluate::{SentenceEmbedder, embedding_model};
use tutelage_metrics::embedding::Embedder;

use crate::fixtures::fixture;

/// What `tests/fixtures/sentences/make.py` wrote.
#[derive(serde::Deserialize)]
struct Expected {
    texts: Vec<String>,
    vectors: BTreeMap<usize, Vec<f32>>,
    cosines: Vec<Vec<f64>>,
}

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| {
    let path = fixture("sentences/expected.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

static EMBEDDER: LazyLock<SentenceEmbedder> = LazyLock::new(|| {
    let folder = embedding_model(None).unwrap_or_else(|error| panic!("{error}; hint: {}", error.hint()));
    SentenceEmbedder::load(&folder, Device::Cpu).unwrap()
});

fn vectors(texts: &[String]) -> Vec<Vec<f32>> {
    EMBEDDER.vectors(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[test]
fn vectors_equal_those_of_sentence_transformers() {
    let found = vectors(&EXPECTED.texts);
    for (&text, expected) in &EXPECTED.vectors {
        assert_eq!(found[text].len(), expected.len());
        for (found, expected) in found[text].iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-4, "text {text}: {found}, expected {expected}");
        }
    }
    for (row, (a, expected)) in found.iter().zip(&EXPECTED.cosines).enumerate() {
        for (column, (b, expected)) in found.iter().zip(expected).enumerate() {
            let cosine: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!((cosine - expected).abs() <= 1e-4, "texts {row} and {column}: {cosine}, expected {expected}");
        }
    }
}

#[test]
fn a_vector_does_not_depend_on_the_other_texts() {
    let together = vectors(&EXPECTED.texts);
    for (text, together) in EXPECTED.texts.iter().zip(&together) {
        let alone = &vectors(std::slice::from_ref(text))[0];
        let worst = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "`{text}`: {worst}");
    }
    assert!(vectors(&[]).is_empty());
}

#[test]
fn the_signature_tells_model_pooling_and_length() {
    let signature = EMBEDDER.signature();
    assert!(signature.starts_with("model:bert-6x384-"), "{signature}");
    assert!(signature.ends_with("|pool:mean|norm:l2|tokens:256"), "{signature}");
}
