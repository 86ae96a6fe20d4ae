//! Holds the n-gram metrics to their reference tools, on the fixture that `fixtures/make.py` writes.

use serde::Deserialize;
use std::collections::BTreeMap;
use tutelage_metrics::metric::MetricName;
use tutelage_metrics::ngram::tokenizer::Tokenizer;
use tutelage_metrics::ngram::{porter, rouge, tokenizer_13a};
use tutelage_metrics::score::{Row, Settings, score};

/// Both sides compute in f64; they differ by the order of a few operations.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Fixture {
    corpora: BTreeMap<String, Corpus>,
    stems: BTreeMap<String, String>,
    tokens_13a: BTreeMap<String, Vec<String>>,
    bleu_tokenizers: BTreeMap<String, Tokenized>,
}

/// What one tokenizer of BLEU gives.
#[derive(Deserialize)]
struct Tokenized {
    rows: Vec<TokenizedRow>,
    value: f64,
    signature: String,
}

#[derive(Deserialize)]
struct TokenizedRow {
    prediction: String,
    references: Vec<String>,
    /// Joined by spaces.
    tokens: String,
    value: f64,
    signature: String,
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

/// Takes the version off a signature.
fn variant(signature: &str) -> Option<&str> {
    signature.split("|version:").next()
}

#[test]
fn corpus_and_example_values_equal_the_reference_tools() {
    for (name, corpus) in fixture().corpora {
        let rows: Vec<Row> = corpus.rows.iter().map(|expected| expected.row.clone()).collect();
        let metrics: Vec<MetricName> = corpus.values.keys().copied().collect();
        assert_eq!(metrics.len(), 9);
        for scored in score(&rows, &metrics, &Settings::default()).expect("the rows are sound") {
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
                let f1 = rouge::sentence(
                    variant,
                    row.prediction.as_deref().unwrap(),
                    &row.references,
                    rouge::Stemming::None,
                )
                .f1;
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

#[test]
fn bleu_under_each_tokenizer_equals_sacrebleu() {
    let fixture = fixture();
    assert_eq!(fixture.bleu_tokenizers.len(), Tokenizer::ALL.len());
    for (name, corpus) in &fixture.bleu_tokenizers {
        let bleu_tokenizer: Tokenizer = name.parse().expect("a known name");
        let rows: Vec<Row> = (corpus.rows.iter().enumerate())
            .map(|(index, expected)| Row {
                id: index.to_string(),
                prediction: Some(expected.prediction.clone()),
                references: expected.references.clone(),
                ..Row::default()
            })
            .collect();
        let settings = Settings { bleu_tokenizer, ..Settings::default() };
        let scored = score(&rows, &[MetricName::Bleu], &settings).expect("the rows are sound").remove(0);
        assert!((scored.value - corpus.value).abs() < TOLERANCE, "{name}: {}, {}", scored.value, corpus.value);
        assert_eq!(variant(&scored.signature), variant(&corpus.signature));
        // The reference names the number of references of each row, ours that of all.
        let of_example =
            |signature: &str| variant(signature).and_then(|text| text.split_once('|')).map(|(_, rest)| rest.to_owned());
        for (example, expected) in scored.examples.iter().zip(&corpus.rows) {
            let TokenizedRow { prediction, tokens, value, signature, .. } = expected;
            assert_eq!(bleu_tokenizer.tokenize(prediction).join(" "), *tokens, "{name} of {prediction:?}");
            assert!((example.value - value).abs() < TOLERANCE, "{name} of {prediction:?}: {}, {value}", example.value);
            assert_eq!(of_example(&scored.example_signature), of_example(signature));
        }
    }
}
