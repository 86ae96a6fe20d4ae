//! The stage `prepare`: data sets and tokenizers.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::execute::Inputs;
use super::job::{DataJob, TokenizerJob};
use super::rows;
use crate::data::{Example, SplitName, Tokenizer, corpus, import, split};
use crate::experiment::settings::TokenizerSource;
use crate::files;

/// Says what a prepared data set holds; kept as `summary.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Examples of train, dev and test.
    pub examples: [u64; 3],
    /// Rows left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Rows kept with a reservation, by reason.
    pub notes: BTreeMap<String, u64>,
    /// BLAKE3 of the source.
    pub checksum: String,
}

/// Returns the file of a split in a prepared data set.
#[must_use]
pub fn split_file(data: &Path, split: SplitName) -> std::path::PathBuf {
    data.join(format!("{split}.jsonl"))
}

/// Reads a split of a prepared data set.
///
/// # Errors
/// A file that cannot be read.
pub fn read_split(data: &Path, split: SplitName) -> anyhow::Result<Vec<Example>> {
    rows::read(&split_file(data, split))
}

/// Reads the texts of a prepared data set, for pretraining and tokenizers.
///
/// # Errors
/// A file that cannot be read.
pub fn read_corpus(data: &Path) -> anyhow::Result<Vec<String>> {
    rows::read(&data.join("corpus.jsonl"))
}

/// Reads what a prepared data set holds.
///
/// # Errors
/// A file that cannot be read.
pub fn read_summary(data: &Path) -> anyhow::Result<Summary> {
    let path = data.join("summary.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Imports and divides a data set.
///
/// # Errors
/// See [`import()`] and [`split()`].
pub fn data(job: &DataJob, output: &Path) -> anyhow::Result<()> {
    let imported = import(&job.data, Path::new("")).map_err(|error| with_hint(error.hint(), error))?;
    let splits =
        split(&imported.examples, &job.data.split, job.data.limit).map_err(|error| with_hint(error.hint(), error))?;
    rows::write(&output.join("corpus.jsonl"), &corpus::texts(&splits.train, &imported.passages, job.data.closed_book))?;
    let parts = [(SplitName::Train, &splits.train), (SplitName::Dev, &splits.dev), (SplitName::Test, &splits.test)];
    for (name, examples) in parts {
        rows::write(&split_file(output, name), examples)?;
    }
    let summary = Summary {
        examples: parts.map(|(_, examples)| examples.len() as u64),
        skipped: imported.skipped,
        notes: imported.notes,
        checksum: imported.checksum,
    };
    Ok(files::write_json(&output.join("summary.json"), &summary)?)
}

/// Trains a tokenizer on the texts of the training split, or copies one.
///
/// # Errors
/// See [`Tokenizer::load`] and [`Tokenizer::train`].
pub fn tokenizer(job: &TokenizerJob, inputs: &Inputs, output: &Path) -> anyhow::Result<()> {
    let tokenizer = match &job.tokenizer {
        TokenizerSource::File { .. } => Tokenizer::load(inputs.get("source")?),
        trained => Tokenizer::train(trained, &read_corpus(inputs.get("data")?)?),
    };
    let tokenizer = tokenizer.map_err(|error| with_hint(error.hint(), error))?;
    Ok(tokenizer.save(output)?)
}

/// Puts the remedy after the error and its causes, where people read it.
pub(crate) fn with_hint(hint: &str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::anyhow!("{:#}\nhint: {hint}", anyhow::Error::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::Experiment;

    #[test]
    fn prepared_data_reads_back_with_its_counts() {
        let folder = tempfile::tempdir().unwrap();
        let text = "version = 1\nquestion = \"?\"\nseeds = [1]\n[data.g]\nimporter = \"glossary\"\n\
            split.group-by = \"given\"\n[models]\n[factors]\nstudent = []\nteacher = []\nalgorithm = []";
        let experiment: Experiment = toml::from_str(text).unwrap();
        let job = DataJob { data: experiment.data["g"].clone(), embedded: None };
        data(&job, folder.path()).unwrap();
        let summary = read_summary(folder.path()).unwrap();
        let counted = [SplitName::Train, SplitName::Dev, SplitName::Test]
            .map(|split| read_split(folder.path(), split).unwrap().len() as u64);
        assert_eq!(summary.examples, counted);
        assert!(counted.iter().all(|&count| count > 100), "{counted:?}");
        let train = read_split(folder.path(), SplitName::Train).unwrap();
        // Asked without a context: each question is a text beside the passages.
        assert!(read_corpus(folder.path()).unwrap().len() > train.len() / 2);
    }
}
