//! How long the texts of a split are, for estimates of cost.

use serde::{Deserialize, Serialize};

use super::example::Example;

/// Counts the characters of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Examples, or texts.
    pub examples: u64,
    /// Characters of all prompts: passages that are shown, turns, questions and options. 0 for texts.
    pub prompts: u64,
    /// Characters of all first answers. 0 for texts.
    pub answers: u64,
    /// Characters of the longest prompt.
    pub longest_prompt: u64,
    /// Characters of all prompts with their answers, or of all texts.
    pub whole: u64,
}

impl Sizes {
    /// Counts examples, without their passages if `closed_book`.
    #[must_use]
    pub fn of(examples: &[Example], closed_book: bool) -> Self {
        let mut sizes = Self::default();
        for example in examples {
            let (prompt, answer) = (prompt(example, closed_book), characters(&example.answer));
            sizes.examples += 1;
            sizes.prompts += prompt;
            sizes.answers += answer;
            sizes.longest_prompt = sizes.longest_prompt.max(prompt);
            sizes.whole += prompt + answer;
        }
        sizes
    }

    /// Adds a text.
    pub fn add_text(&mut self, text: &str) {
        self.examples += 1;
        self.whole += characters(text);
    }
}

fn prompt(example: &Example, closed_book: bool) -> u64 {
    let context = example.context.iter().filter(|_| !closed_book);
    let turns = example.turns.iter().flatten().map(|turn| &turn.content);
    let texts = context.chain(turns).chain([&example.question]).chain(&example.options);
    texts.map(|text| characters(text)).sum()
}

/// Counts the characters of a text.
pub(crate) fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Role, Turn};

    #[test]
    fn prompts_are_all_that_is_shown() {
        let example = Example {
            turns: Some(vec![Turn { role: Role::System, content: "é2".into() }]),
            context: Some("123".into()),
            question: "1234".into(),
            answer: "12345".into(),
            options: vec!["12345".into(), "6".into()],
            ..Example::default()
        };
        let sizes = Sizes::of(&[example.clone(), Example { options: vec![], ..example.clone() }], false);
        assert_eq!(sizes, Sizes { examples: 2, prompts: 24, answers: 10, longest_prompt: 15, whole: 34 });
        assert_eq!(Sizes::of(&[example], true).prompts, 12);
    }
}
