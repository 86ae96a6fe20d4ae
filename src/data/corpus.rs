//! Texts for pretraining and for training tokenizers.

use std::collections::{BTreeMap, BTreeSet};

use super::example::Example;
use super::template;

/// Collects the texts of `train`: the full passage of each of its groups, then one text per
/// distinct question with its answer, worded as in closed-book training.
///
/// Passages come in order of their group's first example; groups outside `train` are ignored, so
/// nothing of a held-out document is learned. A group without a passage contributes its questions
/// only.
pub fn texts(train: &[Example], passages: &BTreeMap<String, String>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut seen = BTreeSet::new();
    for example in train {
        if seen.insert(&example.group)
            && let Some(passage) = passages.get(&example.group)
        {
            texts.push(passage.clone());
        }
    }
    let mut pairs = BTreeSet::new();
    for example in train {
        if pairs.insert((&example.question, &example.answer)) {
            let prompt = template::prompt(example, true);
            texts.push(prompt + &template::response(&example.answer));
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(group: &str, question: &str) -> Example {
        Example {
            id: format!("{group}-{question}"),
            group: group.into(),
            context: Some("cut".into()),
            question: question.into(),
            answer: "yes".into(),
            references: vec!["yes".into()],
            split: None,
        }
    }

    #[test]
    fn passages_come_once_and_only_from_train() {
        let train = [example("b", "q1?"), example("a", "q2?"), example("b", "q1?")];
        let passages = ["a", "b", "held-out"].map(|group| (group.into(), format!("full {group}")));
        let texts = texts(&train, &passages.into());
        let expected = ["full b", "full a", "Question: q1?\nAnswer: yes", "Question: q2?\nAnswer: yes"];
        assert_eq!(texts, expected);
    }
}
