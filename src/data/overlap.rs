//! Questions that are asked more than once: what train shows of dev and test.
//!
//! Texts are the same if their words are: letters and digits, case and punctuation aside.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::example::{Example, SplitName};
use super::retrieve::words;
use super::split::Splits;

/// Groups that share a pair are joined to no more than this part of all examples: a pair in more of
/// them (`Is it up?`, `yes`) is a form that the data are written in, and would leave nothing to divide.
const LARGEST_PART: usize = 4;

/// Names a held-out question that train asks, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// The held-out example.
    pub id: String,
    /// Its split: dev or test.
    pub split: SplitName,
    /// The first example of train with the question, of those with the same answer if there are any.
    pub train: String,
    /// Whether an accepted answer is the same.
    pub same_answer: bool,
}

/// Lists the examples of dev and test whose question stands in train.
pub fn overlaps(splits: &Splits) -> Vec<Overlap> {
    let mut asked = BTreeMap::<String, Vec<&Example>>::new();
    for example in &splits.train {
        asked.entry(normal(&example.question)).or_default().push(example);
    }
    let mut found = Vec::new();
    for (split, examples) in [(SplitName::Dev, &splits.dev), (SplitName::Test, &splits.test)] {
        for example in examples {
            let Some(others) = asked.get(&normal(&example.question)) else { continue };
            let answers = answers(example);
            let same = others.iter().find(|other| !answers.is_disjoint(&self::answers(other)));
            let train = same.unwrap_or(&others[0]).id.clone();
            found.push(Overlap { id: example.id.clone(), split, train, same_answer: same.is_some() });
        }
    }
    found
}

/// Joins groups (indices of examples) that share a question with an accepted answer, and counts those
/// that were joined with another one.
///
/// Groups and joined groups stay in the order of their first one. Pairs are taken in the order of their
/// words; one that would make a group of more than a quarter of all examples joins nothing.
pub(super) fn joined(examples: &[Example], groups: Vec<Vec<usize>>) -> (Vec<Vec<usize>>, usize) {
    let mut pairs = BTreeMap::<(String, String), BTreeSet<usize>>::new();
    for (group, members) in groups.iter().enumerate() {
        for example in members.iter().map(|&index| &examples[index]) {
            let question = normal(&example.question);
            for answer in answers(example) {
                pairs.entry((question.clone(), answer)).or_default().insert(group);
            }
        }
    }
    let mut sets = Sets::of(groups.iter().map(Vec::len));
    for sharing in pairs.values().filter(|sharing| sharing.len() > 1) {
        sets.join(sharing);
    }
    let mut together = BTreeMap::<usize, Vec<Vec<usize>>>::new();
    for (group, members) in groups.into_iter().enumerate() {
        together.entry(sets.root(group)).or_default().push(members);
    }
    let joined = together.values().filter(|groups| groups.len() > 1).map(Vec::len).sum();
    (together.into_values().map(|groups| groups.concat()).collect(), joined)
}

/// Disjoint sets of groups, each with its first member as root.
pub(super) struct Sets {
    parents: Vec<usize>,
    sizes: Vec<usize>,
    /// Examples that a set may have to be joined from others.
    most: usize,
}

impl Sets {
    /// Begins with each group, of so many examples, on its own.
    pub(super) fn of(sizes: impl Iterator<Item = usize>) -> Self {
        let sizes: Vec<usize> = sizes.collect();
        Self { parents: (0..sizes.len()).collect(), most: sizes.iter().sum::<usize>() / LARGEST_PART, sizes }
    }

    /// Returns the root of the set that a group is in.
    pub(super) fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    /// Joins the sets of groups that share something, unless that would be too large a part of all.
    pub(super) fn join(&mut self, sharing: &BTreeSet<usize>) {
        let roots: BTreeSet<usize> = sharing.iter().map(|&group| self.root(group)).collect();
        if roots.iter().map(|&root| self.sizes[root]).sum::<usize>() > self.most {
            return;
        }
        let Some(&first) = roots.first() else { return };
        for &other in roots.iter().skip(1) {
            self.parents[other] = first;
            self.sizes[first] += self.sizes[other];
        }
    }
}

fn answers(example: &Example) -> BTreeSet<String> {
    example.references.iter().map(|answer| normal(answer)).collect()
}

/// Returns the words of a text, or a text without any as it is.
fn normal(text: &str) -> String {
    let words: Vec<String> = words(text).map(|(_, word)| word).collect();
    if words.is_empty() { text.trim().to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: &str, question: &str, references: &[&str]) -> Example {
        Example {
            id: id.into(),
            group: id.into(),
            context: None,
            question: question.into(),
            answer: references[0].into(),
            references: references.iter().map(|&text| text.to_owned()).collect(),
            ..Example::default()
        }
    }

    #[test]
    fn held_out_questions_of_train_are_listed_with_their_answers_compared() {
        let train = vec![
            example("1", "Who pages?", &["the SMF"]),
            example("2", "Who pages?", &["AMF", "the AMF"]),
            example("3", "What is 5G?", &["a radio"]),
            example("4", "???", &["..."]),
        ];
        let dev = vec![example("5", "who  pages", &["The AMF."]), example("6", "Who calls?", &["the AMF"])];
        let test = vec![example("7", "What is 5G", &["a core"]), example("8", "!", &["..."])];
        let found = overlaps(&Splits { train, dev, test, joined: 0 });
        let overlap = |id: &str, split, train: &str, same_answer| Overlap {
            id: id.into(),
            split,
            train: train.into(),
            same_answer,
        };
        assert_eq!(found, [overlap("5", SplitName::Dev, "2", true), overlap("7", SplitName::Test, "3", false)]);
    }

    #[test]
    fn groups_are_joined_by_pairs_through_others_and_keep_their_order() {
        let mut examples: Vec<Example> =
            (0..20).map(|row| example(&row.to_string(), &format!("q{row}"), &["a"])).collect();
        // 3 and 9 share a pair, 9 and 12 another one; 5 has the question of 3 with another answer.
        examples[9] = example("9", "Q3!", &["b", "A"]);
        examples[12] = example("12", "q3", &["B"]);
        examples[5] = example("5", "q3", &["c"]);
        let (groups, joined) = joined(&examples, (0..20).map(|index| vec![index]).collect());
        assert_eq!((groups.len(), joined), (18, 3));
        assert_eq!(groups[3], [3, 9, 12]);
        assert!(groups.is_sorted());
    }

    #[test]
    fn a_pair_of_very_many_groups_joins_nothing() {
        let examples: Vec<Example> = (0..20)
            .map(|row| example(&row.to_string(), if row < 6 { "Is it up?" } else { "Since when?" }, &["yes"]))
            .collect();
        let (groups, joined) = joined(&examples, (0..20).map(|index| vec![index]).collect());
        assert_eq!((groups.len(), joined), (20, 0));
    }
}
