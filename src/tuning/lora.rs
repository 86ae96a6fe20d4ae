//! Low-rank adapters on the projections of a decoder (Hu et al. 2021, arXiv 2106.09685).

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::targets::{Layers, Target, Targets, is_named, targets};
use crate::device::Seed;
use crate::experiment::settings::{Initialisation, Lora, Tuning};
use crate::models::adapter::{Adapter, Lengths};
use crate::models::block::Layer;
use crate::models::config::{Config, Projection};
use crate::models::decoder::{self, Decoder};
use crate::models::families::Role;
use crate::models::layers::{Linear, Weight};
use crate::models::quantised::{self, Quantisation};

/// Adds fresh adapters to the target modules and freezes everything else.
///
/// The model first computes what it computed before: see [`Initialisation`]. Adapters are f32 until a
/// trainable buffer takes them over.
pub fn attach(decoder: &mut Decoder, settings: &Lora, seed: Seed) {
    for (target, linear) in adapted(decoder, settings) {
        linear.adapter = Some(start(&target, linear, settings, seed.stream(&target.name, 0)));
    }
}

/// Makes the adapter of a projection, and takes its product out of the weight if it has one.
fn start(target: &Target, linear: &mut Linear, settings: &Lora, seed: Seed) -> Adapter {
    let [out, width] = linear.weight.shape();
    let (rank, scale, device) = (target.rank as i64, target.scale(settings), linear.weight.device());
    let zeros = || Tensor::zeros([out, rank], (Kind::Float, device));
    let (down, up) = match settings.initialisation {
        // PEFT's Kaiming initialisation with `a = sqrt(5)`.
        Initialisation::Kaiming => (seed.uniform(&[rank, width], (width as f64).powf(-0.5)), zeros()),
        Initialisation::Gaussian => (seed.normal(&[rank, width]) / rank as f64, zeros()),
        Initialisation::Pissa => principal(&linear.weight.dense(Kind::Float), rank, scale),
        Initialisation::Olora => orthonormal(&linear.weight.dense(Kind::Float), rank),
    };
    let (down, up) = (down.to_device(device), up.to_device(device));
    let mut adapter = Adapter::new(down, up, scale, settings.dropout);
    if settings.initialisation.changes_base() {
        let weight = linear.weight.dense(Kind::Float);
        let rest = no_grad(|| weight.to_kind(Kind::Float) - adapter.update()).to_kind(weight.kind());
        linear.weight = Weight::Dense(rest.detach());
        adapter.removed = Some((adapter.down.copy(), adapter.up.copy()));
    }
    if settings.dora {
        adapter.lengths = Some(Lengths::of(&linear.weight.dense(Kind::Float)));
    }
    adapter
}

/// Returns A and B of PiSSA: `scale B A` is the best approximation of `weight` of this rank.
fn principal(weight: &Tensor, rank: i64, scale: f64) -> (Tensor, Tensor) {
    no_grad(|| {
        let (left, values, right) = weight.to_kind(Kind::Float).svd(true, true);
        let roots = (values.narrow(0, 0, rank) / scale).sqrt();
        ((right.narrow(1, 0, rank) * &roots).tr().contiguous(), left.narrow(1, 0, rank) * &roots)
    })
}

/// Returns A and B of OLoRA: the first rows of R and the first columns of Q.
fn orthonormal(weight: &Tensor, rank: i64) -> (Tensor, Tensor) {
    no_grad(|| {
        let (q, r) = Tensor::linalg_qr(&weight.to_kind(Kind::Float), "reduced");
        (r.narrow(0, 0, rank).contiguous(), q.narrow(1, 0, rank).contiguous())
    })
}

/// Returns how a base is kept under adapters.
pub fn quantisation(tuning: &Tuning) -> Quantisation {
    match tuning {
        Tuning::Lora(Lora { base, double_quantisation, .. }) => quantised::quantisation(*base, *double_quantisation),
        Tuning::Full {} => None,
    }
}

/// Adds each adapter's update to its weight and removes the adapter, where weights are f32; those in four or eight
/// bits become what they stand for, in f32, with the update.
///
/// In bf16 adapters stay: a weight near 0.02 moves in steps of 1.2e-4, and the sum would lose most of
/// a fine-tuning that trained, and was measured on dev, with the adapters beside the weights. What they
/// multiply rows by is then computed once.
pub fn merge(decoder: &mut Decoder) {
    let kind = decoder.kind();
    for linear in decoder.layers.iter_mut().flat_map(Layer::linears_mut) {
        if kind == Kind::Float {
            let adapters = std::mem::take(&mut linear.stacked).into_iter().chain(linear.adapter.take());
            let merged = adapters.fold(linear.weight.dense(kind), |weight, adapter| adapter.merged(&weight));
            linear.weight = Weight::Dense(merged);
        } else if let Some(adapter) = linear.adapter.as_mut().filter(|adapter| adapter.lengths.is_some()) {
            adapter.settle(&linear.weight.dense(kind));
        }
    }
}

/// Puts the adapters that are there below others to come: they stay as they are.
pub fn stack(decoder: &mut Decoder) {
    for linear in decoder.layers.iter_mut().flat_map(Layer::linears_mut) {
        linear.stacked.extend(linear.adapter.take());
    }
}

/// Lists the projections that get an adapter, each with what it gets.
pub fn adapted<'a>(decoder: &'a mut Decoder, settings: &Lora) -> Vec<(Target, &'a mut Linear)> {
    named(targets(&decoder.config, settings), &decoder.config.clone(), &mut decoder.layers)
}

/// Joins targets with the projections that they name.
fn named<'a>(targets: Vec<Target>, config: &Config, layers: &'a mut [Layer]) -> Vec<(Target, &'a mut Linear)> {
    let mut named: BTreeMap<String, Target> = targets.into_iter().map(|target| (target.name.clone(), target)).collect();
    let mut found = Vec::new();
    for (i, layer) in (0..).zip(layers) {
        let prefix = config.prefix(i);
        for linear in layer.linears_mut() {
            found.extend(named.remove(&format!("{prefix}{}", linear.name)).map(|target| (target, linear)));
        }
    }
    found
}

/// A tensor that is trained.
#[derive(Debug)]
pub struct Trained<'a> {
    /// Its name.
    pub name: String,
    /// What it is.
    pub part: Trainable,
    /// The tensor.
    pub tensor: &'a mut Tensor,
}

/// What is trained of a model with adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainable {
    /// A of an adapter.
    Down,
    /// B of an adapter.
    Up,
    /// Learned lengths of rows.
    Lengths,
    /// All of a module beside the layers.
    Whole(Role),
}

/// Lists what is trained, in the order of the model: adapters, then whole modules.
pub fn trained<'a>(decoder: &'a mut Decoder, settings: &Lora) -> Vec<Trained<'a>> {
    let config = decoder.config.clone();
    let targets = targets(&config, settings);
    let decoder::Parts { before, layers, after } = decoder.parts_mut();
    let mut all = Vec::new();
    for (Target { name, .. }, linear) in named(targets, &config, layers) {
        let Some(Adapter { down, up, lengths, .. }) = &mut linear.adapter else { continue };
        all.push(Trained { name: format!("{name}.lora_A"), part: Trainable::Down, tensor: down });
        all.push(Trained { name: format!("{name}.lora_B"), part: Trainable::Up, tensor: up });
        let learned = lengths.as_mut().map(|lengths| &mut lengths.learned);
        let name = format!("{name}.lora_magnitude_vector");
        all.extend(learned.map(|tensor| Trained { name, part: Trainable::Lengths, tensor }));
    }
    let whole = before.into_iter().chain(after).filter(|parameter| is_saved(&parameter.name, settings));
    all.extend(whole.map(|decoder::Parameter { name, role, tensor }| Trained {
        name,
        part: Trainable::Whole(role),
        tensor,
    }));
    all
}

/// Returns the module that a parameter belongs to: its name without `weight` or `bias`.
pub(super) fn module(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or(parameter, |(module, _)| module)
}

/// Says whether a parameter outside the layers is trained as a whole, by its name in checkpoints.
pub fn is_saved(parameter: &str, settings: &Lora) -> bool {
    settings.modules_to_save.iter().any(|saved| is_named(module(parameter), saved))
}

/// Checks that what `settings` name is in a model.
///
/// # Errors
/// The setting, what it names that is not there, and what there is.
pub fn check(config: &Config, settings: &Lora) -> Result<(), (&'static str, String)> {
    let projections = config.projections();
    let layers =
        Layers { place: config.family.places.layers, count: config.num_hidden_layers, projections: &projections };
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let family = config.family.name;
    let targets = Targets::new(settings).map_err(|problem| ("target-modules", problem))?;
    let nothing = targets.unmatched(layers);
    if !nothing.is_empty() {
        let last = |projection: &Projection| projection.name.rsplit('.').next().unwrap_or_default();
        let there: Vec<&str> = projections.iter().map(last).collect();
        let (nothing, there) = (quoted(&nothing), quoted(&there));
        let problem = format!("no projection of a {family} is named {nothing}, expected one of {there}");
        return Err(("target-modules", problem));
    }
    let decomposed = targets.all(layers).into_iter().filter(|_| settings.initialisation.changes_base());
    for Target { name, projection: Projection { input, output, .. }, rank, .. } in decomposed {
        let most = input.min(output);
        if rank as u64 > most.unsigned_abs() {
            let problem =
                format!("`{name}` of {output} x {input} numbers has no part of rank {rank}, expected at most {most}");
            return Err(("rank", problem));
        }
    }
    let around = config.around_layers();
    let around: Vec<&str> = around.iter().map(|(name, _)| module(name)).collect();
    let is_nothing = |saved: &&str| !around.iter().any(|module| is_named(module, saved));
    let nothing: Vec<&str> = settings.modules_to_save.iter().map(String::as_str).filter(is_nothing).collect();
    if nothing.is_empty() {
        return Ok(());
    }
    let there: Vec<&str> = around.iter().map(|module| module.rsplit('.').next().unwrap_or_default()).collect();
    let tied = if config.tie_word_embeddings { "; its head is the embedding" } else { "" };
    let (nothing, there) = (quoted(&nothing), quoted(&there));
    let problem =
        format!("no module beside the layers of a {family} is named {nothing}, expected one of {there}{tied}");
    Err(("modules-to-save", problem))
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
        let named = |modules: &[&str]| modules.iter().map(|&name| name.to_owned()).collect();
        let check = |modules: &[&str]| check(&config, &Lora { target_modules: named(modules), ..Lora::default() });
        assert_eq!(check(&["attention-qv", "mlp", "c_attn", "mlp.c_proj", "all-linear"]), Ok(()));
        assert_eq!(
            check(&["c_attn", "q_proj"]).unwrap_err().1,
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
            let counted: u64 = targets(&config, &settings).iter().map(|target| target.parameters(&settings)).sum();
            assert_eq!((attached as u64, counted), (by_hand, by_hand));
        }
    }
}
