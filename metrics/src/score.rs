//! Scores a corpus: rows of predictions and references in, values with intervals out.

use crate::blind::{self, Blind};
use crate::bootstrap::{self, Estimator};
use crate::embedding::{Embedder, cosine};
use crate::metric::{Direction, MetricName};
use crate::ngram::tokenizer::Tokenizer;
use crate::ngram::{bleu, chrf, exact, rouge, token_f1};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Holds one prediction and what it should have been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier of the example, unique in the corpus.
    pub id: String,
    /// What the model wrote; may be empty. None where it wrote nothing at all, which counts as the
    /// empty text, but is wrong even where no answer is the right one.
    pub prediction: Option<String>,
    /// What it should have written: at least one text, any of which is right.
    pub references: Vec<String>,
    /// The question that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The passage the answer was to be taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What examples share that do not count as independent, such as a document; given in all rows or
    /// in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Row {
    /// Returns the prediction, empty where there is none.
    pub(crate) fn text(&self) -> &str {
        self.prediction.as_deref().unwrap_or_default()
    }
}

/// Holds what scoring depends on besides the rows.
#[derive(Default, Clone, Copy)]
pub struct Settings<'a> {
    /// The embedding model of `cosine`.
    pub embedder: Option<&'a dyn Embedder>,
    /// How BLEU cuts texts into tokens.
    pub bleu_tokenizer: Tokenizer,
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
    /// Names what can change the values of examples: other than `signature` for BLEU.
    pub example_signature: String,
    /// Number of examples.
    pub n: usize,
    /// Number of units that the interval resamples: groups where rows have them, else examples.
    pub units: usize,
    /// 95 % percentile bootstrap interval over units, `[low, high]`.
    pub ci: [f64; 2],
    /// What this metric does not see in these texts.
    pub blind: Vec<Blind>,
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
    /// Some rows have a group and some have none.
    #[error("{with} of {of} rows have a group, row `{id}` has none: expected all or none")]
    SomeGroups {
        /// Rows with a group.
        with: usize,
        /// All rows.
        of: usize,
        /// The first row without one.
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
            Self::SomeGroups { .. } => Some("give every row its group: its own id where it belongs to no other"),
            Self::NoEmbedder { .. } => Some("give an embedding model or leave the metric out"),
            Self::NotOfText { .. } => Some("evaluate the model itself for this metric, or leave it out"),
        }
    }
}

/// Scores `rows` with each of `metrics`, once each, in the order first named.
///
/// All metrics share the resamples of the interval, whose seed is [`bootstrap::SEED`]; they draw whole
/// groups where rows have them.
///
/// # Errors
/// If there is no row, a row has no reference, an identifier occurs twice, only some rows have a group,
/// or a metric cannot be computed with what is given; see [`ScoreError::remedy`].
pub fn score(rows: &[Row], metrics: &[MetricName], settings: &Settings<'_>) -> Result<Vec<Scored>, ScoreError> {
    check(rows)?;
    let units = units(rows)?;
    let mut distinct: Vec<MetricName> = Vec::new();
    for &metric in metrics {
        if !distinct.contains(&metric) {
            distinct.push(metric);
        }
    }

    let reference_count = reference_count(rows);
    let mut scored = Vec::with_capacity(distinct.len());
    for metric in distinct {
        let (signature, examples) = examples(rows, metric, settings, reference_count)?;
        let all: Vec<usize> = (0..rows.len()).collect();
        let value = estimator(metric, &examples)(&all);
        let example_signature = match metric {
            MetricName::Bleu => bleu::sentence_signature(settings.bleu_tokenizer, reference_count),
            _ => signature.clone(),
        };
        scored.push(Scored {
            metric,
            value,
            unit: metric.metric().unit.to_owned(),
            direction: metric.metric().direction,
            signature,
            example_signature,
            n: rows.len(),
            units: units.len(),
            ci: [value; 2],
            blind: blind::find(rows, metric, settings.bleu_tokenizer),
            examples,
        });
    }
    let estimators: Vec<Estimator<'_>> =
        scored.iter().map(|scored| estimator(scored.metric, &scored.examples)).collect();
    let intervals = bootstrap::intervals(&units, &estimators);
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

/// Returns the examples of each group, in the order of their first, or each example by itself.
fn units(rows: &[Row]) -> Result<Vec<Vec<usize>>, ScoreError> {
    let with = rows.iter().filter(|row| row.group.is_some()).count();
    if with == 0 {
        return Ok((0..rows.len()).map(|index| vec![index]).collect());
    }
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut units: Vec<Vec<usize>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(group) = row.group.as_deref() else {
            return Err(ScoreError::SomeGroups { with, of: rows.len(), id: row.id.clone() });
        };
        let unit = *numbers.entry(group).or_insert(units.len());
        if unit == units.len() {
            units.push(Vec::new());
        }
        units[unit].push(index);
    }
    Ok(units)
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
    settings: &Settings<'_>,
    reference_count: Option<usize>,
) -> Result<(String, Vec<ExampleScore>), ScoreError> {
    let chrf = |variant: chrf::Variant| {
        let examples = each_counted(rows, chrf::from_counts, |row| chrf::counts(variant, row.text(), &row.references));
        (chrf::signature(variant, reference_count), examples)
    };
    let rouge = |variant: rouge::Variant| {
        let stemming = rouge::Stemming::Porter;
        let examples = each(rows, |row| rouge::sentence(variant, row.text(), &row.references, stemming).f1);
        (rouge::signature(variant, stemming), examples)
    };
    Ok(match metric {
        MetricName::Bleu => {
            let tokenizer = settings.bleu_tokenizer;
            let counts = |row: &Row| bleu::counts(tokenizer, row.text(), &row.references);
            (bleu::signature(tokenizer, reference_count), each_counted(rows, bleu::sentence_from_counts, counts))
        }
        MetricName::Chrf => chrf(chrf::Variant::Characters),
        MetricName::ChrfPlusPlus => chrf(chrf::Variant::CharactersAndWords),
        MetricName::Rouge1 => rouge(rouge::Variant::One),
        MetricName::Rouge2 => rouge(rouge::Variant::Two),
        MetricName::RougeL => rouge(rouge::Variant::L),
        MetricName::RougeLsum => rouge(rouge::Variant::Lsum),
        // To these two an empty answer can be right, but none at all is not.
        MetricName::ExactMatch => (exact::signature(), each_answered(rows, exact::sentence)),
        MetricName::TokenF1 => (token_f1::signature(), each_answered(rows, token_f1::sentence)),
        MetricName::Cosine => {
            let embedder = settings.embedder.ok_or(ScoreError::NoEmbedder { metric })?;
            let pairs: Vec<(&str, &[String])> =
                rows.iter().map(|row| (row.text(), row.references.as_slice())).collect();
            let values = cosine::sentences(&pairs, embedder)?;
            let examples = rows
                .iter()
                .zip(values)
                .map(|(row, value)| ExampleScore { id: row.id.clone(), value, counts: Vec::new() })
                .collect();
            (cosine::signature(embedder), examples)
        }
        MetricName::Nll
        | MetricName::Perplexity
        | MetricName::BitsPerByte
        | MetricName::Accuracy
        | MetricName::AccuracyNormalised => {
            return Err(ScoreError::NotOfText { metric });
        }
    })
}

fn each(rows: &[Row], value: impl Fn(&Row) -> f64 + Sync) -> Vec<ExampleScore> {
    rows.par_iter().map(|row| ExampleScore { id: row.id.clone(), value: value(row), counts: Vec::new() }).collect()
}

fn each_answered(rows: &[Row], value: impl Fn(&str, &[String]) -> f64 + Sync) -> Vec<ExampleScore> {
    each(rows, |row| row.prediction.as_deref().map_or(0.0, |prediction| value(prediction, &row.references)))
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
            prediction: Some(prediction.to_owned()),
            references: references.iter().map(|text| (*text).to_owned()).collect(),
            ..Row::default()
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

    fn with_length() -> Settings<'static> {
        Settings { embedder: Some(&Length), ..Settings::default() }
    }

    #[test]
    fn corpus_values_pool_counts_and_average_the_rest() {
        let rows = [row("a", "the AMF selects an SMF", &["the AMF selects an SMF"]), row("b", "", &["UPF"])];
        let metrics = [MetricName::Bleu, MetricName::ExactMatch, MetricName::Cosine, MetricName::Bleu];
        let scored = score(&rows, &metrics, &with_length()).unwrap();
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
        let scored = score(&rows, &MetricName::of_text(), &with_length()).unwrap();
        assert_eq!(scored.len(), 10);
        for scored in scored {
            assert!(scored.signature.contains("version:tutelage-"), "{}", scored.signature);
            assert_eq!(scored.ci, [scored.value; 2], "one example has no spread");
        }
    }

    #[test]
    fn faults_are_named_with_their_remedy() {
        let error = |rows: &[Row], metric| score(rows, &[metric], &Settings::default()).unwrap_err();
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

    #[test]
    fn no_answer_is_wrong_even_where_the_empty_one_is_right() {
        let mut rows = [row("a", "", &[""]), row("b", "", &[""])];
        rows[1].prediction = None;
        for scored in score(&rows, &[MetricName::ExactMatch, MetricName::TokenF1], &Settings::default()).unwrap() {
            assert_eq!(scored.value, 0.5);
            assert_eq!(scored.examples.iter().map(|example| example.value).collect::<Vec<_>>(), [1.0, 0.0]);
        }
    }

    #[test]
    fn intervals_resample_groups_and_each_row_needs_one() {
        let mut rows: Vec<Row> = (0..40).map(|i| row(&i.to_string(), ["x", "y"][i / 4 % 2], &["x"])).collect();
        let width = |rows: &[Row]| {
            let scored = score(rows, &[MetricName::ExactMatch], &Settings::default()).unwrap().remove(0);
            (scored.units, scored.ci[1] - scored.ci[0])
        };
        let (questions, narrow) = width(&rows);
        for (index, row) in rows.iter_mut().enumerate() {
            row.group = Some((index / 4).to_string());
        }
        let (groups, wide) = width(&rows);
        assert_eq!((questions, groups), (40, 10));
        // Four equal values in each group: half the spread is that of a quarter of the values.
        assert!((wide / narrow - 2.0).abs() < 0.3, "{wide} {narrow}");
        rows[7].group = None;
        let error = score(&rows, &[MetricName::ExactMatch], &Settings::default()).unwrap_err();
        assert_eq!(error.to_string(), "39 of 40 rows have a group, row `7` has none: expected all or none");
    }
}
