//! Sizes of the data of an experiment.

use std::path::Path;

use crate::data::{Example, corpus, import, split, window};
use crate::experiment::settings::Experiment;
use crate::orchestrate::stages::cost::{CHARACTERS_PER_TOKEN, Sizes, Split};

/// Counts the tokens of the data; none if it cannot be read here.
pub(super) fn of(experiment: &Experiment) -> Option<Sizes> {
    let data = experiment.data.values().next()?;
    let imported = import(data, Path::new("")).ok()?;
    let mut splits = split(&imported.examples, &data.split, data.limit).ok()?;
    window::cut(&mut splits, &imported, data);
    let longest = experiment.training.distill.max_length as f64;
    let count = |characters: usize| characters as f64 / CHARACTERS_PER_TOKEN;
    let sizes_of = |examples: &[Example]| {
        let mut sizes = Split::default();
        for example in examples {
            let context = if data.closed_book { 0 } else { example.context.as_ref().map_or(0, String::len) };
            let prompt = count(context + example.question.len()).min(longest);
            sizes.examples += 1.0;
            sizes.prompts += prompt;
            sizes.responses += count(example.answer.len()) + 1.0;
            let whole = (prompt + count(example.answer.len())).min(longest);
            sizes.whole += whole;
            sizes.longest = sizes.longest.max(whole);
            sizes.longest_prompt = sizes.longest_prompt.max(prompt);
        }
        sizes
    };
    let corpus = corpus::texts(&splits.train, &imported.passages);
    Some(Sizes {
        corpus: corpus.iter().map(|text| count(text.len())).sum(),
        train: sizes_of(&splits.train),
        dev: sizes_of(&splits.dev),
        test: sizes_of(&splits.test),
    })
}
