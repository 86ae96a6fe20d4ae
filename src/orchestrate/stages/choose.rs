//! The stage `choose`: how likely a model finds each option of a question.

use std::ops::ControlFlow;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::stop::Stopped;
use super::{Text, Work, generate, model, questions, rows, with_hint};
use crate::data::encode::encode_option;
use crate::data::{Example, SplitName, template};
use crate::device::Precision;
use crate::evaluate::likelihood::likelihood;
use crate::experiment::settings::{OptionsShown, Template};
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::kind::StageKind;
use crate::tuning::lora;

/// Measures the likelihood of options. Inputs: `data`, `model`, and `adapter`, `adapter-2`, ... if it was tuned
/// by adapters. Output: a file of the split, rows of [`Chosen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChooseJob {
    /// Part of the data set that is asked.
    pub split: SplitName,
    /// How options are offered.
    pub options: OptionsShown,
    /// Longest sequence, in tokens: a prompt that does not fit loses its left end.
    pub max_length: usize,
    /// Asks so many examples only, drawn by the seed of the division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Sequences that are read at a time; changes no result.
    pub batch: usize,
}

impl Work for ChooseJob {
    fn kind(&self) -> StageKind {
        StageKind::Choose
    }

    fn version(&self) -> u32 {
        1
    }

    fn texts(&self) -> &'static [Text] {
        Text::ALL
    }

    fn precision(&self) -> Option<Precision> {
        Some(self.precision)
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn reset(&mut self) {
        self.batch = 0;
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let split = scene.sizes.map(|sizes| sizes.of(self.split).first(self.limit));
        // The prompt is read again for each option; four are usual.
        let read = split.map(|split| split.times(OPTIONS));
        let tokens = (self.batch * self.max_length) as f64;
        scene.reading((scene.model)("model"), read, tokens, split.map(|split| split.examples))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        run(self, around)
    }
}

/// Options of a question, for estimates: an assumption.
const OPTIONS: f64 = 4.0;

/// How likely a model finds the options of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// Identifier of the example.
    pub id: String,
    /// The right option, counted from 0.
    pub gold: usize,
    /// Negative log-likelihood of each option after the prompt, in nats; `null` where the model diverged.
    pub nats: Vec<Option<f64>>,
    /// Tokens of each.
    pub tokens: Vec<u64>,
    /// Characters of each, as offered: of its text, or 1 of a letter.
    pub characters: Vec<u64>,
}

impl Chosen {
    /// Says whether the most likely option is the right one (lm-evaluation-harness, `acc`); of equal ones
    /// the first counts. None where the model diverged.
    #[must_use]
    pub fn is_right(&self) -> Option<bool> {
        self.first_by(|nats, _| nats)
    }

    /// Says the same of the likelihood by character (lm-evaluation-harness, `acc_norm`).
    #[must_use]
    pub fn is_right_by_length(&self) -> Option<bool> {
        self.first_by(|nats, characters| nats / characters)
    }

    fn first_by(&self, value: impl Fn(f64, f64) -> f64) -> Option<bool> {
        let nats = self.nats.iter().copied().collect::<Option<Vec<f64>>>()?;
        let values = nats.into_iter().zip(&self.characters).map(|(nats, &characters)| value(nats, characters as f64));
        let least = values.enumerate().reduce(|best, next| if next.1 < best.1 { next } else { best })?;
        Some(least.0 == self.gold)
    }
}

/// Measures the options of every question.
///
/// # Errors
/// When model or data cannot be read, rows not written, or a question has no options.
fn run(job: &ChooseJob, around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", job.precision.kind(), device)?;
    lora::merge(&mut decoder);
    let examples = generate::asked(around.inputs.get("data")?, job.split, job.limit)?;
    let wording = questions::wording((&job.template, job.closed_book), &tokenizer)?;
    let (mut sequences, mut places, mut clipped) = (Vec::new(), Vec::new(), 0);
    for example in &examples {
        if example.options.len() < 2 {
            bail!("`{}` has {} options, expected at least two", example.id, example.options.len());
        }
        let prompt = wording.prompt(example, job.options == OptionsShown::Letters);
        let prompt = prompt.map_err(|error| with_hint(error.hint(), error))?;
        for option in offered(job.options, example) {
            let place = sequences.len();
            let response = wording.response(example, &option).map_err(|error| with_hint(error.hint(), error))?;
            let (sequence, cut) = encode_option(&tokenizer, &wording, place, [&prompt, &response], job.max_length);
            clipped += usize::from(cut > 0);
            sequences.push(sequence);
        }
        places.push(sequences.len() - example.options.len());
    }
    if clipped > 0 {
        let (of, length) = (sequences.len(), job.max_length);
        let text = format!(
            "{}: {clipped} of {of} prompts with an option lost their left end (room for {length} tokens)",
            job.split
        );
        (around.events)(Event::Note { text });
    }
    let steps = sequences.len() as u64;
    let (events, stop) = (around.events, around.stop);
    let measured = likelihood(&decoder, &sequences, job.batch, &mut |done, _| {
        events(Event::Step(Step { step: done as u64, steps, ..Step::default() }));
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let measured = measured.ok_or(Stopped)?;
    let row = |(example, first): (&Example, usize)| {
        let options = &measured[first..first + example.options.len()];
        Chosen {
            id: example.id.clone(),
            gold: example.options.iter().position(|option| *option == example.answer).unwrap_or(usize::MAX),
            nats: options.iter().map(|option| Some(option.nats).filter(|nats| nats.is_finite())).collect(),
            tokens: options.iter().map(|option| option.tokens).collect(),
            characters: offered(job.options, example).map(|option| option.chars().count() as u64).collect(),
        }
    };
    let chosen: Vec<Chosen> = examples.iter().zip(places).map(row).collect();
    if let Some(lost) = chosen.iter().find(|chosen| chosen.gold == usize::MAX) {
        bail!("the answer of `{}` is none of its options", lost.id);
    }
    Ok(rows::write(&around.folder.output().join(format!("{}.jsonl", job.split)), &chosen)?)
}

/// Lists what is offered for each option.
fn offered(options: OptionsShown, example: &Example) -> impl Iterator<Item = String> {
    let offer = move |(index, option): (usize, &String)| match options {
        OptionsShown::Text => option.clone(),
        OptionsShown::Letters => template::letter(index),
    };
    example.options.iter().enumerate().map(offer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_option_counts_and_by_length_the_most_likely_character() {
        let chosen = |nats: &[f64], characters: &[u64]| Chosen {
            id: "q".to_owned(),
            gold: 1,
            nats: nats.iter().map(|&nats| Some(nats)).collect(),
            tokens: vec![1; nats.len()],
            characters: characters.to_vec(),
        };
        let short = chosen(&[3.0, 4.0], &[3, 8]);
        assert_eq!((short.is_right(), short.is_right_by_length()), (Some(false), Some(true)));
        // Of equal ones the first, as numpy's argmax.
        let tied = chosen(&[2.0, 2.0, 5.0], &[4, 4, 4]);
        assert_eq!((tied.is_right(), tied.is_right_by_length()), (Some(false), Some(false)));
        let diverged = Chosen { nats: vec![Some(1.0), None], ..chosen(&[1.0, 1.0], &[1, 1]) };
        assert_eq!((diverged.is_right(), diverged.is_right_by_length()), (None, None));
    }
}
