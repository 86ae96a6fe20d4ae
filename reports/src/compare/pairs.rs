//! Brings two lists together: by identifier, and in units that count as independent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Independent, Item};
use crate::number::counted;
use crate::statistics::units::number;
use crate::{Error, Result};

/// Most identifiers that a note names.
const NAMED: usize = 5;

/// The two sides of one item.
pub(super) struct Pair<'a> {
    pub(super) a: &'a Item,
    pub(super) b: &'a Item,
}

/// Which unit each pair is of.
pub(super) struct Grouping {
    /// How units are called.
    pub(super) unit: &'static str,
    /// Number of units.
    pub(super) count: usize,
    /// Number of each pair's unit, from 0.
    pub(super) of_pair: Vec<usize>,
}

impl Grouping {
    fn new(unit: &'static str, of_pair: Vec<usize>) -> Self {
        Self { unit, count: of_pair.iter().max().map_or(0, |last| last + 1), of_pair }
    }

    /// Number of pairs in each unit.
    pub(super) fn sizes(&self) -> Vec<f64> {
        let mut sizes = vec![0.0; self.count];
        for &unit in &self.of_pair {
            sizes[unit] += 1.0;
        }
        sizes
    }
}

/// Pairs the lists in the order of identifiers, and notes those that only one has.
pub(super) fn pair<'a>(a: &'a [Item], b: &'a [Item], notes: &mut Vec<String>) -> Result<Vec<Pair<'a>>> {
    let (a, b) = (by_id(a, "first")?, by_id(b, "second")?);
    let pairs: Vec<Pair<'a>> = a.iter().filter_map(|(id, a)| b.get(id).map(|b| Pair { a, b })).collect();
    let too_few = |expected: &str| {
        let (shared, a, b) = (pairs.len(), a.len(), b.len());
        Err(Error::Comparison(format!("the lists share {shared} of {a} and {b} identifiers, expected {expected}")))
    };
    if pairs.len() < 2 {
        return too_few("at least 2");
    }
    if a.len() + b.len() - 2 * pairs.len() > pairs.len() {
        return too_few("at least half of all");
    }
    for (which, own, other) in [("first", &a, &b), ("second", &b, &a)] {
        let alone: Vec<&str> = own.keys().filter(|id| !other.contains_key(*id)).copied().collect();
        if !alone.is_empty() {
            let (count, all, names) = (alone.len(), own.len(), listed(&alone));
            notes.push(format!("{count} of {all} ids are in the {which} list only and are left out: {names}"));
        }
    }
    Ok(pairs)
}

fn by_id<'a>(list: &'a [Item], which: &str) -> Result<BTreeMap<&'a str, &'a Item>> {
    let mut items = BTreeMap::new();
    for item in list {
        let id = item.id.as_str();
        if let Some(found) = std::iter::once(&item.value).chain(&item.counts).find(|value| !value.is_finite()) {
            let text = format!("`{id}` in the {which} list: expected a finite number, found {found}");
            return Err(Error::Comparison(text));
        }
        if items.insert(id, item).is_some() {
            return Err(Error::Comparison(format!("identifier `{id}` twice in the {which} list")));
        }
    }
    Ok(items)
}

fn listed(ids: &[&str]) -> String {
    let shown: Vec<String> = ids.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
    let more = if ids.len() > NAMED { format!(" and {} more", ids.len() - NAMED) } else { String::new() };
    shown.join(", ") + &more
}

/// Finds the units: groups where either list names them, else pairs.
pub(super) fn group(pairs: &[Pair<'_>], independent: Independent, notes: &mut Vec<String>) -> Result<Grouping> {
    let mut groups: Vec<Option<&str>> = Vec::with_capacity(pairs.len());
    for Pair { a, b } in pairs {
        match (&a.group, &b.group) {
            (Some(first), Some(second)) if first != second => {
                return Err(Error::Comparison(format!(
                    "`{}` is of group `{first}` in the first list, of `{second}` in the second",
                    a.id
                )));
            }
            (first, second) => groups.push(first.as_deref().or(second.as_deref())),
        }
    }
    let named: Vec<&str> = groups.iter().flatten().copied().collect();
    let questions = Grouping::new("question", (0..pairs.len()).collect());
    if named.is_empty() {
        return Ok(questions);
    }
    if independent == Independent::Items {
        let groups = counted(named.iter().collect::<BTreeSet<_>>().len(), "group");
        notes.push(format!("questions are counted as independent, though they are of {groups}"));
        return Ok(questions);
    }
    if let Some(without) = groups.iter().position(Option::is_none) {
        let (with, all, id) = (named.len(), groups.len(), &pairs[without].a.id);
        return Err(Error::Comparison(format!(
            "{with} of {all} ids have a group, `{id}` has none: expected all or none"
        )));
    }
    Ok(Grouping::new("group", number(named)))
}
