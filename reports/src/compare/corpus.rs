//! Compares scores of a corpus, which follow from summed counts and not from the values of examples.

use tutelage_metrics::metric::MetricName;
use tutelage_metrics::ngram::{bleu, chrf};

use super::pairs::{Grouping, Pair};
use super::{EffectResult, Found, Item, TestResult, bootstrap_test, flip};
use crate::statistics::randomisation::randomisation;
use crate::statistics::{Interval, P, Resampling, Units, bootstrap, moments};
use crate::study::Aggregation;
use crate::{Error, Result};

/// Largest value of these metrics, for the bound on rounding.
const LARGEST: f64 = 100.0;

/// Returns how the score of a corpus follows from counts, and how many there are per example; none for a
/// metric that is a mean.
fn counts_of(metric: &str) -> Option<(Aggregation, usize)> {
    match metric.parse().ok()? {
        MetricName::Bleu => Some((Aggregation::Bleu, bleu::COUNTS)),
        MetricName::Chrf => Some((Aggregation::Chrf, 3 * chrf::Variant::Characters.orders())),
        MetricName::ChrfPlusPlus => Some((Aggregation::Chrf, 3 * chrf::Variant::CharactersAndWords.orders())),
        _ => None,
    }
}

/// Says whether a metric is one of the corpus.
pub(super) fn is_of_corpus(metric: &str) -> bool {
    counts_of(metric).is_some()
}

/// Returns how scores of the corpus are computed; none where means are to be compared, with a note if that
/// is not what the metric's name says.
pub(super) fn aggregation(metric: &str, pairs: &[Pair<'_>], notes: &mut Vec<String>) -> Result<Option<Aggregation>> {
    let items = || pairs.iter().flat_map(|pair| [pair.a, pair.b]);
    let with = items().filter(|item| !item.counts.is_empty()).count();
    let Some((aggregation, width)) = counts_of(metric) else {
        if with > 0 {
            notes.push(format!("`{metric}` is the mean over questions: weights in `counts` are left aside"));
        }
        return Ok(None);
    };
    if with < 2 * pairs.len() {
        let all = if with > 0 { "all rows" } else { "rows" };
        notes.push(format!(
            "sentence-level: the mean of sentence scores, not the {metric} of the corpus, for which {all} need `counts`"
        ));
        return Ok(None);
    }
    let is_wrong = |item: &&Item| item.counts.len() != width || item.counts.iter().any(|count| *count < 0.0);
    match items().find(is_wrong) {
        None => Ok(Some(aggregation)),
        Some(Item { id, counts, .. }) => Err(Error::Comparison(format!(
            "`{id}`: expected the {width} counts of {metric}, none negative, found {counts:?}"
        ))),
    }
}

/// Compares the scores of both sides.
///
/// The permutation test, with its interval, flips the jackknife pseudo-values of units
/// ([`Units::jackknife`]); the others recompute the scores of swapped or resampled units.
pub(super) fn compare(
    pairs: &[Pair<'_>],
    grouping: &Grouping,
    aggregation: Aggregation,
    resampling: Resampling,
) -> Found {
    let counts = |side: for<'p> fn(&Pair<'p>) -> &'p Item| {
        let mut units = vec![vec![0.0; side(&pairs[0]).counts.len()]; grouping.count];
        for (pair, &unit) in pairs.iter().zip(&grouping.of_pair) {
            add(&mut units[unit], &side(pair).counts, 1.0);
        }
        units
    };
    let (first, second) = (counts(|pair| pair.a), counts(|pair| pair.b));
    let difference = |first: &[f64], second: &[f64]| aggregation.value(first) - aggregation.value(second);
    let (first_sum, second_sum) = (total(&first), total(&second));
    let whole = difference(&first_sum, &second_sum);
    let less = |sum: &[f64], unit: &[f64]| {
        let mut rest = sum.to_vec();
        add(&mut rest, unit, -1.0);
        rest
    };
    let without: Vec<(f64, f64)> = first
        .iter()
        .zip(&second)
        .map(|(a, b)| (difference(&less(&first_sum, a), &less(&second_sum, b)), aggregation.size(a).max(1.0)))
        .collect();
    let units = Units::jackknife(whole, &without, LARGEST);
    let (ci, flips) = flip(&units, resampling);
    let resampled = bootstrap::distribution(grouping.count, resampling, |drawn| {
        let over = |side: &[Vec<f64>]| {
            let mut sum = vec![0.0; first_sum.len()];
            drawn.iter().for_each(|&unit| add(&mut sum, &side[unit], 1.0));
            sum
        };
        difference(&over(&first), &over(&second))
    });
    let swaps = randomisation(&first, &second, resampling, difference);
    let mut tests = vec![flips, TestResult { test: "randomisation", statistic: swaps.difference, p: swaps.p }];
    if let Some(test) = bootstrap_test(whole, &resampled) {
        tests.extend([test, sacrebleu_bootstrap(whole, &resampled)]);
    }
    // As of a mean: the effect and its limits by the deviation over units of what it is the mean of.
    let spread = (units.variance() * units.count() as f64).sqrt();
    let ci_of_d_z = Interval { low: ci.low / spread, high: ci.high / spread };
    let d_z = (spread > 0.0).then(|| EffectResult { effect: "d-z", value: whole / spread, ci: ci_of_d_z });
    Found {
        mean_a: aggregation.value(&first_sum),
        mean_b: aggregation.value(&second_sum),
        difference: whole,
        ci,
        tests,
        effects: d_z.into_iter().collect(),
    }
}

/// Computes p as `--paired-bs` of sacrebleu 2 does: the share of resamples whose absolute difference
/// exceeds the mean one by more than what was observed.
///
/// Beside [`bootstrap_test`], to compare with published values: for a clear difference this counts one
/// tail only, so it is about half of a two-sided p.
fn sacrebleu_bootstrap(observed: f64, resampled: &[f64]) -> TestResult {
    let sizes: Vec<f64> = resampled.iter().map(|value| value.abs()).collect();
    let mean = moments::mean(&sizes);
    let hits = sizes.iter().filter(|size| *size - mean > observed.abs()).count();
    TestResult { test: "sacrebleu-bootstrap", statistic: observed, p: P::resampled(hits, resampled.len()) }
}

fn add(sum: &mut [f64], row: &[f64], times: f64) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum += times * value;
    }
}

fn total(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; rows[0].len()];
    rows.iter().for_each(|row| add(&mut sum, row, 1.0));
    sum
}
