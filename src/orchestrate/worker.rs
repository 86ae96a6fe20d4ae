//! Does the work of real stages: one file per kind.

use std::path::Path;

use tutelage_metrics::embedding::Embedder;

use super::event::Event;
use super::execute::{Inputs, Worker};
use super::job::Job;
use super::stage::Stage;
use super::stop::StopFlag;
use super::store::StageFolder;
use super::training::Surroundings;
use super::{capture, generate, prepare, score, training};
use crate::device::{self, Compute};
use crate::evaluate::embedder::SentenceEmbedder;

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
        events: &mut dyn FnMut(Event),
        stop: &StopFlag,
    ) -> anyhow::Result<()> {
        let output = folder.output();
        let around = Surroundings { compute: self.compute, inputs, folder, events, stop };
        let result = match &stage.job {
            Job::Data(job) => prepare::data(job, &output),
            Job::Tokenizer(job) => prepare::tokenizer(job, inputs, &output),
            Job::Pretrain(job) => training::pretrain(job, around),
            Job::Sft(job) => training::sft(job, around),
            Job::Capture(job) => capture::run(job, around),
            Job::Distill(job) => training::distill(job, around),
            Job::Generate(job) => generate::run(job, around),
            Job::Score(job) => {
                let embedder = inputs.find("embedding-model").map(|model| self.embedder(model)).transpose()?;
                score::run(job, inputs, embedder.as_deref(), &output)
            }
        };
        if result.is_ok() {
            // The caller stops clock and energy meter next.
            device::synchronize(self.compute.device);
        }
        result
    }
}

impl Engine {
    /// Loads a sentence-embedding model.
    ///
    /// # Errors
    /// A folder that holds none.
    pub fn embedder(&self, model: &Path) -> anyhow::Result<Box<dyn Embedder>> {
        Ok(Box::new(SentenceEmbedder::load(model, self.compute.device)?))
    }
}
