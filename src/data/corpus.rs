//! Texts for pretraining and for training tokenizers.

use std::collections::{BTreeMap, BTreeSet};

use super::example::Example;
use super::template;

/// Collects what pretraining reads: the passages of the groups of `train`, and nothing else. No question
/// and no prompt is among them: what a model that is pretrained only knows of an answer, a passage states.
/// Where the data have no passages (see [`has_passages`]), it reads the questions of `train` and then its
/// answers, each a text of its own, so that none of them answers another.
///
/// Groups come in the order of their first example. Where a group has several texts, which tell the same
/// in other words, all groups' first ones come first: one after the other, a model would look the second
/// up in the first and learn neither. Passages of groups outside `train` are ignored.
pub fn texts(train: &[Example], passages: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    if !has_passages(train, passages) {
        return apart(train);
    }
    let mut seen = BTreeSet::new();
    let groups: Vec<&[String]> = train
        .iter()
        .filter(|example| seen.insert(&example.group))
        .filter_map(|example| passages.get(&example.group).map(Vec::as_slice))
        .collect();
    let rounds = groups.iter().map(|texts| texts.len()).max().unwrap_or(0);
    let round = |round: usize| groups.iter().filter_map(move |texts| texts.get(round).cloned());
    (0..rounds).flat_map(round).collect()
}

/// Says whether pretraining reads passages: whether any group of `train` has one.
pub fn has_passages(train: &[Example], passages: &BTreeMap<String, Vec<String>>) -> bool {
    train.iter().any(|example| passages.contains_key(&example.group))
}

/// Returns all questions, then all answers, each once.
fn apart(train: &[Example]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let questions = train.iter().map(|example| &example.question);
    let texts = questions.chain(train.iter().map(|example| &example.answer));
    texts.filter(|text| seen.insert(*text)).cloned().collect()
}

/// Collects what tokenizers are trained on: the texts of pretraining, then each question of `train` with
/// its answer once, in the wording of prompts. Vocabularies know how often words stand together, not
/// what answers what.
pub fn wordings(train: &[Example], passages: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let pairs = train.iter().filter(|example| seen.insert((&example.question, &example.answer)));
    let wording = |example: &Example| template::prompt(example, true) + &template::response(&example.answer);
    texts(train, passages).into_iter().chain(pairs.map(wording)).collect()
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
            ..Example::default()
        }
    }

    fn passages(texts: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let texts = texts.iter();
        texts.map(|(group, texts)| ((*group).into(), texts.iter().map(|&text| text.into()).collect())).collect()
    }

    #[test]
    fn pretraining_reads_passages_of_train_once_and_no_question() {
        let train = [example("b", "q1?"), example("a", "q2?"), example("b", "q1?"), example("none", "q3?")];
        let passages = passages(&[("a", &["full a"]), ("b", &["full b"]), ("held-out", &["full held-out"])]);
        assert_eq!(texts(&train, &passages), ["full b", "full a"]);
        let pairs = ["Question: q1?\nAnswer: yes", "Question: q2?\nAnswer: yes", "Question: q3?\nAnswer: yes"];
        assert_eq!(wordings(&train, &passages), [&["full b", "full a"][..], &pairs].concat());
    }

    #[test]
    fn without_passages_questions_and_answers_are_read_apart() {
        let train = [example("b", "q1?"), example("a", "q2?"), example("b", "q1?")];
        assert_eq!(texts(&train, &passages(&[("held-out", &["full held-out"])])), ["q1?", "q2?", "yes"]);
    }

    #[test]
    fn texts_that_tell_the_same_lie_apart() {
        let train = [example("a", "q?"), example("b", "q?")];
        let passages = passages(&[("a", &["a1", "a2", "a3"]), ("b", &["b1", "b2"])]);
        assert_eq!(texts(&train, &passages), ["a1", "b1", "a2", "b2", "a3"]);
    }
}
