//! Data sets: where they come from, what their rows are, how they are divided.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{EnumAccess, Error as _, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::experiment::importers::importers;

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
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Uses at most this many examples: whole groups in an order shuffled by the split's seed, of the
    /// last one a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Division into train, dev and test.
    #[serde(default)]
    pub split: Split,
}

/// Says how prompts and answers are worded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Template {
    /// `Context: ...`, `Question: ...`, `Answer:`, each on its line; in conversations `User:` and `Assistant:`.
    #[default]
    Plain,
    /// By the chat template of the model that reads them.
    Chat,
    /// By templates of the experiment (Jinja).
    Own {
        /// The prompt.
        prompt: String,
        /// What the model is to say after it, without the end of sequence.
        #[serde(default = "answer")]
        response: String,
    },
}

impl Template {
    /// Says whether it is the usual one.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// An answer as it is usually worded.
fn answer() -> String {
    " {{ answer }}".to_owned()
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
            template: Template::Plain,
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
