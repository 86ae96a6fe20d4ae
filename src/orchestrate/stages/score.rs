//! The stage `score`: from answers to one value per example and metric.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tutelage_metrics::blind::Blind;
use tutelage_metrics::embedding::Embedder;
use tutelage_metrics::metric::{self, Family, MetricName};
use tutelage_metrics::score::{Row, Settings, score};
use tutelage_reports::record::null_is_nan;
use tutelage_reports::study::{Aggregation, Metric};

use super::around::Surroundings;
use super::choose::Chosen;
use super::cost::{Cost, Scene};
use super::data::read_split;
use super::generate::{Generation, is_test, test};
use super::read::Reading;
use super::{Work, rows};
use crate::data::{Example, SplitName};
use crate::evaluate::embedder::SentenceEmbedder;
use crate::experiment::settings::Task;
use crate::files;
use crate::orchestrate::keep::event::Event;
use crate::orchestrate::kind::StageKind;

/// Name of the file that describes the metrics.
const METRICS: &str = "metrics.json";

/// Scores what models were asked. Inputs: `data`, one of `generations`, `choices` and `readings`, and
/// `embedding-model` if a metric needs it. Output: a file of the split, of answers also `dev.jsonl` where there
/// are such, rows of [`Value`], and `metrics.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScoreJob {
    /// Metrics with the version of their results, in the order of tables.
    pub metrics: Vec<(String, u32)>,
    /// Part of the data set that was asked.
    #[serde(default = "test", skip_serializing_if = "is_test")]
    pub split: SplitName,
    /// CPU threads of the embedding model; none where no metric needs one, and on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Work for ScoreJob {
    fn kind(&self) -> StageKind {
        StageKind::Score
    }

    fn version(&self) -> u32 {
        1
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        Cost::of_disk(scene.sizes.map(|sizes| sizes.test.examples * 100.0 * self.metrics.len() as f64))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        let device = around.compute.device;
        let model = around.inputs.find("embedding-model");
        let embedder = model.map(|model| SentenceEmbedder::load(model, device)).transpose()?;
        run(self, around, embedder.as_ref().map(|embedder| embedder as &dyn Embedder))
    }
}

/// Names the metrics that can be computed of a task, in the order of tables.
#[must_use]
pub fn metrics_of(task: Task) -> Vec<&'static str> {
    let fits = |family| match task {
        Task::Answer => matches!(family, Family::NGram | Family::Embedding | Family::Likelihood),
        Task::Choice => family == Family::Choice,
        Task::Perplexity => family == Family::Likelihood,
    };
    metric::METRICS.iter().filter(|metric| fits(metric.family)).map(|metric| metric.id).collect()
}

/// Holds one value; a record without arm and seed, which the scored answers do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Identifier of the example.
    pub id: String,
    /// Name of the metric.
    pub metric: String,
    /// The value, in the metric's unit; not finite, and `null` in JSON, where the model diverged.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// Sufficient statistics, or the weight; see [`tutelage_reports::record::Record::counts`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<f64>,
}

/// Scores every split that was answered.
///
/// # Errors
/// Answers to unknown examples, a metric without its model, files that cannot be read or written.
fn run(job: &ScoreJob, around: Surroundings<'_>, embedder: Option<&dyn Embedder>) -> anyhow::Result<()> {
    let (inputs, output) = (around.inputs, around.folder.output());
    let metrics = job.metrics.iter().map(|(name, _)| Ok(name.parse()?)).collect::<anyhow::Result<Vec<_>>>()?;
    let measured = [("choices", of_choices as OfRows), ("readings", of_readings)];
    for (input, values_of) in measured {
        let Some(folder) = inputs.find(input) else { continue };
        let name = format!("{}.jsonl", job.split);
        rows::write(&output.join(&name), &values_of(&folder.join(&name), &metrics)?)?;
        let described: Vec<Metric> = metrics.iter().map(|&name| describe(name, own_signature(name, input))).collect();
        return Ok(files::write_json(&output.join(METRICS), &described)?);
    }
    for split in std::iter::once(job.split).chain((job.split != SplitName::Dev).then_some(SplitName::Dev)) {
        let name = format!("{split}.jsonl");
        let answers = inputs.get("generations")?.join(&name);
        if split != job.split && !answers.exists() {
            continue;
        }
        let generations: Vec<Generation> = rows::read(&answers)?;
        let examples = read_split(inputs.get("data")?, split)?;
        let (described, values, blind) = values(&generations, &examples, &metrics, embedder)?;
        rows::write(&output.join(&name), &values)?;
        if split == job.split {
            files::write_json(&output.join(METRICS), &described)?;
            // Without counts, so that the report can tell it of all arms at once.
            for blind in blind {
                let text = format!("{}: {}; {}", blind.metric, blind.what(), blind.remedy());
                (around.events)(Event::Note { text });
            }
        }
    }
    Ok(())
}

/// Makes values of the rows in a file.
type OfRows = fn(&Path, &[MetricName]) -> anyhow::Result<Vec<Value>>;

fn of_choices(file: &Path, metrics: &[MetricName]) -> anyhow::Result<Vec<Value>> {
    let chosen: Vec<Chosen> = rows::read(file)?;
    let value = |name: MetricName, chosen: &Chosen| {
        let right = match name {
            MetricName::AccuracyNormalised => chosen.is_right_by_length(),
            _ => chosen.is_right(),
        };
        let value = right.map_or(f64::NAN, |right| f64::from(u8::from(right)));
        Value { id: chosen.id.clone(), metric: name.to_string(), value, counts: Vec::new() }
    };
    Ok(metrics.iter().flat_map(|&name| chosen.iter().map(move |chosen| value(name, chosen))).collect())
}

fn of_readings(file: &Path, metrics: &[MetricName]) -> anyhow::Result<Vec<Value>> {
    let readings: Vec<Reading> = rows::read(file)?;
    let value = |name: MetricName, reading: &Reading| {
        let nll = reading.nats.map(|nats| nats / reading.tokens as f64);
        let measured = Measured { id: &reading.id, nll, tokens: reading.tokens, bytes: reading.bytes };
        likelihood(name, measured)
    };
    Ok(metrics.iter().flat_map(|&name| readings.iter().filter_map(move |reading| value(name, reading))).collect())
}

/// Reads the values of a split that a score stage left; none if the split was not answered.
///
/// # Errors
/// A file that cannot be read.
pub fn read_values(output: &Path, split: SplitName) -> anyhow::Result<Option<Vec<Value>>> {
    let path = output.join(format!("{split}.jsonl"));
    if path.exists() { rows::read(&path).map(Some) } else { Ok(None) }
}

/// Reads the description of the metrics that a score stage left.
///
/// # Errors
/// A file that cannot be read.
pub fn read_metrics(output: &Path) -> anyhow::Result<Vec<Metric>> {
    let path = output.join(METRICS);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn values(
    generations: &[Generation],
    examples: &[Example],
    metrics: &[MetricName],
    embedder: Option<&dyn Embedder>,
) -> anyhow::Result<(Vec<Metric>, Vec<Value>, Vec<Blind>)> {
    let by_id: BTreeMap<&str, &Example> = examples.iter().map(|example| (example.id.as_str(), example)).collect();
    let mut rows = Vec::with_capacity(generations.len());
    for generation in generations {
        let Some(example) = by_id.get(generation.id.as_str()) else {
            bail!("answer to `{}`, which is no example of this split", generation.id);
        };
        rows.push(Row {
            id: generation.id.clone(),
            prediction: Some(generation.answer.clone()),
            references: example.references.clone(),
            question: Some(example.question.clone()),
            context: example.context.clone(),
            ..Row::default()
        });
    }
    let of_text: Vec<MetricName> =
        metrics.iter().copied().filter(|name| name.metric().family != Family::Likelihood).collect();
    let mut scored = score(&rows, &of_text, &Settings { embedder, ..Settings::default() })?;
    let (mut described, mut values, mut blind) = (Vec::new(), Vec::new(), Vec::new());
    for &name in metrics {
        let found = scored.iter().position(|scored| scored.metric == name);
        match found.map(|position| scored.swap_remove(position)) {
            Some(scored) => {
                described.push(describe(name, scored.signature));
                blind.extend(scored.blind);
                values.extend(scored.examples.into_iter().map(|example| Value {
                    id: example.id,
                    metric: name.to_string(),
                    value: example.value,
                    counts: example.counts,
                }));
            }
            None => {
                described.push(describe(name, own_signature(name, "generations")));
                values.extend(generations.iter().filter_map(|generation| likelihood(name, generation.into())));
            }
        }
    }
    Ok((described, values, blind))
}

/// How likely a model finds a text.
#[derive(Clone, Copy)]
struct Measured<'m> {
    id: &'m str,
    /// Mean negative log-likelihood, in nats per token.
    nll: Option<f64>,
    tokens: u64,
    bytes: u64,
}

impl<'m> From<&'m Generation> for Measured<'m> {
    fn from(generation: &'m Generation) -> Self {
        let Generation { id, nll, response_tokens: tokens, response_bytes: bytes, .. } = generation;
        Self { id, nll: *nll, tokens: *tokens, bytes: *bytes }
    }
}

fn likelihood(name: MetricName, measured: Measured<'_>) -> Option<Value> {
    // A text that was measured and has no finite loss is that of a diverged model.
    let diverged = (measured.tokens > 0).then_some(f64::NAN);
    let nll = measured.nll.or(diverged)?;
    let (tokens, bytes) = (measured.tokens as f64, measured.bytes as f64);
    let (value, counts) = match name {
        MetricName::Perplexity if nll.is_finite() => (nll.exp(), vec![tokens, nll]),
        MetricName::Perplexity => (nll.exp(), vec![tokens]),
        // Nothing is measured by the byte of an answer without any.
        MetricName::BitsPerByte if measured.bytes == 0 => return None,
        MetricName::BitsPerByte => (nll * tokens / LN_2 / bytes, vec![bytes]),
        _ => (nll, vec![tokens]),
    };
    Some(Value { id: measured.id.to_owned(), metric: name.to_string(), value, counts })
}

/// Says how a value was measured that is none of text; `input` says of what.
fn own_signature(name: MetricName, input: &str) -> String {
    let form = match name {
        MetricName::Accuracy => "options:log-likelihood|ties:first",
        MetricName::AccuracyNormalised => "options:log-likelihood per character|ties:first",
        MetricName::Perplexity if input == "readings" => "exp:yes|text:whole, rolling windows|weight:tokens",
        MetricName::BitsPerByte if input == "readings" => "text:whole, rolling windows|bytes:in utf-8|weight:bytes",
        _ if input == "readings" => "text:whole, rolling windows|weight:tokens",
        MetricName::Perplexity => "exp:yes|reference:first|tokens:response+eos|weight:tokens",
        MetricName::BitsPerByte => {
            "reference:first|bits:response+eos|bytes:answer in utf-8, eos not counted|weight:bytes"
        }
        _ => "reference:first|tokens:response+eos|weight:tokens",
    };
    format!("{form}|version:tutelage-{}", env!("CARGO_PKG_VERSION"))
}

/// Describes a metric for the report.
fn describe(name: MetricName, signature: String) -> Metric {
    let metric = name.metric();
    Metric {
        name: metric.id.to_owned(),
        label: metric.label.to_owned(),
        unit: metric.unit.to_owned(),
        direction: metric.direction,
        signature,
        // Said where results are gathered, which knows it also of what was scored before.
        source: String::new(),
        set: None,
        column: String::new(),
        aggregation: match name {
            MetricName::Bleu => Aggregation::Bleu,
            MetricName::Chrf | MetricName::ChrfPlusPlus => Aggregation::Chrf,
            MetricName::Nll | MetricName::BitsPerByte => Aggregation::WeightedMean,
            MetricName::Perplexity => Aggregation::WeightedGeometricMean,
            _ => Aggregation::Mean,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: &str, answer: &str) -> Example {
        Example {
            id: id.to_owned(),
            group: "g".to_owned(),
            context: None,
            question: "q?".to_owned(),
            answer: answer.to_owned(),
            references: vec![answer.to_owned()],
            ..Example::default()
        }
    }

    fn generation(id: &str, answer: &str, nll: Option<f64>) -> Generation {
        let (id, answer) = (id.to_owned(), answer.to_owned());
        Generation { id, answer, new_tokens: 3, nll, response_tokens: 4, response_bytes: 8 }
    }

    #[test]
    fn text_and_likelihood_are_scored_side_by_side() {
        let examples = [example("a", "the base station"), example("b", "a slice")];
        let unread = Generation { response_tokens: 0, ..generation("b", "no", None) };
        let generations = [generation("a", "the base station", Some(0.5)), unread];
        let metrics = [MetricName::Perplexity, MetricName::ExactMatch, MetricName::Nll];
        let (described, values, _) = values(&generations, &examples, &metrics, None).unwrap();
        let names: Vec<&str> = described.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["perplexity", "exact-match", "nll"]);
        let rows: Vec<(&str, &str, f64)> =
            values.iter().map(|value| (value.metric.as_str(), value.id.as_str(), value.value)).collect();
        let expected = [
            ("perplexity", "a", 0.5_f64.exp()),
            ("exact-match", "a", 1.0),
            ("exact-match", "b", 0.0),
            ("nll", "a", 0.5),
        ];
        assert_eq!(rows, expected);
        assert_eq!(values[0].counts, [4.0, 0.5]);
        assert_eq!(values[3].counts, [4.0]);
    }

    #[test]
    fn a_diverged_model_is_read_again_as_such() {
        let read = |nll| {
            let generation: Generation =
                serde_json::from_str(&serde_json::to_string(&generation("a", "x", nll)).unwrap()).unwrap();
            let value = likelihood(MetricName::Perplexity, (&generation).into()).unwrap();
            serde_json::from_str::<Value>(&serde_json::to_string(&value).unwrap()).unwrap()
        };
        // exp(800) is beyond f64, its logarithm is not.
        let large = read(Some(800.0));
        assert!(large.value.is_nan() && large.counts == [4.0, 800.0]);
        let none = read(Some(f64::NAN));
        assert!(none.value.is_nan() && none.counts == [4.0]);
        let too_long = Generation { response_tokens: 0, ..generation("a", "x", None) };
        assert_eq!(likelihood(MetricName::Nll, (&too_long).into()), None);
    }

    #[test]
    fn bits_per_byte_do_not_depend_on_what_a_token_is() {
        // The same text with the same probability: 6 nats over 4 tokens, and over 2.
        let examples = [example("a", "the slice")];
        let bits = |nll: f64, response_tokens: u64| {
            let generation = Generation { response_tokens, ..generation("a", "", Some(nll)) };
            let (described, values, _) = values(&[generation], &examples, &[MetricName::BitsPerByte], None).unwrap();
            assert_eq!(described[0].aggregation, Aggregation::WeightedMean);
            assert!(described[0].signature.contains("eos not counted"), "{}", described[0].signature);
            assert_eq!(values[0].counts, [8.0]);
            values[0].value
        };
        assert!((bits(1.5, 4) - 6.0 / std::f64::consts::LN_2 / 8.0).abs() < 1e-12);
        assert_eq!(bits(1.5, 4), bits(3.0, 2));
        let without = Generation { response_bytes: 0, ..generation("a", "", Some(1.0)) };
        assert!(values(&[without], &examples, &[MetricName::BitsPerByte], None).unwrap().1.is_empty());
    }

    #[test]
    fn an_answer_to_no_question_is_an_error() {
        let error = values(&[generation("z", "x", None)], &[example("a", "b")], &[], None).unwrap_err();
        assert!(error.to_string().contains("`z`"));
    }
}
