//! Models of the Hugging Face hub: found in the local cache, or fetched into it.
//!
//! The cache is laid out as the hub's own tools do, so that what one of them downloaded the other finds:
//!
//! ```text
//! models--ORG--NAME/
//!   blobs/HASH              a file's content, named by its hash; HASH.incomplete while it is fetched
//!   snapshots/COMMIT/FILE   a link to a blob
//!   refs/REVISION           the commit that a branch or a tag was
//! ```
//!
//! A file has its name in `blobs` only when it is whole and its hash is right. A snapshot gets its links when
//! all blobs are there, `config.json` last. So a process that is killed leaves nothing that looks whole, and
//! the next one goes on where it stopped. Each blob is fetched by the process that holds its lock in `.locks`.
//!
//! Knows nothing of experiments, and talks to nobody but the hub.

mod cache;
mod checksum;
mod client;
mod download;
mod error;
mod fetch;
mod name;
mod news;
mod selection;
mod settings;

pub use cache::{Cache, Content};
pub use error::HubError;
pub use fetch::{Fetched, Hub, Order};
pub use name::{Name, NameError};
pub use news::{News, Watch};
pub use settings::{Settings, Token};
