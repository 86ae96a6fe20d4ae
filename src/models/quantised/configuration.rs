//! `quantization_config` of a `config.json`, as transformers reads and writes that of bitsandbytes.

use serde_json::{Value, json};

use super::{Quantisation, quantisation};
use crate::experiment::settings::BaseFormat;
use crate::models::config::keys::{Keys, is_set};

/// Keys that are read here, or say only how bitsandbytes computes: in which format, and from which magnitude on what
/// is multiplied is not rounded. Here the experiment says the former, and nothing of that is rounded.
const KNOWN: [&str; 13] = [
    "_load_in_4bit",
    "_load_in_8bit",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight",
    "llm_int8_skip_modules",
    "llm_int8_threshold",
    "load_in_4bit",
    "load_in_8bit",
    "quant_method",
];

/// Formats over whose bytes codes of four bits may be kept.
const STORAGES: [&str; 6] = ["uint8", "int8", "float16", "bfloat16", "float32", "float64"];

/// Reads how weights are kept.
///
/// # Errors
/// What is not read here, by name: another method than bitsandbytes', an unknown key, a value that no writer gives.
pub(in crate::models) fn read(value: &Value) -> Result<Quantisation, String> {
    let keys = Keys::new(value);
    let (four, eight) = (keys.flag("load_in_4bit")?, keys.flag("load_in_8bit")?);
    let method = keys.text("quant_method")?;
    // Early checkpoints name no method.
    if method.is_some_and(|method| method != "bitsandbytes") || (method.is_none() && !four && !eight) {
        let method = method.unwrap_or("unnamed");
        return Err(format!(
            "`quantization_config` is set (`{method}`), expected weights that are not quantised, or by `bitsandbytes`"
        ));
    }
    let mut members = value.as_object().into_iter().flatten();
    if let Some((name, value)) = members.find(|(name, value)| !KNOWN.contains(&name.as_str()) && is_set(value)) {
        return Err(format!("`quantization_config` has `{name}` {value}, which is not known here"));
    }
    if keys.flag("llm_int8_has_fp16_weight")? {
        return Err("`llm_int8_has_fp16_weight` is true, expected weights in eight bits".to_owned());
    }
    let among = |name: &str, allowed: &[&str], default: &'static str| -> Result<String, String> {
        let found = keys.text(name)?.unwrap_or(default);
        match allowed.contains(&found) {
            true => Ok(found.to_owned()),
            false => Err(format!("`{name}` is `{found}`, expected one of {}", allowed.join(", "))),
        }
    };
    among("bnb_4bit_compute_dtype", &["float32", "bfloat16", "float16"], "float32")?;
    among("bnb_4bit_quant_storage", &STORAGES, "uint8")?;
    let format = among("bnb_4bit_quant_type", &["nf4", "fp4"], "fp4")?;
    let doubles = keys.flag("bnb_4bit_use_double_quant")?;
    match (four, eight) {
        (true, false) if format == "nf4" => Ok(quantisation(BaseFormat::Nf4, doubles)),
        (true, false) => Ok(quantisation(BaseFormat::Fp4, doubles)),
        (false, true) => Ok(quantisation(BaseFormat::Int8, false)),
        _ => {
            Err("`quantization_config` sets both or none of `load_in_4bit` and `load_in_8bit`, expected one".to_owned())
        }
    }
}

/// Returns what is read again as `format` and `doubles`; the matrices named by `skipped` are not in few bits, without
/// any those that transformers leaves out by itself. bitsandbytes is to compute in f32, as it does unasked: in bf16
/// logits would be others.
pub(super) fn written((format, doubles): (BaseFormat, bool), skipped: Option<&[String]>) -> Value {
    let is_eight = format == BaseFormat::Int8;
    json!({
        "_load_in_4bit": !is_eight,
        "_load_in_8bit": is_eight,
        "bnb_4bit_compute_dtype": "float32",
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": if is_eight { "fp4" } else { format.name() },
        "bnb_4bit_use_double_quant": doubles,
        "llm_int8_enable_fp32_cpu_offload": false,
        "llm_int8_has_fp16_weight": false,
        "llm_int8_skip_modules": skipped,
        "llm_int8_threshold": 6.0,
        "load_in_4bit": !is_eight,
        "load_in_8bit": is_eight,
        "quant_method": "bitsandbytes",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nf4() -> Value {
        written((BaseFormat::Nf4, true), None)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for kept in [(BaseFormat::Nf4, true), (BaseFormat::Fp4, false), (BaseFormat::Int8, false)] {
            assert_eq!(read(&written(kept, Some(&["lm_head".to_owned()]))), Ok(Some(kept)));
        }
        // transformers' own defaults, of an early version that named no method.
        assert_eq!(read(&json!({"load_in_4bit": true})), Ok(Some((BaseFormat::Fp4, false))));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (name, wrong, expected) in [
            (
                "quant_method",
                json!("gptq"),
                "`quantization_config` is set (`gptq`), expected weights that are not quantised, or by `bitsandbytes`",
            ),
            ("bnb_4bit_quant_type", json!("int4"), "`bnb_4bit_quant_type` is `int4`, expected one of nf4, fp4"),
            (
                "bnb_4bit_compute_dtype",
                json!("int8"),
                "`bnb_4bit_compute_dtype` is `int8`, expected one of float32, bfloat16, float16",
            ),
            (
                "bnb_4bit_use_double_quant",
                json!("yes"),
                "`bnb_4bit_use_double_quant` is \"yes\", expected true or false",
            ),
            (
                "llm_int8_has_fp16_weight",
                json!(true),
                "`llm_int8_has_fp16_weight` is true, expected weights in eight bits",
            ),
            (
                "load_in_8bit",
                json!(true),
                "`quantization_config` sets both or none of `load_in_4bit` and `load_in_8bit`, expected one",
            ),
            ("bnb_2bit", json!(true), "`quantization_config` has `bnb_2bit` true, which is not known here"),
        ] {
            let mut value = nf4();
            value[name] = wrong;
            assert_eq!(read(&value), Err(expected.to_owned()));
        }
        assert!(read(&json!({"bits": 4})).unwrap_err().contains("(`unnamed`)"));
    }
}
