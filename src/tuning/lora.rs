//! Low-rank adapters on the projections of a decoder (Hu et al. 2021, arXiv 2106.09685).

use tch::{Kind, Tensor, no_grad};

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
    for (name, linear) in targets(decoder, &settings.target_modules) {
        let (out, width) = linear.weight.size2().expect("a weight has two sizes");
        let rank = settings.rank as i64;
        let bound = (width as f64).powf(-0.5);
        let device = linear.weight.device();
        let down = seed.stream(&name, 0).uniform(&[rank, width], bound);
        linear.adapter = Some(Adapter {
            down: down.to_device(device),
            up: Tensor::zeros([out, rank], (Kind::Float, device)),
            scale: settings.alpha / settings.rank as f64,
            dropout: settings.dropout,
        });
    }
}

/// Adds each adapter's product to its weight and removes the adapter, where weights are f32.
///
/// In bf16 adapters stay: a weight near 0.02 moves in steps of 1.2e-4, and the sum would lose most of
/// a fine-tuning that trained, and was measured on dev, with the adapters beside the weights.
pub fn merge(decoder: &mut Decoder) {
    if decoder.kind() != Kind::Float {
        return;
    }
    let every: Vec<String> = PROJECTIONS.iter().map(|&name| name.to_owned()).collect();
    for (_, linear) in targets(decoder, &every) {
        let adapters = std::mem::take(&mut linear.stacked).into_iter().chain(linear.adapter.take());
        for adapter in adapters {
            no_grad(|| {
                let update = adapter.up.matmul(&adapter.down) * adapter.scale;
                linear.weight = (&linear.weight + update).detach();
            });
        }
    }
}

/// Puts the adapters that are there below others to come: they stay as they are.
pub fn stack(decoder: &mut Decoder) {
    let every: Vec<String> = PROJECTIONS.iter().map(|&name| name.to_owned()).collect();
    for (_, linear) in targets(decoder, &every) {
        linear.stacked.extend(linear.adapter.take());
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
