//! `tutelage score`: metrics of predictions from any program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use tutelage_metrics::embedding::Embedder;
use tutelage_metrics::metric::{Family, MetricName};
use tutelage_metrics::score::{Row, Scored, score};

use super::Verdict;
use super::output::{Output, columns};
use crate::files;
use crate::orchestrate::rows;

const HELP: &str = "\
A row of the predictions is {\"id\", \"prediction\"} with \"reference\" (a text) or \"references\" (a
list, any of which is right), and optionally \"question\" and \"context\". A row of `--references` is
{\"id\", \"reference\"} or {\"id\", \"references\"}. Ids are texts or whole numbers, each once.

Metrics, all better when higher:
  bleu, chrf, chrf++                      0 to 100, over the whole corpus, as sacrebleu
  rouge-1, rouge-2, rouge-l, rouge-lsum   0 to 1, F1 with Porter stemming, as rouge-score
  exact-match, token-f1                   0 to 1, as the SQuAD script
  cosine                                  -1 to 1, of sentence embeddings (all-MiniLM-L6-v2)

The 95 % interval is a bootstrap over examples (1,000 resamples, fixed seed). The signature names
all that can change a value: quote it with the number.

Examples:
  tutelage score --predictions p.jsonl
  tutelage score --predictions p.jsonl --references r.jsonl --metrics rouge-l,bleu --format json
  tutelage score --predictions p.jsonl --per-example values.jsonl";

/// Scores predictions against references, as sacrebleu, rouge-score and the SQuAD script do.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Score {
    /// JSON lines with predictions, one object per example.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// JSON lines with references, joined by id to predictions that have none.
    #[arg(long, value_name = "FILE")]
    references: Option<PathBuf>,
    /// Metrics, separated by commas; `all` are those below, cosine only if an embedding model is
    /// found.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    metrics: Vec<String>,
    /// Folder of a sentence-embedding model, for cosine; the one that `make setup` installs by
    /// default.
    #[arg(long, value_name = "DIR")]
    embedding_model: Option<PathBuf>,
    /// Writes one row {"id", "metric", "value"} per example and metric to this file, as `tutelage
    /// compare` reads it.
    #[arg(long, value_name = "FILE")]
    per_example: Option<PathBuf>,
}

/// A row as typed: one reference or several.
#[derive(Debug, Deserialize)]
struct Typed {
    id: Id,
    prediction: Option<String>,
    reference: Option<String>,
    references: Option<Vec<String>>,
    question: Option<String>,
    context: Option<String>,
}

/// An identifier: text, or a whole number as many programs write it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub(super) struct Id(pub(super) String);

impl TryFrom<serde_json::Value> for Id {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        match value {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(format!("`id` should be text or a number, found {other}")),
        }
    }
}

impl Typed {
    fn references(&self) -> Option<Vec<String>> {
        self.references.clone().or_else(|| Some(vec![self.reference.clone()?]))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    metrics: Vec<Value<'a>>,
}

/// A corpus value as printed.
#[derive(Serialize)]
struct Value<'a> {
    metric: MetricName,
    value: f64,
    unit: &'a str,
    direction: tutelage_metrics::metric::Direction,
    signature: &'a str,
    n: usize,
    ci: [f64; 2],
}

#[derive(Serialize)]
struct PerExample<'a> {
    id: &'a str,
    metric: MetricName,
    value: f64,
}

impl Score {
    /// Scores the predictions.
    ///
    /// # Errors
    /// Files that cannot be read or written, rows without references, unknown metrics.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let metrics = self.names()?;
        if let Some(path) = &self.per_example {
            files::try_write(path)?;
        }
        let rows = self.rows()?;
        let embedder = self.embedder(&metrics)?;
        let scored = score(&rows, &metrics, embedder.as_deref()).map_err(|error| match error.remedy() {
            Some(remedy) => anyhow::anyhow!("{error}\nhint: {remedy}"),
            None => error.into(),
        })?;
        if let Some(path) = &self.per_example {
            let values: Vec<PerExample<'_>> = scored.iter().flat_map(per_example).collect();
            rows::write(path, &values)?;
        }
        let shown = Shown { metrics: scored.iter().map(value).collect() };
        output.result(&shown, || text(&shown))?;
        Ok(Verdict::Good)
    }

    fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let references = match &self.references {
            Some(path) => references(path)?,
            None => BTreeMap::new(),
        };
        let typed: Vec<Typed> = rows::read(&self.predictions)?;
        let row = |(position, typed): (usize, Typed)| {
            let references = typed.references().or_else(|| references.get(&typed.id.0).cloned());
            let Some(prediction) = typed.prediction else {
                bail!("`{}`, row {}: no `prediction`", self.predictions.display(), position + 1);
            };
            let Some(references) = references else {
                bail!(
                    "`{}`, row {}: no `reference`, `references`, nor a row of `--references` with id `{}`",
                    self.predictions.display(),
                    position + 1,
                    typed.id.0
                );
            };
            Ok(Row { id: typed.id.0, prediction, references, question: typed.question, context: typed.context })
        };
        typed.into_iter().enumerate().map(row).collect()
    }

    fn names(&self) -> anyhow::Result<Vec<MetricName>> {
        if self.metrics == ["all"] {
            let has_model = self.embedding_folder().is_some();
            let computable = |name: &MetricName| has_model || name.metric().family != Family::Embedding;
            return Ok(MetricName::of_text().into_iter().filter(computable).collect());
        }
        Ok(self.metrics.iter().map(|name| name.trim().parse()).collect::<Result<_, _>>()?)
    }

    fn embedding_folder(&self) -> Option<PathBuf> {
        crate::evaluate::embedding_model(self.embedding_model.as_deref()).ok()
    }

    fn embedder(&self, metrics: &[MetricName]) -> anyhow::Result<Option<Box<dyn Embedder>>> {
        if metrics.iter().all(|name| name.metric().family != Family::Embedding) {
            return Ok(None);
        }
        let folder = crate::evaluate::embedding_model(self.embedding_model.as_deref()).map_err(|error| {
            let hint = error.hint();
            anyhow::anyhow!("{error}\nhint: {hint}")
        })?;
        let compute = crate::device::start(&crate::experiment::settings::Compute::default())?;
        Ok(Some(crate::orchestrate::worker::Engine { compute }.embedder(&folder)?))
    }
}

fn references(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let typed: Vec<Typed> = rows::read(path)?;
    let mut references = BTreeMap::new();
    for (position, row) in typed.into_iter().enumerate() {
        let texts = row
            .references()
            .with_context(|| format!("`{}`, row {}: no `reference` or `references`", path.display(), position + 1))?;
        if references.insert(row.id.0.clone(), texts).is_some() {
            bail!("`{}`, row {}: id `{}` occurs before", path.display(), position + 1, row.id.0);
        }
    }
    Ok(references)
}

fn value(scored: &Scored) -> Value<'_> {
    Value {
        metric: scored.metric,
        value: scored.value,
        unit: &scored.unit,
        direction: scored.direction,
        signature: &scored.signature,
        n: scored.n,
        ci: scored.ci,
    }
}

fn per_example(scored: &Scored) -> impl Iterator<Item = PerExample<'_>> {
    scored.examples.iter().map(|example| PerExample { id: &example.id, metric: scored.metric, value: example.value })
}

fn text(shown: &Shown<'_>) -> String {
    let head = ["metric", "value", "95 % interval", "unit", "n", "signature"].map(str::to_owned);
    let row = |value: &Value<'_>| {
        [
            value.metric.to_string(),
            format!("{:.4}", value.value),
            format!("{:.4} to {:.4}", value.ci[0], value.ci[1]),
            value.unit.to_owned(),
            value.n.to_string(),
            value.signature.to_owned(),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(shown.metrics.iter().map(row)).collect();
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_metric_of_text() {
        for name in MetricName::of_text() {
            let name = name.to_string();
            assert!(HELP.split([' ', ',', '\n']).any(|word| word == name), "{name}");
        }
    }
}
