//! What a fetch tells while it goes on.

use std::time::Duration;

use super::error::HubError;

/// Hears how a fetch goes on.
pub trait Watch {
    /// Is told what happened.
    fn hear(&mut self, news: &News<'_>);
}

/// What happened in a fetch.
#[derive(Debug)]
pub enum News<'a> {
    /// Another process fetches a file; this one waits for it.
    Waiting {
        /// The file.
        file: &'a str,
    },
    /// A part of a file was here already: its bytes count as received.
    Resumed {
        /// The file.
        file: &'a str,
        /// Bytes that were here.
        bytes: u64,
    },
    /// Bytes arrived.
    Received {
        /// How many.
        bytes: u64,
    },
    /// Another process fetched a file meanwhile, or a part of it is of no use: the count changes at once.
    Corrected {
        /// Bytes received, less those that are discarded.
        bytes: i64,
    },
    /// What was received of a file is not what it should be: all of it is fetched anew.
    Spoiled {
        /// The file.
        file: &'a str,
    },
    /// Something failed that may pass: it is tried again after a pause.
    Again {
        /// What failed.
        error: &'a HubError,
        /// The pause.
        pause: Duration,
    },
}
