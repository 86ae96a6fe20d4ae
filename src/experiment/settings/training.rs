//! Tuning and optimisation of stages that train.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Says which parameters are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Tuning {
    /// All of them.
    Full {},
    /// Low-rank adapters.
    Lora(Lora),
}

impl Default for Tuning {
    fn default() -> Self {
        Self::Full {}
    }
}

/// Describes low-rank adapters (Hu et al. 2021, arXiv 2106.09685) as PEFT names them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Lora {
    /// Rank of the update.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Dropout on the adapter's input.
    pub dropout: f64,
    /// Projections that get an adapter: by the last part of their names in checkpoints, or by the words of
    /// [`TargetPreset`], which mean the same in every family.
    #[serde(deserialize_with = "one_or_several")]
    pub target_modules: Vec<String>,
    /// Format of the weights that the adapters lie on, which stay as they are: 4 bits make QLoRA of it (Dettmers
    /// et al. 2023, arXiv 2305.14314).
    #[serde(skip_serializing_if = "BaseFormat::is_full")]
    pub base: BaseFormat,
    /// Keeps the scales of 4-bit weights in 8 bits.
    #[serde(skip_serializing_if = "is_on")]
    pub double_quantisation: bool,
}

/// Format of weights under adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseFormat {
    /// That of the products.
    #[default]
    Full,
    /// 4-bit NormalFloat.
    Nf4,
    /// 4-bit floating point.
    Fp4,
}

impl BaseFormat {
    // What serde asks with takes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

// What serde asks with takes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_on(flag: &bool) -> bool {
    *flag
}

/// A word for several projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetPreset {
    /// Those of queries and values.
    AttentionQv,
    /// Those of attention.
    Attention,
    /// Those of the feed-forward layer.
    Mlp,
    /// All in the layers.
    AllLinear,
}

impl TargetPreset {
    /// The words.
    pub const NAMES: [(&str, Self); 4] = [
        ("attention-qv", Self::AttentionQv),
        ("attention", Self::Attention),
        ("mlp", Self::Mlp),
        ("all-linear", Self::AllLinear),
    ];

    /// Returns what a word means.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(word, _)| *word == name).map(|(_, preset)| *preset)
    }
}

/// Reads a list of names, or one of them alone.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a sequence")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Vec<String>, E> {
            // A text with commas is a list whose brackets are missing.
            match name.contains(',') {
                true => Err(E::invalid_type(de::Unexpected::Str(name), &self)),
                false => Ok(vec![name.to_owned()]),
            }
        }

        /// What could not be read stands for nothing.
        fn visit_unit<E: de::Error>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(de::value::SeqAccessDeserializer::new(names))
        }
    }
    deserializer.deserialize_any(Names)
}

impl Default for Lora {
    fn default() -> Self {
        // PEFT's defaults for Llama and Mistral.
        let target_modules = vec!["q_proj".to_owned(), "v_proj".to_owned()];
        let (base, double_quantisation) = (BaseFormat::Full, true);
        Self { rank: 8, alpha: 8.0, dropout: 0.0, target_modules, base, double_quantisation }
    }
}

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
            lr: 1e-3,
            schedule: Schedule::default(),
            weight_decay: 0.01,
            clip: Some(1.0),
            max_length: 512,
            max_prompt: None,
            validate: Validate::Epoch,
            checkpoint_every: 200,
            checkpoint_minutes: 5.0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_off(flag: &bool) -> bool {
    !flag
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
