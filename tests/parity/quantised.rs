//! Checkpoints in four and eight bits, as transformers and bitsandbytes write and read them.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use tutelage::experiment::settings::BaseFormat;
use tutelage::models::decoder::Decoder;
use tutelage::models::layers::{Mode, Weight};
use tutelage::models::packed::Packed;
use tutelage::models::quantised::write::quantise;
use tutelage::models::weights::Checkpoint;

use crate::fixtures::{copy, model};

/// Checkpoints that transformers wrote, and what of.
const CHECKPOINTS: [(&str, &str, BaseFormat, bool); 8] = [
    ("gpt2-int8", "gpt2", BaseFormat::Int8, false),
    ("gpt2-nf4", "gpt2", BaseFormat::Nf4, true),
    ("llama-fp4", "llama", BaseFormat::Fp4, false),
    ("llama-int8", "llama", BaseFormat::Int8, false),
    ("llama-nf4", "llama", BaseFormat::Nf4, true),
    ("llama-tied-nf4", "llama-tied", BaseFormat::Nf4, false),
    ("phi3-fp4", "phi3", BaseFormat::Fp4, true),
    ("phi3-int8", "phi3", BaseFormat::Int8, false),
];

/// Returns a folder that `tests/fixtures/quantised_models.py` wrote.
fn folder(name: &str) -> PathBuf {
    model("quantised").join(name)
}

fn load(folder: &Path) -> Decoder {
    Decoder::load(folder, Kind::Float, Device::Cpu).unwrap()
}

/// Returns logits `[batch * sequence, vocab]` of a fixture's sequences.
fn logits(decoder: &Decoder, name: &str) -> Tensor {
    let file = Checkpoint::open_file(&folder(name).join("expected.safetensors")).unwrap();
    let rows: Vec<Vec<i64>> =
        Vec::try_from(file.read("input_ids", Kind::Int64, Device::Cpu).unwrap().unwrap()).unwrap();
    let rows: Vec<Vec<u32>> = rows.into_iter().map(|row| row.into_iter().map(|id| id as u32).collect()).collect();
    let sequences: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    decoder.logits(&decoder.hidden(&Packed::new(&sequences, None, Device::Cpu), Mode::Infer))
}

fn expected(name: &str, what: &str) -> Tensor {
    let file = Checkpoint::open_file(&folder(name).join("expected.safetensors")).unwrap();
    file.read(what, Kind::Float, Device::Cpu).unwrap().unwrap().flatten(0, 1)
}

fn largest(tensor: &Tensor) -> f64 {
    f64::try_from(tensor.abs().max()).unwrap()
}

#[test]
fn logits_of_quantised_checkpoints_equal_those_of_transformers() {
    for (name, _, format, doubles) in CHECKPOINTS {
        let decoder = load(&folder(name));
        assert_eq!(decoder.quantisation(), Some((format, doubles)), "{name}");
        let expected = expected(name, "logits");
        assert!(f64::try_from(expected.std(false)).unwrap() > 0.1, "{name}: the logits tell nothing apart");
        let worst = largest(&(logits(&decoder, name) - expected));
        assert!(worst <= 1e-3, "{name}: the logits differ by {worst}");
    }
}

/// What bitsandbytes computes of eight bits where it does not train on a CPU: what is multiplied is in eight bits,
/// too. What that changes is not computed here, and is this much of how far logits spread.
#[test]
fn rounding_what_is_multiplied_to_eight_bits_is_told_by_its_size() {
    for (name, share) in [("llama-int8", 0.024_65), ("phi3-int8", 0.017_93), ("gpt2-int8", 0.012_48)] {
        let (ours, theirs) = (logits(&load(&folder(name)), name), expected(name, "inference"));
        let off = f64::try_from((&ours - &theirs).abs().mean(Kind::Float)).unwrap();
        let spread = f64::try_from(theirs.std(false)).unwrap();
        assert!((off / spread / share - 1.0).abs() < 0.01, "{name}: {}", off / spread);
    }
}

/// Lists what a checkpoint holds, as it is stored.
fn stored(folder: &Path) -> Vec<(String, Vec<i64>, Tensor)> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let read = |name: &str| {
        [Kind::Float, Kind::Int64].into_iter().find_map(|kind| checkpoint.read(name, kind, Device::Cpu).ok()?)
    };
    checkpoint.names().map(|name| (name.to_owned(), checkpoint.shape(name).unwrap(), read(name).unwrap())).collect()
}

/// Reads the text beside a weight, with its number by its first digits.
fn told(text: &Tensor) -> serde_json::Value {
    let bytes: Vec<i64> = Vec::try_from(text).unwrap();
    let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte as u8).collect();
    let mut told: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    if let Some(offset) = told["nested_offset"].as_f64() {
        told["nested_offset"] = format!("{offset:.5}").into();
    }
    told
}

#[test]
fn a_quantised_checkpoint_is_that_of_transformers() {
    for (name, of, format, doubles) in CHECKPOINTS {
        // These leave out more than transformers does by itself, or keep codes in another format.
        if ["llama-fp4", "llama-tied-nf4"].contains(&name) {
            continue;
        }
        let target = tempfile::tempdir().unwrap();
        quantise(&folder(of), target.path(), format, doubles).unwrap();
        let (ours, theirs) = (stored(target.path()), stored(&folder(name)));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for ((tensor, shape, ours), (theirs_tensor, theirs_shape, theirs)) in ours.iter().zip(&theirs) {
            assert_eq!(tensor, theirs_tensor, "{name}");
            assert!(shape == theirs_shape || tensor.contains("quant_state"), "{name}: {tensor} {shape:?}");
            if tensor.contains("quant_state") {
                assert_eq!(told(ours), told(theirs), "{name}: {tensor}");
                continue;
            }
            // The mean of scales is a sum in the machine's order.
            let tolerance = if tensor.ends_with("nested_absmax") { 1e-6 } else { 0.0 };
            assert!(ours.allclose(theirs, tolerance, 0.0, false), "{name}: {tensor}");
        }
        let read = |folder: &Path| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
        };
        let (ours, theirs) = (read(target.path()), read(&folder(name)));
        assert_eq!(ours["dtype"], theirs["dtype"]);
        assert_eq!(ours["quantization_config"], theirs["quantization_config"], "{name}");
        let worst = largest(&(logits(&load(target.path()), name) - expected(name, "logits")));
        assert!(worst <= 1e-3, "{name}: {worst}");
    }
}

#[test]
fn what_was_read_is_written_again_with_the_same_codes() {
    for (name, ..) in CHECKPOINTS {
        let target = tempfile::tempdir().unwrap();
        let original = load(&folder(name));
        original.save_quantised(target.path()).unwrap();
        let copy = load(target.path());
        assert_eq!(copy.quantisation(), original.quantisation());
        assert!(logits(&copy, name).equal(&logits(&original, name)), "{name}");
        let kinds = |decoder: &Decoder| -> Vec<bool> {
            let linears = decoder.layers.iter().flat_map(|layer| layer.linears());
            linears.map(|linear| matches!(linear.weight, Weight::Dense(_))).collect()
        };
        assert_eq!(kinds(&copy), kinds(&original), "{name}");
    }
}

#[test]
fn a_dense_copy_of_a_quantised_checkpoint_says_nothing_of_codes() {
    let mut decoder = load(&folder("llama-nf4"));
    let expected = logits(&decoder, "llama-nf4");
    tutelage::tuning::lora::merge(&mut decoder);
    let target = tempfile::tempdir().unwrap();
    decoder.save(target.path()).unwrap();
    let text = std::fs::read_to_string(target.path().join("config.json")).unwrap();
    assert!(!text.contains("quantization_config"), "{text}");
    let dense = load(target.path());
    assert_eq!(dense.quantisation(), None);
    assert!(logits(&dense, "llama-nf4").equal(&expected));
}

#[test]
fn what_is_asked_of_a_quantised_checkpoint_is_what_it_is() {
    let load = |name: &str, asked| {
        let loaded = Decoder::load_as(&folder(name), Kind::Float, Device::Cpu, asked);
        loaded.map(drop).map_err(|error| error.to_string().replace(&folder(name).display().to_string(), "DIR"))
    };
    assert_eq!(load("llama-nf4", Some((BaseFormat::Nf4, true))), Ok(()));
    assert_eq!(
        load("llama-nf4", Some((BaseFormat::Int8, false))),
        Err("`DIR/config.json`: `quantization_config` says nf4 with double quantisation, expected int8 or weights \
             that are not quantised"
            .to_owned())
    );
}

#[test]
fn damaged_codes_are_told_by_name() {
    let told = |name: &str, from: &str, to: &str| {
        let damaged = tempfile::tempdir().unwrap();
        copy(&folder(name), damaged.path());
        let path = damaged.path().join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let text: String = bytes.iter().map(|&byte| byte as char).collect();
        assert!(from.len() == to.len() && text.contains(from), "{from}");
        let changed: Vec<u8> = text.replacen(from, to, 1).chars().map(|letter| letter as u8).collect();
        std::fs::write(&path, changed).unwrap();
        let error = Decoder::load(damaged.path(), Kind::Float, Device::Cpu).unwrap_err().to_string();
        error.split_once("config.json: ").unwrap().1.to_owned()
    };
    let at = "model.layers.0.mlp.down_proj.weight";
    assert_eq!(
        told("llama-nf4", "\"blocksize\": 64", "\"blocksize\": 32"),
        format!("`{at}.quant_state.bitsandbytes__nf4`: `blocksize` is 32, expected 64")
    );
    assert_eq!(
        told("llama-nf4", "\"shape\": [64, 128]", "\"shape\": [128, 64]"),
        format!("`{at}.quant_state.bitsandbytes__nf4`: `shape` is [128, 64], expected [64, 128]")
    );
    assert_eq!(
        told("llama-nf4", "{\"quant_type\"", " \"quant_type\""),
        format!(
            "`{at}.quant_state.bitsandbytes__nf4` is no text of bitsandbytes (invalid type: string \"quant_type\", expected struct State at line 1 column 13)"
        )
    );
    assert_eq!(
        told("phi3-int8", "self_attn.qkv_proj.SCB", "self_attn.qkv_proj.SCA"),
        "`model.layers.0.self_attn.qkv_proj.SCB` is missing; `model.layers.0.self_attn.qkv_proj.SCA` is not part of the \
         model"
    );
}
