//! The embedded data set: questions on a telecom glossary, composed from facts.
//!
//! Each fact of each term is asked for in every wording of its kind. Per fact, one wording is held
//! out for dev and one for test; they rotate, so every wording is learned with some terms and
//! tested with others, and every fact is in train. Articles composed from the same facts serve as
//! text for pretraining.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::example::{Example, SplitName};
use super::import::Imported;

const SOURCE: &str = include_str!("glossary.toml");

/// Distance between the wordings held out for dev and for test, in wordings.
const TEST_OFFSET: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Glossary {
    wording: Facts<Wording>,
    term: Vec<Term>,
}

#[derive(Deserialize)]
struct Term {
    name: String,
    #[serde(flatten)]
    facts: Facts<String>,
}

/// One value for each kind of fact.
#[derive(Deserialize)]
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

/// Composes the data set: closed-book examples grouped by term, split by wording, with one article
/// per term as its passage.
pub fn import() -> Imported {
    let glossary = glossary();
    let mut examples = Vec::new();
    for (number, term) in glossary.term.iter().enumerate() {
        let kinds = term.facts.all().into_iter().zip(glossary.wording.all());
        for (kind, ((name, fact), (_, wording))) in kinds.enumerate() {
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
                    context: None,
                    question: fill(question, &term.name, fact),
                    answer: fact.clone(),
                    references: vec![fact.clone()],
                    split: Some(split),
                });
            }
        }
    }
    let passages = glossary.term.iter().enumerate();
    Imported {
        examples,
        passages: passages.map(|(number, term)| (term.name.clone(), article(&glossary, number))).collect(),
        skipped: BTreeMap::new(),
        notes: BTreeMap::new(),
        checksum: blake3::hash(SOURCE.as_bytes()).to_hex().to_string(),
    }
}

/// Returns the articles on all terms, in the order of the glossary.
pub fn texts() -> Vec<String> {
    let glossary = glossary();
    (0..glossary.term.len()).map(|number| article(&glossary, number)).collect()
}

fn article(glossary: &Glossary, number: usize) -> String {
    let term = &glossary.term[number];
    let kinds = term.facts.all().into_iter().zip(glossary.wording.all());
    let sentence = |(kind, ((_, fact), (_, wording))): (usize, ((_, &String), (_, &Wording)))| {
        let sentences = &wording.sentences;
        fill(&sentences[(number + kind) % sentences.len()], &term.name, fact)
    };
    let sentences: Vec<String> = kinds.enumerate().map(sentence).collect();
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
    fn articles_state_every_fact() {
        let imported = import();
        for example in &imported.examples {
            assert!(imported.passages[&example.group].contains(&example.answer));
        }
        let words: usize = texts().iter().map(|text| text.split_whitespace().count()).sum();
        assert!(words > 2000, "{words}");
    }
}
