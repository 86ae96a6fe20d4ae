//! Every arm on every metric: value, interval, spread over seeds, difference from the baseline.

use rayon::prelude::*;
use serde::Serialize;

use crate::contrast::{self, Contrast};
use crate::record::Direction;
use crate::scores::Scores;
use crate::statistics::{Interval, P, Resampling, holm::multipliers, inference::Inference, moments};
use crate::study::{Aggregation, Arm, Metric, Outcome, Role, Study};
use crate::vocabulary;

/// Holds how one arm stands on one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Name of the arm.
    pub arm: String,
    /// Value, mean over seeds; absent when there are no records.
    pub value: Option<f64>,
    /// Interval of the value by itself, over units and, from two on, seeds; within the bounds of the metric.
    /// Of shares Wilson's, of other metrics the values that flipping the signs of units does not reject.
    pub interval: Option<Interval>,
    /// Standard deviation of the values of the seeds; absent with one seed.
    pub deviation: Option<f64>,
    /// Number of seeds with records.
    pub seeds: usize,
    /// Comparison with the baseline: positive effect means this arm is better. Absent for an arm that
    /// is not done, and where values of the metric do not compare with the baseline's ([`vocabulary`]).
    pub against_baseline: Option<Contrast>,
    /// p value of that comparison after Holm over all arms on the metric.
    pub p_adjusted: Option<P>,
    /// Whether the arm was measured and its values are no finite numbers: it has no value then.
    pub diverged: bool,
    /// Whether no other cell of the design that is done and compares has a better value; of none where not
    /// all of them were measured on the same questions.
    pub best: bool,
}

/// Holds how all arms stand on one metric, in the order of the study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standings {
    /// Column of the metric.
    pub metric: String,
    /// One per arm.
    pub arms: Vec<Standing>,
}

/// Ranks all arms on all metrics.
///
/// Comparisons with the baseline are exploratory: their families (all arms on one metric) are
/// kept apart from the declared hypotheses. Arms that cannot be compared count in them with p = 1,
/// so that a failed arm makes no other one significant.
pub fn standings(study: &Study, scores: &Scores, resampling: Resampling) -> Vec<Standings> {
    let cells: Vec<(usize, usize)> =
        (0..study.metrics.len()).flat_map(|metric| (0..study.arms.len()).map(move |arm| (metric, arm))).collect();
    let flat: Vec<Standing> =
        cells.par_iter().map(|&(metric, arm)| stand(study, scores, &study.metrics[metric], arm, resampling)).collect();
    let mut flat = flat.into_iter();
    study
        .metrics
        .iter()
        .map(|metric| {
            let mut arms: Vec<Standing> = flat.by_ref().take(study.arms.len()).collect();
            adjust(study, &mut arms);
            mark_best(study, scores, metric, &mut arms);
            Standings { metric: metric.key().to_owned(), arms }
        })
        .collect()
}

fn stand(study: &Study, scores: &Scores, metric: &Metric, arm: usize, resampling: Resampling) -> Standing {
    let name = study.arms[arm].name.as_str();
    let by_seed: Vec<f64> = scores.by_seed(metric.key(), name).into_iter().map(|(_, v)| v).collect();
    // An arm paired with itself: its rows over seeds, joined by example.
    let own = scores.pair(metric.key(), &[(name, name)]).ok();
    let interval =
        own.map(|own| contrast::alone(&own)).filter(|(units, _)| units.count() > 1).map(|(units, by_seed)| {
            let inference = Inference::new(&units, &by_seed, resampling);
            let alpha = 1.0 - resampling.level;
            let interval =
                if is_share(metric) { inference.interval_of_share(alpha) } else { inference.interval(alpha) };
            within(&metric.unit, interval)
        });
    let against_baseline = study
        .baseline
        .as_deref()
        .filter(|_| is_compared(study, &study.arms[arm]) && study.arms[arm].outcome == Outcome::Done)
        .filter(|baseline| vocabulary::compares(study, metric, name, baseline))
        .and_then(|baseline| scores.pair(metric.key(), &[(name, baseline)]).ok())
        .and_then(|paired| contrast::contrast(&paired, metric.direction, study.alpha, resampling).ok())
        .map(|(contrast, _)| contrast);
    Standing {
        arm: name.to_owned(),
        value: (!by_seed.is_empty()).then(|| moments::mean(&by_seed)),
        interval,
        deviation: (by_seed.len() > 1).then(|| moments::deviation(&by_seed)),
        seeds: by_seed.len(),
        against_baseline,
        p_adjusted: None,
        diverged: scores.has_diverged(metric.key(), name),
        best: false,
    }
}

/// Whether a value is a mean of shares, such as of right answers: between 0 and 1 per question.
pub(crate) fn is_share(metric: &Metric) -> bool {
    metric.unit == "fraction" && metric.aggregation == Aggregation::Mean
}

/// Cuts an interval where a metric of this unit has its bounds.
fn within(unit: &str, Interval { low, high }: Interval) -> Interval {
    let (least, most) = match unit {
        "fraction" => (0.0, 1.0),
        "0-100" => (0.0, 100.0),
        "cosine" => (-1.0, 1.0),
        unit if unit.starts_with("perplexity") => (1.0, f64::INFINITY),
        unit if unit.starts_with("nats") || unit.starts_with("bits") => (0.0, f64::INFINITY),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    Interval { low: low.max(least), high: high.min(most) }
}

/// Whether an arm is meant to be compared with a baseline.
fn is_compared(study: &Study, arm: &Arm) -> bool {
    arm.role == Role::Cell && study.baseline.as_ref().is_some_and(|baseline| *baseline != arm.name)
}

/// Adjusts the p values of all arms on one metric.
fn adjust(study: &Study, standings: &mut [Standing]) {
    let family = study.arms.iter().zip(&*standings).filter(|(arm, _)| is_compared(study, arm));
    let p = |standing: &Standing| standing.against_baseline.as_ref().map_or(1.0, |contrast| contrast.p.value);
    let multipliers = multipliers(&family.map(|(_, standing)| p(standing)).collect::<Vec<_>>());
    let family = study.arms.iter().zip(standings).filter(|(arm, _)| is_compared(study, arm));
    for ((_, standing), multiplier) in family.zip(multipliers) {
        standing.p_adjusted = standing.against_baseline.as_ref().map(|contrast| contrast.p.times(multiplier));
    }
}

fn mark_best(study: &Study, scores: &Scores, metric: &Metric, arms: &mut [Standing]) {
    let ranks = |arm: &Arm| arm.role == Role::Cell && arm.outcome == Outcome::Done;
    let ranked: Vec<usize> =
        (0..arms.len()).filter(|&place| ranks(&study.arms[place]) && arms[place].value.is_some()).collect();
    let names: Vec<&str> = ranked.iter().map(|&place| study.arms[place].name.as_str()).collect();
    let groups = vocabulary::groups(study, metric, &names);
    // Among several groups, one that is alone in its own is the best of nothing.
    for group in groups.iter().filter(|group| groups.len() == 1 || group.len() > 1) {
        let members: Vec<&str> = group.iter().map(|&member| names[member]).collect();
        // Easier questions make no better arm.
        if !scores.are_alike(metric.key(), &members) {
            continue;
        }
        let values = group.iter().filter_map(|&member| arms[ranked[member]].value);
        let best = match metric.direction {
            Direction::Higher => values.max_by(f64::total_cmp),
            Direction::Lower => values.min_by(f64::total_cmp),
        };
        for &member in group {
            let standing = &mut arms[ranked[member]];
            standing.best = standing.value == best;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_on_the_scale() {
        let wide = Interval { low: -30.0, high: 130.0 };
        let limits = |unit| <[f64; 2]>::from(within(unit, wide));
        assert_eq!((limits("fraction"), limits("0-100"), limits("cosine")), ([0.0, 1.0], [0.0, 100.0], [-1.0, 1.0]));
        assert_eq!((limits("nats/token"), limits("perplexity/token")), ([0.0, 130.0], [1.0, 130.0]));
        assert_eq!(limits("points of a judge"), [-30.0, 130.0]);
    }
}
