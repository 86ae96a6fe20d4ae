//! Every way to tune by adapters: what it starts from, that it learns, and that its files say what was learned.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use tutelage::device::{Compute, Precision, Seed};
use tutelage::experiment::settings::{Initialisation, Lora, Training, Tuning};
use tutelage::models::decoder::Decoder;
use tutelage::models::layers::Mode;
use tutelage::models::packed::Packed;
use tutelage::train::student::Student;
use tutelage::train::supervised::Supervised;
use tutelage::tuning::targets::targets;
use tutelage::tuning::{lora, peft};

use super::{model, run, sequences, training};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Each way by name, with the model that it is tried on.
fn ways() -> Vec<(&'static str, &'static str, Lora)> {
    let plain = || Lora { rank: 4, alpha: 8.0, target_modules: names(&["all-linear"]), ..Lora::default() };
    let initialised = |initialisation| Lora { initialisation, ..plain() };
    let ranks = BTreeMap::from([("q_proj".to_owned(), 2), (r"0\.mlp\.up_proj".to_owned(), 1)]);
    let alphas = BTreeMap::from([("down_proj".to_owned(), 2.0)]);
    let modules = names(&[r".*\.0\..*", "attention-qv"]);
    vec![
        ("rslora", "llama", Lora { rslora: true, ..plain() }),
        ("dora", "llama-bias", Lora { dora: true, ..plain() }),
        ("dora of fused projections", "gpt2", Lora { dora: true, rslora: true, ..plain() }),
        ("loraplus", "qwen3", Lora { loraplus_lr_ratio: Some(4.0), ..plain() }),
        ("gaussian", "phi-norms", initialised(Initialisation::Gaussian)),
        ("pissa", "llama-bias", initialised(Initialisation::Pissa)),
        ("pissa as rslora", "llama", Lora { rslora: true, ..initialised(Initialisation::Pissa) }),
        ("olora", "phi3-long", initialised(Initialisation::Olora)),
        ("patterns", "llama", Lora { rank_pattern: ranks, alpha_pattern: alphas, target_modules: modules, ..plain() }),
        ("whole", "llama", Lora { modules_to_save: names(&["embed_tokens", "lm_head", "norm"]), ..plain() }),
        ("whole and tied", "llama-tied", Lora { modules_to_save: names(&["embed_tokens"]), ..plain() }),
    ]
}

fn load(name: &str) -> Decoder {
    Decoder::load(&model(name), Kind::Float, Device::Cpu).unwrap()
}

fn logits(decoder: &Decoder) -> Tensor {
    decoder.logits(&decoder.hidden(&Packed::new(&[&[3, 4, 5, 6]], None, Device::Cpu), Mode::Infer))
}

#[test]
fn each_starts_from_the_model_learns_and_is_read_as_it_was_written() {
    for (way, name, settings) in ways() {
        let objective = |recomputes: bool, precision| {
            let compute = Compute { precision, ..Compute::reference() };
            let student = Student::new(load(name), &Tuning::Lora(settings.clone()), 0.01, compute, Seed(1));
            Supervised::new(student.recomputing(recomputes), sequences(40), vec![])
        };
        let base = logits(&load(name));
        let started = logits(&objective(false, Precision::F32).student.decoder);
        assert!(started.allclose(&base, 1e-3, 1e-4, false), "{way}: {}", (started - base).abs().max());

        let schedule = Training { epochs: 6.0, lr: 1e-2, ..training() };
        let mut kept = objective(false, Precision::F32);
        let (finished, losses) = run(&mut kept, &schedule);
        assert!(losses[losses.len() - 1] < losses[0] - 0.2, "{way}: {losses:?}");
        let (again, _) = run(&mut objective(true, Precision::F32), &schedule);
        assert!(finished.flat.master.equal(&again.flat.master), "{way}");
        let (_, losses) = run(&mut objective(false, Precision::Bf16), &schedule);
        assert!(losses[losses.len() - 1] < losses[0] - 0.2, "{way} in bf16: {losses:?}");

        let mut trained = kept.student.decoder;
        let expected = logits(&trained);
        let folder = tempfile::tempdir().unwrap();
        peft::save(&mut trained, &settings, "base", folder.path()).unwrap();
        let mut loaded = load(name);
        let stored = peft::load(&mut loaded, Kind::Float, folder.path()).unwrap();
        let found = logits(&loaded);
        assert!(found.allclose(&expected, 1e-4, 1e-4, false), "{way}: {}", (found - &expected).abs().max());
        lora::merge(&mut loaded);
        let merged = logits(&loaded);
        assert!(merged.allclose(&expected, 1e-3, 1e-3, false), "{way}: {}", (merged - &expected).abs().max());

        // What was trained is what is counted; a product that was taken out is written with it.
        let doubled = if settings.initialisation.changes_base() { 2 } else { 1 };
        let of_adapters: u64 =
            targets(&loaded.config, &settings).iter().map(|target| target.parameters(&settings)).sum();
        let whole = loaded.config.around_layers();
        let whole = whole.iter().filter(|(name, _)| lora::is_saved(name, &settings)).map(|(_, numbers)| numbers);
        let whole: u64 = whole.sum();
        assert_eq!(finished.flat.count() as u64, of_adapters + whole, "{way}");
        assert_eq!(peft::parameters(folder.path()), Some(doubled * of_adapters + whole), "{way}");
        // Read to be trained on, it is trained on.
        let student = Student::new(loaded, &Tuning::Lora(stored.clone()), 0.01, Compute::reference(), Seed(1));
        assert_eq!((stored.rslora, stored.dora), (settings.rslora, settings.dora));
        drop(student);
    }
}

#[test]
fn adapters_that_start_with_a_product_are_written_on_the_base_as_it_is() {
    let settings = Lora {
        rank: 4,
        alpha: 8.0,
        target_modules: names(&["all-linear"]),
        initialisation: Initialisation::Pissa,
        ..Lora::default()
    };
    let tuning = Tuning::Lora(settings.clone());
    let mut student = Student::new(load("llama"), &tuning, 0.0, Compute::reference(), Seed(1));
    let folder = tempfile::tempdir().unwrap();
    peft::save(&mut student.decoder, &settings, "base", folder.path()).unwrap();
    let mut loaded = load("llama");
    let stored = peft::load(&mut loaded, Kind::Float, folder.path()).unwrap();
    // Of twice the rank with the same scale; untrained, the two halves cancel.
    assert_eq!((stored.rank, stored.alpha, stored.initialisation), (8, 16.0, Initialisation::Kaiming));
    assert!(logits(&loaded).allclose(&logits(&load("llama")), 1e-3, 1e-4, false));
}
