//! `logits` on small checkpoints whose logits transformers computed.

use std::path::PathBuf;

use tch::{Device, Kind};
use tutelage::models::weights::Checkpoint;

use super::tutelage;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

/// Runs `logits` on a checkpoint, with what an adapter's name adds, and returns the largest
/// difference to what transformers computed.
fn difference(model: &str, adapter: Option<&str>) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let expected = fixture(adapter.unwrap_or(model)).join("expected.safetensors");
    let (model, adapter) = (fixture(model), adapter.map(fixture));
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
    let model = fixture("llama");
    let weights = model.join("model.safetensors");
    let (model, weights) = (model.to_str().unwrap(), weights.to_str().unwrap());
    let told = tutelage(folder.path(), &["logits", "--model", model, "--input", weights, "--output", "l.safetensors"]);
    assert!(told.starts_with("exit 2\n"), "{told}");
    assert!(told.contains("`input_ids` is missing"), "{told}");
}
