//! Holds the n-gram metrics to their reference tools, on the fixture that `fixtures/make.py` writes.

use serde::Deserialize;
use std::collections::BTreeMap;
use tutelage_metrics::metric::MetricName;
use tutelage_metrics::ngram::{porter, rouge, tokenizer_13a};
use tutelage_metrics::score::{Row, score};

/// Both sides compute in f64; they differ by the order of a few operations.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Fixture {
    corpora: BTreeMap<String, Corpus>,
    stems: BTreeMap<String, String>,
    tokens_13a: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Corpus {
    rows: Vec<Expected>,
    values: BTreeMap<MetricName, f64>,
    signatures: BTreeMap<MetricName, String>,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(flatten)]
    row: Row,
    values: BTreeMap<String, f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/parity.json")).expect("the fixture is readable")
}

#[test]
fn corpus_and_example_values_equal_the_reference_tools() {
    for (name, corpus) in fixture().corpora {
        let rows: Vec<Row> = corpus.rows.iter().map(|expected| expected.row.clone()).collect();
        let metrics: Vec<MetricName> = corpus.values.keys().copied().collect();
        assert_eq!(metrics.len(), 9);
        for scored in score(&rows, &metrics, None).expect("the rows are sound") {
            let metric = scored.metric;
            let expected = corpus.values[&metric];
            assert!((scored.value - expected).abs() < TOLERANCE, "{name}, {metric}: {}, {expected}", scored.value);
            for (example, row) in scored.examples.iter().zip(&corpus.rows) {
                let expected = row.values[metric.metric().id];
                assert!(
                    (example.value - expected).abs() < TOLERANCE,
                    "{name}, {metric} of {:?}: {}, {expected}",
                    row.row,
                    example.value
                );
            }
            if let Some(theirs) = corpus.signatures.get(&metric) {
                let variant = |signature: &str| signature.split("|version:").next().map(str::to_owned);
                assert_eq!(variant(&scored.signature), variant(theirs));
            }
        }
    }
}

#[test]
fn rouge_without_stemming_equals_rouge_score() {
    use rouge::Variant::{L, Lsum, One, Two};
    for corpus in fixture().corpora.values() {
        for Expected { row, values } in &corpus.rows {
            for (variant, id) in [(One, "rouge-1"), (Two, "rouge-2"), (L, "rouge-l"), (Lsum, "rouge-lsum")] {
                let f1 = rouge::sentence(variant, &row.prediction, &row.references, rouge::Stemming::None).f1;
                let expected = values[&format!("{id} without stemming")];
                assert!((f1 - expected).abs() < TOLERANCE, "{id} of {row:?}: {f1}, {expected}");
            }
        }
    }
}

#[test]
fn stems_equal_nltk() {
    for (word, expected) in fixture().stems {
        assert_eq!(porter::stem(&word), expected, "{word}");
    }
}

#[test]
fn tokens_equal_sacrebleu() {
    for (text, expected) in fixture().tokens_13a {
        assert_eq!(tokenizer_13a::tokenize(&text), expected, "{text:?}");
    }
}
