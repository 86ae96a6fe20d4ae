//! Optimisation of stages that train.

use serde::{Deserialize, Serialize};

/// Gives each kind of training stage its optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainingPlan {
    /// Scratch models on the texts of the training split.
    pub pretrain: Training,
    /// Fine-tuning on questions and answers.
    pub sft: Training,
    /// Distillation.
    pub distill: Training,
}

impl Default for TrainingPlan {
    fn default() -> Self {
        let pretrain = Training {
            weight_decay: 0.1,
            schedule: Schedule::Cosine { warmup: 0.05, floor: 1e-5 },
            ..Training::default()
        };
        Self { pretrain, sft: Training::default(), distill: Training::default() }
    }
}

/// Describes the optimisation of one stage (AdamW).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Training {
    /// Passes over the training split.
    pub epochs: f64,
    /// Sequences of one optimiser step.
    pub batch: usize,
    /// Parts that a step is computed in, to save memory; changes rounding and the draw of dropout only.
    pub accumulation: usize,
    /// Layers compute their activations again on the way back instead of keeping them: less memory for one
    /// more forward pass; changes the draw of dropout only.
    #[serde(skip_serializing_if = "is_off")]
    pub gradient_checkpointing: bool,
    /// Number format of the optimiser's moments.
    #[serde(skip_serializing_if = "OptimizerStates::is_f32")]
    pub optimizer_states: OptimizerStates,
    /// Peak learning rate.
    pub lr: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Decoupled weight decay; not applied to norms and biases.
    pub weight_decay: f64,
    /// Largest gradient norm; none, or `inf` in a file, for no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Longest sequence, in tokens, response included.
    pub max_length: usize,
    /// Longest prompt, in tokens; a longer one loses its left end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<usize>,
    /// When the dev split is measured and the best state kept.
    pub validate: Validate,
    /// States of the lowest dev losses that are kept: the best is the result, the others lie beside it.
    #[serde(skip_serializing_if = "is_one")]
    pub keep_best: usize,
    /// Ends training after so many epochs in a row without a lower dev loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Optimiser steps between two saved states of the stage.
    pub checkpoint_every: usize,
    /// Minutes after which a state is saved, too, where that is sooner.
    pub checkpoint_minutes: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            batch: 16,
            accumulation: 1,
            gradient_checkpointing: false,
            optimizer_states: OptimizerStates::F32,
            lr: 1e-3,
            schedule: Schedule::default(),
            weight_decay: 0.01,
            clip: Some(1.0),
            max_length: 512,
            max_prompt: None,
            validate: Validate::Epoch,
            keep_best: 1,
            patience: None,
            checkpoint_every: 200,
            checkpoint_minutes: 5.0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_off(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_one(count: &usize) -> bool {
    *count == 1
}

/// Says how the optimiser keeps its running means of gradients and of their squares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OptimizerStates {
    /// In 32 bits: eight bytes for each trained number.
    #[default]
    #[serde(rename = "f32")]
    F32,
    /// In eight bits with a scale for each 256: two bytes, but for embeddings and parameters of fewer than 4,096
    /// numbers.
    #[serde(rename = "8bit")]
    EightBits,
}

impl OptimizerStates {
    /// Says whether they are the default.
    // What serde asks with takes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// Describes the course of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays at its peak after warm-up.
    Constant {
        /// Share of all steps for linear warm-up.
        #[serde(default)]
        warmup: f64,
    },
    /// Falls linearly to `floor`.
    Linear {
        /// Share of all steps for linear warm-up.
        #[serde(default)]
        warmup: f64,
        /// Learning rate at the end.
        #[serde(default)]
        floor: f64,
    },
    /// Stays at its peak, and falls linearly to `floor` over the last share of the steps: warm-up, stable, decay.
    Wsd {
        /// Share of all steps for linear warm-up.
        #[serde(default)]
        warmup: f64,
        /// Share of all steps in which it falls.
        #[serde(default = "tenth")]
        decay: f64,
        /// Learning rate at the end.
        #[serde(default)]
        floor: f64,
    },
    /// Falls along half a cosine to `floor`.
    Cosine {
        /// Share of all steps for linear warm-up.
        #[serde(default)]
        warmup: f64,
        /// Learning rate at the end.
        #[serde(default)]
        floor: f64,
    },
}

fn tenth() -> f64 {
    0.1
}

impl Default for Schedule {
    fn default() -> Self {
        // Cosine to 1e-7 without warm-up: DSKD's scripts.
        Self::Cosine { warmup: 0.0, floor: 1e-7 }
    }
}

/// Says when the dev split is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validate {
    /// After each epoch; the state with the lowest dev loss is kept.
    Epoch,
    /// After the last step; the last state is kept.
    End,
}
