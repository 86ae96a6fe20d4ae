//! Whether fine-tuning taught a teacher something before it taught others: before and after on dev,
//! question by question.

use std::collections::BTreeMap;

use tutelage_reports::statistics::{Resampling, bootstrap};
use tutelage_reports::study::Check;

use super::score::Value;

/// What one model reached on each question of dev, summed over seeds: value times weight, and weight.
#[derive(Debug, Default)]
pub struct Dev(BTreeMap<(String, String), (f64, f64)>);

impl Dev {
    /// Adds the values of one seed. A loss per token weighs as many times as it has tokens.
    pub fn add(&mut self, values: Vec<Value>) {
        for value in values {
            let weight = if value.metric == "nll" { value.counts.first().copied().unwrap_or(1.0) } else { 1.0 };
            let sum = self.0.entry((value.metric, value.id)).or_default();
            *sum = (sum.0 + weight * value.value, sum.1 + weight);
        }
    }

    /// Returns sums of `metric` here and in `other`, of the questions that both have.
    fn pairs(&self, other: &Self, metric: &str) -> Vec<[(f64, f64); 2]> {
        let own = self.0.iter().filter(|((name, _), _)| name == metric);
        own.filter_map(|(key, &sum)| other.0.get(key).map(|&others| [sum, others])).collect()
    }
}

/// Verifies that the fine-tuned `model` is better on dev than before, in loss and in answers.
///
/// Passed where the 95 % interval of the difference, from a percentile bootstrap over questions, lies
/// on the better side of zero (Efron and Tibshirani 1993, section 13.3). A metric that was not
/// measured is not verified.
pub fn checks(model: &str, before: &Dev, after: &Dev, seeds: usize) -> Vec<Check> {
    // Metric, claim, unit, factor and decimals to show it with, sign of a gain.
    let claims = [
        ("nll", "has a lower loss on dev than before", "nats per token", 1.0, 3, -1.0),
        ("token-f1", "answers better on dev than before", "% token F1", 100.0, 1, 1.0),
    ];
    let mut checks = Vec::new();
    for (metric, claim, unit, factor, decimals, sign) in claims {
        let show = |value: f64| format!("{:.*}", decimals, factor * value);
        let pairs = before.pairs(after, metric);
        if pairs.is_empty() {
            continue;
        }
        let mean = |side: usize, indices: &mut dyn Iterator<Item = usize>| {
            let (sum, weight) = indices.map(|index| pairs[index][side]).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            sum / weight
        };
        let difference =
            |indices: &[usize]| mean(1, &mut indices.iter().copied()) - mean(0, &mut indices.iter().copied());
        let resampling = Resampling::default();
        let interval =
            bootstrap::percentile(&bootstrap::distribution(pairs.len(), resampling, difference), resampling.level);
        let worst = if sign > 0.0 { interval.low } else { -interval.high };
        checks.push(Check {
            name: format!("the fine-tuned teacher {model} {claim}"),
            passed: worst > 0.0,
            evidence: format!(
                "{} -> {} {unit}; 95 % interval of the difference {} to {}, {} questions, {seeds} {}",
                show(mean(0, &mut (0..pairs.len()))),
                show(mean(1, &mut (0..pairs.len()))),
                show(interval.low),
                show(interval.high),
                pairs.len(),
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

    #[test]
    fn a_gain_on_every_question_passes_and_one_that_chance_explains_does_not() {
        let before = [0.1, 0.4, 0.2, 0.3];
        let of =
            |after: &[f64]| checks("m", &dev("token-f1", &before, &[1.0; 4]), &dev("token-f1", after, &[1.0; 4]), 1);
        let gained = of(&[0.3, 0.6, 0.4, 0.5]);
        assert!(gained[0].passed);
        assert_eq!(
            gained[0].evidence,
            "25.0 -> 45.0 % token F1; 95 % interval of the difference 20.0 to 20.0, 4 questions, 1 seed"
        );
        let mixed = of(&[0.9, 0.1, 0.0, 0.2]);
        assert!(!mixed[0].passed, "{mixed:?}");
        assert!(!of(&before)[0].passed);
    }

    #[test]
    fn losses_are_weighed_by_tokens_and_better_when_lower() {
        // (4 * 1 + 1 * 3) / 4 = 1.75 and (2 * 1 + 1 * 3) / 4 = 1.25.
        let (before, after) = (dev("nll", &[4.0, 1.0], &[1.0, 3.0]), dev("nll", &[2.0, 1.0], &[1.0, 3.0]));
        let found = checks("m", &before, &after, 1);
        assert!(found[0].evidence.starts_with("1.750 -> 1.250 nats per token"), "{found:?}");
        let lower = checks("m", &dev("nll", &[4.0, 2.0], &[1.0, 3.0]), &dev("nll", &[2.0, 1.0], &[1.0, 3.0]), 1);
        assert!(lower[0].passed);
        assert!(!checks("m", &after, &before, 1)[0].passed);
    }
}
