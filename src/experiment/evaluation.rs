//! Evaluation sets with every setting: what the file leaves out is filled in.

use super::datasets::{Need, meant};
use super::document::KeyPath;
use super::settings::{Decoding, Experiment, Kind, OptionsShown, SetSettings, SplitName, Task};

/// Metrics of [`Task::Choice`], unless the set names others.
const OF_CHOICE: [&str; 2] = ["acc", "acc-norm"];

/// Metrics of [`Task::Perplexity`], unless the set names others.
const OF_TEXTS: [&str; 3] = ["nll", "perplexity", "bits-per-byte"];

/// Stands between the name of a set and that of a metric.
pub const SEPARATOR: char = '/';

/// What results may be divided by that every example has.
pub const GROUP: &str = "group";

/// A part of a data set that every model is asked, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationSet {
    /// Its name; none of the only set of an experiment that names none.
    pub name: Option<String>,
    /// Name of the data set.
    pub data: String,
    /// Which part of it.
    pub split: SplitName,
    /// What is asked.
    pub task: Task,
    /// Metrics by name.
    pub metrics: Vec<String>,
    /// What results are divided by.
    pub by: Option<String>,
    /// How answers are decoded.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Longest sequence, in tokens; as the model was trained where there is none.
    pub max_length: Option<usize>,
    /// Asks so many examples only.
    pub limit: Option<usize>,
    /// How options are offered.
    pub options: OptionsShown,
}

impl EvaluationSet {
    /// Returns the name of a metric among all columns of the study: `rouge-l`, of a named set
    /// `support/rouge-l`.
    #[must_use]
    pub fn column(&self, metric: &str) -> String {
        match &self.name {
            Some(name) => format!("{name}{SEPARATOR}{metric}"),
            None => metric.to_owned(),
        }
    }

    /// Returns where the file describes it.
    #[must_use]
    pub fn at(&self) -> KeyPath {
        let at = KeyPath::from("evaluation");
        self.name.as_ref().map_or(at.clone(), |name| at.key(name))
    }
}

/// Lists the evaluation sets of an experiment in the order of the file; those whose data set cannot be told
/// are left out.
#[must_use]
pub fn evaluation_sets(experiment: &Experiment) -> Vec<EvaluationSet> {
    let evaluation = &experiment.evaluation;
    if evaluation.sets.is_empty() {
        return set(experiment, None, &SetSettings::default()).into_iter().collect();
    }
    evaluation.sets.iter().filter_map(|(name, settings)| set(experiment, Some(name), settings)).collect()
}

/// Returns the data set of an evaluation set.
///
/// # Errors
/// The names of those that it could be.
pub(super) fn data_of<'e>(
    experiment: &'e Experiment,
    name: Option<&'e str>,
    settings: &'e SetSettings,
) -> Result<&'e str, Vec<&'e str>> {
    let own = name.filter(|name| experiment.data.contains_key(*name));
    let need = match settings.task {
        Some(Task::Perplexity) => Need::Texts,
        Some(Task::Answer | Task::Choice) | None => Need::Questions,
    };
    // With one data set, its kind says what is asked.
    let only = experiment.data.keys().next().filter(|_| experiment.data.len() == 1).map(String::as_str);
    meant(experiment, settings.data.as_deref().or(own).or(only), need)
}

fn set(experiment: &Experiment, name: Option<&str>, settings: &SetSettings) -> Option<EvaluationSet> {
    let evaluation = &experiment.evaluation;
    let data = data_of(experiment, name, settings).ok()?;
    let task = settings.task.unwrap_or(match experiment.data.get(data)?.importer.kind() {
        Kind::Text => Task::Perplexity,
        Kind::Choice => Task::Choice,
        Kind::QuestionAnswer | Kind::Chat => Task::Answer,
    });
    let named = |metrics: &[&str]| metrics.iter().map(|&metric| metric.to_owned()).collect();
    let usual = || match task {
        Task::Answer => evaluation.metrics.clone(),
        Task::Choice => named(&OF_CHOICE),
        Task::Perplexity => named(&OF_TEXTS),
    };
    Some(EvaluationSet {
        name: name.map(str::to_owned),
        data: data.to_owned(),
        split: settings.split.unwrap_or(SplitName::Test),
        task,
        metrics: settings.metrics.clone().unwrap_or_else(usual),
        by: settings.by.clone(),
        decoding: settings.decoding.as_ref().unwrap_or(&evaluation.decoding).clone(),
        max_new_tokens: settings.max_new_tokens.unwrap_or(evaluation.max_new_tokens),
        max_length: settings.max_length,
        limit: settings.limit.or(evaluation.limit),
        options: settings.options.unwrap_or_default(),
    })
}
