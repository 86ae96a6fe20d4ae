//! Does the work of real stages: one file per kind.

use std::path::Path;

use anyhow::bail;
use tutelage_metrics::embedding::Embedder;

use super::event::Event;
use super::execute::{Inputs, Worker};
use super::job::Job;
use super::stage::Stage;
use super::stop::StopFlag;
use super::store::StageFolder;
use super::{prepare, score};
use crate::device::Compute;

/// Runs stages with the engine on one device.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// Device and number format.
    pub compute: Compute,
}

impl Worker for Engine {
    fn run(
        &self,
        stage: &Stage,
        inputs: &Inputs,
        folder: &StageFolder,
        _events: &mut dyn FnMut(Event),
        _stop: &StopFlag,
    ) -> anyhow::Result<()> {
        let output = folder.output();
        match &stage.job {
            Job::Data(job) => prepare::data(job, &output),
            Job::Tokenizer(job) => prepare::tokenizer(job, inputs, &output),
            Job::Score(job) => {
                let embedder = inputs.find("embedding-model").map(|model| self.embedder(model)).transpose()?;
                score::run(job, inputs, embedder.as_deref(), &output)
            }
            Job::Pretrain(_) | Job::Sft(_) | Job::Capture(_) | Job::Distill(_) | Job::Generate(_) => {
                bail!("this build has no stage `{}`", stage.kind.name())
            }
        }
    }
}

impl Engine {
    /// Loads a sentence-embedding model.
    ///
    /// # Errors
    /// A folder that holds none.
    pub fn embedder(&self, model: &Path) -> anyhow::Result<Box<dyn Embedder>> {
        bail!("this build cannot load the embedding model `{}`", model.display())
    }
}
