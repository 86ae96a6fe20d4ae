//! The stage `merge`: adapters become a part of the weights.

use serde::{Deserialize, Serialize};
use tch::Kind;

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::{Leaves, Work, model};
use crate::orchestrate::kind::StageKind;
use crate::tuning::lora;

/// Adds adapters to weights, in f32. Inputs: `model`, `adapter`, and `adapter-2`, ... if others are stacked on
/// it. Output: a model folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MergeJob {}

impl Work for MergeJob {
    fn kind(&self) -> StageKind {
        StageKind::Merge
    }

    fn version(&self) -> u32 {
        1
    }

    fn leaves(&self) -> Leaves<'_> {
        Leaves::Like("model")
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let bytes = (scene.model)("model").map(|size| 4.0 * size.parameters);
        Cost { memory: bytes, ..Cost::of_disk(bytes) }
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        let device = around.compute.device;
        let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", Kind::Float, device)?;
        lora::merge(&mut decoder);
        let output = around.folder.output();
        decoder.save(&output)?;
        Ok(tokenizer.save(&output)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{Device, Tensor};

    use super::*;
    use crate::device::{Compute, Seed};
    use crate::experiment::identity;
    use crate::experiment::settings::Lora;
    use crate::models::block::Layer;
    use crate::models::decoder::Decoder;
    use crate::models::layers::Mode;
    use crate::models::packed::Packed;
    use crate::orchestrate::keep::store::Store;
    use crate::orchestrate::stages::inputs::Inputs;
    use crate::orchestrate::stages::model::link;
    use crate::orchestrate::stages::small;
    use crate::orchestrate::stages::stop::StopFlag;
    use crate::tuning::peft;

    fn logits(decoder: &Decoder) -> Tensor {
        decoder.logits(&decoder.hidden(&Packed::new(&[&[3, 14, 15, 9, 2, 6]], None, Device::Cpu), Mode::Infer))
    }

    /// Writes adapters that change what the model computes.
    fn adapters(base: &Path, folder: &Path, seed: u64) {
        let mut decoder = Decoder::load(base, Kind::Float, Device::Cpu).unwrap();
        let settings = Lora { rank: 2, alpha: 4.0, ..Lora::default() };
        lora::attach(&mut decoder, &settings, Seed(seed));
        for (_, linear) in lora::adapted(&mut decoder, &settings) {
            let adapter = linear.adapter.as_mut().unwrap();
            adapter.up = Seed(seed).stream("up", 0).uniform(&adapter.up.size(), 0.5);
        }
        std::fs::create_dir(folder).unwrap();
        peft::save(&mut decoder, &settings, "base", folder).unwrap();
    }

    #[test]
    fn what_was_merged_computes_what_adapters_beside_the_weights_do() {
        let folder = tempfile::tempdir().unwrap();
        let [base, one, two] = ["base", "one", "two"].map(|name| folder.path().join(name));
        std::fs::create_dir(&base).unwrap();
        let tokenizer = small::tokenizer();
        tokenizer.save(&base).unwrap();
        small::decoder(&tokenizer).save(&base).unwrap();
        adapters(&base, &one, 1);
        adapters(&base, &two, 2);
        let inputs = |model: &Path, chain: &[&Path]| -> Inputs {
            let chain = chain.iter().enumerate().map(|(place, path)| (link("adapter", place), path.to_path_buf()));
            std::iter::once(("model".to_owned(), model.to_owned())).chain(chain).collect()
        };
        let load = |inputs: &Inputs| model::load(inputs, "model", "adapter", Kind::Float, Device::Cpu).unwrap().0;
        let place = Store::open(&folder.path().join("store"))
            .unwrap()
            .stage(StageKind::Merge, &identity("m", 1, &0, &[]).unwrap());
        std::fs::create_dir_all(place.output()).unwrap();
        let around = Surroundings {
            compute: Compute::reference(),
            inputs: &inputs(&base, &[&one]),
            folder: &place,
            events: &mut |_| (),
            stop: &StopFlag::default(),
        };
        MergeJob {}.run(around).unwrap();
        let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let (plain, beside) = (logits(&load(&inputs(&base, &[]))), logits(&load(&inputs(&base, &[&one]))));
        assert!(far(&plain, &beside) > 1e-3);
        assert!(far(&logits(&load(&inputs(&place.output(), &[]))), &beside) < 1e-5);
        // Stacked on each other, or the second on what the first was merged into.
        let stacked = load(&inputs(&base, &[&one, &two]));
        let both = logits(&stacked);
        assert!(far(&both, &beside) > 1e-3);
        assert!(far(&logits(&load(&inputs(&place.output(), &[&two]))), &both) < 1e-5);
        let mut merged = stacked;
        lora::merge(&mut merged);
        assert!(far(&logits(&merged), &both) < 1e-5);
        assert!(merged.layers.iter().flat_map(Layer::linears).all(|linear| linear.stacked.is_empty()));
    }
}
