//! What a user reads when a checkpoint is incomplete, of other sizes or damaged.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use tutelage::models::ModelError;
use tutelage::models::decoder::Decoder;
use tutelage::models::weights::{Checkpoint, save_file};
use tutelage::tuning::peft;

use crate::fixtures::{self, copied};

/// Returns the message of loading `folder`, its path written as `DIR`.
fn message(folder: &Path) -> String {
    let error = Decoder::load(folder, Kind::Float, Device::Cpu).unwrap_err();
    error.to_string().replace(&folder.display().to_string(), "DIR")
}

/// Rewrites the weights of `folder` after `change`.
fn rewrite(folder: &Path, change: impl FnOnce(&mut Vec<(String, Tensor)>)) {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let mut tensors: Vec<(String, Tensor)> = checkpoint
        .names()
        .map(|name| (name.to_owned(), checkpoint.read(name, Kind::Float, Device::Cpu).unwrap().unwrap()))
        .collect();
    change(&mut tensors);
    save_file(&folder.join("model.safetensors"), &tensors.iter().collect::<Vec<_>>()).unwrap();
}

/// Replaces bytes of a file.
fn damage(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn every_misfit_is_named_at_once() {
    let folder = copied("llama");
    rewrite(folder.path(), |tensors| {
        tensors.retain(|(name, _)| name != "model.layers.1.mlp.up_proj.weight");
        for (name, tensor) in tensors.iter_mut() {
            if name == "model.norm.weight" {
                *tensor = tensor.narrow(0, 0, 31);
            }
        }
        tensors.push(("model.layers.2.mlp.up_proj.weight".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    });
    assert_eq!(
        message(folder.path()),
        "weights in `DIR` do not fit its config.json: `model.layers.1.mlp.up_proj.weight` is missing; \
         `model.norm.weight` has shape [31], expected [32]; `model.layers.2.mlp.up_proj.weight` is not part of the model"
    );
}

#[test]
fn a_bias_that_the_family_lacks_is_not_part_of_the_model() {
    let folder = copied("qwen2");
    damage(folder.path().join("config.json"), |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("\"qwen2\"", "\"llama\"").into_bytes();
    });
    let message = message(folder.path());
    assert!(message.contains("`model.layers.0.self_attn.k_proj.bias` is not part of the model"), "{message}");
}

#[test]
fn a_head_that_is_stored_although_it_is_tied_is_left_alone() {
    let folder = copied("llama-tied");
    rewrite(folder.path(), |tensors| {
        let embedding = tensors.iter().find(|(name, _)| name == "model.embed_tokens.weight").unwrap().1.copy();
        tensors.push(("lm_head.weight".to_owned(), embedding));
    });
    Decoder::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
}

#[test]
fn weights_named_without_the_part_of_the_model_are_read() {
    // As the first GPT-2 on the hub: no `transformer.` in front, and masks beside the weights.
    let folder = copied("gpt2");
    let whole = Decoder::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
    rewrite(folder.path(), |tensors| {
        for (name, _) in tensors.iter_mut() {
            *name = name.strip_prefix("transformer.").unwrap_or(name).to_owned();
        }
        tensors.push(("h.0.attn.bias".to_owned(), Tensor::ones([1, 1, 4, 4], (Kind::Float, Device::Cpu))));
    });
    let short = Decoder::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
    for ((name, one), (_, other)) in whole.parameters().into_iter().zip(short.parameters()) {
        assert!(one.equal(other), "{name}");
    }
}

#[test]
fn a_tied_head_that_differs_from_the_embedding_is_told() {
    let folder = copied("llama-tied");
    rewrite(folder.path(), |tensors| {
        let embedding = &tensors.iter().find(|(name, _)| name == "model.embed_tokens.weight").unwrap().1;
        let head = embedding * 2;
        tensors.push(("lm_head.weight".to_owned(), head));
    });
    assert_eq!(
        message(folder.path()),
        "weights in `DIR` do not fit its config.json: `lm_head.weight` differs from the embedding, expected \
         `tie_word_embeddings` to be false"
    );
}

#[test]
fn of_many_misfits_the_rest_is_counted() {
    let folder = copied("llama");
    rewrite(folder.path(), |tensors| tensors.truncate(1));
    let message = message(folder.path());
    assert!(message.ends_with("; and 12 more"), "{message}");
}

#[test]
fn a_missing_shard_is_named() {
    let folder = copied("llama-sharded");
    std::fs::remove_file(folder.path().join("model-00002-of-00004.safetensors")).unwrap();
    assert_eq!(message(folder.path()), "cannot read `DIR/model-00002-of-00004.safetensors`");
}

#[test]
fn a_truncated_shard_is_told() {
    let folder = copied("llama-sharded");
    damage(folder.path().join("model-00003-of-00004.safetensors"), |bytes| bytes.truncate(bytes.len() - 1));
    let message = message(folder.path());
    assert!(message.starts_with("`DIR/model-00003-of-00004.safetensors` is damaged: it ends before `"), "{message}");
}

#[test]
fn a_header_with_flipped_bytes_is_told() {
    let folder = copied("llama");
    let path = folder.path().join("model.safetensors");
    let length = u64::from_le_bytes(std::fs::read(&path).unwrap()[..8].try_into().unwrap());
    // Every bit of the length, then the header's text.
    for (at, flip) in [(0, 1), (0, 0x80), (3, 1), (7, 0x80), (8, 0x20), (9, 1), (20, 0x80), (length as usize, 2)] {
        damage(path.clone(), |bytes| bytes[at] ^= flip);
        let outcome = Decoder::load(folder.path(), Kind::Float, Device::Cpu);
        assert!(
            matches!(outcome, Err(ModelError::Damaged { .. } | ModelError::Mismatch { .. })),
            "byte {at}: {outcome:?}"
        );
        damage(path.clone(), |bytes| bytes[at] ^= flip);
    }
    Decoder::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
}

#[test]
fn a_folder_without_weights_says_what_it_expected() {
    let folder = copied("llama");
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(
        message(folder.path()),
        "no weights in `DIR`: expected `model.safetensors` or `model.safetensors.index.json`"
    );
}

#[test]
fn an_adapter_that_holds_no_numbers_is_named() {
    let (folder, base) = (copied("llama-adapter"), fixtures::model("llama"));
    let path = folder.path().join("adapter_model.safetensors");
    let file = Checkpoint::open_file(&path).unwrap();
    let read = |name: &str| (name.to_owned(), file.read(name, Kind::Float, Device::Cpu).unwrap().unwrap());
    let tensors: Vec<(String, Tensor)> = file.names().map(read).collect();
    let spoilt = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    let (_, tensor) = tensors.iter().find(|(name, _)| name == spoilt).unwrap();
    let _ = tensor.narrow(0, 0, 1).fill_(f64::NAN);
    save_file(&path, &tensors.iter().collect::<Vec<_>>()).unwrap();
    let mut decoder = Decoder::load(&base, Kind::Float, Device::Cpu).unwrap();
    let error = peft::load(&mut decoder, Kind::Float, folder.path()).unwrap_err();
    let told = format!("`{spoilt}` holds 2 values that are infinite or no numbers");
    assert!(error.to_string().ends_with(&told), "{error}");
}
