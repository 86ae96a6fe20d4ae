//! `logits` on small checkpoints whose logits transformers computed.

use tch::{Device, Kind, Tensor};
use tutelage::models::weights::{Checkpoint, save_file};

use super::tutelage;
use crate::fixtures::{self, copied, copy};

/// Runs `logits` on a checkpoint, with what an adapter's name adds, and returns the largest
/// difference to what transformers computed.
fn difference(model: &str, adapter: Option<&str>) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let expected = fixtures::model(adapter.unwrap_or(model)).join("expected.safetensors");
    let (model, adapter) = (fixtures::model(model), adapter.map(fixtures::model));
    let mut arguments = vec!["logits", "--output", "logits.safetensors", "--input", expected.to_str().unwrap()];
    arguments.extend(["--model", model.to_str().unwrap()]);
    if let Some(adapter) = &adapter {
        arguments.extend(["--adapter", adapter.to_str().unwrap()]);
    }
    let told = tutelage(folder.path(), &arguments);
    assert!(told.starts_with("exit 0\n--- stdout\nlogits.safetensors: ["), "{told}");
    let read = |path: &std::path::Path| {
        let file = Checkpoint::open_file(path).unwrap();
        file.read("logits", Kind::Float, Device::Cpu).unwrap().unwrap()
    };
    let (found, expected) = (read(&folder.path().join("logits.safetensors")), read(&expected));
    assert_eq!(found.size(), expected.size());
    (found - expected).abs().max().double_value(&[])
}

#[test]
fn logits_are_those_of_transformers_with_and_without_an_adapter() {
    assert!(difference("llama", None) < 1e-4);
    assert!(difference("llama", Some("llama-adapter")) < 1e-4);
}

#[test]
fn a_file_without_ids_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixtures::model("llama");
    let weights = model.join("model.safetensors");
    let (model, weights) = (model.to_str().unwrap(), weights.to_str().unwrap());
    let told = tutelage(folder.path(), &["logits", "--model", model, "--input", weights, "--output", "l.safetensors"]);
    assert!(told.starts_with("exit 2\n"), "{told}");
    assert!(told.contains("`input_ids` is missing"), "{told}");
}

#[test]
fn padded_rows_have_the_logits_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let input = fixtures::model("padded").join("expected.safetensors");
    let model = fixtures::model("mistral");
    let arguments = ["logits", "--model", model.to_str().unwrap(), "--input", input.to_str().unwrap()];
    let told = tutelage(folder.path(), &[&arguments[..], &["--output", "l.safetensors"]].concat());
    assert!(told.starts_with("exit 0\n"), "{told}");
    let read = |path: &std::path::Path| {
        let file = Checkpoint::open_file(path).unwrap();
        file.read("logits", Kind::Float, Device::Cpu).unwrap().unwrap()
    };
    let (found, expected) = (read(&folder.path().join("l.safetensors")), read(&input));
    assert!((found - expected).abs().max().double_value(&[]) < 1e-4);
}

/// Writes `tensors` as the input and returns what `logits` says of them on `model`.
fn told(model: &std::path::Path, tensors: &[(&str, Tensor)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let tensors: Vec<(String, Tensor)> =
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
    save_file(&folder.path().join("ids.safetensors"), &tensors.iter().collect::<Vec<_>>()).unwrap();
    let model = model.to_str().unwrap();
    tutelage(folder.path(), &["logits", "--model", model, "--input", "ids.safetensors", "--output", "l.safetensors"])
}

fn ids(count: i64) -> Tensor {
    Tensor::zeros([1, count], (Kind::Int64, Device::Cpu))
}

#[test]
fn what_is_not_computed_is_refused_by_name_and_what_means_little_is_told() {
    let llama = fixtures::model("llama");
    let said = told(&llama, &[("input_ids", ids(3)), ("token_type_ids", ids(3))]);
    assert!(said.starts_with("exit 2\n") && said.contains("it holds `token_type_ids`, which are not read"), "{said}");
    let said = told(&llama, &[("input_ids", ids(3)), ("attention_mask", ids(2))]);
    assert!(said.contains("`attention_mask` has shape [1, 2], expected [1, 3] as `input_ids`"), "{said}");
    let said = told(&llama, &[("input_ids", ids(70))]);
    assert!(said.starts_with("exit 0\n") && said.contains("warning: sequences reach position 70"), "{said}");
    assert!(said.contains("made for 64"), "{said}");
}

#[test]
fn an_adapter_beside_weights_or_without_any_is_called_one() {
    let said = told(&fixtures::model("llama-adapter"), &[("input_ids", ids(3))]);
    assert!(said.contains("holds an adapter, no model") && said.contains("hint: name its base model"), "{said}");
    let folder = copied("llama");
    copy(&fixtures::model("llama-adapter"), folder.path());
    let said = told(folder.path(), &[("input_ids", ids(3))]);
    assert!(said.contains("`adapter_config.json`) beside a model") && said.contains("hint: move"), "{said}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let folder = copied("llama");
    let file = Checkpoint::open(folder.path()).unwrap();
    let mut tensors: Vec<(String, Tensor)> = file
        .names()
        .map(|name| (name.to_owned(), file.read(name, Kind::Float, Device::Cpu).unwrap().unwrap()))
        .collect();
    let (name, tensor) = tensors.iter_mut().find(|(name, _)| name == "model.norm.weight").unwrap();
    assert_eq!(name, "model.norm.weight");
    let _ = tensor.narrow(0, 0, 2).fill_(f64::NAN);
    save_file(&folder.path().join("model.safetensors"), &tensors.iter().collect::<Vec<_>>()).unwrap();
    let said = told(folder.path(), &[("input_ids", ids(3))]);
    assert!(said.contains("`model.norm.weight` holds 2 values that are infinite or no numbers"), "{said}");
}
