//! Low-rank adapters on the projections of a decoder (Hu et al. 2021, arXiv 2106.09685).

use tch::{Device, Kind, Tensor, no_grad};

use crate::device::Seed;
use crate::experiment::settings::Lora;
use crate::models::decoder::Decoder;
use crate::models::layers::{Adapter, Linear};
use crate::models::llama::PROJECTIONS;

/// Adds fresh adapters to the target modules and freezes everything else.
///
/// A starts uniform in `±1/sqrt(in)` (PEFT's Kaiming initialisation with `a = sqrt(5)`), B at
/// zero, so that the model first computes what it computed before. Adapters are f32 until a
/// trainable buffer takes them over.
pub fn attach(decoder: &mut Decoder, settings: &Lora, seed: Seed) {
    seed.stream("adapters", 0).seed_tensors();
    for (_, linear) in targets(decoder, &settings.target_modules) {
        let (out, width) = linear.weight.size2().expect("a weight has two sizes");
        let rank = settings.rank as i64;
        let bound = (width as f64).powf(-0.5);
        let device = linear.weight.device();
        // Drawn on the CPU, so that a seed means the same adapter on every device.
        let down = Tensor::empty([rank, width], (Kind::Float, Device::Cpu)).uniform_(-bound, bound);
        linear.adapter = Some(Adapter {
            down: down.to_device(device),
            up: Tensor::zeros([out, rank], (Kind::Float, device)),
            scale: settings.alpha / settings.rank as f64,
            dropout: settings.dropout,
        });
    }
}

/// Adds each adapter's product to its weight, computed in f32, and removes the adapter.
pub fn merge(decoder: &mut Decoder) {
    let every: Vec<String> = PROJECTIONS.iter().map(|&name| name.to_owned()).collect();
    for (_, linear) in targets(decoder, &every) {
        let Some(adapter) = linear.adapter.take() else {
            continue;
        };
        no_grad(|| {
            let update = adapter.up.to_kind(Kind::Float).matmul(&adapter.down.to_kind(Kind::Float)) * adapter.scale;
            let merged = linear.weight.to_kind(Kind::Float) + update;
            linear.weight = merged.to_kind(linear.weight.kind()).detach();
        });
    }
}

/// Lists the linear layers named by `modules` (`q_proj`, or in full `self_attn.q_proj`), each
/// with its name in checkpoints.
pub fn targets<'a>(decoder: &'a mut Decoder, modules: &[String]) -> Vec<(String, &'a mut Linear)> {
    let wanted = |name: &str| modules.iter().any(|module| name == module || name.ends_with(&format!(".{module}")));
    let mut found = Vec::new();
    for (i, layer) in decoder.layers.iter_mut().enumerate() {
        for (name, linear) in layer.parts_mut().0 {
            if wanted(name) {
                found.push((format!("model.layers.{i}.{name}"), linear));
            }
        }
    }
    found
}
