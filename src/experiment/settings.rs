//! What an experiment file says, as plain data: every key, its type and its default.
//!
//! Choices are externally tagged (`[tuning.lora]`), unknown keys are refused, and a default is
//! filled in on reading, so that writing a value back spells out everything that was used.
//! Knows nothing of tensors, files or models.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{EnumAccess, Error as _, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

mod evaluation;
mod hypothesis;
mod recipe;

pub use self::evaluation::{Decoding, Evaluation, OptionsShown, SetSettings, Task};
pub use self::hypothesis::{Contrast, Hypothesis, Interaction, Margin, Ranked, Rivalled, Within};
pub use self::recipe::{Adapters, Changes, DistillStep, Recipe, Step, TrainStep};
pub use super::factors::{Factors, Level, SftLevel};
use super::importers::importers;

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

/// Describes a data set: where it comes from and how it is divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Data {
    /// Format of the source.
    pub importer: Importer,
    /// The file to import, for texts also a folder; none for embedded data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What the rows call a field of the importer, where it is not the field's own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Column>,
    /// Further fields of the source that are kept with each example, to divide results by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What unlocks an archive; without it, the password that its authors published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Shows of each context a window of twice as many characters; without it, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Where windows lie.
    #[serde(default)]
    pub window_at: WindowAt,
    /// Leaves the context out of the prompt.
    #[serde(default)]
    pub closed_book: bool,
    /// Uses at most this many examples: whole groups in an order shuffled by the split's seed, of the
    /// last one a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Division into train, dev and test.
    #[serde(default)]
    pub split: Split,
}

/// Says where windows of contexts lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowAt {
    /// In train at random around the answer; in dev and test where the question's words are, chosen
    /// without the answer.
    #[default]
    Retrieved,
    /// Centred on the gold answer, in dev and test too: a control, because the middle gives the answer
    /// away.
    Answer,
}

impl Data {
    /// Describes what an importer reads at `path`, every other setting being the default.
    #[must_use]
    pub fn new(importer: Importer, path: Option<PathBuf>) -> Self {
        Self {
            importer,
            path,
            columns: BTreeMap::new(),
            fields: Vec::new(),
            password: None,
            window: None,
            window_at: WindowAt::default(),
            closed_book: false,
            limit: None,
            split: Split::default(),
        }
    }
}

/// Says where the rows of a file have a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// In this column.
    One(String),
    /// In several, one for each element.
    Several(Vec<String>),
}

impl Column {
    /// Lists the columns.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Column;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E>(self, name: &str) -> Result<Column, E> {
                Ok(Column::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Column, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(Column::Several(names))
            }

            // What could not be read is no further fault.
            fn visit_unit<E>(self) -> Result<Column, E> {
                Ok(Column::One(String::new()))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Says what the examples of a data set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Questions with answers, on passages or by themselves.
    #[default]
    QuestionAnswer,
    /// Questions with answers in conversations.
    Chat,
    /// Texts that nothing is asked about.
    Text,
    /// Questions with options to choose among.
    Choice,
}

impl Kind {
    /// Returns what a file calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::QuestionAnswer => "question-answer",
            Self::Chat => "chat",
            Self::Text => "text",
            Self::Choice => "choice",
        }
    }
}

/// Says where the data of an importer come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From this program.
    Embedded,
    /// From a file.
    File,
    /// From a file or all files in a folder.
    FileOrFolder,
}

/// Defines what can be known of importers without reading anything.
macro_rules! define {
    ($($(#[doc = $about:literal])+ $importer:ident($name:literal $(, $former:literal)*) $module:ident:
        $kind:ident, $origin:ident, [$($field:literal),*];)+) => {
        /// Names a format of data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Importer {
            $($(#[doc = $about])+ #[serde(rename = $name)] $importer,)+
        }

        impl Importer {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$importer),+];

            const NAMES: &[&str] = &[$($name),+];

            /// Returns what a file calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$importer => $name),+ }
            }

            /// Returns the names that it had, which are still read.
            #[must_use]
            pub const fn former_names(self) -> &'static [&'static str] {
                match self { $(Self::$importer => &[$($former),*]),+ }
            }

            /// Says in a sentence what it reads.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$importer => concat!($($about),+).trim()),+ }
            }

            /// Says what its examples are.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$importer => Kind::$kind),+ }
            }

            /// Says where its data come from.
            #[must_use]
            pub const fn origin(self) -> Origin {
                match self { $(Self::$importer => Origin::$origin),+ }
            }

            /// Returns the fields of its rows, by the names that they have by default; none where the format
            /// fixes them.
            #[must_use]
            pub const fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$importer => &[$($field),*]),+ }
            }
        }
    };
}

importers!(define);

impl Importer {
    /// Finds an importer by its name, or one that it had.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_meant = |importer: &&Self| importer.name() == name || importer.former_names().contains(&name);
        Self::ALL.iter().copied().find(|importer| is_meant(&importer))
    }

    /// Says whether its data may come with their own division.
    #[must_use]
    pub fn divides(self) -> bool {
        self.origin() == Origin::Embedded || self.fields().contains(&"split")
    }
}

// Not derived, for that would offer former names as choices.
impl<'de> Deserialize<'de> for Importer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name(Importer);
        impl<'de> Deserialize<'de> for Name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                Importer::named(&name).map(Self).ok_or_else(|| D::Error::unknown_variant(&name, Importer::NAMES))
            }
        }
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = Importer;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of an importer")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<Importer, A::Error> {
                let (Name(importer), rest) = choice.variant()?;
                rest.unit_variant()?;
                Ok(importer)
            }
        }
        deserializer.deserialize_enum("Importer", Self::NAMES, Choice)
    }
}

/// Names a part of a divided data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitName {
    /// Models learn from it.
    Train,
    /// States are chosen on it.
    Dev,
    /// Results are reported on it.
    Test,
}

/// Divides examples into train, dev and test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Split {
    /// Share of train.
    pub train: f64,
    /// Share of dev.
    pub dev: f64,
    /// Share of test.
    pub test: f64,
    /// The split that all examples are in: of a set that is only trained on, or only evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<SplitName>,
    /// What may not be divided.
    pub group_by: GroupBy,
    /// Seed of the division; the same for every trial.
    pub seed: u64,
}

impl Default for Split {
    fn default() -> Self {
        Self { train: 0.8, dev: 0.1, test: 0.1, all: None, group_by: GroupBy::Document, seed: 1 }
    }
}

impl Split {
    /// Says whether a part can have examples.
    #[must_use]
    pub fn has(&self, part: SplitName) -> bool {
        let share = match part {
            SplitName::Train => self.train,
            SplitName::Dev => self.dev,
            SplitName::Test => self.test,
        };
        self.group_by == GroupBy::Given || self.all.map_or(share > 0.0, |all| all == part)
    }
}

impl SplitName {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];
}

impl fmt::Display for SplitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        })
    }
}

/// Says what a split keeps together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// All questions on one document share a split, and so do documents that share a question with its
    /// answer.
    Document,
    /// Every question is on its own, but for those that are the same and have the same answer.
    Example,
    /// The data's own division: of rows the field `split` (`train`; `dev`, `val` or `validation`; `test`), of
    /// the glossary held-out paraphrases.
    Given,
}

/// Says where a tokenizer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum TokenizerSource {
    /// Reads a `tokenizer.json`.
    File {
        /// Path of the file or of the folder that holds it.
        path: PathBuf,
    },
    /// Trains byte-level BPE on the training split.
    ByteLevelBpe {
        /// Tokens, special ones included.
        vocabulary: usize,
        /// The data set that it is trained on; the only one that has texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// Trains Unigram on the training split.
    Unigram {
        /// Tokens, special ones included.
        vocabulary: usize,
        /// The data set that it is trained on; the only one that has texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
}

/// Describes a model: a checkpoint to load, or a scratch model to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Model {
    /// Loads a Hugging Face folder, or `hf:org/name` from the local hub cache.
    Checkpoint(String),
    /// Builds and pretrains a model.
    Scratch(Scratch),
}

/// Describes a decoder trained from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scratch {
    /// Decoder family.
    #[serde(default)]
    pub architecture: Architecture,
    /// Name of a tokenizer of the experiment.
    pub tokenizer: String,
    /// The data set that it is pretrained on; the only one that has texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; all query heads have their own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of the feed-forward layer.
    pub feed_forward: usize,
    /// Shares the embedding with the output head.
    #[serde(default = "yes")]
    pub tied: bool,
    /// Longest sequence.
    #[serde(default = "positions")]
    pub positions: usize,
}

/// Names a decoder family by its `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Llama and TinyLlama.
    #[default]
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2: bias on query, key and value.
    Qwen2,
}

/// Describes a distillation algorithm. The total loss is `(1 - rate) CE + rate KD`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Algorithm {
    /// Matches the teacher's next-token distribution.
    Vanilla {
        /// Divergence between the two distributions.
        #[serde(default)]
        divergence: Divergence,
        /// Softmax temperature of both distributions; no `temperature^2` factor is applied.
        #[serde(default = "two")]
        temperature: f64,
        /// Weight of the distillation term.
        #[serde(default = "half")]
        rate: f64,
        /// How vocabularies that differ are compared; none is a fault when they do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alignment: Option<Alignment>,
    },
    /// DSKD: distils in the student's and in the teacher's space; with cross-model attention when
    /// the vocabularies differ.
    DualSpace {
        /// Divergence in the student's space.
        #[serde(default)]
        divergence: Divergence,
        /// Softmax temperature of both distributions; no `temperature^2` factor is applied.
        #[serde(default = "two")]
        temperature: f64,
        /// Weight of the distillation terms.
        #[serde(default = "half")]
        rate: f64,
        /// Learning rate of the projectors.
        #[serde(default = "projector_lr")]
        projector_lr: f64,
    },
    /// No teacher: cross-entropy alone, for as many steps as distillation takes. The control that
    /// shows what distillation adds to seeing the answers again.
    CrossEntropy {},
}

impl Algorithm {
    /// Says whether it learns from a teacher.
    #[must_use]
    pub fn has_teacher(&self) -> bool {
        !matches!(self, Self::CrossEntropy {})
    }
}

/// Names a divergence of formulas 1.1 of DSKD's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// `sum p (ln p - ln q)`, teacher p, student q.
    #[default]
    ForwardKl,
    /// `sum q (ln q - ln p)`.
    ReverseKl,
    /// Jensen-Shannon.
    JsDivergence,
    /// `KL(p || lam p + (1 - lam) q)`, lam 0.1.
    SkewedForwardKl,
    /// `KL(q || (1 - lam) p + lam q)`, lam 0.1.
    SkewedReverseKl,
    /// Forward and reverse KL weighted by the gaps in head and tail.
    AdaptiveKl,
}

/// Says how distributions over different vocabularies are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Universal logit distillation: L1 distance of the sorted distributions.
    Uld,
    /// FuseLLM's minimum edit distance over tokens.
    MinEdit,
    /// Ids compared as they are: a control.
    Naive,
}

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
    /// Projections that get an adapter.
    pub target_modules: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        // PEFT's defaults for Llama and Mistral.
        let target_modules = vec!["q_proj".to_owned(), "v_proj".to_owned()];
        Self { rank: 8, alpha: 8.0, dropout: 0.0, target_modules }
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

/// Chooses device and precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Compute {
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Number format of matrix products.
    pub precision: PrecisionChoice,
    /// CPU threads that a stage computes with, all cores by default. They decide how sums are rounded,
    /// and so belong to results; on a GPU they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Default for Compute {
    fn default() -> Self {
        Self { device: DeviceChoice::Auto, precision: PrecisionChoice::Auto, threads: None }
    }
}

/// Names a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// The GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first visible GPU.
    Cuda,
}

/// Names a number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// bf16 on hardware known to compute it faster, else f32.
    Auto,
    /// 32-bit floating point.
    F32,
    /// bfloat16 compute with f32 master weights.
    Bf16,
}

/// Constants of energy estimates, for components that no counter covers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Energy {
    /// Power of the whole CPU package under load, in watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_tdp_watts: Option<f64>,
    /// Power of memory, in watts per GiB in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dram_watts_per_gib: Option<f64>,
    /// Emissions of the grid, in kg CO2e per kWh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_kg_co2e_per_kwh: Option<f64>,
    /// Power usage effectiveness of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pue: Option<f64>,
}

fn yes() -> bool {
    true
}
fn positions() -> usize {
    2048
}
fn two() -> f64 {
    2.0
}
fn half() -> f64 {
    0.5
}
fn projector_lr() -> f64 {
    1e-3
}
fn alpha() -> f64 {
    0.05
}
