//! Rules on repetition, and what tokens are drawn from, as in transformers' `generate`.

use std::ops::ControlFlow;

use serde::Deserialize;
use tch::{Device, Kind};
use tutelage::device::Seed;
use tutelage::experiment::settings::{Decoding, Greedy, Sample};
use tutelage::generate::sampling::candidates;
use tutelage::generate::{Ends, Generated, GenerationSettings, Progress, StopReason, generate};
use tutelage::models::decoder::Decoder;

use crate::fixtures::model;

/// What `tests/fixtures/models/make.py` wrote.
#[derive(Deserialize)]
struct Repeated {
    prompt: Vec<u32>,
    cases: Vec<Rules>,
}

/// An answer under rules.
#[derive(Deserialize)]
struct Rules {
    penalty: Option<f64>,
    ngram: Option<usize>,
    answer: Vec<u32>,
}

#[derive(Deserialize)]
struct Drawn {
    logits: Vec<f32>,
    cases: Vec<Cut>,
}

/// The probability of every token after what cuts some off.
#[derive(Deserialize)]
struct Cut {
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    shares: Vec<f64>,
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let text = std::fs::read_to_string(model(name).join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn greedy_answers_under_rules_are_those_of_transformers() {
    let Repeated { prompt, cases } = read("repeated");
    let decoder = Decoder::load(&model("llama"), Kind::Float, Device::Cpu).unwrap();
    assert_eq!(cases.len(), 6);
    for Rules { penalty, ngram, answer } in cases {
        let greedy = Greedy { repetition_penalty: penalty, no_repeat_ngram: ngram, stop: Vec::new() };
        let settings = GenerationSettings {
            decoding: Decoding::Greedy(greedy),
            max_new_tokens: 40,
            ends: Ends::default(),
            batch: 1,
        };
        let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
        let found = generate(&decoder, std::slice::from_ref(&prompt), &settings, Seed(1), go_on).unwrap();
        let expected = Generated { tokens: answer, stopped: StopReason::Length };
        assert_eq!(found, [expected], "penalty {penalty:?}, n-gram {ngram:?}");
    }
}

#[test]
fn tokens_are_drawn_from_what_transformers_draws_from() {
    let Drawn { logits, cases } = read("drawn");
    assert_eq!(cases.len(), 5);
    for Cut { temperature, top_k, top_p, min_p, shares } in cases {
        let settings = Sample { temperature, top_k, top_p: top_p.unwrap_or(1.0), min_p, ..Sample::default() };
        let found = candidates(&logits, &settings).unwrap();
        let total: f64 = found.iter().map(|(_, weight)| weight).sum();
        let mut found_shares = vec![0.0; logits.len()];
        for (token, weight) in found {
            found_shares[token as usize] = weight / total;
        }
        for (token, (found, expected)) in found_shares.iter().zip(&shares).enumerate() {
            assert!((found - expected).abs() < 1e-6, "{settings:?}, token {token}: {found}, expected {expected}");
            assert_eq!(*found > 0.0, *expected > 0.0, "{settings:?}, token {token}");
        }
    }
}
