//! `tutelage score`: metrics of predictions from any program.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tutelage_metrics::blind::Unseen;
use tutelage_metrics::embedding::Embedder;
use tutelage_metrics::metric::{Direction, Family, MetricName};
use tutelage_metrics::ngram::tokenizer::Tokenizer;
use tutelage_metrics::score::{Scored, Settings, score};

use super::Verdict;
use super::output::{Output, columns};
use super::outputs::{self, Force};
use super::predictions::{Joined, Sources};
use crate::evaluate::embedder::SentenceEmbedder;
use crate::orchestrate::stages::rows;

const HELP: &str = "\
A row of the predictions is {\"id\", \"prediction\"} with \"reference\" or \"references\" (a text or a list,
any of which is right), and optionally \"group\": what questions share that do not count as
independent, such as a document. A row of `--references` is {\"id\", \"reference\"} or {\"id\",
\"references\"}, also with a group. Ids are texts or whole numbers, each once; 1 and \"1\" are the same.

A reference without a prediction is an error that names it, or with `--missing wrong` a wrong
answer. Whatever else is not as it should be is told on stderr, also with --quiet, and in `notes` of
the JSON.

Metrics, all better when higher:
  bleu, chrf, chrf++                      0 to 100, over the whole corpus, as sacrebleu
  rouge-1, rouge-2, rouge-l, rouge-lsum   0 to 1, F1 with Porter stemming, as rouge-score
  exact-match, token-f1                   0 to 1, as the SQuAD script
  cosine                                  -1 to 1, of sentence embeddings (all-MiniLM-L6-v2)

The 95 % interval is a bootstrap over groups, or over questions where rows have no group (1,000
resamples, fixed seed). The signature names all that can change a value: quote it with the number.

A file that `--per-example` names is only replaced if it is empty or its first line is such a row.

Examples:
  tutelage score --predictions p.jsonl
  tutelage score --predictions p.jsonl --references r.jsonl --metrics rouge-l,bleu --format json
  tutelage score --predictions p.jsonl --per-example values.jsonl";

/// Scores predictions against references, as sacrebleu, rouge-score and the SQuAD script do.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Score {
    #[command(flatten)]
    sources: Sources,
    /// Metrics, separated by commas; `all` are those below, cosine only if an embedding model is
    /// found.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    metrics: Vec<String>,
    /// Tokens that BLEU counts, as sacrebleu's `--tokenize`: zh for Chinese, char for other scripts
    /// without spaces.
    #[arg(long, value_enum, default_value_t = TokenizerName::Mteval13a)]
    bleu_tokenizer: TokenizerName,
    /// What the intervals resample: groups where rows have them, or questions all the same.
    #[arg(long, value_enum, default_value_t = UnitName::Group)]
    unit: UnitName,
    /// Folder of a sentence-embedding model, for cosine; the one that `make setup` installs by
    /// default.
    #[arg(long, value_name = "DIR")]
    embedding_model: Option<PathBuf>,
    /// Writes one row {"id", "metric", "value", "signature"} per example and metric to this file, with
    /// "group" and the counts of BLEU and chrF, as `tutelage compare` reads it.
    #[arg(long, value_name = "FILE")]
    per_example: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

/// BLEU's tokenizers by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TokenizerName {
    /// Words and ASCII punctuation.
    #[value(name = "13a")]
    Mteval13a,
    /// Words, punctuation and symbols of any script.
    Intl,
    /// Chinese characters one by one, the rest as 13a.
    Zh,
    /// All characters one by one.
    Char,
    /// Whatever white space parts.
    None,
}

impl From<TokenizerName> for Tokenizer {
    fn from(name: TokenizerName) -> Self {
        match name {
            TokenizerName::Mteval13a => Self::Mteval13a,
            TokenizerName::Intl => Self::International,
            TokenizerName::Zh => Self::Chinese,
            TokenizerName::Char => Self::Character,
            TokenizerName::None => Self::None,
        }
    }
}

/// What counts as independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum UnitName {
    /// Groups where rows have them, else questions.
    Group,
    /// Questions, whatever group they are of.
    Question,
}

#[derive(Serialize)]
struct Shown<'a> {
    metrics: Vec<ShownValue<'a>>,
    /// What the intervals resample.
    unit: &'static str,
    units: usize,
    /// References without a prediction, counted as wrong.
    missing: usize,
    notes: &'a [String],
}

/// A corpus value as printed.
#[derive(Serialize)]
struct ShownValue<'a> {
    metric: MetricName,
    value: f64,
    unit: &'a str,
    direction: Direction,
    signature: &'a str,
    n: usize,
    ci: [f64; 2],
}

#[derive(Serialize)]
struct PerExample<'a> {
    id: &'a str,
    metric: MetricName,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "<[f64]>::is_empty")]
    counts: &'a [f64],
    signature: &'a str,
}

impl Score {
    /// Scores the predictions.
    ///
    /// # Errors
    /// Files that cannot be read or written, rows without references, unknown metrics.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let metrics = self.names()?;
        if let Some(path) = &self.per_example {
            outputs::claim("--per-example", path, &self.inputs(), self.force, is_per_example)?;
        }
        let Joined { mut rows, missing, mut notes, unread_groups } = self.sources.join()?;
        if self.unit == UnitName::Group {
            notes.extend(unread_groups);
        }
        let groups: Vec<Option<String>> = rows.iter().map(|row| row.group.clone()).collect();
        if self.unit == UnitName::Question && groups.iter().any(Option::is_some) {
            rows.iter_mut().for_each(|row| row.group = None);
            notes.push("questions are counted as independent, though rows have groups".to_owned());
        }
        let unit = if rows.iter().any(|row| row.group.is_some()) { "group" } else { "question" };
        let embedder = self.embedder(&metrics)?;
        let settings = Settings { embedder: embedder.as_deref(), bleu_tokenizer: self.bleu_tokenizer.into() };
        let scored = score(&rows, &metrics, &settings).map_err(|error| match error.remedy() {
            Some(remedy) => anyhow::anyhow!("{error}\nhint: {remedy}"),
            None => error.into(),
        })?;
        if let Some(path) = &self.per_example {
            let values: Vec<PerExample<'_>> = scored.iter().flat_map(|scored| per_example(scored, &groups)).collect();
            rows::write(path, &values)?;
        }
        let units = scored.first().map_or(0, |scored| scored.units);
        if unit == "group" && units < FEW {
            notes.push(format!("the intervals rest on {units} groups: too few to trust them"));
        }
        notes.extend(unseen(&scored));
        for note in &notes {
            output.warn(&format!("note: {note}"));
        }
        let shown = Shown { metrics: scored.iter().map(value).collect(), unit, units, missing, notes: &notes };
        output.result(&shown, || text(&shown))?;
        Ok(Verdict::Good)
    }

    /// The files and folders that are read.
    fn inputs(&self) -> Vec<(&str, &Path)> {
        let mut inputs = vec![("--predictions", self.sources.predictions.as_path())];
        inputs.extend(self.sources.references.as_deref().map(|path| ("--references", path)));
        inputs.extend(self.embedding_model.as_deref().map(|path| ("--embedding-model", path)));
        inputs
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
        Ok(Some(Box::new(SentenceEmbedder::load(&folder, compute.device)?)))
    }
}

/// Fewer groups than these give intervals that are far too narrow; the t distribution with nine degrees
/// of freedom is 15 % wider than the normal one.
const FEW: usize = 10;

/// Says whether a file is one that `--per-example` wrote: by its first row, signed by this program.
fn is_per_example(path: &Path) -> bool {
    let row = outputs::first_line(path).and_then(|line| serde_json::from_str::<Value>(&line).ok());
    row.is_some_and(|row| {
        let is_signed = row["signature"].as_str().is_some_and(|signature| signature.contains("|version:tutelage-"));
        is_signed && row["id"].is_string() && row["metric"].is_string() && row["value"].is_number()
    })
}

/// Words what metrics do not see in these texts; what several do not see is told once.
fn unseen(scored: &[Scored]) -> Vec<String> {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for blind in scored.iter().flat_map(|scored| &scored.blind) {
        let remedy = match (blind.to, blind.metric) {
            (Unseen::Unspaced, MetricName::Bleu) => {
                "use `--bleu-tokenizer zh` for Chinese, `--bleu-tokenizer char` for any script, or chrf"
            }
            _ => blind.remedy(),
        };
        let text = format!("{} ({}); {remedy}", blind.what(), blind.extent());
        let name = blind.metric.to_string();
        match told.iter_mut().find(|(known, _)| *known == text) {
            Some((_, metrics)) => metrics.push(name),
            None => told.push((text, vec![name])),
        }
    }
    told.into_iter().map(|(text, metrics)| format!("{}: {text}", metrics.join(", "))).collect()
}

fn value(scored: &Scored) -> ShownValue<'_> {
    ShownValue {
        metric: scored.metric,
        value: scored.value,
        unit: &scored.unit,
        direction: scored.direction,
        signature: &scored.signature,
        n: scored.n,
        ci: scored.ci,
    }
}

fn per_example<'a>(scored: &'a Scored, groups: &'a [Option<String>]) -> impl Iterator<Item = PerExample<'a>> {
    scored.examples.iter().zip(groups).map(|(example, group)| PerExample {
        id: &example.id,
        metric: scored.metric,
        value: example.value,
        group: group.as_deref(),
        counts: &example.counts,
        signature: &scored.example_signature,
    })
}

fn text(shown: &Shown<'_>) -> String {
    let head = ["metric", "value", "95 % interval", "unit", "n", "signature"].map(str::to_owned);
    let row = |value: &ShownValue<'_>| {
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
    let mut text = columns(&rows);
    if shown.unit == "group" {
        text += &format!("\nThe intervals resample {} groups.\n", shown.units);
    }
    text
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

    #[test]
    fn every_tokenizer_of_bleu_can_be_chosen_by_its_name() {
        for name in TokenizerName::value_variants() {
            let shown = name.to_possible_value().unwrap();
            assert_eq!(Tokenizer::from(*name).id(), shown.get_name());
        }
        assert_eq!(TokenizerName::value_variants().len(), Tokenizer::ALL.len());
    }
}
