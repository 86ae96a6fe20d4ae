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
        // A panic inside `no_grad` leaves gradients off, and the stages of a run share a thread.
        let result = tch::with_grad(|| match &stage.job {
            Job::Data(job) => prepare::data(job, &output),
            Job::Tokenizer(job) => prepare::tokenizer(job, inputs, &output),
            Job::Pretrain(job) => training::pretrain(job, around),
            Job::Sft(job) => training::sft(job, around),
            Job::Capture(job) => capture::run(job, around),
            Job::Distill(job) => training::distill(job, around),
            Job::Generate(job) => generate::run(job, around),
            Job::Score(job) => {
                let embedder = inputs.find("embedding-model").map(|model| self.embedder(model)).transpose()?;
                score::run(job, around, embedder.as_deref())
            }
        });
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

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::data::Tokenizer;
    use crate::experiment::identity;
    use crate::experiment::settings::TokenizerSource;
    use crate::orchestrate::plan::tests::planned;
    use crate::orchestrate::rows;
    use crate::orchestrate::stage::{Source, StageKind};
    use crate::orchestrate::store::Store;

    #[test]
    fn a_stage_trains_after_another_panicked_without_gradients() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["a cell", "a slice of a network"].map(str::to_owned);
        rows::write(&folder.path().join("corpus.jsonl"), &texts).unwrap();
        let tokenizer = Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 300 }, &texts).unwrap();
        tokenizer.save(folder.path()).unwrap();
        let mut stage = planned(|experiment| experiment.training.pretrain.max_length = 8)
            .stages
            .into_iter()
            .find(|stage| stage.kind == StageKind::Pretrain)
            .unwrap();
        // Data and tokenizer lie in one folder here.
        for input in &mut stage.inputs {
            let key = identity("test", 1, &0, &[]).unwrap();
            input.source = Source::External { origin: String::new(), path: Some(folder.path().to_owned()), key };
        }
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (inputs, place, stop) = (Inputs::of(&stage, &store).unwrap(), store.folder_of(&stage), StopFlag::default());
        place.begin(&place.try_lock().unwrap().unwrap()).unwrap();

        assert!(catch_unwind(|| tch::no_grad::<(), _>(|| panic!("shapes differ"))).is_err());
        let engine = Engine { compute: Compute::reference() };
        engine.run(&stage, &inputs, &place, &mut |_| (), &stop).unwrap();
        assert!(place.output().join("model.safetensors").exists());
    }
}
