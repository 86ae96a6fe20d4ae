//! The folders that a stage reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Gives the folders (or files) that a stage reads, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs(BTreeMap<String, PathBuf>);

impl Inputs {
    /// Returns an input that the stage may have.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Path> {
        self.0.get(name).map(PathBuf::as_path)
    }

    /// Lists all of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Returns an input that the stage must have.
    ///
    /// # Errors
    /// An input that the plan did not give.
    pub fn get(&self, name: &str) -> anyhow::Result<&Path> {
        self.find(name).with_context(|| format!("the plan gives this stage no input `{name}`"))
    }
}

impl FromIterator<(String, PathBuf)> for Inputs {
    fn from_iter<T: IntoIterator<Item = (String, PathBuf)>>(folders: T) -> Self {
        Self(folders.into_iter().collect())
    }
}
