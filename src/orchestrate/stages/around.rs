//! What a stage is given beside its job.

use super::inputs::Inputs;
use super::stop::StopFlag;
use crate::device::{Compute, Precision};
use crate::orchestrate::keep::event::Event;
use crate::orchestrate::keep::store::StageFolder;

/// What a stage is given beside its job.
pub struct Surroundings<'a> {
    /// Device; the number format is the job's.
    pub compute: Compute,
    /// Folders that the stage reads.
    pub inputs: &'a Inputs,
    /// Folder of the stage.
    ///
    /// A long stage saves its state in [`StageFolder::checkpoint`], telling [`Event::Saved`]. Where it
    /// finds one it goes on from it, and tells [`Event::Resumed`] before anything else.
    pub folder: &'a StageFolder,
    /// Hears what happens.
    pub events: &'a mut dyn FnMut(Event),
    /// Raised when the user wants to stop: a stage saves then, and returns
    /// [`Stopped`](super::stop::Stopped).
    pub stop: &'a StopFlag,
}

impl Surroundings<'_> {
    /// Returns the device with the number format of a job.
    #[must_use]
    pub fn compute_in(&self, precision: Precision) -> Compute {
        Compute { precision, ..self.compute }
    }
}
