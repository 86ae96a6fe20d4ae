//! One unit of work: what it is, everything that can change its result, and what it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::experiment::Key;
use crate::hub::Name;
use crate::orchestrate::keep::store::{StageFolder, Store};
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::inputs::Inputs;

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Kind of work.
    pub kind: StageKind,
    /// What it works on, unique within its kind in one plan: `llama`, `llama/both/dskd seed 10`.
    pub label: String,
    /// Hash of the job, its versions and the inputs.
    pub key: Key,
    /// What is done, with every setting that can change the result.
    pub job: Job,
    /// Versions of the code's results that are part of the key, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, u32>,
    /// What it reads, in a fixed order.
    pub inputs: Vec<Input>,
    /// Seed of its random streams, if it has any.
    pub seed: Option<u64>,
    /// Arms (or reference models) that need the result, in the order of the design.
    pub users: Vec<String>,
}

impl Stage {
    /// Returns kind and label, which name the stage for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.name(), self.label)
    }

    /// Finds what it reads in a store and on this machine.
    ///
    /// # Errors
    /// A checkpoint that is not on this machine.
    pub fn read_from(&self, store: &Store) -> anyhow::Result<Inputs> {
        let locate = |source: &Source| match source {
            Source::Stage { kind, key } => Ok(store.stage(*kind, key).output()),
            Source::External { path: Some(path), .. } => Ok(path.clone()),
            Source::External { origin, .. } if Name::is_meant(origin) => {
                bail!("`{origin}` is not in the local hub cache\nhint: `tutelage fetch {origin}` downloads it")
            }
            Source::External { origin, .. } => bail!("`{origin}` is not on this machine"),
        };
        self.inputs.iter().map(|input| Ok((input.name.clone(), locate(&input.source)?))).collect()
    }

    /// Returns its folder in a store, which need not exist.
    #[must_use]
    pub fn folder(&self, store: &Store) -> StageFolder {
        store.stage(self.kind, &self.key)
    }
}

/// Something that a stage reads, under the name by which it asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name: `data`, `tokenizer`, `student`, `teacher-adapter`, ...
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Says where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// The output folder of another stage.
    Stage {
        /// Its kind.
        kind: StageKind,
        /// Its key.
        key: Key,
    },
    /// A file or folder outside the store.
    External {
        /// As the experiment names it: a path, `hf:org/name` or `hf:org/name@revision`; `tokenizer of` it where
        /// the hub's model is something else.
        origin: String,
        /// The commit that a hub name was; none of a path, and of what is not on this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Where it lies; none if it is not on this machine.
        path: Option<PathBuf>,
        /// Hash of its content, or of its name where it is not on this machine.
        key: Key,
    },
}

impl Source {
    /// Returns what identifies the content.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Stage { key, .. } | Self::External { key, .. } => key,
        }
    }
}
