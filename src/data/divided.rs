//! A data set of questions as models meet it: imported, divided, its passages cut to windows.

use std::path::Path;

use super::corpus;
use super::example::Example;
use super::import::{ImportError, Imported, import};
use super::sizes::{self, Sizes};
use super::split::{SplitError, Splits, split};
use super::window::{self, Held};
use crate::experiment::settings::Data;

/// Holds a data set of questions.
#[derive(Debug)]
pub struct Divided {
    /// All examples, with their whole passages, and what was found on the way.
    pub imported: Imported,
    /// The examples of each split, their passages cut to windows.
    pub splits: Splits,
    /// How many windows of each split hold an accepted answer; none where none are cut.
    pub windows: Option<[Held; 3]>,
}

/// Says why there is no such data set.
#[derive(Debug, thiserror::Error)]
pub enum DivideError {
    /// It cannot be read.
    #[error(transparent)]
    Import(Box<ImportError>),
    /// It cannot be divided.
    #[error(transparent)]
    Split(#[from] SplitError),
}

impl From<ImportError> for DivideError {
    fn from(error: ImportError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl DivideError {
    /// Says what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Import(error) => error.hint(),
            Self::Split(error) => error.hint(),
        }
    }
}

/// Counts the characters of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Characters {
    /// Of train, dev and test.
    pub splits: [Sizes; 3],
    /// Of the texts that pretraining reads.
    pub texts: u64,
}

impl Divided {
    /// Imports and divides a data set of questions; a relative path starts at `base`.
    ///
    /// # Errors
    /// See [`import`] and [`split`].
    pub fn read(data: &Data, base: &Path) -> Result<Self, DivideError> {
        let imported = import(data, base)?;
        let mut splits = split(&imported.examples, &data.split, data.limit)?;
        let windows = window::cut(&mut splits, &imported, data);
        Ok(Self { imported, splits, windows })
    }

    /// Returns the texts that pretraining reads; see [`corpus::texts`].
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        corpus::texts(&self.splits.train, &self.imported.passages)
    }

    /// Counts what it holds, `texts` being its [`texts`](Self::texts); see [`Sizes::of`] for `closed_book`.
    #[must_use]
    pub fn characters(&self, texts: &[String], closed_book: bool) -> Characters {
        let of = |examples: &Vec<Example>| Sizes::of(examples, closed_book);
        let Splits { train, dev, test, .. } = &self.splits;
        Characters { splits: [train, dev, test].map(of), texts: texts.iter().map(|text| sizes::characters(text)).sum() }
    }
}
