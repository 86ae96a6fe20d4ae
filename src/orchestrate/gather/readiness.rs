//! Whether fine-tuning taught a teacher something before it taught others: before and after on dev,
//! question by question.

use std::collections::BTreeMap;

use tutelage_reports::number;
use tutelage_reports::statistics::permutation::permutation;
use tutelage_reports::statistics::units::{self, Item};
use tutelage_reports::statistics::{Interval, Resampling, Units};
use tutelage_reports::study::Check;

use super::Collecting;
use super::sets::on;
use crate::data::SplitName;
use crate::experiment::settings::Task;
use crate::experiment::{EvaluationSet, Part, Reference};
use crate::orchestrate::stages::score::{self, Value};

impl Collecting<'_> {
    /// Verifies on dev that fine-tuning taught each teacher something before it taught others.
    pub(super) fn checks(&self) -> anyhow::Result<Vec<Check>> {
        let mut checks = Vec::new();
        let answers = |set: &EvaluationSet| set.task == Task::Answer && set.split == SplitName::Test;
        let Some(set) = self.sets().into_iter().find(answers) else { return Ok(checks) };
        let asked = self.plan.trials.iter().find_map(|trial| on(trial, &set));
        let places = asked.map(|asked| self.places(asked, set.task, SplitName::Dev)).transpose()?.unwrap_or_default();
        let groups = places.iter().map(|(id, place)| (id.clone(), place.group.clone())).collect();
        let references = &self.checked.references;
        let is_tuned = |reference: &&Reference| reference.part == Part::Teacher && !reference.course.lessons.is_empty();
        for tuned in references.iter().filter(is_tuned) {
            let same = |other: &&Reference| {
                let (model, is_plain) = (&other.course.model, other.course.lessons.is_empty());
                other.part == tuned.part && *model == tuned.course.model && is_plain
            };
            let Some(base) = references.iter().find(same) else { continue };
            let ((before, _), (after, seeds)) = (self.dev(&base.name, &set)?, self.dev(&tuned.name, &set)?);
            checks.extend(verified(&tuned.course.model, &before, &after, seeds, &groups));
        }
        Ok(checks)
    }

    /// Returns what a reference model reached on dev, and at how many seeds.
    fn dev(&self, reference: &str, set: &EvaluationSet) -> anyhow::Result<(Dev, usize)> {
        let (mut dev, mut seeds) = (Dev::default(), 0);
        for trial in self.plan.trials.iter().filter(|trial| trial.arm == reference) {
            let Some(asked) = on(trial, set) else { continue };
            let Some(output) = self.output(&asked.score)? else { continue };
            if let Some(values) = score::read_values(&output, SplitName::Dev)? {
                dev.add(values);
                seeds += 1;
            }
        }
        Ok((dev, seeds))
    }
}

/// What one model reached on each question of dev, summed over seeds: value times weight, and weight.
#[derive(Debug, Default)]
pub(super) struct Dev(BTreeMap<(String, String), (f64, f64)>);

impl Dev {
    /// Adds the values of one seed. A loss per token weighs as many times as it has tokens.
    pub(super) fn add(&mut self, values: Vec<Value>) {
        for value in values {
            let weight = if value.metric == "nll" { value.counts.first().copied().unwrap_or(1.0) } else { 1.0 };
            let sum = self.0.entry((value.metric, value.id)).or_default();
            *sum = (sum.0 + weight * value.value, sum.1 + weight);
        }
    }

    /// Returns sums of `metric` here and in `other`, of the questions that both have.
    fn pairs<'d>(&'d self, other: &Self, metric: &str) -> Vec<(&'d str, [(f64, f64); 2])> {
        let own = self.0.iter().filter(|((name, _), _)| name == metric);
        own.filter_map(|(key, &sum)| other.0.get(key).map(|&others| (key.1.as_str(), [sum, others]))).collect()
    }
}

/// Verifies that the fine-tuned `model` is better on dev than before, in loss and in answers.
///
/// Passed where the 95 % interval of the difference, from flipping the signs of whole `groups` of
/// questions, lies on the better side of zero ([`permutation`]). A metric that was not measured is not
/// verified.
fn verified(model: &str, before: &Dev, after: &Dev, seeds: usize, groups: &BTreeMap<String, String>) -> Vec<Check> {
    // Metric, claim, unit, factor and decimals to show it with, sign of a gain.
    let claims = [
        ("nll", "has a lower loss on dev than before", "nats per token", 1.0, 3, -1.0),
        ("token-f1", "answers better on dev than before", "% token F1", 100.0, 1, 1.0),
    ];
    let mut checks = Vec::new();
    for (metric, claim, unit, factor, decimals, sign) in claims {
        let show = |value: f64| number::fixed(factor * value, decimals);
        let pairs = before.pairs(after, metric);
        if pairs.is_empty() {
            continue;
        }
        let mean = |side: usize| {
            let (sum, weight) =
                pairs.iter().map(|(_, pair)| pair[side]).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            sum / weight
        };
        let numbers = units::number(pairs.iter().map(|(id, _)| groups.get(*id).map_or("", String::as_str)));
        let items = pairs.iter().zip(numbers).map(|((_, [before, after]), unit)| Item {
            unit,
            sum: after.0 - before.0,
            size: after.1,
            magnitude: after.0.abs() + before.0.abs(),
        });
        let units = Units::of(items);
        let resampling = Resampling::default();
        let Interval { low, high } = permutation(&units, resampling).interval(1.0 - resampling.level);
        let worst = if sign > 0.0 { low } else { -high };
        let limits = if low.is_finite() && high.is_finite() {
            format!("95 % interval of the difference {} to {}", show(low), show(high))
        } else {
            "too few groups for a 95 % interval of the difference".to_owned()
        };
        checks.push(Check {
            name: format!("the fine-tuned teacher {model} {claim}"),
            passed: worst > 0.0,
            evidence: format!(
                "{} to {} {unit}; {limits}, {} questions in {} groups, {seeds} {}",
                show(mean(0)),
                show(mean(1)),
                pairs.len(),
                units.count(),
                if seeds == 1 { "seed" } else { "seeds" },
            ),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(metric: &str, values: &[f64], tokens: &[f64]) -> Dev {
        let mut dev = Dev::default();
        dev.add(
            values
                .iter()
                .zip(tokens)
                .enumerate()
                .map(|(i, (&value, &tokens))| Value {
                    id: i.to_string(),
                    metric: metric.to_owned(),
                    value,
                    counts: vec![tokens],
                })
                .collect(),
        );
        dev
    }

    fn of(before: &Dev, after: &Dev, group: fn(usize) -> usize) -> Vec<Check> {
        let groups = (0..12).map(|question| (question.to_string(), group(question).to_string())).collect();
        verified("m", before, after, 1, &groups)
    }

    #[test]
    fn a_gain_in_every_group_passes_and_one_that_chance_explains_does_not() {
        let before = [0.1, 0.4, 0.2, 0.3, 0.1, 0.4, 0.2, 0.3, 0.1, 0.4, 0.2, 0.3];
        let gain = |gains: &[f64], group| {
            let after: Vec<f64> = before.iter().zip(gains.iter().cycle()).map(|(value, gain)| value + gain).collect();
            of(&dev("token-f1", &before, &[1.0; 12]), &dev("token-f1", &after, &[1.0; 12]), group)
        };
        let gained = gain(&[0.2], |question| question / 2);
        assert!(gained[0].passed);
        assert_eq!(
            gained[0].evidence,
            "25.0 to 45.0 % token F1; 95 % interval of the difference 20.0 to 20.0, 12 questions in 6 groups, 1 seed"
        );
        assert!(!gain(&[0.5, -0.3, 0.0], |question| question)[0].passed);
        assert!(!gain(&[0.0], |question| question)[0].passed);
        // Of two documents nothing is known about a third.
        let two = gain(&[0.2], |question| question / 6);
        assert!(!two[0].passed && two[0].evidence.contains("too few groups"), "{two:?}");
        assert!(!gain(&[f64::NAN], |question| question)[0].passed);
    }

    #[test]
    fn losses_are_weighed_by_tokens_and_better_when_lower() {
        // Six times (4 * 1 + 1 * 3) / 4 = 1.75 and (2 * 1 + 0.5 * 3) / 4 = 0.875.
        let (high, low) = ([4.0, 1.0].repeat(6), [2.0, 0.5].repeat(6));
        let tokens = [1.0, 3.0].repeat(6);
        let (before, after) = (dev("nll", &high, &tokens), dev("nll", &low, &tokens));
        let found = of(&before, &after, |question| question);
        assert!(found[0].passed && found[0].evidence.starts_with("1.750 to 0.875 nats per token"), "{found:?}");
        assert!(!of(&after, &before, |question| question)[0].passed);
    }
}
