//! What an experiment file says, as plain data: every key, its type and its default.
//!
//! Choices are externally tagged (`[tuning.lora]`), unknown keys are refused, and a default is
//! filled in on reading, so that writing a value back spells out everything that was used.
//! Knows nothing of tensors, files or models.

mod algorithm;
mod compute;
mod data;
mod decoding;
mod evaluation;
mod hypothesis;
mod models;
mod recipe;
mod training;
mod tuning;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::algorithm::{Algorithm, Alignment, Divergence};
pub use self::compute::{Compute, DeviceChoice, Energy, PrecisionChoice};
pub use self::data::{Column, Data, GroupBy, Importer, Kind, Origin, Split, SplitName, Template, WindowAt};
pub use self::decoding::{Decoding, Greedy, Sample};
pub use self::evaluation::{Evaluation, OptionsShown, SetSettings, Task};
pub use self::hypothesis::{Contrast, Hypothesis, Interaction, Margin, Ranked, Rivalled, Within};
pub use self::models::{Architecture, Model, Scratch, TokenizerSource};
pub use self::recipe::{Adapters, Changes, DistillStep, Recipe, Step, TrainStep};
pub use self::training::{OptimizerStates, Schedule, Training, TrainingPlan, Validate};
pub use self::tuning::{BaseFormat, Initialisation, Lora, TargetPreset, Tuning, is_pattern, pattern};
pub use super::factors::{Factors, Level, SftLevel};

/// Holds a whole experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// Version of the format: 1.
    pub version: u32,
    /// The question that the report answers on its first page.
    pub question: String,
    /// The publication that is re-run, such as `arXiv:2504.20000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduces: Option<String>,
    /// Seeds of the trials; each arm runs once per seed.
    pub seeds: Vec<u64>,
    /// What each seed trains anew.
    #[serde(default)]
    pub retrain: Retrain,
    /// Levels of the arm that tables compare with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<String, String>,
    /// Significance level of the hypotheses, all together.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Values that the publication does not give, in words; printed in the report.
    #[serde(default)]
    pub assumptions: Vec<String>,
    /// The data sets.
    pub data: BTreeMap<String, Data>,
    /// Tokenizers that scratch models name.
    #[serde(default)]
    pub tokenizers: BTreeMap<String, TokenizerSource>,
    /// Students and teachers.
    pub models: BTreeMap<String, Model>,
    /// What happens to the model under study; by default what the factors say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// What happens to other models, such as teachers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recipes: BTreeMap<String, Recipe>,
    /// Steps of recipes with settings of their own, by name. A step `sft` or `distill` that is not here has
    /// those of the experiment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, Step>,
    /// The crossed factors.
    #[serde(default, skip_serializing_if = "Factors::is_empty")]
    pub factors: Factors,
    /// Combinations of levels that are left out of the design.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<BTreeMap<String, String>>,
    /// The combinations of levels that the design consists of; all, by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<BTreeMap<String, String>>,
    /// Distillation algorithms that the factor `algorithm` names.
    #[serde(default)]
    pub algorithms: BTreeMap<String, Algorithm>,
    /// Which parameters are trained.
    #[serde(default)]
    pub tuning: Tuning,
    /// Optimisation of each kind of training stage.
    #[serde(default)]
    pub training: TrainingPlan,
    /// Decoding and metrics.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// Device and precision.
    #[serde(default)]
    pub compute: Compute,
    /// Constants of energy estimates.
    #[serde(default)]
    pub energy: Energy,
    /// Claims written before the run.
    #[serde(default)]
    pub hypotheses: Vec<Hypothesis>,
}

/// Says what each seed trains anew, hence what a result over seeds is generalised over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retrain {
    /// Students: teachers and pretrained models are those of the first seed.
    #[default]
    Students,
    /// Students, teachers and pretrained models, and so what teachers tell.
    All,
}

fn alpha() -> f64 {
    0.05
}
