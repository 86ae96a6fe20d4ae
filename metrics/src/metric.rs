//! The table of metrics: what each is called, its unit, which way it improves, where it is from.
//!
//! The table is the one place that knows them all: scoring, records and reports read names, units
//! and directions here. A new metric is a file beside its family, a variant of [`MetricName`] and a
//! row of [`METRICS`], an arm in [`crate::score`], and a column of `tests/fixtures/make.py`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Says which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// More is better (ROUGE, exact match).
    Higher,
    /// Less is better (loss, perplexity).
    Lower,
}

impl Direction {
    /// Returns the factor that makes improvement positive.
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }

    /// Which values are better, in a word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

/// Says whether values in this unit are per token of the vocabulary that a model has: such values compare
/// within one vocabulary only.
pub fn is_per_token(unit: &str) -> bool {
    unit.ends_with("/token")
}

/// Says what a metric looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Words and characters shared by prediction and reference.
    NGram,
    /// Distance between vectors of meaning.
    Embedding,
    /// Probability that the model gives to the reference, or to a text.
    Likelihood,
    /// Which of several options the model finds the most probable.
    Choice,
}

/// Names a metric; written as in [`Metric::id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MetricName {
    /// BLEU.
    #[serde(rename = "bleu")]
    Bleu,
    /// chrF.
    #[serde(rename = "chrf")]
    Chrf,
    /// chrF++.
    #[serde(rename = "chrf++")]
    ChrfPlusPlus,
    /// ROUGE-1.
    #[serde(rename = "rouge-1")]
    Rouge1,
    /// ROUGE-2.
    #[serde(rename = "rouge-2")]
    Rouge2,
    /// ROUGE-L.
    #[serde(rename = "rouge-l")]
    RougeL,
    /// ROUGE-Lsum.
    #[serde(rename = "rouge-lsum")]
    RougeLsum,
    /// Exact match.
    #[serde(rename = "exact-match")]
    ExactMatch,
    /// Token F1.
    #[serde(rename = "token-f1")]
    TokenF1,
    /// Cosine of sentence embeddings.
    #[serde(rename = "cosine")]
    Cosine,
    /// Negative log-likelihood of the reference, measured by the model's own evaluation.
    #[serde(rename = "nll")]
    Nll,
    /// Perplexity of the reference, measured by the model's own evaluation.
    #[serde(rename = "perplexity")]
    Perplexity,
    /// Bits per byte of the reference, measured by the model's own evaluation.
    #[serde(rename = "bits-per-byte")]
    BitsPerByte,
    /// Whether the most probable option is the right one, measured by the model's own evaluation.
    #[serde(rename = "acc")]
    Accuracy,
    /// The same by the length of options, measured by the model's own evaluation.
    #[serde(rename = "acc-norm")]
    AccuracyNormalised,
}

/// Describes a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// Name in code.
    pub name: MetricName,
    /// Name in experiment files, records and on the command line.
    pub id: &'static str,
    /// Name for tables and figures.
    pub label: &'static str,
    /// Unit or scale of the value.
    pub unit: &'static str,
    /// Which way it improves.
    pub direction: Direction,
    /// What it looks at.
    pub family: Family,
    /// Raised whenever the same text would get another value.
    pub version: u32,
    /// Publication that defines it.
    pub citation: &'static str,
}

/// Every metric this crate knows, in the order tables show them.
pub const METRICS: [Metric; 15] = [
    Metric {
        name: MetricName::Bleu,
        id: "bleu",
        label: "BLEU",
        unit: "0-100",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Papineni et al. 2002, BLEU: a Method for Automatic Evaluation of Machine Translation; Post 2018, A Call for Clarity in Reporting BLEU Scores",
    },
    Metric {
        name: MetricName::Chrf,
        id: "chrf",
        label: "chrF",
        unit: "0-100",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Popović 2015, chrF: character n-gram F-score for automatic MT evaluation",
    },
    Metric {
        name: MetricName::ChrfPlusPlus,
        id: "chrf++",
        label: "chrF++",
        unit: "0-100",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Popović 2017, chrF++: words helping character n-grams",
    },
    Metric {
        name: MetricName::Rouge1,
        id: "rouge-1",
        label: "ROUGE-1",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 2",
    },
    Metric {
        name: MetricName::Rouge2,
        id: "rouge-2",
        label: "ROUGE-2",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 2",
    },
    Metric {
        name: MetricName::RougeL,
        id: "rouge-l",
        label: "ROUGE-L",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 3.1",
    },
    Metric {
        name: MetricName::RougeLsum,
        id: "rouge-lsum",
        label: "ROUGE-Lsum",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 3.2",
    },
    Metric {
        name: MetricName::ExactMatch,
        id: "exact-match",
        label: "Exact match",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, section 6.1",
    },
    Metric {
        name: MetricName::TokenF1,
        id: "token-f1",
        label: "Token F1",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::NGram,
        version: 1,
        citation: "Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, section 6.1",
    },
    Metric {
        name: MetricName::Cosine,
        id: "cosine",
        label: "Cosine",
        unit: "cosine",
        direction: Direction::Higher,
        family: Family::Embedding,
        version: 1,
        citation: "Reimers and Gurevych 2019, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, section 3",
    },
    Metric {
        name: MetricName::Nll,
        id: "nll",
        label: "Loss",
        unit: "nats/token",
        direction: Direction::Lower,
        family: Family::Likelihood,
        // 2: a loss that is no number stays, and is told, where its question was left out.
        version: 2,
        citation: "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
    },
    Metric {
        name: MetricName::Perplexity,
        id: "perplexity",
        label: "Perplexity",
        unit: "perplexity/token",
        direction: Direction::Lower,
        family: Family::Likelihood,
        // 2: the logarithm goes along, as exp of a large loss is no number any more.
        version: 2,
        citation: "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
    },
    // The likelihood of a text and its bytes are the same whatever tokens a model cuts it into: the one
    // likelihood that compares models of different vocabularies.
    Metric {
        name: MetricName::BitsPerByte,
        id: "bits-per-byte",
        label: "Bits per byte",
        unit: "bits/byte",
        direction: Direction::Lower,
        family: Family::Likelihood,
        version: 1,
        citation: "Gao et al. 2020, The Pile: An 800GB Dataset of Diverse Text for Language Modeling, section 3.1",
    },
    Metric {
        name: MetricName::Accuracy,
        id: "acc",
        label: "Accuracy",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::Choice,
        version: 1,
        citation: "Brown et al. 2020, Language Models are Few-Shot Learners, arXiv 2005.14165, section 2.4, as `acc` of lm-evaluation-harness",
    },
    Metric {
        name: MetricName::AccuracyNormalised,
        id: "acc-norm",
        label: "Accuracy (by length)",
        unit: "fraction",
        direction: Direction::Higher,
        family: Family::Choice,
        version: 1,
        citation: "Gao et al. 2024, The Language Model Evaluation Harness, as its `acc_norm`: log-likelihood over characters of the option",
    },
];

impl Metric {
    /// Says whether a value is per token: [`is_per_token`] of its unit.
    pub fn is_per_token(&self) -> bool {
        is_per_token(self.unit)
    }
}

impl MetricName {
    /// Returns the metric's row of [`METRICS`].
    pub fn metric(self) -> &'static Metric {
        // The table follows the order of the variants, which a test holds.
        &METRICS[self as usize]
    }

    /// Returns the metrics that [`crate::score::score`] computes from text, in table order.
    pub fn of_text() -> Vec<Self> {
        let is_of_text = |metric: &&Metric| matches!(metric.family, Family::NGram | Family::Embedding);
        METRICS.iter().filter(is_of_text).map(|metric| metric.name).collect()
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.metric().id)
    }
}

/// Says that no metric has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric `{name}`: expected one of {}", METRICS.map(|metric| metric.id).join(", "))]
pub struct UnknownMetric {
    /// The name as given.
    pub name: String,
}

impl FromStr for MetricName {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        METRICS
            .iter()
            .find(|metric| metric.id == name)
            .map(|metric| metric.name)
            .ok_or_else(|| UnknownMetric { name: name.to_owned() })
    }
}

/// Ends a signature: our version, and the tool that the fixtures hold us equal to.
pub(crate) fn implementation(reference: &str) -> String {
    format!("version:tutelage-{}|equals:{reference}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_labels_are_unique_and_rows_stand_at_their_name() {
        let ids: BTreeSet<_> = METRICS.iter().map(|metric| metric.id).collect();
        let labels: BTreeSet<_> = METRICS.iter().map(|metric| metric.label).collect();
        assert_eq!((ids.len(), labels.len()), (METRICS.len(), METRICS.len()));
        for metric in &METRICS {
            assert_eq!(metric.name.metric(), metric);
        }
    }

    #[test]
    fn every_row_is_complete_and_reads_back() {
        for metric in &METRICS {
            assert!(!metric.unit.is_empty() && metric.version > 0, "{}", metric.id);
            assert!(metric.citation.contains(|c: char| c.is_ascii_digit()), "{} cites no year", metric.id);
            assert_eq!(metric.id.parse(), Ok(metric.name));
            let json = serde_json::to_string(&metric.name).unwrap();
            assert_eq!(json, format!("\"{}\"", metric.id), "serde and the table agree");
            assert_eq!(metric.direction == Direction::Lower, metric.family == Family::Likelihood);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "rogue-l".parse::<MetricName>().unwrap_err();
        assert!(error.to_string().starts_with("unknown metric `rogue-l`: expected one of bleu, chrf, "));
    }
}
