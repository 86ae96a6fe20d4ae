//! Adapters as PEFT keeps them: `adapter_model.safetensors` and `adapter_config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::lora::{self, Trainable, Trained, adapted, trained};
use super::targets::{Target, Targets, targets};
use crate::experiment::settings::{BaseFormat, Lora, TargetPreset, is_pattern};
use crate::files;
use crate::models::adapter::{Adapter, Lengths};
use crate::models::config::Config;
use crate::models::decoder::{Decoder, HEAD};
use crate::models::quantised::{self, Quantisation};
use crate::models::weights::{Checkpoint, save_file};
use crate::models::{Misfits, ModelError};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIGURATION: &str = "adapter_config.json";

/// How the base is kept that the adapters were trained on; PEFT's own file has no place for it.
const QUANTISATION: &str = "quantisation.json";

/// Keys of `adapter_config.json` that are read here or change nothing of what is computed. Any other
/// key that is set (`layers_to_transform`, `trainable_token_indices`, and what later versions of PEFT
/// will add) asks for something else.
const KNOWN: [&str; 23] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
];

/// Initialisations that leave the base model's weights as they are. The others (PiSSA, OLoRA, LoftQ,
/// CorDA, LoRA-GA) take the adapter's first product out of them.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What names of tensors start with.
const ROOT: &str = "base_model.model.";

/// Writes the decoder's adapters, and the modules that were trained with them; `base` names the model they
/// belong to.
///
/// Where a product was taken out of the weights, an adapter of twice the rank adds it and its change back: it lies
/// on the base as it is, like any other.
///
/// # Errors
/// When a file cannot be written.
pub fn save(decoder: &mut Decoder, settings: &Lora, base: &str, folder: &Path) -> Result<(), ModelError> {
    let keep = |tensor: &Tensor| tensor.detach().to_kind(Kind::Float);
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut written: Vec<Target> = Vec::new();
    for (target, linear) in adapted(decoder, settings) {
        let Some(adapter) = &linear.adapter else { continue };
        let (down, up) = match &adapter.removed {
            None => (keep(&adapter.down), keep(&adapter.up)),
            Some((first_down, first_up)) => (
                Tensor::cat(&[keep(&adapter.down), keep(first_down)], 0),
                Tensor::cat(&[keep(&adapter.up), -keep(first_up)], 1),
            ),
        };
        // Adapters that an earlier step left have the rank that they were given there.
        let rank = down.size()[0] as usize;
        let alpha = match rank == target.rank {
            true => target.alpha,
            false => adapter.scale * if settings.rslora { (rank as f64).sqrt() } else { rank as f64 },
        };
        let name = |part: &str| format!("{ROOT}{}.{part}", target.name);
        tensors.push((name("lora_A.weight"), down));
        tensors.push((name("lora_B.weight"), up));
        let lengths = adapter.lengths.iter();
        tensors.extend(lengths.map(|lengths| (name("lora_magnitude_vector"), keep(&lengths.learned))));
        written.push(Target { rank, alpha, ..target });
    }
    let mut whole: Vec<String> = Vec::new();
    for Trained { name, part, tensor } in trained(decoder, settings) {
        if let Trainable::Whole(_) = part {
            tensors.push((format!("{ROOT}{name}"), keep(tensor)));
            // In full: PEFT takes every module whose name has this end, be it a part of a word.
            let module = lora::module(&name).to_owned();
            whole.extend((!whole.contains(&module)).then_some(module));
        }
    }
    let (rank, alpha) = written.first().map_or((settings.rank, settings.alpha), |first| (first.rank, first.alpha));
    let ranks: BTreeMap<&str, usize> =
        written.iter().filter(|target| target.rank != rank).map(|target| (&*target.name, target.rank)).collect();
    let alphas: BTreeMap<&str, f64> =
        written.iter().filter(|target| target.alpha != alpha).map(|target| (&*target.name, target.alpha)).collect();
    if decoder.config.tie_word_embeddings {
        // PEFT writes what it ties twice, and expects it so.
        let embedding = format!("{ROOT}{}.weight", decoder.config.family.places.embedding);
        let tied = tensors.iter().find(|(name, _)| *name == embedding).map(|(_, tensor)| tensor.copy());
        tensors.extend(tied.map(|tensor| (format!("{ROOT}{HEAD}"), tensor)));
    }
    let configuration = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "lora_dropout": settings.dropout,
        "target_modules": spelled(&decoder.config, settings),
        "modules_to_save": (!whole.is_empty()).then_some(&whole),
        // An embedding that is the head is one tensor here, and stays one there.
        "ensure_weight_tying": !whole.is_empty() && decoder.config.tie_word_embeddings,
        "bias": "none",
        // What PEFT calls weights that are kept transposed.
        "fan_in_fan_out": decoder.config.family.is_transposed,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": settings.rslora,
        "use_dora": settings.dora,
    });
    let path = folder.join(CONFIGURATION);
    files::write(&path, format!("{configuration:#}\n").as_bytes())?;
    if settings.base != BaseFormat::Full {
        let kept = json!({"format": settings.base, "double-quantisation": settings.double_quantisation});
        files::write(&folder.join(QUANTISATION), format!("{kept:#}\n").as_bytes())?;
    }
    save_file(&folder.join(WEIGHTS), &tensors.iter().collect::<Vec<_>>())
}

/// Returns the modules with adapters as PEFT takes them: by the names of what they stand for in a layer, or in full
/// where not all layers have the same.
fn spelled(config: &Config, settings: &Lora) -> Vec<String> {
    let all = targets(config, settings);
    if settings.target_modules.iter().any(|module| is_pattern(module)) {
        return all.into_iter().map(|target| target.name).collect();
    }
    let is_word = |module: &String| TargetPreset::named(module).is_some();
    if !settings.target_modules.iter().any(is_word) {
        return settings.target_modules.clone();
    }
    let mut names: Vec<String> = Vec::new();
    for target in all {
        let name = target.projection.name;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Returns how the base of an adapter folder was kept when its adapters were trained.
///
/// # Errors
/// When that cannot be read.
pub fn quantisation(folder: &Path) -> Result<Quantisation, ModelError> {
    let path = folder.join(QUANTISATION);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
    let Kept { format, double_quantisation } =
        serde_json::from_slice(&bytes).map_err(|source| ModelError::Json { path, source })?;
    Ok(quantised::quantisation(format, double_quantisation))
}

/// The contents of [`QUANTISATION`].
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
    format: BaseFormat,
    double_quantisation: bool,
}

/// Counts the parameters of an adapter folder; none where there is no adapter.
#[must_use]
pub fn parameters(folder: &Path) -> Option<u64> {
    let weights = Checkpoint::open_file(&folder.join(WEIGHTS)).ok()?;
    let written = std::fs::read(folder.join(CONFIGURATION)).ok()?;
    let written: Value = serde_json::from_slice(&written).ok()?;
    let is_tied = written.get("ensure_weight_tying") == Some(&Value::Bool(true));
    // A head that is the embedding is written twice.
    let counted = weights.names().filter(|name| !(is_tied && *name == format!("{ROOT}{HEAD}")));
    let shapes = counted.filter_map(|name| weights.shape(name));
    Some(shapes.map(|shape| shape.iter().product::<i64>().unsigned_abs()).sum())
}

/// Reads adapters in `kind` into `decoder`, with the modules that were trained beside them, and returns their
/// settings.
///
/// The decoder computes only with adapters in its own format; those in f32 are there to be trained.
///
/// # Errors
/// When a file is missing or damaged, describes something that is not computed here, or holds tensors
/// that do not fit the decoder or hold no numbers; the decoder is then of no use.
pub fn load(decoder: &mut Decoder, kind: Kind, folder: &Path) -> Result<Lora, ModelError> {
    let path = folder.join(CONFIGURATION);
    let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
    let value: Value = serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
    let mut value = value;
    if decoder.config.family.is_transposed && value.get("fan_in_fan_out") == Some(&Value::Bool(true)) {
        // So they are in this family, and are turned as they are read.
        value["fan_in_fan_out"] = json!(false);
    }
    let refused = |problem: String| ModelError::Config { path: path.clone(), problem };
    let mut settings = read_settings(&value).map_err(refused)?;
    if let Some((base, double_quantisation)) = quantisation(folder)? {
        settings.base = base;
        // Of eight bits it says nothing.
        if base != BaseFormat::Int8 {
            settings.double_quantisation = double_quantisation;
        }
    }
    // PEFT leaves the head as it was where only the embedding is trained, unless it is told to tie the two.
    let ties = value.get("ensure_weight_tying").and_then(Value::as_bool).unwrap_or_default();
    if decoder.config.tie_word_embeddings && !settings.modules_to_save.is_empty() && !ties {
        let problem =
            "`modules_to_save` is set without `ensure_weight_tying`, expected a head that stays the embedding";
        return Err(refused(problem.to_owned()));
    }
    let checkpoint = Checkpoint::open_file(&folder.join(WEIGHTS))?;
    let device = decoder.device();
    let mut misfits = Misfits::default();
    let mut used = BTreeSet::new();
    let mut read = |name: String, expected: &[i64], misfits: &mut Misfits| -> Result<Option<Tensor>, ModelError> {
        match checkpoint.shape(&name) {
            Some(shape) if shape == expected => {}
            Some(shape) => misfits.add(format!("`{name}` has shape {shape:?}, expected {expected:?}")),
            None => misfits.add(format!("`{name}` is missing")),
        }
        let read = checkpoint.read_weights(&name, kind, device, misfits)?;
        used.insert(name);
        Ok(read)
    };
    let empty = || Tensor::empty([0], (kind, device));
    for (target, linear) in adapted(decoder, &settings) {
        let [out, width] = linear.weight.shape();
        let rank = target.rank as i64;
        let name = |part: &str| format!("{ROOT}{}.{part}", target.name);
        let down = read(name("lora_A.weight"), &[rank, width], &mut misfits)?.unwrap_or_else(empty);
        let up = read(name("lora_B.weight"), &[out, rank], &mut misfits)?.unwrap_or_else(empty);
        let lengths = match settings.dora {
            true => read(name("lora_magnitude_vector"), &[out], &mut misfits)?
                .map(|learned| Lengths::learned(learned, &linear.weight.dense(Kind::Float))),
            false => None,
        };
        let adapter = Adapter::new(down, up, target.scale(&settings), settings.dropout);
        linear.adapter = Some(Adapter { lengths, ..adapter });
    }
    for Trained { name, part, tensor } in trained(decoder, &settings) {
        if let Trainable::Whole(_) = part
            && let Some(learned) = read(format!("{ROOT}{name}"), &tensor.size(), &mut misfits)?
        {
            *tensor = learned;
        }
    }
    let (head, places) = (format!("{ROOT}{HEAD}"), &decoder.config.family.places);
    if ties && decoder.config.tie_word_embeddings && checkpoint.shape(&head).is_some() {
        let head = read(head, &[decoder.config.vocab_size, decoder.config.hidden_size], &mut misfits)?;
        if head.is_some_and(|head| !head.equal(&decoder.embed_tokens)) {
            misfits
                .add(format!("`{ROOT}{HEAD}` differs from `{ROOT}{}.weight`, to which it is tied", places.embedding));
        }
    }
    for name in checkpoint.names().filter(|&name| !used.contains(name)) {
        misfits.add(format!("`{name}` belongs to no target module"));
    }
    if used.is_empty() {
        misfits.add(format!("the model has none of the target modules {:?}", settings.target_modules));
    }
    misfits.check(folder)?;
    Ok(settings)
}

fn read_settings(value: &Value) -> Result<Lora, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("peft_type") != Some("LORA") {
        return Err(format!("`peft_type` is `{}`, expected `LORA`", text("peft_type").unwrap_or("missing")));
    }
    let initialisation = value.get("init_lora_weights").and_then(Value::as_str);
    if let Some(name) = initialisation.filter(|name| !PLAIN_INITIALISATIONS.contains(name)) {
        return Err(format!(
            "`init_lora_weights` is `{name}`, which changes the base model: convert the adapter to plain LoRA"
        ));
    }
    if let Some(bias) = text("bias").filter(|&bias| bias != "none") {
        return Err(format!("`bias` is `{bias}`, expected `none`"));
    }
    let mut keys = value.as_object().into_iter().flatten();
    if let Some((name, _)) = keys.find(|(name, value)| !KNOWN.contains(&name.as_str()) && is_set(value)) {
        return Err(format!("`{name}` is set, which is not computed here"));
    }
    let alpha = value.get("lora_alpha").and_then(Value::as_f64).ok_or("`lora_alpha` is no number")?;
    let dropout = match value.get("lora_dropout") {
        None => Some(0.0),
        Some(dropout) => dropout.as_f64().filter(|dropout| (0.0..=1.0).contains(dropout)),
    };
    let settings = Lora {
        rank: rank(value.get("r"), "r")?,
        alpha,
        dropout: dropout.ok_or("`lora_dropout` is no number from 0 to 1")?,
        target_modules: modules(value)?,
        rank_pattern: pattern(value, "rank_pattern", |value| rank(Some(value), "rank_pattern"))?,
        alpha_pattern: pattern(value, "alpha_pattern", |value| {
            value.as_f64().ok_or_else(|| "`alpha_pattern` holds no number".to_owned())
        })?,
        rslora: flag(value, "use_rslora")?,
        dora: flag(value, "use_dora")?,
        modules_to_save: names(value, "modules_to_save")?,
        ..Lora::default()
    };
    Targets::new(&settings)?;
    Ok(settings)
}

fn flag(value: &Value, name: &str) -> Result<bool, String> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("`{name}` is neither true nor false")),
    }
}

fn rank(value: Option<&Value>, name: &str) -> Result<usize, String> {
    let rank = value.and_then(Value::as_u64).filter(|&rank| rank > 0);
    let rank = rank.ok_or_else(|| format!("`{name}` is no whole number from 1"))?;
    usize::try_from(rank).map_err(|_| format!("`{name}` is too large"))
}

/// Reads a map from patterns to values. Of several that fit a module PEFT takes the first of the file; the order of
/// the file is lost here, and the first by name counts.
fn pattern<T>(
    value: &Value,
    name: &str,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<BTreeMap<String, T>, String> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(members)) => {
            members.iter().map(|(pattern, value)| Ok((pattern.clone(), read(value)?))).collect()
        }
        Some(_) => Err(format!("`{name}` is no map of names")),
    }
}

/// Reads a list of names; none where there is nothing.
fn names(value: &Value, name: &str) -> Result<Vec<String>, String> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => {
            let list = list.as_array().ok_or_else(|| format!("`{name}` is no list"))?;
            let names: Option<Vec<String>> = list.iter().map(|name| Some(name.as_str()?.to_owned())).collect();
            let mut names = names.ok_or_else(|| format!("`{name}` holds something else than names"))?;
            names.sort();
            Ok(names)
        }
    }
}

/// Reads what has adapters: a list of names or, as PEFT keeps it, a regular expression on whole names. Of
/// `all-linear` PEFT writes the list that it stands for.
fn modules(value: &Value) -> Result<Vec<String>, String> {
    match value.get("target_modules").and_then(Value::as_str) {
        Some(word) if is_pattern(word) => Ok(vec![word.to_owned()]),
        _ => match value.get("target_modules") {
            Some(Value::Array(_)) => names(value, "target_modules"),
            _ => Err("`target_modules` is neither a list nor a regular expression".to_owned()),
        },
    }
}

/// Says whether a key has another value than PEFT's for "not in use".
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PEFT 0.21 writes for plain LoRA.
    fn written() -> Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/llama-adapter");
        serde_json::from_slice(&std::fs::read(folder.join(CONFIGURATION)).unwrap()).unwrap()
    }

    #[test]
    fn plain_lora_is_read_as_peft_writes_it() {
        let target_modules = ["down_proj", "q_proj", "v_proj"].map(str::to_owned).to_vec();
        assert_eq!(read_settings(&written()), Ok(Lora { rank: 2, alpha: 6.0, target_modules, ..Lora::default() }));
    }

    #[test]
    fn what_is_not_computed_here_is_refused_by_name() {
        for (name, wrong) in [
            ("peft_type", json!("IA3")),
            ("r", json!(0)),
            ("r", json!(null)),
            ("lora_alpha", json!("8")),
            ("lora_dropout", json!(1.5)),
            ("target_modules", json!("all-linear")),
            ("target_modules", json!([1])),
            ("bias", json!("lora_only")),
            ("fan_in_fan_out", json!(true)),
            ("use_rslora", json!("yes")),
            ("use_dora", json!(1)),
            ("lora_bias", json!(true)),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("rank_pattern", json!({"q_proj": 0})),
            ("rank_pattern", json!([4])),
            ("alpha_pattern", json!({"q_proj": "4"})),
            ("modules_to_save", json!("lm_head")),
            ("modules_to_save", json!([7])),
            ("layers_to_transform", json!([0])),
            ("trainable_token_indices", json!([7])),
            ("a_key_of_the_future", json!(1)),
        ] {
            let mut value = written();
            value[name] = wrong;
            let problem = read_settings(&value).unwrap_err();
            assert!(problem.contains(&format!("`{name}`")), "{name}: {problem}");
        }
    }
}
