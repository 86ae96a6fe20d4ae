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
