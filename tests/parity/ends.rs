//! Answers that end where those of transformers' `generate` do.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind};
use tutelage::data::Tokenizer;
use tutelage::device::Seed;
use tutelage::experiment::settings::Decoding;
use tutelage::generate::{Ends, GenerationSettings, Progress, StopReason, generate};
use tutelage::models::decoder::Decoder;

use crate::fixtures::{fixture, model};

/// What `tests/fixtures/models/make.py` wrote.
#[derive(Deserialize)]
struct Expected {
    prompt: Vec<u32>,
    cases: Vec<Case>,
}

/// What two files name as ends, and the answer then, its end included.
#[derive(Deserialize)]
struct Case {
    config: Value,
    generation: Option<Value>,
    answer: Vec<u32>,
}

#[test]
fn answers_end_where_those_of_transformers_do() {
    let text = std::fs::read_to_string(model("ends").join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    let base = fixture("data/byte-level-bpe");
    let decoder = Decoder::load(&model("llama"), Kind::Float, Device::Cpu).unwrap();
    assert_eq!(expected.cases.len(), 5);
    for case in expected.cases {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(base.join(name), folder.path().join(name)).unwrap();
        }
        let write = |name: &str, value: &Value| std::fs::write(folder.path().join(name), value.to_string()).unwrap();
        write("config.json", &json!({"model_type": "llama", "eos_token_id": case.config}));
        if let Some(generation) = &case.generation {
            write("generation_config.json", generation);
        }
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        let settings = GenerationSettings {
            decoding: Decoding::default(),
            max_new_tokens: 12,
            ends: Ends::of(&tokenizer, &[]),
            batch: 1,
        };
        let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
        let found = generate(&decoder, std::slice::from_ref(&expected.prompt), &settings, Seed(1), go_on).unwrap();
        let ended = found[0].stopped == StopReason::Eos;
        let whole = if ended { &case.answer[..case.answer.len() - 1] } else { &case.answer[..] };
        assert_eq!(found[0].tokens, whole, "{} {:?}", case.config, case.generation);
    }
}
