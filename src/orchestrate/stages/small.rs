//! What single stages compute in tests: a few questions, a tokenizer and a model of one layer.

use tch::Device;

use crate::data::{Example, Tokenizer};
use crate::device::{Precision, Seed};
use crate::experiment::settings::{Architecture, Scratch, Template, TokenizerSource};
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::orchestrate::stages::capture::CaptureJob;

/// Questions without a context, whose answers are of one to three cells.
pub(super) fn examples(count: usize) -> Vec<Example> {
    let example = |i: usize| Example {
        id: i.to_string(),
        group: "g".to_owned(),
        context: None,
        question: format!("what is {i}?"),
        answer: ["a cell"; 3][..i % 3 + 1].join(" "),
        references: vec![],
        ..Example::default()
    };
    (0..count).map(example).collect()
}

/// A tokenizer that was trained on such questions.
pub(super) fn tokenizer() -> Tokenizer {
    let texts: Vec<String> = examples(12).into_iter().map(|example| example.question).collect();
    Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 300, data: None }, &texts).unwrap()
}

/// A model that reads tokens of `tokenizer`.
pub(super) fn decoder(tokenizer: &Tokenizer) -> Decoder {
    let scratch = Scratch {
        data: None,
        architecture: Architecture::Llama,
        tokenizer: String::new(),
        hidden: 8,
        layers: 1,
        heads: 2,
        kv_heads: None,
        feed_forward: 16,
        tied: true,
        positions: 64,
    };
    Decoder::initialise(Config::scratch(&scratch, tokenizer.len(), tokenizer.eos()), Seed(1), Device::Cpu)
}

/// A job that captures passes of `batch` sequences of such questions.
pub(super) fn capture_job(batch: usize) -> CaptureJob {
    CaptureJob {
        max_length: 64,
        max_prompt: None,
        closed_book: true,
        template: Template::Plain,
        precision: Precision::F32,
        threads: None,
        batch,
    }
}
