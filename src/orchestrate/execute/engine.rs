//! Does the work of real stages.

use super::Worker;
use crate::device::{self, Compute};
use crate::orchestrate::keep::event::Event;
use crate::orchestrate::keep::store::StageFolder;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::stages::around::Surroundings;
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::stop::StopFlag;

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
        let around = Surroundings { compute: self.compute, inputs, folder, events, stop };
        // A panic inside `no_grad` leaves gradients off, and the stages of a run share a thread.
        let result = tch::with_grad(|| stage.job.work().run(around));
        if result.is_ok() {
            // The caller stops clock and energy meter next.
            device::synchronize(self.compute.device);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::data::Tokenizer;
    use crate::experiment::identity;
    use crate::experiment::settings::TokenizerSource;
    use crate::orchestrate::keep::store::Store;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::stage::Source;
    use crate::orchestrate::plan::tests::planned;
    use crate::orchestrate::stages::rows;

    #[test]
    fn a_stage_trains_after_another_panicked_without_gradients() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["a cell", "a slice of a network"].map(str::to_owned);
        rows::write(&folder.path().join("corpus.jsonl"), &texts).unwrap();
        let tokenizer =
            Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 300, data: None }, &texts).unwrap();
        tokenizer.save(folder.path()).unwrap();
        let mut stage = planned(|experiment| experiment.training.pretrain.max_length = 8)
            .stages
            .into_iter()
            .find(|stage| stage.kind == StageKind::Pretrain)
            .unwrap();
        // Data and tokenizer lie in one folder here.
        for input in &mut stage.inputs {
            let key = identity("test", 1, &0, &[]).unwrap();
            input.source =
                Source::External { origin: String::new(), commit: None, path: Some(folder.path().to_owned()), key };
        }
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (inputs, place, stop) = (stage.read_from(&store).unwrap(), stage.folder(&store), StopFlag::default());
        place.begin(&place.try_lock().unwrap().unwrap()).unwrap();

        assert!(catch_unwind(|| tch::no_grad::<(), _>(|| panic!("shapes differ"))).is_err());
        let engine = Engine { compute: Compute::reference() };
        engine.run(&stage, &inputs, &place, &mut |_| (), &stop).unwrap();
        assert!(place.output().join("model.safetensors").exists());
    }
}
