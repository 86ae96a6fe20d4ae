//! What keeps a model from being fetched, each with its remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::name::Name;
use crate::files::WriteError;

/// Says why something could not be fetched. No text holds a token or a signed address.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No variable says where the cache is.
    #[error("there is no place for the hub cache: neither `HF_HOME` nor `HOME` is set")]
    NoCache,
    /// The address of the hub is none.
    #[error("`HF_ENDPOINT` is no address: expected `https://HOST`, found `{0}`")]
    Endpoint(String),
    /// A file of certificates that cannot be used.
    #[error("`{}` (SSL_CERT_FILE) holds no certificates", .0.display())]
    Certificates(PathBuf),
    /// A token with characters that no token has.
    #[error("the hub's token has characters that no token has")]
    Token,
    /// Something is to be downloaded, and the network is not to be used.
    #[error("`{name}` is not in the hub cache `{}`, and `HF_HUB_OFFLINE` is set", cache.display())]
    Offline {
        /// What is needed.
        name: Name,
        /// Folder of the cache.
        cache: PathBuf,
    },
    /// No connection, or it broke off every time.
    #[error("cannot reach `{host}`")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What is needed.
        name: Name,
        /// Folder of the cache.
        cache: PathBuf,
        /// What the system said.
        source: Box<ureq::Error>,
    },
    /// The server ended its answer before a file was whole.
    #[error("the connection broke off at byte {received} of {bytes} of `{file}`")]
    Cut {
        /// The file.
        file: String,
        /// Bytes that are here.
        received: u64,
        /// Bytes of the whole.
        bytes: u64,
    },
    /// A repository that does not exist, or that may not be seen.
    #[error("there is no repository `{}` at {endpoint}, or it is private", name.repository())]
    NoRepository {
        /// What was asked for.
        name: Name,
        /// Who was asked.
        endpoint: String,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// A revision that does not exist.
    #[error("the repository `{}` has no branch, tag or commit `{}`", name.repository(), name.revision())]
    NoRevision {
        /// What was asked for.
        name: Name,
        /// Who was asked.
        endpoint: String,
    },
    /// A repository that is given only to those who accepted its licence.
    #[error("`{name}` is only for those who accepted its licence{}", if *has_token { "; the token's owner did not" } else { ", and no token says who asks" })]
    Gated {
        /// What was asked for.
        name: Name,
        /// Who was asked.
        endpoint: String,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// A token that the hub does not know any more.
    #[error("{endpoint} refuses the token")]
    Refused {
        /// Who was asked.
        endpoint: String,
    },
    /// Too many requests.
    #[error("{endpoint} takes no more requests for now{}", match wait { Some(wait) => format!(" and asks to wait {} s", wait.as_secs()), None => String::new() })]
    TooMany {
        /// Who was asked.
        endpoint: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// An error of the server, or an answer that is none.
    #[error("{endpoint} answered {status} when asked for {what}")]
    Status {
        /// Who was asked.
        endpoint: String,
        /// Status code.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// An answer that lacks what it must tell.
    #[error("{endpoint} answered in another form than the hub does: {problem}")]
    Answer {
        /// Who was asked.
        endpoint: String,
        /// What is wrong.
        problem: String,
    },
    /// What arrived is not what the hub says it is.
    #[error("`{file}` of `{name}` arrived damaged: expected the hash {expected}, found {found}")]
    Checksum {
        /// What was asked for.
        name: String,
        /// The file.
        file: String,
        /// Hash that the hub tells.
        expected: String,
        /// Hash of what arrived.
        found: String,
    },
    /// A disk that is too small for what is to be fetched.
    #[error("disk full: {needed_bytes} bytes are needed in `{}`, {free_bytes} are free", cache.display())]
    Room {
        /// Folder of the cache.
        cache: PathBuf,
        /// Bytes that are to be fetched.
        needed_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// Weights that are programs.
    #[error("the weights of `{name}` are PyTorch pickles (`{file}`), expected safetensors")]
    Pickled {
        /// What was asked for.
        name: Name,
        /// One of the files.
        file: String,
    },
    /// A repository that is no model, or no tokenizer, in the form that is read.
    #[error("`{name}` has no `{file}`")]
    Lacks {
        /// What was asked for.
        name: Name,
        /// What is missing.
        file: &'static str,
    },
    /// A file of the cache that cannot be written.
    #[error(transparent)]
    Write(WriteError),
    /// A file or folder of the cache that cannot be read or made.
    #[error("cannot use `{}` in the hub cache", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    pub(super) fn cache(path: &Path, source: io::Error) -> Self {
        Self::Cache { path: path.to_owned(), source }
    }

    /// Returns the remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoCache => "set `HF_HOME` to a folder with room for models".to_owned(),
            Self::Endpoint(_) => "correct it, or unset it to ask https://huggingface.co".to_owned(),
            Self::Certificates(_) => "name a file of PEM certificates, or unset it to trust Mozilla's".to_owned(),
            Self::Token => "copy it anew from https://huggingface.co/settings/tokens".to_owned(),
            Self::Offline { name, cache } => {
                format!("unset it to download, or {}", copy(name, cache))
            }
            Self::Unreachable { name, cache, .. } => format!(
                "set `HTTPS_PROXY` if there is a proxy, and `SSL_CERT_FILE` if it has certificates of its own; without \
                 network, {}, and set `HF_HUB_OFFLINE=1`",
                copy(name, cache)
            ),
            Self::Cut { .. } => "try again: it goes on where it stopped".to_owned(),
            Self::NoRepository { has_token: false, .. } => {
                "correct the name; if it is private, set `HF_TOKEN` to a token that may read it".to_owned()
            }
            Self::NoRepository { has_token: true, .. } => {
                "correct the name; if it is private, use a token that may read it".to_owned()
            }
            Self::NoRevision { name, endpoint } => {
                format!("see {endpoint}/{}/tree/main for what there is; `main` needs no `@`", name.repository())
            }
            Self::Gated { name, endpoint, has_token } => {
                let page = format!("{endpoint}/{}", name.repository());
                match has_token {
                    false => format!(
                        "accept the licence at {page}, then set `HF_TOKEN` to a token of yours ({endpoint}/settings/tokens)"
                    ),
                    true => format!(
                        "accept the licence at {page} with the account of the token; a fine-grained token must be \
                         allowed to read gated repositories"
                    ),
                }
            }
            Self::Refused { endpoint } => {
                format!("make a new one at {endpoint}/settings/tokens and set `HF_TOKEN` to it, or unset it")
            }
            Self::TooMany { .. } => {
                "try again later; what is here stays. With a token (`HF_TOKEN`) the hub takes more requests".to_owned()
            }
            Self::Status { .. } => "try again later: what is here stays".to_owned(),
            Self::Answer { .. } => "check `HF_ENDPOINT`, and that no proxy answers instead of the hub".to_owned(),
            Self::Checksum { .. } => {
                "try again; if it stays so, what lies between here and the hub changes files".to_owned()
            }
            Self::Room { .. } => "free some, or set `HF_HOME` to a folder on a larger disk".to_owned(),
            Self::Pickled { .. } => {
                "convert them with transformers: `AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(DIR)`, and \
                 name that folder"
                    .to_owned()
            }
            Self::Lacks { file, .. } if *file == super::cache::TOKENIZER => {
                "make one with transformers: `AutoTokenizer.from_pretrained(NAME).save_pretrained(DIR)`, save the model \
                 beside it, and name that folder"
                    .to_owned()
            }
            Self::Lacks { .. } => "name a repository that transformers loads a causal language model from".to_owned(),
            Self::Write(WriteError::Full { .. }) => {
                "free some, or set `HF_HOME` to a folder on a larger disk; then it goes on where it stopped".to_owned()
            }
            Self::Write(_) | Self::Cache { .. } => "set `HF_HOME` to a folder that can be written to".to_owned(),
        }
    }
}

/// Says how a repository comes here from another machine.
fn copy(name: &Name, cache: &Path) -> String {
    let folder = name.repository().replace('/', "--");
    format!("copy `models--{folder}` from the hub cache of a machine that has it to `{}`", cache.display())
}
