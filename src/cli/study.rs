//! Opening an experiment: what the commands on experiments have in common.

use std::path::{Path, PathBuf};

use clap::Args;
use tutelage_metrics::metric::METRICS;

use super::output::{Format, Output};
use crate::data::{Tokenizer, import, split};
use crate::evaluate::locate;
use crate::experiment::settings::{Experiment, Model, TokenizerSource};
use crate::experiment::{Checked, Faults, Loaded, Surroundings, check, load};
use crate::orchestrate::hub;

/// Names an experiment and changes to it.
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// The experiment file.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: PathBuf,
    /// Changes a setting: `training.distill.lr=5e-4`, `data.telequad.path=qa.json`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Names a store.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Folder of finished stages, shared by experiments.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub store: PathBuf,
}

/// Returns the default sentence-embedding model if it is installed.
#[must_use]
pub fn embedding_model() -> Option<PathBuf> {
    locate::embedding_model(None).ok()
}

impl StudyArgs {
    /// Reads the experiment and looks for every fault in it.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<Checked, Faults> {
        let mut loaded = load(&self.experiment, &self.set);
        let train_examples = train_examples(&mut loaded);
        let experiment = loaded.experiment.clone();
        let metrics = METRICS.map(|metric| metric.id);
        let same_vocabulary = |a: &str, b: &str| {
            let experiment = experiment.as_ref()?;
            Some(tokenizer(experiment, a)?.same_vocabulary(&tokenizer(experiment, b)?))
        };
        let around = Surroundings {
            metrics: &metrics,
            same_vocabulary: &same_vocabulary,
            downloaded: &|name| hub::locate(&format!("hf:{name}")).is_some(),
            train_examples,
            default_embedding_model: embedding_model().is_some(),
        };
        check(loaded, &around)
    }

    /// Reads the experiment, or tells all its faults.
    #[must_use]
    pub fn open(&self, output: &Output) -> Option<Checked> {
        match self.check() {
            Ok(checked) => Some(checked),
            Err(faults) => {
                output.faults(&faults);
                None
            }
        }
    }
}

impl Output {
    /// Tells the faults of an experiment: underlined on stderr, as JSON on stdout if asked for.
    pub fn faults(&self, faults: &Faults) {
        match self.format() {
            Format::Json => self.json(&faults.to_json()),
            Format::Text => self.warn(faults.render(self.color()).trim_end()),
        }
    }
}

/// Counts the training examples, or adds what is wrong with the data to the faults.
fn train_examples(loaded: &mut Loaded) -> Option<usize> {
    let experiment = loaded.experiment.as_ref()?;
    let (name, data) = experiment.data.first_key_value()?;
    // A path that is not there is told by the check, at its place.
    if data.path.as_ref().is_some_and(|path| !path.is_file()) {
        return None;
    }
    let at = format!("data.{name}");
    let divided = match import(data, Path::new("")) {
        Ok(imported) => split(&imported.examples, &data.split, data.limit)
            .map_err(|error| (format!("{at}.split"), error.to_string(), error.hint())),
        Err(error) => {
            let hint = error.hint();
            let error = anyhow::Error::new(error);
            Err((format!("{at}.path"), format!("{error:#}"), hint))
        }
    };
    match divided {
        Ok(splits) => Some(splits.train.len()),
        Err((path, message, hint)) => {
            loaded.faults.at(path.as_str(), message, hint);
            None
        }
    }
}

/// Loads the tokenizer of a model where it can be had without training.
fn tokenizer(experiment: &Experiment, model: &str) -> Option<Tokenizer> {
    let folder = match experiment.models.get(model)? {
        Model::Checkpoint(checkpoint) => hub::locate(checkpoint)?,
        Model::Scratch(scratch) => match experiment.tokenizers.get(&scratch.tokenizer)? {
            TokenizerSource::File { path } => path.clone(),
            _ => return None,
        },
    };
    Tokenizer::load(&folder).ok()
}
