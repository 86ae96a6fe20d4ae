//! Low-rank adapters on the projections of a decoder (Hu et al. 2021, arXiv 2106.09685).

use tch::{Kind, Tensor, no_grad};

use crate::device::Seed;
use crate::experiment::settings::{BaseFormat, Lora, TargetPreset, Tuning};
use crate::models::block::Layer;
use crate::models::config::{Config, Part, Projection};
use crate::models::decoder::Decoder;
use crate::models::families::Quantisation;
use crate::models::layers::{Adapter, Linear, Weight};

/// Adds fresh adapters to the target modules and freezes everything else.
///
/// A starts uniform in `±1/sqrt(in)` (PEFT's Kaiming initialisation with `a = sqrt(5)`), B at
/// zero, so that the model first computes what it computed before. Adapters are f32 until a
/// trainable buffer takes them over.
pub fn attach(decoder: &mut Decoder, settings: &Lora, seed: Seed) {
    for (name, linear) in targets(decoder, &settings.target_modules) {
        let [out, width] = linear.weight.shape();
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

/// Returns how a base is kept under adapters.
pub fn quantisation(tuning: &Tuning) -> Quantisation {
    match tuning {
        Tuning::Lora(Lora { base, double_quantisation, .. }) if *base != BaseFormat::Full => {
            Some((*base, *double_quantisation))
        }
        _ => None,
    }
}

/// Adds each adapter's product to its weight and removes the adapter, where weights are f32; those in four
/// bits become what they stand for, in f32, with the product.
///
/// In bf16 adapters stay: a weight near 0.02 moves in steps of 1.2e-4, and the sum would lose most of
/// a fine-tuning that trained, and was measured on dev, with the adapters beside the weights.
pub fn merge(decoder: &mut Decoder) {
    if decoder.kind() != Kind::Float {
        return;
    }
    for linear in decoder.layers.iter_mut().flat_map(Layer::linears_mut) {
        if matches!(linear.weight, Weight::Quantised(_)) {
            linear.weight = Weight::Dense(linear.weight.dense(Kind::Float));
        }
        let adapters = std::mem::take(&mut linear.stacked).into_iter().chain(linear.adapter.take());
        for adapter in adapters {
            no_grad(|| {
                let update = adapter.up.matmul(&adapter.down) * adapter.scale;
                linear.weight = Weight::Dense((linear.weight.dense(Kind::Float) + update).detach());
            });
        }
    }
}

/// Puts the adapters that are there below others to come: they stay as they are.
pub fn stack(decoder: &mut Decoder) {
    for linear in decoder.layers.iter_mut().flat_map(Layer::linears_mut) {
        linear.stacked.extend(linear.adapter.take());
    }
}

/// Says whether `modules` name a projection: by the last part of its name (`q_proj`), in full
/// (`self_attn.q_proj`), or by a word for several.
pub fn is_target(projection: &Projection, modules: &[String]) -> bool {
    let Projection { name, part, .. } = *projection;
    modules.iter().any(|module| match TargetPreset::named(module) {
        Some(preset) => preset_holds(preset, part),
        None => name == module || name.ends_with(&format!(".{module}")),
    })
}

fn preset_holds(preset: TargetPreset, part: Part) -> bool {
    match preset {
        TargetPreset::AttentionQv => matches!(part, Part::Query | Part::Value | Part::QueryKeyValue),
        TargetPreset::Attention => !matches!(part, Part::Widening | Part::Narrowing),
        TargetPreset::Mlp => matches!(part, Part::Widening | Part::Narrowing),
        TargetPreset::AllLinear => true,
    }
}

/// Returns `modules` as PEFT takes them: words for several as the names of what they stand for in a layer.
pub fn spelled(config: &Config, modules: &[String]) -> Vec<String> {
    let projections = config.projections();
    let of = |module: &String| -> Vec<String> {
        if TargetPreset::named(module).is_none() {
            return vec![module.clone()];
        }
        let targets = projections.iter().filter(|projection| is_target(projection, std::slice::from_ref(module)));
        targets.map(|projection| projection.name.to_owned()).collect()
    };
    modules.iter().flat_map(of).collect()
}

/// Checks that every one of `modules` names a projection of a model.
///
/// # Errors
/// Which do not, and what there is.
pub fn check(config: &Config, modules: &[String]) -> Result<(), String> {
    let projections = config.projections();
    let is_nothing =
        |module: &&String| !projections.iter().any(|projection| is_target(projection, std::slice::from_ref(module)));
    let nothing: Vec<String> = modules.iter().filter(is_nothing).map(|module| format!("`{module}`")).collect();
    if nothing.is_empty() {
        return Ok(());
    }
    let last = |projection: &Projection| format!("`{}`", projection.name.rsplit('.').next().unwrap_or_default());
    let there: Vec<String> = projections.iter().map(last).collect();
    Err(format!(
        "no projection of a {} is named {}, expected one of {}",
        config.family.name,
        nothing.join(", "),
        there.join(", ")
    ))
}

/// Returns the parameters of the adapters in one layer of these projections: `rank (in + out)` each.
pub fn parameters<'a>(projections: impl IntoIterator<Item = &'a Projection>, settings: &Lora) -> u64 {
    let is_named = |projection: &&Projection| is_target(projection, &settings.target_modules);
    let targets = projections.into_iter().filter(is_named);
    targets.map(|Projection { input, output, .. }| settings.rank as u64 * (input + output).unsigned_abs()).sum()
}

/// Lists the linear layers named by `modules`, each with its name in checkpoints.
pub fn targets<'a>(decoder: &'a mut Decoder, modules: &[String]) -> Vec<(String, &'a mut Linear)> {
    let projections = decoder.config.projections().into_iter();
    let chosen: Vec<&str> = projections.filter(|part| is_target(part, modules)).map(|part| part.name).collect();
    let mut found = Vec::new();
    for (i, layer) in (0..).zip(&mut decoder.layers) {
        let prefix = decoder.config.prefix(i);
        let linears = layer.linears_mut().into_iter().filter(|linear| chosen.contains(&linear.name));
        found.extend(linears.map(|linear| (format!("{prefix}{}", linear.name), linear)));
    }
    found
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::experiment::settings::{Architecture, Scratch};

    #[test]
    fn modules_that_name_nothing_are_told_with_those_that_are_there() {
        let value = serde_json::json!({"model_type": "gpt2", "vocab_size": 10, "n_embd": 8, "n_layer": 1, "n_head": 2});
        let config = Config::from_json(&value).unwrap();
        let check = |modules: &[&str]| check(&config, &modules.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&["attention-qv", "mlp", "c_attn", "mlp.c_proj", "all-linear"]), Ok(()));
        assert_eq!(
            check(&["c_attn", "q_proj"]).unwrap_err(),
            "no projection of a gpt2 is named `q_proj`, expected one of `c_attn`, `c_proj`, `c_fc`, `c_proj`"
        );
    }

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
            (
                config.projections().iter().map(|projection| projection.name).collect(),
                2 * 3 * (32 + 24 + 24 + 32 + 40 + 40 + 40),
            ),
        ] {
            let target_modules = modules.into_iter().map(str::to_owned).collect();
            let settings = Lora { rank: 3, target_modules, ..Lora::default() };
            let mut decoder = Decoder::initialise(config.clone(), Seed(1), Device::Cpu);
            attach(&mut decoder, &settings, Seed(1));
            let adapters = decoder.layers.iter().flat_map(|layer| layer.linears());
            let attached = adapters.filter_map(|linear| linear.adapter.as_ref());
            let attached: usize = attached.map(|adapter| adapter.down.numel() + adapter.up.numel()).sum();
            let counted = 2 * parameters(&config.projections(), &settings);
            assert_eq!((attached as u64, counted), (by_hand, by_hand));
        }
    }
}
