//! Factors of the design, as they are written: lists of names for the usual ones, tables of levels for any.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::settings::Changes;

/// Lists the levels of each factor; a factor with one level is fixed.
///
/// `student`, `teacher`, `sft` and `algorithm` may be lists of names: they say what models, fine-tuning and
/// objectives there are. Any factor may be a table of levels, each a set of settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Factors {
    /// Models that learn.
    pub student: Vec<String>,
    /// Models that teach.
    pub teacher: Vec<String>,
    /// What is fine-tuned before distillation.
    pub sft: Vec<SftLevel>,
    /// Names of algorithms.
    pub algorithm: Vec<String>,
    /// Factors of levels with settings, in the order of the file.
    pub free: Vec<(String, Vec<Level>)>,
}

/// One level of a factor: settings that are laid over the experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// The settings, as an experiment file has them.
    pub settings: Changes,
}

/// Says which models are fine-tuned before distillation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SftLevel {
    /// Neither model.
    None,
    /// The teacher only.
    Teacher,
    /// The student only.
    Student,
    /// Both models.
    Both,
}

impl SftLevel {
    /// Every level, in the order of their definition.
    pub const ALL: [Self; 4] = [Self::None, Self::Teacher, Self::Student, Self::Both];

    /// Returns the level as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Both => "both",
        }
    }

    /// Says whether the teacher is fine-tuned before it teaches.
    #[must_use]
    pub fn tunes_teacher(self) -> bool {
        matches!(self, Self::Teacher | Self::Both)
    }

    /// Says whether the student is fine-tuned before it learns.
    #[must_use]
    pub fn tunes_student(self) -> bool {
        matches!(self, Self::Student | Self::Both)
    }
}

/// Names of the factors that may be lists, in the order of arm names: before all others.
pub const LISTED: [&str; 4] = ["student", "teacher", "sft", "algorithm"];

impl Factors {
    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// Names the factors, in the order of arm names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let listed = LISTED.into_iter().filter(|name| !self.list(name).is_empty());
        listed.chain(self.free.iter().map(|(name, _)| name.as_str()))
    }

    /// Returns the levels of a factor, in the order of the file; none where there is no such factor.
    #[must_use]
    pub fn levels(&self, factor: &str) -> Option<Vec<&str>> {
        let free = self.free.iter().find(|(name, _)| name == factor);
        let levels = match free {
            Some((_, levels)) => levels.iter().map(|level| level.name.as_str()).collect(),
            None => self.list(factor),
        };
        (free.is_some() || !levels.is_empty()).then_some(levels)
    }

    /// Says whether a factor's levels are tables of settings.
    #[must_use]
    pub fn is_free(&self, factor: &str) -> bool {
        self.free.iter().any(|(name, _)| name == factor)
    }

    fn list(&self, factor: &str) -> Vec<&str> {
        let names = match factor {
            "sft" => return self.sft.iter().map(|level| level.name()).collect(),
            "student" => &self.student,
            "teacher" => &self.teacher,
            "algorithm" => &self.algorithm,
            _ => return Vec::new(),
        };
        names.iter().map(String::as_str).collect()
    }
}

impl Serialize for Factors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in LISTED.into_iter().filter(|name| !self.list(name).is_empty()) {
            map.serialize_entry(name, &self.list(name))?;
        }
        for (name, levels) in &self.free {
            map.serialize_entry(name, &Table(levels))?;
        }
        map.end()
    }
}

/// Levels as a table in their own order.
struct Table<'l>(&'l [Level]);

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|level| (&level.name, &level.settings)))
    }
}

impl<'de> Deserialize<'de> for Factors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Factors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Factors, A::Error> {
                let mut factors = Factors::default();
                while let Some(name) = map.next_key::<String>()? {
                    let levels = match name.as_str() {
                        "student" => map.next_value::<Listed<String>>()?.or_into(&mut factors.student),
                        "teacher" => map.next_value::<Listed<String>>()?.or_into(&mut factors.teacher),
                        "sft" => map.next_value::<Listed<SftLevel>>()?.or_into(&mut factors.sft),
                        "algorithm" => map.next_value::<Listed<String>>()?.or_into(&mut factors.algorithm),
                        _ => match map.next_value::<Listed<String>>()? {
                            Listed::Names(_) => return Err(de::Error::unknown_field(&name, &LISTED)),
                            Listed::Levels(levels) => Some(levels),
                        },
                    };
                    factors.free.extend(levels.map(|levels| (name, levels)));
                }
                // Where something is distilled, nothing is fine-tuned before unless a level says so.
                if factors.sft.is_empty() && !(factors.teacher.is_empty() && factors.algorithm.is_empty()) {
                    factors.sft.push(SftLevel::None);
                }
                Ok(factors)
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

/// A list of names, or a table of levels.
enum Listed<T> {
    Names(Vec<T>),
    Levels(Vec<Level>),
}

impl<T> Listed<T> {
    fn or_into(self, list: &mut Vec<T>) -> Option<Vec<Level>> {
        match self {
            Self::Names(names) => {
                *list = names;
                None
            }
            Self::Levels(levels) => Some(levels),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Listed<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Listed::Names)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listed<T>, A::Error> {
                Levels::deserialize(MapAccessDeserializer::new(map)).map(|levels| Listed::Levels(levels.0))
            }
        }

        deserializer.deserialize_seq(Reading(std::marker::PhantomData))
    }
}

/// A table of levels, in the order in which it is read.
struct Levels(Vec<Level>);

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Levels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Levels, A::Error> {
                let mut levels = Vec::new();
                while let Some((name, settings)) = map.next_entry()? {
                    levels.push(Level { name, settings });
                }
                Ok(Levels(levels))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}
