//! Divides examples and texts into train, dev and test without dividing a group.

use std::collections::BTreeMap;

use thiserror::Error;

use super::example::{Example, SplitName};
use super::import::{Seen, Texts};
use super::overlap::{self, Sets};
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
    /// A share is below 0, or the shares do not add up to 1.
    #[error("shares of train, dev and test are {0}, {1}, {2}: numbers from 0 with sum 1 expected")]
    Shares(f64, f64, f64),
    /// Fewer groups than splits with a share.
    #[error("{groups} groups for {splits} splits: {empty} would be empty")]
    TooFewGroups {
        /// Groups that there are.
        groups: usize,
        /// Splits that have a share.
        splits: usize,
        /// The first split that would be empty.
        empty: SplitName,
    },
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
            Self::NotGiven(_) => "use `group-by = \"document\"` or `group-by = \"example\"`",
        }
    }
}

/// Divides `examples`; the result depends on nothing but the arguments.
///
/// Groups (documents, or single examples) are sorted by name and shuffled by `settings.seed`; those
/// that share a question with its answer count as one: see `overlap::joined`. At most `limit`
/// examples are taken in this order, the last group in part. Each group then goes to the split that
/// lacks most examples of its share, so that shares are met in examples, not in groups. A split without
/// a share is empty. [`GroupBy::Given`] keeps the importer's division and `settings.all` makes all one
/// split, each after `limit`; they ignore the shares.
///
/// # Errors
/// If a split with a share would be empty, the shares are no division of 1, or an example lacks its given
/// split.
pub fn split(examples: &[Example], settings: &settings::Split, limit: Option<usize>) -> Result<Splits, SplitError> {
    let (groups, joined) = groups(examples, settings);
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut assigned = BTreeMap::new();
    for Part { group, kept, split } in divide(&sizes, settings, limit)? {
        for &index in &groups[group][..kept] {
            let given = || examples[index].split.ok_or_else(|| SplitError::NotGiven(examples[index].id.clone()));
            assigned.insert(index, split.map_or_else(given, Ok)?);
        }
    }
    let mut splits: [Vec<Example>; 3] = Default::default();
    for (index, name) in assigned {
        splits[name as usize].push(Example { split: Some(name), ..examples[index].clone() });
    }
    let [train, dev, test] = splits;
    Ok(Splits { train, dev, test, joined })
}

/// Says which texts are in which split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The split of each text, in their order; none for those left out.
    pub splits: Vec<Option<SplitName>>,
    /// Groups with a text in train, dev and test.
    pub groups: [usize; 3],
    /// Groups that were kept together with another one, since they share a text.
    pub joined: usize,
}

/// Divides texts as [`split`] divides examples: groups with a text in common count as one.
///
/// # Errors
/// As for [`split`].
pub fn split_texts(texts: &Texts, settings: &settings::Split, limit: Option<usize>) -> Result<Assigned, SplitError> {
    let seen = texts.seen();
    let name = |&index: &usize| match settings.group_by {
        GroupBy::Example => seen[index].id,
        GroupBy::Document | GroupBy::Given => seen[index].group,
    };
    let mut order: Vec<usize> = (0..seen.len()).filter(|&index| !seen[index].is_left_out).collect();
    // A text comes before another by its name, so that the order of files does not matter.
    order.sort_unstable_by_key(|index| (name(index), seen[*index].id));
    let groups: Vec<&[usize]> = order.chunk_by(|a, b| name(a) == name(b)).collect();
    let mut sets = Sets::of(groups.iter().map(|group| group.len()));
    if settings.group_by != GroupBy::Given && settings.all.is_none() {
        join_alike(&groups, seen, &mut sets);
    }
    let roots: Vec<usize> = (0..groups.len()).map(|group| sets.root(group)).collect();
    let mut members = vec![0_usize; groups.len()];
    roots.iter().for_each(|&root| members[root] += 1);
    let joined = members.iter().filter(|&&members| members > 1).sum();
    let mut sizes = vec![0; groups.len()];
    roots.iter().zip(&groups).for_each(|(&root, group)| sizes[root] += group.len());
    let first: Vec<usize> = (0..groups.len()).filter(|&group| roots[group] == group).collect();
    let sizes: Vec<usize> = first.iter().map(|&root| sizes[root]).collect();
    // By root: how many of its texts are still to be taken, and where to.
    let mut left = vec![(0, None); groups.len()];
    for Part { group, kept, split } in divide(&sizes, settings, limit)? {
        left[first[group]] = (kept, split);
    }
    let mut assigned = Assigned { splits: vec![None; seen.len()], groups: [0; 3], joined };
    for (&root, group) in roots.iter().zip(&groups) {
        let (kept, split) = &mut left[root];
        let mut has = [false; 3];
        for &index in group.iter().take(*kept) {
            let not_given = || SplitError::NotGiven(format!("row {}", seen[index].row));
            let split = split.or(seen[index].split).ok_or_else(not_given)?;
            assigned.splits[index] = Some(split);
            has[split as usize] = true;
        }
        *kept -= group.len().min(*kept);
        assigned.groups.iter_mut().zip(has).for_each(|(groups, has)| *groups += usize::from(has));
    }
    Ok(assigned)
}

/// Joins groups that have a text in common.
fn join_alike(groups: &[&[usize]], seen: &[Seen], sets: &mut Sets) {
    let mut texts: Vec<(usize, usize)> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, members)| members.iter().map(move |&index| (index, group)))
        .collect();
    texts.sort_unstable_by_key(|&(index, group)| (seen[index].text, group));
    for alike in texts.chunk_by(|(a, _), (b, _)| seen[*a].text == seen[*b].text).filter(|alike| alike.len() > 1) {
        sets.join(&alike.iter().map(|&(_, group)| group).collect());
    }
}

/// What becomes of a group.
pub(super) struct Part {
    /// Its index.
    pub(super) group: usize,
    /// How many of its members are taken, from the first.
    pub(super) kept: usize,
    /// The split that they are in; none where each has its own.
    pub(super) split: Option<SplitName>,
}

/// Divides groups of `sizes`, which are sorted by their names.
pub(super) fn divide(
    sizes: &[usize],
    settings: &settings::Split,
    limit: Option<usize>,
) -> Result<Vec<Part>, SplitError> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    shuffle(&mut order, settings.seed, 0);
    let mut left = limit.unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    for group in order {
        let kept = sizes[group].min(left);
        left -= kept;
        if kept > 0 {
            parts.push(Part { group, kept, split: settings.all });
        }
    }
    if settings.all.is_none() && settings.group_by != GroupBy::Given {
        fill(&mut parts, shares(settings)?)?;
    }
    Ok(parts)
}

fn shares(settings: &settings::Split) -> Result<[f64; 3], SplitError> {
    let shares = [settings.train, settings.dev, settings.test];
    let in_range = shares.iter().all(|&share| share >= 0.0);
    if in_range && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 {
        Ok(shares)
    } else {
        Err(SplitError::Shares(shares[0], shares[1], shares[2]))
    }
}

/// Returns the indices of each group that may not be divided, sorted by their names, and how many of
/// the data's own groups were joined.
fn groups(examples: &[Example], settings: &settings::Split) -> (Vec<Vec<usize>>, usize) {
    let mut groups = BTreeMap::<&str, Vec<usize>>::new();
    for (index, example) in examples.iter().enumerate() {
        let name = match settings.group_by {
            GroupBy::Example => &example.id,
            GroupBy::Document | GroupBy::Given => &example.group,
        };
        groups.entry(name).or_default().push(index);
    }
    let groups = groups.into_values().collect();
    match settings.group_by {
        GroupBy::Document | GroupBy::Example if settings.all.is_none() => overlap::joined(examples, groups),
        _ => (groups, 0),
    }
}

fn fill(parts: &mut [Part], shares: [f64; 3]) -> Result<(), SplitError> {
    let wanted: Vec<SplitName> = SplitName::ALL.into_iter().filter(|&name| shares[name as usize] > 0.0).collect();
    if let Some(&empty) = wanted.get(parts.len()) {
        return Err(SplitError::TooFewGroups { groups: parts.len(), splits: wanted.len(), empty });
    }
    let total: usize = parts.iter().map(|part| part.kept).sum();
    let mut lacking = shares.map(|share| share * total as f64);
    let mut filled = [false; 3];
    let groups = parts.len();
    for (position, part) in parts.iter_mut().enumerate() {
        let empty = wanted.iter().filter(|&&name| !filled[name as usize]).count();
        // The last groups are kept for splits that have none yet.
        let reserved = groups - position <= empty;
        let target = wanted
            .iter()
            .copied()
            .filter(|&name| !(reserved && filled[name as usize]))
            .reduce(|best, name| if lacking[name as usize] > lacking[best as usize] { name } else { best })
            .expect("while groups are reserved, a split is empty");
        filled[target as usize] = true;
        lacking[target as usize] -= part.kept as f64;
        part.split = Some(target);
    }
    Ok(())
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
        let expected = SplitError::TooFewGroups { groups: 2, splits: 3, empty: SplitName::Test };
        assert_eq!(error, expected);
        let splits = split(&examples(&[50, 50, 50]), &seeded(1), None).unwrap();
        assert_eq!([50; 3], [splits.train.len(), splits.dev.len(), splits.test.len()]);
    }

    #[test]
    fn shares_that_do_not_divide_are_an_error() {
        for (train, dev, test) in [(0.8, 0.1, 0.2), (1.1, 0.1, -0.2), (0.0, 0.0, 0.0), (f64::NAN, 0.1, 0.1)] {
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
        for (example, name) in all.iter_mut().zip(SplitName::ALL.into_iter().cycle()) {
            example.split = Some(name);
        }
        let splits = split(&all, &settings, None).unwrap();
        assert_eq!(ids(&splits.dev), ["0-1", "1-0", "1-3", "2-2", "3-1"]);
        // Whether anything needs dev, the division does not know.
        all.retain(|example| example.split != Some(SplitName::Dev));
        let splits = split(&all, &settings, None).unwrap();
        assert_eq!((splits.train.len(), splits.dev.len(), splits.test.len()), (6, 0, 5));
    }

    #[test]
    fn a_split_without_a_share_is_empty() {
        let all = examples(&[2; 10]);
        let sizes = |train: f64, dev: f64, test: f64, limit| {
            let settings = settings::Split { train, dev, test, ..seeded(1) };
            split(&all, &settings, limit).map(|splits| [splits.train.len(), splits.dev.len(), splits.test.len()])
        };
        assert_eq!(sizes(0.0, 0.0, 1.0, None), Ok([0, 0, 20]));
        assert_eq!(sizes(0.8, 0.0, 0.2, None), Ok([16, 0, 4]));
        assert_eq!(sizes(0.0, 0.9, 0.1, Some(4)), Ok([0, 2, 2]));
        let error = sizes(0.9, 0.0, 0.1, Some(1)).unwrap_err();
        assert_eq!(error, SplitError::TooFewGroups { groups: 1, splits: 2, empty: SplitName::Test });
        assert_eq!(error.to_string(), "1 groups for 2 splits: test would be empty");
    }

    #[test]
    fn all_examples_may_be_one_split() {
        let mut all = examples(&[2; 10]);
        all[5].question = all[0].question.clone();
        let settings = settings::Split { all: Some(SplitName::Test), ..seeded(1) };
        let splits = split(&all, &settings, None).unwrap();
        assert_eq!((splits.train.len(), splits.dev.len(), ids(&splits.test), splits.joined), (0, 0, ids(&all), 0));
        assert!(splits.test.iter().all(|example| example.split == Some(SplitName::Test)));
        assert_eq!(split(&all, &settings, Some(3)).unwrap().test.len(), 3);
    }

    /// Writes rows of texts and divides them.
    fn texts(
        rows: &[serde_json::Value],
        settings: &settings::Split,
        limit: Option<usize>,
    ) -> Result<Assigned, SplitError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        std::fs::write(&path, serde_json::to_vec(rows).unwrap()).unwrap();
        let data = settings::Data::new(settings::Importer::Text, Some(path));
        let data = settings::Data { split: settings.clone(), ..data };
        split_texts(&crate::data::texts(&data, std::path::Path::new("")).unwrap(), settings, limit)
    }

    fn text(id: usize, group: usize, text: usize) -> serde_json::Value {
        serde_json::json!({"id": id, "group": group, "text": format!("text {text}")})
    }

    #[test]
    fn texts_are_divided_by_groups_and_those_that_are_alike_stay_together() {
        // Of 20 groups of 5, 3 and 17 share a text, and so do 17 and 9.
        let shared = |id: usize| match id {
            85 => 15,
            86 => 45,
            id => id,
        };
        let rows: Vec<_> = (0..100).map(|id| text(id, id / 5, shared(id))).collect();
        for seed in 0..20 {
            let assigned = texts(&rows, &seeded(seed), None).unwrap();
            let of = |group: usize| assigned.splits[5 * group];
            assert!((0..100).all(|id| assigned.splits[id] == of(id / 5)));
            assert!(of(3) == of(17) && of(3) == of(9));
            assert_eq!((assigned.joined, assigned.groups.iter().sum::<usize>()), (3, 20));
            let count = |name| assigned.splits.iter().filter(|&&split| split == Some(name)).count();
            assert!(count(SplitName::Train).abs_diff(80) <= 10, "{}", count(SplitName::Train));
        }
        assert_ne!(texts(&rows, &seeded(1), None), texts(&rows, &seeded(2), None));
        let alone = settings::Split { group_by: GroupBy::Example, ..seeded(1) };
        assert_eq!(texts(&rows, &alone, None).unwrap().joined, 4);
        let taken = texts(&rows, &seeded(1), Some(33)).unwrap().splits;
        assert_eq!(taken.iter().flatten().count(), 33);
    }

    #[test]
    fn the_division_of_texts_does_not_depend_on_their_order() {
        let mut rows: Vec<_> = (0..60).map(|id| text(id, id / 3, id % 50)).collect();
        let (splits, limited) = (texts(&rows, &seeded(1), None).unwrap(), texts(&rows, &seeded(1), Some(20)).unwrap());
        rows.reverse();
        for (before, limit) in [(splits, None), (limited, Some(20))] {
            let mut after = texts(&rows, &seeded(1), limit).unwrap();
            after.splits.reverse();
            assert_eq!(before, after);
        }
    }

    #[test]
    fn too_few_texts_and_a_text_of_very_many_groups_are_no_exception() {
        let rows: Vec<_> = (0..2).map(|id| text(id, id, id)).collect();
        let error = texts(&rows, &seeded(1), None).unwrap_err();
        assert_eq!(error, SplitError::TooFewGroups { groups: 2, splits: 3, empty: SplitName::Test });
        let all = settings::Split { all: Some(SplitName::Train), ..seeded(1) };
        assert_eq!(texts(&rows, &all, None).unwrap().groups, [2, 0, 0]);
        let rows: Vec<_> = (0..20).map(|id| text(id, id, usize::from(id < 12))).collect();
        assert_eq!(texts(&rows, &seeded(1), None).unwrap().joined, 0);
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
