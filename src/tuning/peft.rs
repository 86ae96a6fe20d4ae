//! Adapters as PEFT keeps them: `adapter_model.safetensors` and `adapter_config.json`.

use std::path::Path;

use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::lora::targets;
use crate::experiment::settings::Lora;
use crate::files;
use crate::models::ModelError;
use crate::models::decoder::Decoder;
use crate::models::layers::Adapter;
use crate::models::weights::{Checkpoint, save_file};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIGURATION: &str = "adapter_config.json";

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
        "target_modules": settings.target_modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
    });
    let path = folder.join(CONFIGURATION);
    files::write(&path, format!("{configuration:#}\n").as_bytes())?;
    save_file(&folder.join(WEIGHTS), &tensors.iter().collect::<Vec<_>>())
}

/// Reads adapters into `decoder`, in its own number format, and returns their settings.
///
/// # Errors
/// When a file is missing or damaged, describes another method than plain LoRA, or holds tensors
/// that do not fit the decoder.
pub fn load(decoder: &mut Decoder, folder: &Path) -> Result<Lora, ModelError> {
    let path = folder.join(CONFIGURATION);
    let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
    let value: Value = serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
    let settings = read_settings(&value).map_err(|problem| ModelError::Config { path, problem })?;
    let checkpoint = Checkpoint::open_file(&folder.join(WEIGHTS))?;
    let (kind, device) = (decoder.kind(), decoder.device());
    let mut misfits = Vec::new();
    let mut used = 0;
    for (name, linear) in targets(decoder, &settings.target_modules) {
        let (out, width) = linear.weight.size2().expect("a weight has two sizes");
        let rank = settings.rank as i64;
        let mut tensor = |part: &str, expected: [i64; 2]| -> Result<Tensor, ModelError> {
            let name = format!("base_model.model.{name}.{part}.weight");
            match checkpoint.shape(&name) {
                Some(shape) if shape == expected => used += 1,
                Some(shape) => misfits.push(format!("`{name}` has shape {shape:?}, expected {expected:?}")),
                None => misfits.push(format!("`{name}` is missing")),
            }
            Ok(checkpoint.read(&name, kind, device)?.unwrap_or_else(|| Tensor::empty([0], (kind, device))))
        };
        let (down, up) = (tensor("lora_A", [rank, width])?, tensor("lora_B", [out, rank])?);
        linear.adapter =
            Some(Adapter { down, up, scale: settings.alpha / settings.rank as f64, dropout: settings.dropout });
    }
    let stored = checkpoint.names().count();
    if stored != used && misfits.is_empty() {
        misfits.push(format!("{} tensors belong to no target module", stored - used));
    }
    if !misfits.is_empty() {
        misfits.truncate(8);
        return Err(ModelError::Mismatch { path: folder.to_owned(), problem: misfits.join("; ") });
    }
    Ok(settings)
}

fn read_settings(value: &Value) -> Result<Lora, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("peft_type") != Some("LORA") {
        return Err(format!("`peft_type` is `{}`, expected `LORA`", text("peft_type").unwrap_or("missing")));
    }
    for name in ["use_dora", "use_rslora", "fan_in_fan_out"] {
        if value.get(name).and_then(Value::as_bool) == Some(true) {
            return Err(format!("`{name}` is set, expected plain LoRA"));
        }
    }
    if let Some(bias) = text("bias").filter(|&bias| bias != "none") {
        return Err(format!("`bias` is `{bias}`, expected `none`"));
    }
    let rank = value.get("r").and_then(Value::as_u64).filter(|&rank| rank > 0).ok_or("`r` is missing")?;
    let alpha = value.get("lora_alpha").and_then(Value::as_f64).ok_or("`lora_alpha` is missing")?;
    let dropout = value.get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0);
    let modules = value.get("target_modules").and_then(Value::as_array).ok_or("`target_modules` is no list")?;
    let mut target_modules: Vec<String> = modules.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    target_modules.sort();
    let rank = usize::try_from(rank).map_err(|_| "`r` is too large")?;
    Ok(Lora { rank, alpha, dropout, target_modules })
}
