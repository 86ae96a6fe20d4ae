//! What happens to models: recipes and their steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SplitName;

/// Says what happens to a model, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Recipe {
    /// The model that it starts from; none where a factor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Names of steps; no step leaves the model as it is. None where factors say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<String>>,
}

/// Describes one step of a recipe. What it leaves out is as the experiment has it in `tuning` and in
/// `training` of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// Goes on with pretraining, on texts.
    Pretrain(TrainStep),
    /// Fine-tunes on questions and answers, or on conversations.
    Sft(TrainStep),
    /// Learns from a teacher.
    Distill(DistillStep),
}

/// Describes a step that learns from data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainStep {
    /// A data set; the only one of a fitting kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Which part of it is learned; train.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitName>,
    /// Shares of other data sets among what is learned, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replay: BTreeMap<String, f64>,
    /// What happens to adapters of an earlier step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapters>,
    /// Changes to the experiment's `tuning`.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub tuning: Changes,
    /// Changes to the experiment's `training.pretrain` or `training.sft`.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub training: Changes,
}

/// Describes a step of distillation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DistillStep {
    /// A recipe of `recipes`, or a model that teaches as it is; none where a factor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// An algorithm; none where a factor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// A data set; the only one of a fitting kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What happens to adapters of an earlier step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapters>,
    /// Changes to the experiment's `tuning`.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub tuning: Changes,
    /// Changes to the experiment's `training.distill`.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub training: Changes,
}

/// Says what happens to the adapters of an earlier step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapters {
    /// They are trained on; they have to be the ones that the step would add.
    Keep,
    /// They become part of the weights, in f32, before the step begins.
    Merge,
    /// They stay as they are, and the step adds its own on top.
    Stack,
}

/// Settings that are laid over others, as an experiment file has them.
pub type Changes = BTreeMap<String, toml::Value>;
