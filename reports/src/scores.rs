//! Records arranged by metric, arm, seed and example.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Record;
use crate::statistics::moments::{self, columns};
use crate::statistics::units;
use crate::study::{Aggregation, Metric, Study};
use crate::{Error, Result};

/// By seed, the row of sufficient statistics of every example.
type Trials<'a> = BTreeMap<u64, BTreeMap<&'a str, Vec<f64>>>;

/// Holds every score of a study, by metric and arm.
#[derive(Debug)]
pub struct Scores<'a> {
    by_metric: BTreeMap<&'a str, BTreeMap<&'a str, Trials<'a>>>,
    aggregations: BTreeMap<&'a str, Aggregation>,
    /// Unit of each example.
    groups: BTreeMap<&'a str, &'a str>,
    /// Why an arm has no scores of a metric although it was measured, by metric and arm.
    diverged: BTreeMap<(&'a str, &'a str), String>,
    warnings: Vec<String>,
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
    /// without the worst ones the rest would look better than it is.
    ///
    /// # Errors
    /// A duplicate, an example in two groups, missing sufficient statistics, or a metric whose unit or
    /// direction is not the study's.
    pub fn new(study: &'a Study, records: &'a [Record]) -> Result<Self> {
        let metrics: BTreeMap<&str, &Metric> = study.metrics.iter().map(|m| (m.name.as_str(), m)).collect();
        let arms: BTreeSet<&str> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
        let mut strangers: BTreeMap<String, usize> = BTreeMap::new();
        let mut by_metric: BTreeMap<&str, BTreeMap<&str, Trials>> = BTreeMap::new();
        let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
        for record in records {
            let Some(metric) = metrics.get(record.metric.as_str()) else {
                *strangers.entry(format!("metric `{}`", record.metric)).or_default() += 1;
                continue;
            };
            if !arms.contains(record.arm.as_str()) {
                *strangers.entry(format!("arm `{}`", record.arm)).or_default() += 1;
                continue;
            }
            let group = *groups.entry(&record.example).or_insert(&record.group);
            if group != record.group {
                return Err(Error::Group {
                    example: record.example.clone(),
                    first: group.to_owned(),
                    second: record.group.clone(),
                });
            }
            let row = checked_row(metric, record)?;
            let before = by_metric
                .entry(&record.metric)
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
                    metric: record.metric.clone(),
                });
            }
        }
        let mut warnings: Vec<String> = strangers
            .into_iter()
            .map(|(what, count)| format!("{count} records left out: the study names no {what}"))
            .collect();
        let mut diverged = BTreeMap::new();
        for metric in &study.metrics {
            let Some(arms) = by_metric.get_mut(metric.name.as_str()) else { continue };
            arms.retain(|arm, trials| {
                let Some(reason) = divergence(metric, trials) else { return true };
                warnings.push(format!("arm `{arm}` diverged on metric `{}`: {reason}; none is used", metric.name));
                diverged.insert((metric.name.as_str(), *arm), reason);
                false
            });
        }
        warnings.extend(uneven(&by_metric));
        Ok(Self {
            by_metric,
            aggregations: study.metrics.iter().map(|metric| (metric.name.as_str(), metric.aggregation)).collect(),
            groups,
            diverged,
            warnings,
        })
    }

    /// What was left out or is uneven.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether an arm was measured on a metric, and the values are no finite numbers.
    pub fn has_diverged(&self, metric: &str, arm: &str) -> bool {
        self.diverged.contains_key(&(metric, arm))
    }

    /// Number of distinct units that the examples of the study belong to.
    pub fn units(&self) -> usize {
        self.groups.values().collect::<BTreeSet<_>>().len()
    }

    /// Seeds at which an arm has scores of a metric.
    pub fn seeds(&self, metric: &str, arm: &str) -> Vec<u64> {
        self.trials(metric, arm).map(|trials| trials.keys().copied().collect()).unwrap_or_default()
    }

    /// Number of distinct examples over all arms.
    pub fn examples(&self) -> usize {
        let mut all: BTreeSet<&str> = BTreeSet::new();
        for trials in self.by_metric.values().flat_map(BTreeMap::values) {
            all.extend(trials.values().flat_map(|examples| examples.keys().copied()));
        }
        all.len()
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
        let (Some(trials), Some(aggregation)) = (self.trials(metric, arm), self.aggregations.get(metric)) else {
            return Vec::new();
        };
        trials
            .iter()
            .map(|(seed, examples)| (*seed, aggregation.value(&columns(examples.values().map(Vec::as_slice)))))
            .collect()
    }

    /// Pairs arms against arms at every common seed.
    ///
    /// # Errors
    /// Why the two sides cannot be paired, in words.
    pub fn pair(&self, metric: &str, arms: &[(&str, &str)]) -> std::result::Result<Paired, String> {
        let aggregation =
            *self.aggregations.get(metric).ok_or_else(|| format!("the study has no metric `{metric}`"))?;
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
        let all: BTreeSet<&str> =
            sides.iter().flat_map(|(left, right)| left.keys().chain(right.keys()).copied()).collect();
        let shared: Vec<&str> = all
            .iter()
            .copied()
            .filter(|id| sides.iter().all(|(l, r)| l.contains_key(id) && r.contains_key(id)))
            .collect();
        if shared.is_empty() {
            return Err(format!("the two sides share no example of metric `{metric}`"));
        }
        let mut paired = Paired {
            aggregation,
            pairs: sides.len(),
            seeds: seeds.into_values().collect(),
            first: Vec::new(),
            second: Vec::new(),
            units: units::number(shared.iter().map(|id| self.groups[id])),
            unpaired: all.len() - shared.len(),
        };
        for id in shared {
            paired.first.push(sides.iter().flat_map(|(left, _)| &left[id]).copied().collect());
            paired.second.push(sides.iter().flat_map(|(_, right)| &right[id]).copied().collect());
        }
        Ok(paired)
    }

    fn absent(&self, arm: &str, metric: &str) -> String {
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

fn checked_row(metric: &Metric, record: &Record) -> Result<Vec<f64>> {
    let differs =
        |what, study: String, records: String| Error::Metric { metric: metric.name.clone(), what, study, records };
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
        metric: record.metric.clone(),
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
