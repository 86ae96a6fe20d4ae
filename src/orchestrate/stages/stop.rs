//! The wish to stop, passed from Ctrl-C to whatever is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says whether the user asked to stop; clones share one answer.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

/// Ends a stage that stopped because it was asked to, after saving its state. Not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped as asked")]
pub struct Stopped;

impl StopFlag {
    /// Asks everything that holds this flag to stop at its next safe point.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Says whether somebody asked to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns the flag itself, for loops that take a plain one.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Ends the work here if somebody asked to stop: `stop.check()?` after saving the state.
    ///
    /// # Errors
    /// [`Stopped`] when the flag is raised.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_raised() { Err(Stopped) } else { Ok(()) }
    }
}
