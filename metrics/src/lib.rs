//! What Tutelage measures: text against text, and energy.
//!
//! A leaf of the workspace: no torch, no model, no store. Models reach it through traits
//! ([`embedding::Embedder`]) that the root crate implements.
//!
//! | module | holds |
//! |---|---|
//! | [`metric`] | the table of metrics: names, units, directions, citations |
//! | [`blind`] | what a metric does not see in given texts, and what to use instead |
//! | [`score`] | rows of text in; corpus values, intervals and example values out |
//! | [`bootstrap`] | the interval's resamples |
//! | [`ngram`] | BLEU, chrF, ROUGE, exact match, token F1: pure functions on text |
//! | [`embedding`] | cosine of sentence embeddings |
//! | [`energy`] | joules by component: measured, estimated or unavailable |
//!
//! Every value has a unit, a direction and a signature that names what can change it. The n-gram
//! metrics equal sacrebleu, rouge-score and the SQuAD script on `tests/fixtures` within 1e-9.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests write small files of their own"))]

pub mod blind;
pub mod bootstrap;
pub mod embedding;
pub mod energy;
pub mod metric;
pub mod ngram;
pub mod score;
