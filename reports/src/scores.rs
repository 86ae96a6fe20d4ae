//! Records arranged by metric, arm, seed and example.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::number;
use crate::record::Record;
use crate::statistics::moments::{self, columns};
use crate::statistics::units;
use crate::study::{Aggregation, EvaluationSet, Metric, Study};
use crate::{Error, Result};

/// By seed, the row of sufficient statistics of every example.
type Trials<'a> = BTreeMap<u64, BTreeMap<&'a str, Vec<f64>>>;

/// An evaluation set by its name.
type SetName<'a> = Option<&'a str>;

/// What an example belongs to.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    group: &'a str,
    stratum: Option<&'a str>,
}

/// Holds every score of a study, by metric and arm. Metrics go by their column.
#[derive(Debug)]
pub struct Scores<'a> {
    by_metric: BTreeMap<&'a str, BTreeMap<&'a str, Trials<'a>>>,
    metrics: BTreeMap<&'a str, &'a Metric>,
    /// Unit and stratum of each example of each set.
    places: BTreeMap<SetName<'a>, BTreeMap<&'a str, Place<'a>>>,
    /// Why an arm has no scores of a metric although it was measured, by metric and arm.
    diverged: BTreeMap<(&'a str, &'a str), String>,
    warnings: Vec<String>,
}

/// Counts examples and what they belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Distinct examples over all arms.
    pub examples: usize,
    /// Distinct units that they belong to.
    pub units: usize,
}

/// Two sides of a comparison, paired by example: for each example one row per side that holds the
/// rows of all pairs (arm against arm at one seed) one after the other.
#[derive(Debug, Clone)]
pub struct Paired {
    /// How rows become a value.
    pub aggregation: Aggregation,
    /// Number of pairs.
    pub pairs: usize,
    /// For each seed the positions of its pairs.
    pub seeds: Vec<Vec<usize>>,
    /// Rows of the first side, `[example][pair * width]`.
    pub first: Vec<Vec<f64>>,
    /// Rows of the second side.
    pub second: Vec<Vec<f64>>,
    /// Unit of each example, counted from 0.
    pub units: Vec<usize>,
    /// Examples that only one side, or only some pairs, have; they take no part.
    pub unpaired: usize,
}

impl<'a> Scores<'a> {
    /// Arranges records.
    ///
    /// Records of arms or metrics that the study does not name are left out with a warning. So are all
    /// values of an arm on a metric of which one is not finite, or whose value over all examples is not:
    /// without the worst ones the rest would look better than it is. Examples of different sets have nothing to do
    /// with each other, also where their identifiers are equal.
    ///
    /// # Errors
    /// A duplicate, an example in two groups or strata, missing sufficient statistics, or a metric whose unit or
    /// direction is not the study's.
    pub fn new(study: &'a Study, records: &'a [Record]) -> Result<Self> {
        let named: BTreeMap<(SetName<'_>, &str), &Metric> =
            study.metrics.iter().map(|metric| ((metric.set.as_deref(), metric.name.as_str()), metric)).collect();
        let arms: BTreeSet<&str> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
        let mut strangers: BTreeMap<String, usize> = BTreeMap::new();
        let mut by_metric: BTreeMap<&str, BTreeMap<&str, Trials>> = BTreeMap::new();
        let mut places: BTreeMap<SetName<'_>, BTreeMap<&str, Place<'_>>> = BTreeMap::new();
        for record in records {
            let set = record.set.as_deref();
            let Some(&metric) = named.get(&(set, record.metric.as_str())) else {
                let of = set.map_or(String::new(), |set| format!(" of set `{set}`"));
                *strangers.entry(format!("metric `{}`{of}", record.metric)).or_default() += 1;
                continue;
            };
            if !arms.contains(record.arm.as_str()) {
                *strangers.entry(format!("arm `{}`", record.arm)).or_default() += 1;
                continue;
            }
            let own = Place { group: &record.group, stratum: record.stratum.as_deref() };
            let known = *places.entry(set).or_default().entry(&record.example).or_insert(own);
            check_place(record, known)?;
            let row = checked_row(metric, record)?;
            let before = by_metric
                .entry(metric.key())
                .or_default()
                .entry(&record.arm)
                .or_default()
                .entry(record.seed)
                .or_default()
                .insert(record.example.as_str(), row);
            if before.is_some() {
                return Err(Error::Duplicate {
                    arm: record.arm.clone(),
                    seed: record.seed,
                    example: record.example.clone(),
                    metric: metric.key().to_owned(),
                });
            }
        }
        let mut warnings: Vec<String> = strangers
            .into_iter()
            .map(|(what, count)| format!("{count} records left out: the study names no {what}"))
            .collect();
        let mut diverged = BTreeMap::new();
        for metric in &study.metrics {
            let Some(arms) = by_metric.get_mut(metric.key()) else { continue };
            arms.retain(|arm, trials| {
                let Some(reason) = divergence(metric, trials) else { return true };
                warnings.push(format!("arm `{arm}` diverged on metric `{}`: {reason}; none is used", metric.key()));
                diverged.insert((metric.key(), *arm), reason);
                false
            });
        }
        warnings.extend(uneven(&by_metric));
        let scores = Self {
            by_metric,
            metrics: study.metrics.iter().map(|metric| (metric.key(), metric)).collect(),
            places,
            diverged,
            warnings: Vec::new(),
        };
        warnings.extend(scores.without_stratum(study));
        Ok(Self { warnings, ..scores })
    }

    /// What was left out or is uneven.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether an arm was measured on a metric, and the values are no finite numbers.
    pub fn has_diverged(&self, metric: &str, arm: &str) -> bool {
        self.diverged.contains_key(&(metric, arm))
    }

    /// Counts the examples of a set and the units that they belong to.
    pub fn counts(&self, set: Option<&str>) -> Counts {
        let units = self.places.get(&set).into_iter().flat_map(BTreeMap::values).map(|place| place.group);
        Counts { examples: self.examples(set).len(), units: units.collect::<BTreeSet<_>>().len() }
    }

    /// Strata of a set in the order of their names, each with what it holds.
    pub fn strata(&self, set: Option<&str>) -> Vec<(&'a str, Counts)> {
        let Some(places) = self.places.get(&set) else { return Vec::new() };
        let mut strata: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for place in self.examples(set).iter().filter_map(|example| places.get(example)) {
            if let Some(stratum) = place.stratum {
                let (examples, units) = strata.entry(stratum).or_default();
                *examples += 1;
                units.insert(place.group);
            }
        }
        let count = |(examples, units): (usize, BTreeSet<&str>)| Counts { examples, units: units.len() };
        strata.into_iter().map(|(stratum, held)| (stratum, count(held))).collect()
    }

    /// Examples of a set that any arm has scores for.
    fn examples(&self, set: Option<&str>) -> BTreeSet<&'a str> {
        let of_set = |column: &&&str| self.metrics.get(**column).is_some_and(|metric| metric.set.as_deref() == set);
        let arms = self.by_metric.iter().filter(|(column, _)| of_set(column)).flat_map(|(_, arms)| arms.values());
        arms.flat_map(BTreeMap::values).flat_map(BTreeMap::keys).copied().collect()
    }

    /// Warns of examples that no stratum holds in sets that are divided.
    fn without_stratum(&self, study: &Study) -> Vec<String> {
        let count = |set: Option<&str>| {
            let places = self.places.get(&set).into_iter().flat_map(BTreeMap::values);
            places.filter(|place| place.stratum.is_none()).count()
        };
        let warn = |set: &EvaluationSet| {
            let (count, field) = (count(set.name.as_deref()), set.by.as_ref()?);
            let of = set.name.as_ref().map_or(String::new(), |name| format!(" of `{name}`"));
            let examples = number::counted(count, set.task.example());
            (count > 0).then(|| format!("{examples}{of} without `{field}`: in no stratum"))
        };
        study.sets.iter().filter_map(warn).collect()
    }

    /// Seeds at which an arm has scores of a metric.
    pub fn seeds(&self, metric: &str, arm: &str) -> Vec<u64> {
        self.trials(metric, arm).map(|trials| trials.keys().copied().collect()).unwrap_or_default()
    }

    /// Whether all these arms have scores of a metric for the same examples, at the same seeds.
    pub fn are_alike(&self, metric: &str, arms: &[&str]) -> bool {
        let mut sets = arms.iter().map(|arm| {
            let trials = self.trials(metric, arm).into_iter().flatten();
            trials.map(|(seed, examples)| (*seed, examples.keys().collect::<Vec<_>>())).collect::<Vec<_>>()
        });
        let first = sets.next();
        sets.all(|set| Some(set) == first)
    }

    /// Value of an arm at each of its seeds, over the examples of that seed.
    pub fn by_seed(&self, metric: &str, arm: &str) -> Vec<(u64, f64)> {
        self.by_seed_in(metric, arm, None)
    }

    /// As [`Scores::by_seed`] over the examples of one stratum; of all where none is named. Seeds without any have
    /// no value.
    pub fn by_seed_in(&self, metric: &str, arm: &str, stratum: Option<&str>) -> Vec<(u64, f64)> {
        let (Some(trials), Some(known)) = (self.trials(metric, arm), self.metrics.get(metric)) else {
            return Vec::new();
        };
        let value = |(seed, examples): (&u64, &BTreeMap<&str, Vec<f64>>)| {
            let rows = examples.iter().filter(|(id, _)| self.is_in(known, id, stratum));
            let sums = columns(rows.map(|(_, row)| row.as_slice()));
            (!sums.is_empty()).then(|| (*seed, known.aggregation.value(&sums)))
        };
        trials.iter().filter_map(value).collect()
    }

    /// Whether an example is in a stratum; every one is where none is named.
    fn is_in(&self, metric: &Metric, example: &str, stratum: Option<&str>) -> bool {
        let place = || self.places.get(&metric.set.as_deref()).and_then(|places| places.get(example));
        stratum.is_none() || place().is_some_and(|place| place.stratum == stratum)
    }

    /// Pairs arms against arms at every common seed.
    ///
    /// # Errors
    /// Why the two sides cannot be paired, in words.
    pub fn pair(&self, metric: &str, arms: &[(&str, &str)]) -> std::result::Result<Paired, String> {
        self.pair_in(metric, arms, None)
    }

    /// As [`Scores::pair`] with the examples of one stratum; with all where none is named.
    ///
    /// # Errors
    /// Why the two sides cannot be paired, in words.
    pub fn pair_in(
        &self,
        metric: &str,
        arms: &[(&str, &str)],
        stratum: Option<&str>,
    ) -> std::result::Result<Paired, String> {
        let known = *self.metrics.get(metric).ok_or_else(|| format!("the study has no metric `{metric}`"))?;
        let mut sides = Vec::new();
        let mut seeds: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (first, second) in arms {
            let left = self.trials(metric, first).ok_or_else(|| self.absent(first, metric))?;
            let right = self.trials(metric, second).ok_or_else(|| self.absent(second, metric))?;
            if let Some(seed) = left.keys().find(|seed| !right.contains_key(seed)) {
                return Err(format!("{} at seed {seed}", self.absent(second, metric)));
            }
            if let Some(seed) = right.keys().find(|seed| !left.contains_key(seed)) {
                return Err(format!("{} at seed {seed}", self.absent(first, metric)));
            }
            for (seed, examples) in left {
                seeds.entry(*seed).or_default().push(sides.len());
                sides.push((examples, &right[seed]));
            }
        }
        let all = sides.iter().flat_map(|(left, right)| left.keys().chain(right.keys()).copied());
        let all: BTreeSet<&str> = all.filter(|id| self.is_in(known, id, stratum)).collect();
        let shared: Vec<&str> = all
            .iter()
            .copied()
            .filter(|id| sides.iter().all(|(l, r)| l.contains_key(id) && r.contains_key(id)))
            .collect();
        if shared.is_empty() {
            let of = stratum.map_or(String::new(), |stratum| format!(" in stratum `{stratum}`"));
            return Err(format!("the two sides share no example of metric `{metric}`{of}"));
        }
        let places = &self.places[&known.set.as_deref()];
        let mut paired = Paired {
            aggregation: known.aggregation,
            pairs: sides.len(),
            seeds: seeds.into_values().collect(),
            first: Vec::new(),
            second: Vec::new(),
            units: units::number(shared.iter().map(|id| places[id].group)),
            unpaired: all.len() - shared.len(),
        };
        for id in shared {
            paired.first.push(sides.iter().flat_map(|(left, _)| &left[id]).copied().collect());
            paired.second.push(sides.iter().flat_map(|(_, right)| &right[id]).copied().collect());
        }
        Ok(paired)
    }

    /// Says that an arm has no scores of a metric, and why.
    pub(crate) fn absent(&self, arm: &str, metric: &str) -> String {
        match self.diverged.get(&(metric, arm)) {
            Some(reason) => format!("arm `{arm}` diverged on metric `{metric}`: {reason}"),
            None => format!("arm `{arm}` has no records of metric `{metric}`"),
        }
    }

    fn trials(&self, metric: &str, arm: &str) -> Option<&Trials<'a>> {
        self.by_metric.get(metric)?.get(arm)
    }
}

impl Paired {
    /// Computes the mean over pairs of the value of summed rows.
    pub fn value(&self, sums: &[f64]) -> f64 {
        self.value_over(&(0..self.pairs).collect::<Vec<_>>(), sums)
    }

    /// Computes the mean value over some pairs of summed rows.
    pub fn value_over(&self, pairs: &[usize], sums: &[f64]) -> f64 {
        let width = sums.len() / self.pairs;
        let values = pairs.iter().map(|pair| self.aggregation.value(&sums[pair * width..(pair + 1) * width]));
        moments::sum(values) / pairs.len() as f64
    }

    /// Computes the mean difference, first minus second, over some pairs of summed rows.
    pub fn difference_over(&self, pairs: &[usize], first: &[f64], second: &[f64]) -> f64 {
        self.value_over(pairs, first) - self.value_over(pairs, second)
    }
}

/// Says why an arm has no value of a metric, if it has none.
fn divergence(metric: &Metric, trials: &Trials) -> Option<String> {
    let rows = trials.values().flat_map(BTreeMap::values);
    let count = rows.clone().filter(|row| row.iter().any(|value| !value.is_finite())).count();
    if count > 0 {
        return Some(format!("{count} of {} values are not finite numbers", rows.count()));
    }
    let whole =
        |examples: &BTreeMap<&str, Vec<f64>>| metric.aggregation.value(&columns(examples.values().map(Vec::as_slice)));
    trials
        .values()
        .any(|examples| !whole(examples).is_finite())
        .then(|| "the value over all examples is not a finite number".to_owned())
}

/// Checks that an example belongs to what it did before.
fn check_place(record: &Record, known: Place<'_>) -> Result<()> {
    let example = record.example.clone();
    if known.group != record.group {
        return Err(Error::Group { example, first: known.group.to_owned(), second: record.group.clone() });
    }
    if known.stratum != record.stratum.as_deref() {
        let quoted = |name: Option<&str>| name.map_or("none".to_owned(), |name| format!("`{name}`"));
        let (first, second) = (quoted(known.stratum), quoted(record.stratum.as_deref()));
        return Err(Error::Stratum { example, first, second });
    }
    Ok(())
}

fn checked_row(metric: &Metric, record: &Record) -> Result<Vec<f64>> {
    let differs =
        |what, study: String, records: String| Error::Metric { metric: metric.key().to_owned(), what, study, records };
    if record.direction != metric.direction {
        let names = (format!("{:?}", metric.direction), format!("{:?}", record.direction));
        return Err(differs("direction", names.0, names.1));
    }
    if record.unit != metric.unit {
        return Err(differs("unit", metric.unit.clone(), record.unit.clone()));
    }
    metric.aggregation.row(record).map_err(|needs| Error::Counts {
        arm: record.arm.clone(),
        example: record.example.clone(),
        metric: metric.key().to_owned(),
        needs,
    })
}

/// Warns of metrics whose trials do not all have the same examples.
fn uneven(by_metric: &BTreeMap<&str, BTreeMap<&str, Trials>>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (metric, arms) in by_metric {
        let sets: BTreeSet<Vec<&str>> =
            arms.values().flat_map(BTreeMap::values).map(|examples| examples.keys().copied().collect()).collect();
        let sizes: BTreeSet<usize> = sets.iter().map(Vec::len).collect();
        if let (Some(least), Some(most), true) = (sizes.first(), sizes.last(), sets.len() > 1) {
            let found = if least == most {
                format!("trials have {least} examples that are not the same")
            } else {
                format!("trials have between {least} and {most} examples")
            };
            warnings.push(format!(
                "metric `{metric}`: {found}; only shared ones are paired, and no arm is marked as best of others that have other ones"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Direction;
    use crate::study::Role;
    use crate::study::tests::{arm, empty, metric, set};

    fn study() -> Study {
        let of = |set: &str| Metric { set: Some(set.into()), column: format!("{set}/f1"), ..metric("f1") };
        let mut sets = vec![set(Some("support"), "document"), set(Some("quiz"), "topic")];
        sets[0].by = Some("use-case".into());
        Study {
            sets,
            metrics: vec![of("support"), of("quiz")],
            arms: vec![arm("a", Role::Cell), arm("b", Role::Cell)],
            seeds: vec![1],
            ..empty()
        }
    }

    fn record(set: &str, arm: &str, example: usize, value: f64) -> Record {
        let group = if set == "quiz" { "all".into() } else { format!("d{}", example / 2) };
        Record {
            arm: arm.into(),
            seed: 1,
            set: Some(set.into()),
            example: format!("q{example}"),
            group,
            stratum: (set == "support").then(|| if example < 4 { "billing".into() } else { "network".into() }),
            metric: "f1".into(),
            value,
            unit: "points".into(),
            direction: Direction::Higher,
            counts: Vec::new(),
        }
    }

    /// Two sets with the same identifiers.
    fn records() -> Vec<Record> {
        let mut records = Vec::new();
        for (arm, shift) in [("a", 10.0), ("b", 0.0)] {
            records.extend((0..10).map(|q| record("support", arm, q, shift + q as f64)));
            records.extend((0..3).map(|q| record("quiz", arm, q, 100.0 + shift)));
        }
        records
    }

    #[test]
    fn equal_identifiers_of_two_sets_are_two_examples() {
        let (study, records) = (study(), records());
        let scores = Scores::new(&study, &records).unwrap();
        assert_eq!(scores.counts(Some("support")), Counts { examples: 10, units: 5 });
        assert_eq!(scores.counts(Some("quiz")), Counts { examples: 3, units: 1 });
        assert_eq!(scores.counts(None), Counts::default());
        assert_eq!(
            (scores.by_seed("support/f1", "a"), scores.by_seed("quiz/f1", "a")),
            (vec![(1, 14.5)], vec![(1, 110.0)])
        );
        let paired = scores.pair("quiz/f1", &[("a", "b")]).unwrap();
        assert_eq!((paired.first.len(), paired.units), (3, vec![0, 0, 0]));
        assert!(scores.warnings().is_empty(), "{:?}", scores.warnings());
        assert!(scores.pair("f1", &[("a", "b")]).unwrap_err().contains("no metric `f1`"));
    }

    #[test]
    fn a_stratum_holds_its_own_examples_only() {
        let (study, records) = (study(), records());
        let scores = Scores::new(&study, &records).unwrap();
        let (few, more) = (Counts { examples: 4, units: 2 }, Counts { examples: 6, units: 3 });
        assert_eq!(scores.strata(Some("support")), [("billing", few), ("network", more)]);
        assert!(scores.strata(Some("quiz")).is_empty());
        assert_eq!(scores.by_seed_in("support/f1", "b", Some("billing")), [(1, 1.5)]);
        let paired = scores.pair_in("support/f1", &[("a", "b")], Some("network")).unwrap();
        assert_eq!((paired.first.len(), paired.units), (6, vec![0, 0, 1, 1, 2, 2]));
        let none = scores.pair_in("support/f1", &[("a", "b")], Some("x")).unwrap_err();
        assert_eq!(none, "the two sides share no example of metric `support/f1` in stratum `x`");
        assert!(scores.by_seed_in("quiz/f1", "a", Some("billing")).is_empty());
    }

    #[test]
    fn records_of_another_set_are_strangers_and_strata_are_one() {
        let (study, mut records) = (study(), records());
        records[0].set = None;
        records[1].stratum = None;
        let error = Scores::new(&study, &records).unwrap_err().to_string();
        assert_eq!(
            error,
            "example `q1` is in stratum none and in stratum `billing`: expected one stratum in all records"
        );
        records.iter_mut().filter(|r| r.example == "q1").for_each(|r| r.stratum = None);
        let scores = Scores::new(&study, &records).unwrap();
        let told = |text: &str| scores.warnings().iter().any(|warning| warning.contains(text));
        assert!(told("the study names no metric `f1`") && told("1 question of `support` without `use-case`"));
        records[2].set = Some("quizz".into());
        let scores = Scores::new(&study, &records).unwrap();
        assert!(scores.warnings().iter().any(|warning| warning.contains("no metric `f1` of set `quizz`")));
    }
}
