//! Divides examples into train, dev and test without dividing a group.

use std::collections::BTreeMap;

use thiserror::Error;

use super::example::{Example, SplitName};
use super::overlap;
use super::shuffle::shuffle;
use crate::experiment::settings;
use crate::experiment::settings::GroupBy;

/// Holds the divided examples, each with its `split` set, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splits {
    /// Models learn from these.
    pub train: Vec<Example>,
    /// States are chosen on these.
    pub dev: Vec<Example>,
    /// Results are reported on these.
    pub test: Vec<Example>,
    /// Groups that were kept together with another one, since they share a question with its answer.
    pub joined: usize,
}

/// Says why examples cannot be divided as asked.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SplitError {
    /// A share is no positive number, or the shares do not add up to 1.
    #[error("shares of train, dev and test are {0}, {1}, {2}: positive numbers with sum 1 expected")]
    Shares(f64, f64, f64),
    /// Fewer groups than splits.
    #[error("{groups} groups for 3 splits: {empty} would be empty")]
    TooFewGroups {
        /// Groups that there are.
        groups: usize,
        /// The first split that would be empty.
        empty: SplitName,
    },
    /// The importer's own division leaves a split empty.
    #[error("the given division has no example in {0}")]
    GivenEmpty(SplitName),
    /// An example has no given split.
    #[error("example `{0}` has no given split")]
    NotGiven(String),
}

impl SplitError {
    /// Says what to change.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Shares(..) => "write for example `split = { train = 0.8, dev = 0.1, test = 0.1 }`",
            Self::TooFewGroups { .. } => "raise `limit`, use `group-by = \"example\"`, or import more documents",
            Self::GivenEmpty(_) => "raise `limit`, or use `group-by = \"document\"`",
            Self::NotGiven(_) => "use `group-by = \"document\"` or `group-by = \"example\"`",
        }
    }
}

/// Divides `examples`; the result depends on nothing but the arguments.
///
/// Groups (documents, or single examples) are sorted by name and shuffled by `settings.seed`; those
/// that share a question with its answer count as one: see `overlap::joined`. At most `limit`
/// examples are taken in this order, the last group in part. Each group then goes to the split that
/// lacks most examples of its share, so that shares are met in examples, not in groups.
/// [`GroupBy::Given`] keeps the importer's division (after `limit`) and ignores the shares.
///
/// # Errors
/// If a split would be empty, the shares are no division of 1, or an example lacks its given split.
pub fn split(examples: &[Example], settings: &settings::Split, limit: Option<usize>) -> Result<Splits, SplitError> {
    let (groups, joined) = groups(examples, settings.group_by);
    let groups = limited(shuffled(groups, settings.seed), limit);
    let assigned = match settings.group_by {
        GroupBy::Given => given(examples, &groups)?,
        GroupBy::Document | GroupBy::Example => fill(&groups, shares(settings)?)?,
    };
    let mut splits: [Vec<Example>; 3] = Default::default();
    for (index, name) in assigned {
        splits[name as usize].push(Example { split: Some(name), ..examples[index].clone() });
    }
    let [train, dev, test] = splits;
    Ok(Splits { train, dev, test, joined })
}

const NAMES: [SplitName; 3] = [SplitName::Train, SplitName::Dev, SplitName::Test];

fn shares(settings: &settings::Split) -> Result<[f64; 3], SplitError> {
    let shares = [settings.train, settings.dev, settings.test];
    let positive = shares.iter().all(|&share| share > 0.0);
    if positive && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 {
        Ok(shares)
    } else {
        Err(SplitError::Shares(shares[0], shares[1], shares[2]))
    }
}

/// Returns the indices of each group that may not be divided, sorted by their names, and how many of
/// the data's own groups were joined.
fn groups(examples: &[Example], group_by: GroupBy) -> (Vec<Vec<usize>>, usize) {
    let mut groups = BTreeMap::<&str, Vec<usize>>::new();
    for (index, example) in examples.iter().enumerate() {
        let name = match group_by {
            GroupBy::Example => &example.id,
            GroupBy::Document | GroupBy::Given => &example.group,
        };
        groups.entry(name).or_default().push(index);
    }
    let groups = groups.into_values().collect();
    match group_by {
        GroupBy::Given => (groups, 0),
        GroupBy::Document | GroupBy::Example => overlap::joined(examples, groups),
    }
}

fn shuffled(mut groups: Vec<Vec<usize>>, seed: u64) -> Vec<Vec<usize>> {
    shuffle(&mut groups, seed, 0);
    groups
}

fn limited(groups: Vec<Vec<usize>>, limit: Option<usize>) -> Vec<Vec<usize>> {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    for mut group in groups {
        group.truncate(left);
        left -= group.len();
        if !group.is_empty() {
            kept.push(group);
        }
    }
    kept
}

type Assignment = BTreeMap<usize, SplitName>;

fn given(examples: &[Example], groups: &[Vec<usize>]) -> Result<Assignment, SplitError> {
    let mut assigned = Assignment::new();
    for &index in groups.iter().flatten() {
        let example = &examples[index];
        let name = example.split.ok_or_else(|| SplitError::NotGiven(example.id.clone()))?;
        assigned.insert(index, name);
    }
    for name in NAMES {
        if !assigned.values().any(|&other| other == name) {
            return Err(SplitError::GivenEmpty(name));
        }
    }
    Ok(assigned)
}

fn fill(groups: &[Vec<usize>], shares: [f64; 3]) -> Result<Assignment, SplitError> {
    if groups.len() < NAMES.len() {
        let empty = NAMES[groups.len()];
        let groups = groups.len();
        return Err(SplitError::TooFewGroups { groups, empty });
    }
    let total: usize = groups.iter().map(Vec::len).sum();
    let mut lacking = shares.map(|share| share * total as f64);
    let mut filled = [false; 3];
    let mut assigned = Assignment::new();
    for (position, group) in groups.iter().enumerate() {
        let empty = filled.iter().filter(|&&filled| !filled).count();
        // The last groups are kept for splits that have none yet.
        let reserved = groups.len() - position <= empty;
        let target = (0..3)
            .filter(|&split| !(reserved && filled[split]))
            .reduce(|best, split| if lacking[split] > lacking[best] { split } else { best })
            .expect("while groups are reserved, a split is empty");
        filled[target] = true;
        lacking[target] -= group.len() as f64;
        assigned.extend(group.iter().map(|&index| (index, NAMES[target])));
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn examples(sizes: &[usize]) -> Vec<Example> {
        let rows = sizes.iter().enumerate();
        rows.flat_map(|(group, &size)| (0..size).map(move |row| example(group, row))).collect()
    }

    fn example(group: usize, row: usize) -> Example {
        Example {
            id: format!("{group}-{row}"),
            group: format!("document {group}"),
            context: None,
            question: format!("{group}-{row}?"),
            answer: "a".into(),
            references: vec!["a".into()],
            ..Example::default()
        }
    }

    fn seeded(seed: u64) -> settings::Split {
        settings::Split { seed, ..Default::default() }
    }

    fn ids(examples: &[Example]) -> Vec<&str> {
        examples.iter().map(|example| &*example.id).collect()
    }

    #[test]
    fn shares_are_met_in_examples() {
        let sizes: Vec<usize> = (0..300).map(|group| 1 + group * 7 % 30).collect();
        let all = examples(&sizes);
        let splits = split(&all, &seeded(1), None).unwrap();
        let share = |part: &[Example]| part.len() as f64 / all.len() as f64;
        assert!((share(&splits.train) - 0.8).abs() < 0.01);
        assert!((share(&splits.dev) - 0.1).abs() < 0.01);
        assert!((share(&splits.test) - 0.1).abs() < 0.01);
        assert_ne!(splits, split(&all, &seeded(2), None).unwrap());
    }

    #[test]
    fn the_division_does_not_depend_on_the_order_of_documents() {
        let all = examples(&[3; 20]);
        let mut turned = all.clone();
        turned.reverse();
        let splits = split(&all, &seeded(1), None).unwrap();
        let mut other =
            ids(&split(&turned, &seeded(1), None).unwrap().dev).into_iter().map(str::to_owned).collect::<Vec<_>>();
        other.reverse();
        assert_eq!(ids(&splits.dev), other);
    }

    #[test]
    fn too_few_groups_are_an_error_and_three_are_enough() {
        let error = split(&examples(&[50, 50]), &seeded(1), None).unwrap_err();
        let expected = SplitError::TooFewGroups { groups: 2, empty: SplitName::Test };
        assert_eq!(error, expected);
        let splits = split(&examples(&[50, 50, 50]), &seeded(1), None).unwrap();
        assert_eq!([50; 3], [splits.train.len(), splits.dev.len(), splits.test.len()]);
    }

    #[test]
    fn shares_that_do_not_divide_are_an_error() {
        for (train, dev, test) in [(0.8, 0.1, 0.2), (0.9, 0.1, 0.0), (f64::NAN, 0.1, 0.1)] {
            let settings = settings::Split { train, dev, test, ..seeded(1) };
            let error = split(&examples(&[1; 30]), &settings, None).unwrap_err();
            assert!(matches!(error, SplitError::Shares(..)));
        }
    }

    #[test]
    fn a_question_with_its_answer_is_in_one_split() {
        let mut all = examples(&[3; 60]);
        // Of every third document, the first question is that of the one before it.
        for group in (1..60).step_by(3) {
            all[3 * group].question = all[3 * group - 3].question.to_uppercase();
        }
        for group_by in [GroupBy::Document, GroupBy::Example] {
            for seed in 0..20 {
                let splits = split(&all, &settings::Split { group_by, ..seeded(seed) }, None).unwrap();
                assert_eq!(splits.joined, 40);
                assert_eq!(overlap::overlaps(&splits), []);
            }
        }
    }

    #[test]
    fn a_given_division_is_kept() {
        let settings = settings::Split { group_by: GroupBy::Given, ..seeded(1) };
        let mut all = examples(&[4; 4]);
        let error = split(&all, &settings, None).unwrap_err();
        assert!(matches!(error, SplitError::NotGiven(_)));
        for (example, name) in all.iter_mut().zip(NAMES.into_iter().cycle()) {
            example.split = Some(name);
        }
        let splits = split(&all, &settings, None).unwrap();
        assert_eq!(ids(&splits.dev), ["0-1", "1-0", "1-3", "2-2", "3-1"]);
        for example in &mut all {
            example.split = Some(SplitName::Train);
        }
        let error = split(&all, &settings, None).unwrap_err();
        assert_eq!(error, SplitError::GivenEmpty(SplitName::Dev));
    }

    proptest! {
        #[test]
        fn no_group_is_divided_and_no_example_lost(
            sizes in prop::collection::vec(1_usize..12, 3..60),
            seed: u64,
            limit in prop::option::of(30_usize..200),
        ) {
            let all = examples(&sizes);
            // 30 examples of at most 11 each are at least three groups.
            let splits = match split(&all, &seeded(seed), limit) {
                Ok(splits) => splits,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let parts = [&splits.train, &splits.dev, &splits.test];
            let total: usize = parts.iter().map(|part| part.len()).sum();
            prop_assert_eq!(total, all.len().min(limit.unwrap_or(usize::MAX)));
            let mut groups = BTreeSet::new();
            let mut ids = BTreeSet::new();
            for part in parts {
                prop_assert!(!part.is_empty());
                let own: BTreeSet<_> = part.iter().map(|example| &example.group).collect();
                for group in own {
                    prop_assert!(groups.insert(group), "{} is in two splits", group);
                }
                prop_assert!(part.iter().all(|example| ids.insert(&example.id)));
            }
        }
    }
}
