//! The embedded data set: questions on a telecom glossary, composed from facts.
//!
//! Each fact of each term is asked for in every wording of its kind. Per fact, one wording is held
//! out for dev and one for test; they rotate, so every wording is learned with some terms and
//! tested with others, and every fact is in train. Articles in prose serve as text for pretraining:
//! each term has several, which state the same facts in other sentences and another order, for what a
//! model reads in one wording only it can hardly answer when asked (Allen-Zhu and Li 2023, "Physics of
//! Language Models: Part 3.1", arXiv:2309.14316).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::example::{Example, SplitName};
use super::import::{ImportError, Imported};
use crate::experiment::settings::Data;

/// The file it is written in.
pub(in crate::data) const SOURCE: &str = include_str!("glossary.toml");

/// Distance between the wordings held out for dev and for test, in wordings.
const TEST_OFFSET: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Glossary {
    wording: Facts<Wording>,
    term: Vec<Term>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    name: String,
    facts: Facts<String>,
}

/// One value for each kind of fact.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts<T> {
    expansion: T,
    domain: T,
    role: T,
    interface: T,
    fault: T,
    specification: T,
}

impl<T> Facts<T> {
    fn all(&self) -> [(&'static str, &T); 6] {
        [
            ("expansion", &self.expansion),
            ("domain", &self.domain),
            ("role", &self.role),
            ("interface", &self.interface),
            ("fault", &self.fault),
            ("specification", &self.specification),
        ]
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wording {
    questions: Vec<String>,
    sentences: Vec<String>,
}

fn glossary() -> Glossary {
    toml::from_str(SOURCE).expect("the embedded glossary is read by this file's tests")
}

fn fill(wording: &str, term: &str, fact: &str) -> String {
    wording.replace("{term}", term).replace("{fact}", fact)
}

/// The field that examples can keep: which fact of a term is asked for.
const FACT: &str = "fact";

/// Composes the data set: closed-book examples grouped by term, split by wording, with the
/// articles on a term as its texts.
///
/// # Errors
/// A field to keep that is not `fact`.
pub fn import(data: &Data) -> Result<Imported, ImportError> {
    match data.fields.iter().find(|field| *field != FACT) {
        Some(field) => Err(ImportError::NoField { field: field.clone() }),
        None => Ok(compose(!data.fields.is_empty())),
    }
}

fn compose(keeps_fact: bool) -> Imported {
    let glossary = glossary();
    let mut examples = Vec::new();
    for (number, term) in glossary.term.iter().enumerate() {
        let kinds = term.facts.all().into_iter().zip(glossary.wording.all());
        for (kind, ((name, fact), (_, wording))) in kinds.enumerate() {
            let fields: BTreeMap<String, String> =
                keeps_fact.then(|| (FACT.to_owned(), name.to_owned())).into_iter().collect();
            let wordings = wording.questions.len();
            let dev = (number + kind) % wordings;
            let test = (dev + TEST_OFFSET) % wordings;
            for (index, question) in wording.questions.iter().enumerate() {
                let split = match index {
                    _ if index == dev => SplitName::Dev,
                    _ if index == test => SplitName::Test,
                    _ => SplitName::Train,
                };
                examples.push(Example {
                    id: format!("{}/{name}/{index}", term.name),
                    group: term.name.clone(),
                    fields: fields.clone(),
                    context: None,
                    question: fill(question, &term.name, fact),
                    answer: fact.clone(),
                    references: vec![fact.clone()],
                    split: Some(split),
                    ..Example::default()
                });
            }
        }
    }
    Imported {
        examples,
        passages: (0..glossary.term.len()).map(|number| passages(&glossary, number)).collect(),
        unit: "term",
        checksum: blake3::hash(SOURCE.as_bytes()).to_hex().to_string(),
        ..Imported::default()
    }
}

/// Returns the articles on all terms, in the order of the glossary.
pub fn texts() -> Vec<String> {
    let glossary = glossary();
    (0..glossary.term.len()).flat_map(|number| passages(&glossary, number).1).collect()
}

/// Composes the articles on a term: as many as a fact has sentences.
fn passages(glossary: &Glossary, number: usize) -> (String, Vec<String>) {
    let articles = glossary.wording.expansion.sentences.len();
    let name = glossary.term[number].name.clone();
    (name, (0..articles).map(|version| article(glossary, number, version)).collect())
}

/// Composes one article: each fact in a sentence that no other version has, beginning with another one.
fn article(glossary: &Glossary, number: usize, version: usize) -> String {
    let term = &glossary.term[number];
    let kinds = term.facts.all().into_iter().zip(glossary.wording.all());
    let sentence = |(kind, ((_, fact), (_, wording))): (usize, ((_, &String), (_, &Wording)))| {
        let sentences = &wording.sentences;
        fill(&sentences[(number + kind + version) % sentences.len()], &term.name, fact)
    };
    let mut sentences: Vec<String> = kinds.enumerate().map(sentence).collect();
    let first = version % sentences.len();
    sentences.rotate_left(first);
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::experiment::settings::Importer;

    fn import() -> Imported {
        compose(false)
    }

    #[test]
    fn the_fact_that_is_asked_for_is_kept_if_wanted() {
        let mut data = Data::new(Importer::Glossary, None);
        assert!(super::import(&data).unwrap().examples.iter().all(|example| example.fields.is_empty()));
        data.fields = vec!["fact".to_owned()];
        let imported = super::import(&data).unwrap();
        let facts: BTreeSet<_> = imported.examples.iter().map(|example| example.fields["fact"].as_str()).collect();
        assert_eq!(facts.len(), 6);
        assert!(imported.examples.iter().all(|e| e.id.split('/').nth_back(1) == Some(&e.fields["fact"])));
        data.fields.push("term".to_owned());
        let error = super::import(&data).unwrap_err();
        assert_eq!(error.to_string(), "importer `glossary` has no field `term`");
        assert_eq!(error.hint(), "its field is `fact`: what of a term is asked for");
    }

    #[test]
    fn there_are_52_terms_and_over_2000_distinct_questions() {
        let imported = import();
        assert_eq!(glossary().term.len(), 52);
        assert_eq!(imported.passages.len(), 52);
        let questions: BTreeSet<_> = imported.examples.iter().map(|e| &e.question).collect();
        assert_eq!(questions.len(), imported.examples.len());
        assert_eq!(imported.examples.len(), 52 * 6 * 8);
        let ids: BTreeSet<_> = imported.examples.iter().map(|e| &e.id).collect();
        assert_eq!(ids.len(), imported.examples.len());
    }

    #[test]
    fn every_fact_is_in_train_and_its_held_out_wordings_are_not() {
        let imported = import();
        let mut wordings = BTreeMap::<_, Vec<SplitName>>::new();
        for example in &imported.examples {
            let (fact, _) = example.id.rsplit_once('/').unwrap();
            wordings.entry(fact).or_default().push(example.split.unwrap());
        }
        assert_eq!(wordings.len(), 52 * 6);
        for (fact, mut splits) in wordings {
            splits.sort();
            assert_eq!(splits[..6], [SplitName::Train; 6], "{fact}");
            assert_eq!(splits[6..], [SplitName::Dev, SplitName::Test], "{fact}");
        }
    }

    #[test]
    fn every_wording_is_learned_and_tested() {
        let mut seen = BTreeSet::new();
        for example in import().examples {
            let (_, wording) = example.id.split_once('/').unwrap();
            seen.insert((wording.to_owned(), example.split));
        }
        assert_eq!(seen.len(), 6 * 8 * 3);
    }

    #[test]
    fn answers_are_short_and_nothing_is_left_unfilled() {
        for example in import().examples {
            let words = example.answer.split_whitespace().count();
            assert!((1..=15).contains(&words), "{}", example.answer);
            assert!(example.question.contains(&example.group));
            assert!(!example.question.contains(['{', '}']));
        }
        for text in texts() {
            assert!(!text.contains(['{', '}']), "{text}");
            assert!(!text.contains(".."), "{text}");
        }
    }

    #[test]
    fn articles_state_every_fact_in_every_sentence_and_ask_nothing() {
        let glossary = glossary();
        for (_, wording) in glossary.wording.all() {
            assert_eq!(wording.sentences.len(), glossary.wording.expansion.sentences.len());
            let distinct: BTreeSet<_> = wording.sentences.iter().collect();
            assert_eq!(distinct.len(), wording.sentences.len());
            for sentence in &wording.sentences {
                assert!(sentence.contains("{term}") && sentence.ends_with("{fact}."), "{sentence}");
            }
        }
        let imported = import();
        for example in &imported.examples {
            let articles = &imported.passages[&example.group];
            let stated: BTreeSet<&str> = articles
                .iter()
                .map(|article| {
                    assert!(!article.contains(&example.question) && !article.contains(['?', ':', '\n']), "{article}");
                    let sentences = article.split_inclusive(". ");
                    sentences.map(str::trim_end).find(|sentence| sentence.contains(&example.answer)).unwrap()
                })
                .collect();
            assert_eq!(stated.len(), articles.len(), "{stated:?}");
        }
        let words: usize = texts().iter().map(|text| text.split_whitespace().count()).sum();
        assert!(words > 12_000, "{words}");
    }
}
