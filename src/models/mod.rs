//! Models: decoders that read and write Hugging Face checkpoints, and the encoder of sentence
//! embeddings. Knows nothing of data, losses or optimisers.

pub mod adapter;
pub mod attention;
pub mod block;
pub mod blocks;
pub mod cache;
pub mod config;
pub mod cross_entropy;
pub mod decoder;
pub mod encoder;
pub mod families;
pub mod head;
pub mod layers;
mod lent;
mod load;
pub mod packed;
pub mod pass;
pub mod product;
pub mod quantised;
pub mod weights;

use std::path::{Path, PathBuf};

use crate::files::WriteError;

/// Why a model cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file is not JSON.
    #[error("`{}` is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A configuration is incomplete or describes another kind of model.
    #[error("`{}`: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with what was expected.
        problem: String,
    },
    /// A folder holds no weights.
    #[error("no weights in `{}`: expected `model.safetensors` or `model.safetensors.index.json`", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// A folder holds weights, but as PyTorch writes them: pickles, which are programs.
    #[error("the weights in `{}` are PyTorch pickles (`{file}`), expected safetensors", path.display())]
    Pickled {
        /// The folder.
        path: PathBuf,
        /// Name of the first such file.
        file: String,
    },
    /// A weights file is damaged.
    #[error("`{}` is damaged: {problem}; fetch or write the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Weights do not fit the configuration.
    #[error("weights in `{}` do not fit its config.json: {problem}", path.display())]
    Mismatch {
        /// The folder.
        path: PathBuf,
        /// The misfits, separated by semicolons; of many the first ones and their number.
        problem: String,
    },
    /// A checkpoint is only an adapter.
    #[error("`{}` holds an adapter, no model: it has `adapter_config.json` and no `config.json`", path.display())]
    OnlyAdapter {
        /// The folder.
        path: PathBuf,
    },
    /// An adapter lies beside the weights of a model. transformers puts it on them, or on another base
    /// that it names: what is meant, nobody can tell from the folder.
    #[error("`{}` holds an adapter (`adapter_config.json`) beside a model, expected each in a folder of its own", path.display())]
    AdapterBeside {
        /// The folder.
        path: PathBuf,
    },
    /// libtorch refused an operation, usually for want of memory.
    #[error("libtorch failed while {doing}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: tch::TchError,
    },
}

impl ModelError {
    /// Says what to do about it, where that is not plain from what it says.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OnlyAdapter { .. } => Some(
                "name its base model as the checkpoint and this folder as the adapter, or merge them with PEFT: \
                 `merge_and_unload().save_pretrained(DIR)`",
            ),
            Self::AdapterBeside { .. } => Some(
                "move the adapter's files to another folder to use the model alone, or merge them with PEFT: \
                 `merge_and_unload().save_pretrained(DIR)`",
            ),
            _ => None,
        }
    }
}

/// Gathers what does not fit, so that one message tells it all: the first few, the rest by number.
#[derive(Debug, Default)]
pub(crate) struct Misfits {
    told: Vec<String>,
    others: usize,
}

impl Misfits {
    /// Misfits that are told in words.
    const TOLD: usize = 8;

    pub(crate) fn add(&mut self, problem: String) {
        if self.told.len() < Self::TOLD {
            self.told.push(problem);
        } else {
            self.others += 1;
        }
    }

    /// Returns an error if there are any in `folder`.
    pub(crate) fn check(self, folder: &Path) -> Result<(), ModelError> {
        if self.told.is_empty() {
            return Ok(());
        }
        let mut problem = self.told.join("; ");
        if self.others > 0 {
            problem += &format!("; and {} more", self.others);
        }
        Err(ModelError::Mismatch { path: folder.to_owned(), problem })
    }
}
