//! Records arranged by metric, arm, seed and example.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Record;
use crate::study::{Aggregation, Metric, Study};
use crate::{Error, Result};

/// One example's value and its row of sufficient statistics.
#[derive(Debug, Clone)]
struct Score {
    value: f64,
    row: Vec<f64>,
}

type Trials<'a> = BTreeMap<u64, BTreeMap<&'a str, Score>>;

/// Holds every score of a study, by metric and arm.
#[derive(Debug)]
pub struct Scores<'a> {
    by_metric: BTreeMap<&'a str, BTreeMap<&'a str, Trials<'a>>>,
    aggregations: BTreeMap<&'a str, Aggregation>,
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
    /// Value per example of the first side, averaged over pairs.
    pub first_values: Vec<f64>,
    /// Value per example of the second side.
    pub second_values: Vec<f64>,
    /// Examples that only one side, or only some pairs, have; they take no part.
    pub unpaired: usize,
}

impl<'a> Scores<'a> {
    /// Arranges records.
    ///
    /// Records of arms or metrics that the study does not name are left out with a warning.
    ///
    /// # Errors
    /// A duplicate, a value that is not finite, missing sufficient statistics, or a metric whose
    /// unit or direction is not the study's.
    pub fn new(study: &'a Study, records: &'a [Record]) -> Result<Self> {
        let metrics: BTreeMap<&str, &Metric> = study.metrics.iter().map(|m| (m.name.as_str(), m)).collect();
        let arms: BTreeSet<&str> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
        let mut strangers: BTreeMap<String, usize> = BTreeMap::new();
        let mut by_metric: BTreeMap<&str, BTreeMap<&str, Trials>> = BTreeMap::new();
        for record in records {
            let Some(metric) = metrics.get(record.metric.as_str()) else {
                *strangers.entry(format!("metric `{}`", record.metric)).or_default() += 1;
                continue;
            };
            if !arms.contains(record.arm.as_str()) {
                *strangers.entry(format!("arm `{}`", record.arm)).or_default() += 1;
                continue;
            }
            let row = checked_row(metric, record)?;
            let before = by_metric
                .entry(&record.metric)
                .or_default()
                .entry(&record.arm)
                .or_default()
                .entry(record.seed)
                .or_default()
                .insert(record.example.as_str(), Score { value: record.value, row });
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
        warnings.extend(uneven(&by_metric));
        Ok(Self {
            by_metric,
            aggregations: study.metrics.iter().map(|metric| (metric.name.as_str(), metric.aggregation)).collect(),
            warnings,
        })
    }

    /// What was left out or is uneven.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

    /// Value of an arm at each of its seeds, over the examples of that seed.
    pub fn by_seed(&self, metric: &str, arm: &str) -> Vec<(u64, f64)> {
        let (Some(trials), Some(aggregation)) = (self.trials(metric, arm), self.aggregations.get(metric)) else {
            return Vec::new();
        };
        trials
            .iter()
            .map(|(seed, examples)| {
                let rows = examples.values().map(|score| score.row.as_slice());
                (*seed, aggregation.value(&sum(rows)))
            })
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
            let left = self.trials(metric, first).ok_or_else(|| absent(first, metric))?;
            let right = self.trials(metric, second).ok_or_else(|| absent(second, metric))?;
            if let Some(seed) = left.keys().find(|seed| !right.contains_key(seed)) {
                return Err(format!("{} at seed {seed}", absent(second, metric)));
            }
            if let Some(seed) = right.keys().find(|seed| !left.contains_key(seed)) {
                return Err(format!("{} at seed {seed}", absent(first, metric)));
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
        let count = sides.len() as f64;
        let mut paired = Paired {
            aggregation,
            pairs: sides.len(),
            seeds: seeds.into_values().collect(),
            first: Vec::new(),
            second: Vec::new(),
            first_values: Vec::new(),
            second_values: Vec::new(),
            unpaired: all.len() - shared.len(),
        };
        for id in shared {
            let mut rows = (Vec::new(), Vec::new());
            let mut values = (0.0, 0.0);
            for (left, right) in &sides {
                rows.0.extend_from_slice(&left[id].row);
                rows.1.extend_from_slice(&right[id].row);
                values.0 += left[id].value / count;
                values.1 += right[id].value / count;
            }
            paired.first.push(rows.0);
            paired.second.push(rows.1);
            paired.first_values.push(values.0);
            paired.second_values.push(values.1);
        }
        Ok(paired)
    }

    fn trials(&self, metric: &str, arm: &str) -> Option<&Trials<'a>> {
        self.by_metric.get(metric)?.get(arm)
    }
}

impl Paired {
    /// Computes the mean over pairs of the value of summed rows.
    pub fn value(&self, sums: &[f64]) -> f64 {
        let width = sums.len() / self.pairs;
        let total: f64 = sums.chunks_exact(width).map(|row| self.aggregation.value(row)).sum();
        total / self.pairs as f64
    }

    /// Computes the mean difference, first minus second, over some pairs of summed rows.
    pub fn difference_over(&self, pairs: &[usize], first: &[f64], second: &[f64]) -> f64 {
        let width = first.len() / self.pairs;
        let total: f64 = pairs
            .iter()
            .map(|pair| {
                let row = pair * width..(pair + 1) * width;
                self.aggregation.value(&first[row.clone()]) - self.aggregation.value(&second[row])
            })
            .sum();
        total / pairs.len() as f64
    }
}

/// Adds rows up, column by column.
pub(crate) fn sum<'r>(rows: impl IntoIterator<Item = &'r [f64]>) -> Vec<f64> {
    let mut rows = rows.into_iter();
    let mut sums = rows.next().map(<[f64]>::to_vec).unwrap_or_default();
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}

fn absent(arm: &str, metric: &str) -> String {
    format!("arm `{arm}` has no records of metric `{metric}`")
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
    if let Some(value) = std::iter::once(&record.value).chain(&record.counts).find(|value| !value.is_finite()) {
        return Err(Error::NotFinite {
            arm: record.arm.clone(),
            seed: record.seed,
            example: record.example.clone(),
            metric: record.metric.clone(),
            value: *value,
        });
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
        let sizes: BTreeSet<usize> = arms.values().flat_map(|trials| trials.values().map(BTreeMap::len)).collect();
        if let (Some(least), Some(most)) = (sizes.first(), sizes.last())
            && least != most
        {
            warnings.push(format!(
                "metric `{metric}`: trials have between {least} and {most} examples; only shared ones are paired"
            ));
        }
    }
    warnings
}
