//! How answers are decoded, as flags: the settings of `evaluation.decoding`.

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::experiment::settings::{Decoding, Greedy, Sample};

/// Flags of decoding.
#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub struct DecodingFlags {
    /// Draws tokens at random, at this softmax temperature; without this, --top-p, --top-k or --min-p, the most
    /// probable token is chosen each time.
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Draws from the smallest set of tokens that holds this probability.
    #[arg(long, value_name = "P", value_parser = share)]
    top_p: Option<f64>,
    /// Draws from the most probable so many.
    #[arg(long, value_name = "K", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    top_k: Option<usize>,
    /// Draws no token that is less probable than this times the most probable one.
    #[arg(long, value_name = "P", value_parser = share_or_none)]
    min_p: Option<f64>,
    /// Divides positive logits of tokens that prompt or answer hold by this, and multiplies negative ones.
    #[arg(long, value_name = "R", value_parser = temperature)]
    repetition_penalty: Option<f64>,
    /// Chooses no token that would repeat so many tokens of prompt or answer.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    no_repeat_ngram: Option<usize>,
    /// Ends an answer before this text; may be given several times.
    #[arg(long, value_name = "TEXT", value_parser = some_text)]
    stop: Vec<String>,
}

impl DecodingFlags {
    /// Returns the way of decoding that the flags ask for.
    pub(super) fn decoding(&self) -> Decoding {
        let Self { temperature, top_p, top_k, min_p, repetition_penalty, no_repeat_ngram, ref stop } = *self;
        let stop = stop.clone();
        if temperature.is_none() && top_p.is_none() && top_k.is_none() && min_p.is_none() {
            return Decoding::Greedy(Greedy { repetition_penalty, no_repeat_ngram, stop });
        }
        Decoding::Sample(Sample {
            temperature: temperature.unwrap_or(1.0),
            top_p: top_p.unwrap_or(1.0),
            top_k,
            min_p,
            repetition_penalty,
            no_repeat_ngram,
            stop,
        })
    }
}

/// Reads a number as `evaluation.decoding` allows for temperatures and penalties.
fn temperature(text: &str) -> Result<f64, String> {
    in_range(text, |number| (1e-3..=1e3).contains(&number), "a number from 0.001 to 1000 expected, such as 0.7")
}

fn share(text: &str) -> Result<f64, String> {
    in_range(text, |number| number > 0.0 && number <= 1.0, "a number above 0, at most 1 expected, such as 0.9")
}

fn share_or_none(text: &str) -> Result<f64, String> {
    in_range(text, |number| (0.0..=1.0).contains(&number), "a number from 0 to 1 expected, such as 0.05")
}

fn in_range(text: &str, holds: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&number| holds(number)).ok_or_else(|| expected.to_owned())
}

fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("an empty text would end every answer".to_owned()) } else { Ok(text.to_owned()) }
}
