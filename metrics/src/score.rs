//! Scores a corpus: rows of predictions and references in, values with intervals out.

use crate::bootstrap::{self, Estimator};
use crate::embedding::{Embedder, cosine};
use crate::metric::{Direction, MetricName};
use crate::ngram::{bleu, chrf, exact, rouge, token_f1};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Holds one prediction and what it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier of the example, unique in the corpus.
    pub id: String,
    /// What the model wrote; may be empty.
    pub prediction: String,
    /// What it should have written: at least one text, any of which is right.
    pub references: Vec<String>,
    /// The question that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The passage the answer was to be taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Holds the value of a metric on a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Which metric.
    pub metric: MetricName,
    /// Corpus value: from the summed counts for BLEU and chrF, the mean over examples otherwise.
    pub value: f64,
    /// Unit of the value.
    pub unit: String,
    /// Which way the metric improves.
    pub direction: Direction,
    /// Names tokenizer, smoothing, version: all that can change the value.
    pub signature: String,
    /// Number of examples.
    pub n: usize,
    /// 95 % percentile bootstrap interval over examples, `[low, high]`.
    pub ci: [f64; 2],
    /// Value of each example, in the order of the rows.
    pub examples: Vec<ExampleScore>,
}

/// Holds the value of a metric on one example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExampleScore {
    /// Identifier of the row.
    pub id: String,
    /// Value of the example; of BLEU and chrF, the sentence-level score.
    pub value: f64,
    /// Sufficient statistics of a corpus metric ([`bleu::counts`], [`chrf::counts`]), else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<f64>,
}

/// Says why a corpus could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// There is no row.
    #[error("no predictions to score")]
    Empty,
    /// A row has nothing to compare with.
    #[error("row `{id}` has no reference")]
    NoReference {
        /// Identifier of the row.
        id: String,
    },
    /// Two rows have one identifier.
    #[error("id `{id}` occurs in more than one row")]
    DuplicateId {
        /// The identifier.
        id: String,
    },
    /// A metric needs an embedding model.
    #[error("metric `{metric}` needs an embedding model and none is given")]
    NoEmbedder {
        /// The metric.
        metric: MetricName,
    },
    /// A metric cannot be computed from text.
    #[error("metric `{metric}` is measured by the model, not from its text")]
    NotOfText {
        /// The metric.
        metric: MetricName,
    },
    /// The embedding model failed.
    #[error("metric `cosine` could not be computed")]
    Cosine(#[from] cosine::CosineError),
}

impl ScoreError {
    /// Returns what the user can do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Cosine(_) => None,
            Self::NoReference { .. } => Some("give every row at least one reference"),
            Self::DuplicateId { .. } => Some("give every row its own id, and all right answers as its references"),
            Self::NoEmbedder { .. } => Some("give an embedding model or leave the metric out"),
            Self::NotOfText { .. } => Some("evaluate the model itself for this metric, or leave it out"),
        }
    }
}

/// Scores `rows` with each of `metrics`, once each, in the order first named.
///
/// All metrics share the resamples of the interval, whose seed is [`bootstrap::SEED`].
///
/// # Errors
/// If there is no row, a row has no reference, an identifier occurs twice, or a metric cannot be
/// computed with what is given; see [`ScoreError::remedy`].
pub fn score(rows: &[Row], metrics: &[MetricName], embedder: Option<&dyn Embedder>) -> Result<Vec<Scored>, ScoreError> {
    check(rows)?;
    let mut distinct: Vec<MetricName> = Vec::new();
    for &metric in metrics {
        if !distinct.contains(&metric) {
            distinct.push(metric);
        }
    }

    let reference_count = reference_count(rows);
    let mut scored = Vec::with_capacity(distinct.len());
    for metric in distinct {
        let (signature, examples) = examples(rows, metric, embedder, reference_count)?;
        let all: Vec<usize> = (0..rows.len()).collect();
        let value = estimator(metric, &examples)(&all);
        scored.push(Scored {
            metric,
            value,
            unit: metric.metric().unit.to_owned(),
            direction: metric.metric().direction,
            signature,
            n: rows.len(),
            ci: [value; 2],
            examples,
        });
    }
    let estimators: Vec<Estimator<'_>> =
        scored.iter().map(|scored| estimator(scored.metric, &scored.examples)).collect();
    let intervals = bootstrap::intervals(rows.len(), &estimators);
    drop(estimators);
    for (scored, interval) in scored.iter_mut().zip(intervals) {
        scored.ci = interval;
    }
    Ok(scored)
}

fn check(rows: &[Row]) -> Result<(), ScoreError> {
    if rows.is_empty() {
        return Err(ScoreError::Empty);
    }
    let mut ids = BTreeSet::new();
    for row in rows {
        if row.references.is_empty() {
            return Err(ScoreError::NoReference { id: row.id.clone() });
        }
        if !ids.insert(row.id.as_str()) {
            return Err(ScoreError::DuplicateId { id: row.id.clone() });
        }
    }
    Ok(())
}

/// Returns the number of references of every row, `None` where it varies.
fn reference_count(rows: &[Row]) -> Option<usize> {
    let count = rows[0].references.len();
    rows.iter().all(|row| row.references.len() == count).then_some(count)
}

/// Computes the signature of a metric and its value on each row.
fn examples(
    rows: &[Row],
    metric: MetricName,
    embedder: Option<&dyn Embedder>,
    reference_count: Option<usize>,
) -> Result<(String, Vec<ExampleScore>), ScoreError> {
    let chrf = |variant: chrf::Variant| {
        let examples =
            each_counted(rows, chrf::from_counts, |row| chrf::counts(variant, &row.prediction, &row.references));
        (chrf::signature(variant, reference_count), examples)
    };
    let rouge = |variant: rouge::Variant| {
        let stemming = rouge::Stemming::Porter;
        let examples = each(rows, |row| rouge::sentence(variant, &row.prediction, &row.references, stemming).f1);
        (rouge::signature(variant, stemming), examples)
    };
    Ok(match metric {
        MetricName::Bleu => {
            let examples =
                each_counted(rows, bleu::sentence_from_counts, |row| bleu::counts(&row.prediction, &row.references));
            (bleu::signature(reference_count), examples)
        }
        MetricName::Chrf => chrf(chrf::Variant::Characters),
        MetricName::ChrfPlusPlus => chrf(chrf::Variant::CharactersAndWords),
        MetricName::Rouge1 => rouge(rouge::Variant::One),
        MetricName::Rouge2 => rouge(rouge::Variant::Two),
        MetricName::RougeL => rouge(rouge::Variant::L),
        MetricName::RougeLsum => rouge(rouge::Variant::Lsum),
        MetricName::ExactMatch => {
            (exact::signature(), each(rows, |row| exact::sentence(&row.prediction, &row.references)))
        }
        MetricName::TokenF1 => {
            (token_f1::signature(), each(rows, |row| token_f1::sentence(&row.prediction, &row.references)))
        }
        MetricName::Cosine => {
            let embedder = embedder.ok_or(ScoreError::NoEmbedder { metric })?;
            let pairs: Vec<(&str, &[String])> =
                rows.iter().map(|row| (row.prediction.as_str(), row.references.as_slice())).collect();
            let values = cosine::sentences(&pairs, embedder)?;
            let examples = rows
                .iter()
                .zip(values)
                .map(|(row, value)| ExampleScore { id: row.id.clone(), value, counts: Vec::new() })
                .collect();
            (cosine::signature(embedder), examples)
        }
        MetricName::Nll | MetricName::Perplexity | MetricName::BitsPerByte => {
            return Err(ScoreError::NotOfText { metric });
        }
    })
}

fn each(rows: &[Row], value: impl Fn(&Row) -> f64 + Sync) -> Vec<ExampleScore> {
    rows.par_iter().map(|row| ExampleScore { id: row.id.clone(), value: value(row), counts: Vec::new() }).collect()
}

fn each_counted(
    rows: &[Row],
    sentence_score: impl Fn(&[f64]) -> f64 + Sync,
    counts: impl Fn(&Row) -> Vec<f64> + Sync,
) -> Vec<ExampleScore> {
    rows.par_iter()
        .map(|row| {
            let counts = counts(row);
            ExampleScore { id: row.id.clone(), value: sentence_score(&counts), counts }
        })
        .collect()
}

/// Returns how the corpus value follows from the examples drawn.
fn estimator(metric: MetricName, examples: &[ExampleScore]) -> Estimator<'_> {
    let from_counts = match metric {
        MetricName::Bleu => bleu::from_counts,
        MetricName::Chrf | MetricName::ChrfPlusPlus => chrf::from_counts,
        _ => {
            return Box::new(|drawn| {
                drawn.iter().map(|&index| examples[index].value).sum::<f64>() / drawn.len() as f64
            });
        }
    };
    Box::new(move |drawn| {
        let mut sum = vec![0.0; examples[0].counts.len()];
        for &index in drawn {
            for (sum, count) in sum.iter_mut().zip(&examples[index].counts) {
                *sum += count;
            }
        }
        from_counts(&sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::EmbedderError;

    fn row(id: &str, prediction: &str, references: &[&str]) -> Row {
        Row {
            id: id.to_owned(),
            prediction: prediction.to_owned(),
            references: references.iter().map(|text| (*text).to_owned()).collect(),
            question: None,
            context: None,
        }
    }

    /// Embeds a text as its length.
    struct Length;

    impl Embedder for Length {
        fn signature(&self) -> String {
            "length".to_owned()
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedderError> {
            Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
        }
    }

    #[test]
    fn corpus_values_pool_counts_and_average_the_rest() {
        let rows = [row("a", "the AMF selects an SMF", &["the AMF selects an SMF"]), row("b", "", &["UPF"])];
        let metrics = [MetricName::Bleu, MetricName::ExactMatch, MetricName::Cosine, MetricName::Bleu];
        let scored = score(&rows, &metrics, Some(&Length)).unwrap();
        assert_eq!(scored.iter().map(|scored| scored.metric).collect::<Vec<_>>(), metrics[..3]);
        // All n-grams right, five tokens against six: the brevity penalty alone.
        assert!((scored[0].value - 100.0 * (1.0f64 - 6.0 / 5.0).exp()).abs() < 1e-9);
        assert_eq!(scored[0].examples[0].counts.len(), bleu::COUNTS);
        assert_eq!(scored[1].value, 0.5);
        assert_eq!(scored[1].ci, [0.0, 1.0]);
        assert_eq!((scored[2].value, scored[2].examples[1].value), (0.5, 0.0));
        assert_eq!(
            scored[2].signature,
            format!("length|refs:max|empty:0|version:tutelage-{}", env!("CARGO_PKG_VERSION"))
        );
        for scored in &scored {
            assert_eq!((scored.n, scored.examples.len()), (2, 2));
            assert!(scored.ci[0] <= scored.value && scored.value <= scored.ci[1], "{scored:?}");
        }
    }

    #[test]
    fn every_metric_of_text_is_computed_and_signed() {
        let rows = [row("a", "a session", &["the session", "sessions"])];
        let scored = score(&rows, &MetricName::of_text(), Some(&Length)).unwrap();
        assert_eq!(scored.len(), 10);
        for scored in scored {
            assert!(scored.signature.contains("version:tutelage-"), "{}", scored.signature);
            assert_eq!(scored.ci, [scored.value; 2], "one example has no spread");
        }
    }

    #[test]
    fn faults_are_named_with_their_remedy() {
        let error = |rows: &[Row], metric| score(rows, &[metric], None).unwrap_err();
        assert_eq!(error(&[], MetricName::Bleu).to_string(), "no predictions to score");
        let no_reference = error(&[row("a", "x", &[])], MetricName::Bleu);
        assert_eq!(no_reference.to_string(), "row `a` has no reference");
        assert_eq!(no_reference.remedy(), Some("give every row at least one reference"));
        let twice = error(&[row("a", "x", &["x"]), row("a", "y", &["y"])], MetricName::Bleu);
        assert_eq!(twice.to_string(), "id `a` occurs in more than one row");
        let embedder = error(&[row("a", "x", &["x"])], MetricName::Cosine);
        assert_eq!(embedder.to_string(), "metric `cosine` needs an embedding model and none is given");
        assert_eq!(embedder.remedy(), Some("give an embedding model or leave the metric out"));
        let model = error(&[row("a", "x", &["x"])], MetricName::Perplexity);
        assert_eq!(model.to_string(), "metric `perplexity` is measured by the model, not from its text");
    }
}
