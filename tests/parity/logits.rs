//! The logits that `tutelage logits` writes, with and without an adapter.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use tutelage::device::Compute;
use tutelage::evaluate::logits;
use tutelage::models::weights::{Checkpoint, save_file};

use crate::fixtures;

fn read(path: &Path) -> Tensor {
    Checkpoint::open_file(path).unwrap().read("logits", Kind::Float, Device::Cpu).unwrap().unwrap()
}

#[test]
fn written_logits_equal_those_of_transformers_and_peft() {
    for (model, adapter) in [
        ("qwen2", None),
        ("llama", Some("llama-adapter")),
        ("llama", Some("adapter-patterns")),
        ("llama", Some("adapter-whole")),
        ("llama-tied", Some("adapter-tied")),
        ("llama-bias", Some("adapter-dora")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("logits.safetensors");
        let input = fixtures::model(adapter.unwrap_or(model)).join("expected.safetensors");
        let adapter = adapter.map(fixtures::model);
        logits(&fixtures::model(model), adapter.as_deref(), &input, &output, Compute::reference()).unwrap();
        let (found, expected) = (read(&output), read(&input));
        assert_eq!(found.size(), expected.size(), "{model}");
        let worst = f64::try_from((found - expected).abs().max()).unwrap();
        assert!(worst <= 1e-4, "{model} {adapter:?}: {worst}");
    }
}

#[test]
fn an_unfit_input_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.safetensors");
    let output = folder.path().join("logits.safetensors");
    let message = |name: &str, ids: Tensor| {
        save_file(&path, &[&(name.to_owned(), ids)]).unwrap();
        let error = logits(&fixtures::model("llama"), None, &path, &output, Compute::reference()).unwrap_err();
        assert!(!output.exists());
        error.to_string().replace(&path.display().to_string(), "ids")
    };
    assert_eq!(message("ids", Tensor::from_slice(&[1i64])), "`ids`: `input_ids` is missing");
    assert_eq!(
        message("input_ids", Tensor::from_slice(&[1i64])),
        "`ids`: `input_ids` has shape [1], expected [batch, sequence]"
    );
    assert_eq!(
        message("input_ids", Tensor::from_slice2(&[[1f32, 2.5]])),
        "`ids`: `input_ids` is stored as F32, expected I64, I32, I8, U8 or BOOL"
    );
    assert_eq!(
        message("input_ids", Tensor::from_slice2(&[[1i64, 96]])),
        "`ids`: `input_ids` holds 96, expected 0 to 95"
    );
}
