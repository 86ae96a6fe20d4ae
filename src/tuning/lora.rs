//! Low-rank adapters on the projections of a decoder (Hu et al. 2021, arXiv 2106.09685).

use tch::{Kind, Tensor, no_grad};

use crate::device::Seed;
use crate::experiment::settings::Lora;
use crate::models::config::Projection;
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

/// Says whether `modules` name the projection `name`: by its last part (`q_proj`) or in full
/// (`self_attn.q_proj`).
pub fn is_target(name: &str, modules: &[String]) -> bool {
    modules.iter().any(|module| name == module || name.ends_with(&format!(".{module}")))
}

/// Returns the parameters of the adapters in one layer of these projections: `rank (in + out)` each.
pub fn parameters(projections: &[Projection], settings: &Lora) -> u64 {
    let targets = projections.iter().filter(|projection| is_target(projection.name, &settings.target_modules));
    targets.map(|Projection { input, output, .. }| settings.rank as u64 * (input + output).unsigned_abs()).sum()
}

/// Lists the linear layers named by `modules`, each with its name in checkpoints.
pub fn targets<'a>(decoder: &'a mut Decoder, modules: &[String]) -> Vec<(String, &'a mut Linear)> {
    let mut found = Vec::new();
    for (i, layer) in decoder.layers.iter_mut().enumerate() {
        for (name, linear) in layer.parts_mut().0 {
            if is_target(name, modules) {
                found.push((format!("model.layers.{i}.{name}"), linear));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::experiment::settings::{Architecture, Scratch};
    use crate::models::config::Config;

    #[test]
    fn adapters_are_counted_as_they_are_attached() {
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Qwen2,
            tokenizer: String::new(),
            hidden: 16,
            layers: 2,
            heads: 4,
            kv_heads: Some(2),
            feed_forward: 24,
            positions: 64,
            tied: true,
        };
        let config = Config::scratch(&scratch, 50, 0);
        for (modules, by_hand) in [
            // Queries 16 to 16, values 16 to 8: 3 (32 + 24) in two layers.
            (vec!["q_proj", "self_attn.v_proj"], 2 * 3 * (32 + 24)),
            (PROJECTIONS.to_vec(), 2 * 3 * (32 + 24 + 24 + 32 + 40 + 40 + 40)),
        ] {
            let target_modules = modules.into_iter().map(str::to_owned).collect();
            let settings = Lora { rank: 3, target_modules, ..Lora::default() };
            let mut decoder = Decoder::initialise(config.clone(), Seed(1), Device::Cpu);
            attach(&mut decoder, &settings, Seed(1));
            let adapters = decoder.layers.iter().flat_map(|layer| layer.linears());
            let attached = adapters.filter_map(|(_, linear)| linear.adapter.as_ref());
            let attached: usize = attached.map(|adapter| adapter.down.numel() + adapter.up.numel()).sum();
            let counted = 2 * parameters(&config.projections(), &settings);
            assert_eq!((attached as u64, counted), (by_hand, by_hand));
        }
    }
}
