//! Which parameters are trained: all, or adapters of low rank.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
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
    /// Projections that get an adapter: by the last part of their names in checkpoints, by the words of
    /// [`TargetPreset`], which mean the same in every family, or by regular expressions that match their whole
    /// names, such as `.*\.[01]\.mlp\..*`.
    #[serde(deserialize_with = "one_or_several")]
    pub target_modules: Vec<String>,
    /// Ranks of some of them instead, by regular expressions that match the ends of their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of some of them instead, likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Scales the update by `alpha / sqrt(rank)`: rsLoRA (Kalajdzievski 2023, arXiv 2312.03732, theorem 3.2).
    #[serde(skip_serializing_if = "is_off")]
    pub rslora: bool,
    /// Learns the length of each row of the weight apart from its direction, which the adapter turns: DoRA (Liu et
    /// al. 2024, arXiv 2402.09353, eq. 5).
    #[serde(skip_serializing_if = "is_off")]
    pub dora: bool,
    /// Learning rate of B as a multiple of that of A: LoRA+ (Hayou et al. 2024, arXiv 2402.12354, section 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loraplus_lr_ratio: Option<f64>,
    /// How adapters start.
    #[serde(skip_serializing_if = "Initialisation::is_kaiming")]
    pub initialisation: Initialisation,
    /// Modules beside the layers that are trained as a whole: the embedding, the head, the last norm, by the last
    /// part of their names in checkpoints.
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub modules_to_save: Vec<String>,
    /// Format of the weights that the adapters lie on, which stay as they are: 4 bits make QLoRA of it (Dettmers
    /// et al. 2023, arXiv 2305.14314). That of a checkpoint that is quantised already.
    #[serde(skip_serializing_if = "BaseFormat::is_full")]
    pub base: BaseFormat,
    /// Keeps the scales of 4-bit weights in 8 bits.
    #[serde(skip_serializing_if = "is_on")]
    pub double_quantisation: bool,
}

/// How adapters start. With the first two the model first computes what it computed before because B is 0; with
/// the others because their product is taken out of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialisation {
    /// A uniform in `±1/sqrt(in)`: PEFT's default.
    #[default]
    Kaiming,
    /// A normal with standard deviation `1/rank`, as PEFT has it.
    Gaussian,
    /// A and B hold the largest singular values of the weight (Meng et al. 2024, arXiv 2404.02948, eq. 2 to 4).
    Pissa,
    /// A and B are the first rows and columns of the weight's QR decomposition (Büyükakyüz 2024, arXiv 2406.01775,
    /// algorithm 1).
    Olora,
}

impl Initialisation {
    // What serde asks with takes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_kaiming(&self) -> bool {
        *self == Self::Kaiming
    }

    /// Says whether the first product is taken out of the weights.
    #[must_use]
    pub fn changes_base(self) -> bool {
        matches!(self, Self::Pissa | Self::Olora)
    }
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
    /// 8-bit integers, each row with its scale: the weights of LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339).
    Int8,
}

impl BaseFormat {
    /// Says how weights are kept in words of settings, `doubles` where scales of 4 bits are quantised, too.
    #[must_use]
    pub fn in_words(self, doubles: bool) -> String {
        match doubles {
            true => format!("{} with double quantisation", self.name()),
            false => self.name().to_owned(),
        }
    }

    /// Returns its name in settings, which is that of checkpoints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Nf4 => "nf4",
            Self::Fp4 => "fp4",
            Self::Int8 => "int8",
        }
    }

    // What serde asks with takes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

// What serde asks with takes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_off(flag: &bool) -> bool {
    !flag
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

/// Says whether a word is meant as a regular expression: whether it has a character that names have not.
#[must_use]
pub fn is_pattern(word: &str) -> bool {
    word.contains(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)))
}

/// Reads a regular expression on whole names or, if `at_end`, on their last parts: as PEFT reads those of modules,
/// and those of ranks.
///
/// # Errors
/// What is wrong with it, in words.
pub fn pattern(word: &str, at_end: bool) -> Result<Regex, String> {
    let before = if at_end { r"(?:.*\.)?" } else { "" };
    let compile = |text: &str| {
        Regex::new(text).map_err(|error| {
            // The last line says what; those before it repeat the pattern.
            let told = error.to_string();
            let what = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{word}` is no regular expression: {what}")
        })
    };
    // By itself first: what stands around it would close its brackets.
    compile(word)?;
    compile(&format!("^{before}(?:{word})$"))
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
        Self {
            rank: 8,
            alpha: 8.0,
            dropout: 0.0,
            target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            rslora: false,
            dora: false,
            loraplus_lr_ratio: None,
            initialisation: Initialisation::default(),
            modules_to_save: Vec::new(),
            base: BaseFormat::Full,
            double_quantisation: true,
        }
    }
}
