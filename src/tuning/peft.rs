//! Adapters as PEFT keeps them: `adapter_model.safetensors` and `adapter_config.json`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::lora::{spelled, targets};
use crate::experiment::settings::{BaseFormat, Lora};
use crate::files;
use crate::models::decoder::Decoder;
use crate::models::families::Quantisation;
use crate::models::layers::Adapter;
use crate::models::weights::{Checkpoint, save_file};
use crate::models::{Misfits, ModelError};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIGURATION: &str = "adapter_config.json";

/// How the base is kept that the adapters were trained on; PEFT's own file has no place for it.
const QUANTISATION: &str = "quantisation.json";

/// Keys of `adapter_config.json` that are read here or change nothing of what is computed. Any other
/// key that is set (`alpha_pattern`, `modules_to_save`, `use_dora`, and what later versions of PEFT
/// will add) asks for more than plain LoRA.
const KNOWN: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
];

/// Initialisations that leave the base model's weights as they are. The others (PiSSA, OLoRA, LoftQ,
/// CorDA, LoRA-GA) take the adapter's first product out of them.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Writes the decoder's adapters; `base` names the model they belong to.
///
/// # Errors
/// When a file cannot be written.
pub fn save(decoder: &mut Decoder, settings: &Lora, base: &str, folder: &Path) -> Result<(), ModelError> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    for (name, linear) in targets(decoder, &settings.target_modules) {
        if let Some(adapter) = &linear.adapter {
            let keep = |tensor: &Tensor| tensor.detach().to_kind(Kind::Float);
            tensors.push((format!("base_model.model.{name}.lora_A.weight"), keep(&adapter.down)));
            tensors.push((format!("base_model.model.{name}.lora_B.weight"), keep(&adapter.up)));
        }
    }
    let configuration = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": spelled(&decoder.config, &settings.target_modules),
        "bias": "none",
        // What PEFT calls weights that are kept transposed.
        "fan_in_fan_out": decoder.config.family.is_transposed,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
    });
    let path = folder.join(CONFIGURATION);
    files::write(&path, format!("{configuration:#}\n").as_bytes())?;
    if settings.base != BaseFormat::Full {
        let kept = json!({"format": settings.base, "double-quantisation": settings.double_quantisation});
        files::write(&folder.join(QUANTISATION), format!("{kept:#}\n").as_bytes())?;
    }
    save_file(&folder.join(WEIGHTS), &tensors.iter().collect::<Vec<_>>())
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
    Ok(Some((format, double_quantisation)))
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
    let shapes = weights.names().filter_map(|name| weights.shape(name));
    Some(shapes.map(|shape| shape.iter().product::<i64>().unsigned_abs()).sum())
}

/// Reads adapters in `kind` into `decoder` and returns their settings.
///
/// The decoder computes only with adapters in its own format; those in f32 are there to be trained.
///
/// # Errors
/// When a file is missing or damaged, describes another method than plain LoRA, or holds tensors
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
    let mut settings = read_settings(&value).map_err(|problem| ModelError::Config { path, problem })?;
    if let Some((base, double_quantisation)) = quantisation(folder)? {
        (settings.base, settings.double_quantisation) = (base, double_quantisation);
    }
    let checkpoint = Checkpoint::open_file(&folder.join(WEIGHTS))?;
    let device = decoder.device();
    let mut misfits = Misfits::default();
    let mut used = BTreeSet::new();
    for (name, linear) in targets(decoder, &settings.target_modules) {
        let [out, width] = linear.weight.shape();
        let rank = settings.rank as i64;
        let mut tensor = |part: &str, expected: [i64; 2]| -> Result<Tensor, ModelError> {
            let name = format!("base_model.model.{name}.{part}.weight");
            match checkpoint.shape(&name) {
                Some(shape) if shape == expected => {}
                Some(shape) => misfits.add(format!("`{name}` has shape {shape:?}, expected {expected:?}")),
                None => misfits.add(format!("`{name}` is missing")),
            }
            let read = checkpoint.read_weights(&name, kind, device, &mut misfits)?;
            used.insert(name);
            Ok(read.unwrap_or_else(|| Tensor::empty([0], (kind, device))))
        };
        let (down, up) = (tensor("lora_A", [rank, width])?, tensor("lora_B", [out, rank])?);
        linear.adapter =
            Some(Adapter { down, up, scale: settings.alpha / settings.rank as f64, dropout: settings.dropout });
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
        return Err(format!("`{name}` is set, expected plain LoRA"));
    }
    let rank =
        value.get("r").and_then(Value::as_u64).filter(|&rank| rank > 0).ok_or("`r` is no whole number from 1")?;
    let rank = usize::try_from(rank).map_err(|_| "`r` is too large")?;
    let alpha = value.get("lora_alpha").and_then(Value::as_f64).ok_or("`lora_alpha` is no number")?;
    let dropout = match value.get("lora_dropout") {
        None => Some(0.0),
        Some(dropout) => dropout.as_f64().filter(|dropout| (0.0..=1.0).contains(dropout)),
    };
    let dropout = dropout.ok_or("`lora_dropout` is no number from 0 to 1")?;
    // Of `all-linear` PEFT writes the list that it stands for; a pattern it keeps.
    let modules = value.get("target_modules").and_then(Value::as_array).ok_or("`target_modules` is no list")?;
    let modules: Option<Vec<String>> = modules.iter().map(|module| Some(module.as_str()?.to_owned())).collect();
    let mut target_modules = modules.ok_or("`target_modules` holds something else than names")?;
    target_modules.sort();
    Ok(Lora { rank, alpha, dropout, target_modules, ..Lora::default() })
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
    fn what_plain_lora_does_not_have_is_refused_by_name() {
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
            ("use_rslora", json!(true)),
            ("use_dora", json!(true)),
            ("lora_bias", json!(true)),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("rank_pattern", json!({"q_proj": 4})),
            ("alpha_pattern", json!({"q_proj": 4})),
            ("modules_to_save", json!(["lm_head"])),
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
