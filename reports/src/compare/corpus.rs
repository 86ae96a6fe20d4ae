//! Compares scores of a corpus, which follow from summed counts and not from the values of examples.

use tutelage_metrics::metric::MetricName;
use tutelage_metrics::ngram::{bleu, chrf};

use super::pairs::{Grouping, Pair};
use super::{EffectResult, Found, Item, TestResult, bootstrap_test, flip};
use crate::contrast::Sides;
use crate::record::Direction;
use crate::scores::Paired;
use crate::statistics::moments::{self, columns};
use crate::statistics::{Interval, P, Resampling, bootstrap};
use crate::study::Aggregation;
use crate::{Error, Result};

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
/// ([`Units::jackknife`](crate::statistics::Units::jackknife)); the others recompute the scores of swapped or resampled units.
pub(super) fn compare(
    pairs: &[Pair<'_>],
    grouping: &Grouping,
    aggregation: Aggregation,
    resampling: Resampling,
) -> Found {
    let rows = |side: for<'p> fn(&Pair<'p>) -> &'p Item| pairs.iter().map(|pair| side(pair).counts.clone()).collect();
    let paired = Paired {
        aggregation,
        pairs: 1,
        seeds: vec![vec![0]],
        first: rows(|pair| pair.a),
        second: rows(|pair| pair.b),
        units: grouping.of_pair.clone(),
        unpaired: 0,
    };
    let sides = Sides::new(&paired, Direction::Higher);
    let units = sides.units();
    let (ci, flips) = flip(&units, resampling);
    let [first, second] = sides.by_unit();
    let resampled = bootstrap::distribution(grouping.count, resampling, |drawn| {
        let over = |side: &[Vec<f64>]| columns(drawn.iter().map(|&unit| side[unit].as_slice()));
        sides.difference(&over(&first), &over(&second))
    });
    let swaps = sides.randomisation(resampling);
    let whole = swaps.difference;
    let mut tests = vec![flips, TestResult { test: "randomisation", statistic: swaps.difference, p: swaps.p }];
    if let Some(test) = bootstrap_test(whole, &resampled) {
        tests.extend([test, sacrebleu_bootstrap(whole, &resampled)]);
    }
    // As of a mean: the effect and its limits by the deviation over units of what it is the mean of.
    let spread = (units.variance() * units.count() as f64).sqrt();
    let ci_of_d_z = Interval { low: ci.low / spread, high: ci.high / spread };
    let d_z = (spread > 0.0).then(|| EffectResult { effect: "d-z", value: whole / spread, ci: ci_of_d_z });
    Found {
        mean_a: paired.value(&columns(first.iter().map(Vec::as_slice))),
        mean_b: paired.value(&columns(second.iter().map(Vec::as_slice))),
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
