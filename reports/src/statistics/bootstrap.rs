//! Confidence intervals from resampled items.

use rand::RngExt;
use rayon::prelude::*;
use tutelage_metrics::bootstrap::quantile;

use super::{Interval, Resampling, stream};

/// Computes the statistic on `resamples` samples of `items` indices drawn with replacement.
///
/// Efron (1979), "Bootstrap methods: another look at the jackknife". An item is what the
/// measurements are paired on: to bootstrap a difference, let `statistic` look up both sides of
/// each index. For a metric of a whole corpus, let it sum the items' counts first (Koehn 2004,
/// "Statistical significance tests for machine translation evaluation").
///
/// The result is in order of resamples; empty when `items` is 0.
pub fn distribution(items: usize, resampling: Resampling, statistic: impl Fn(&[usize]) -> f64 + Sync) -> Vec<f64> {
    if items == 0 {
        return Vec::new();
    }
    (0..resampling.resamples)
        .into_par_iter()
        .map_init(
            || vec![0; items],
            |indices, resample| {
                let mut rng = stream(resampling.seed, resample);
                for index in indices.iter_mut() {
                    *index = rng.random_range(0..items);
                }
                statistic(indices)
            },
        )
        .collect()
}

/// Takes the percentile interval of a bootstrap distribution: its quantiles at (1 -+ level)/2.
///
/// Efron and Tibshirani (1993), "An introduction to the bootstrap", equation 13.5. NaN limits for
/// an empty distribution.
pub fn percentile(distribution: &[f64], level: f64) -> Interval {
    let sorted = sorted(distribution);
    let tail = (1.0 - level) / 2.0;
    Interval { low: quantile(&sorted, tail), high: quantile(&sorted, 1.0 - tail) }
}

fn sorted(distribution: &[f64]) -> Vec<f64> {
    let mut sorted = distribution.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::expected::{expected, numbers};
    use super::super::moments::deviation;
    use super::*;

    #[test]
    fn intervals_agree_with_scipy() {
        let resampling = Resampling { resamples: 40_000, ..Resampling::default() };
        for case in expected()["paired"].as_array().unwrap() {
            let differences = numbers(&case["differences"]);
            let values = distribution(differences.len(), resampling, |indices| {
                indices.iter().map(|&i| differences[i]).sum::<f64>() / indices.len() as f64
            });
            // Both are random: allow a few per cent of the standard error, and one step of the
            // mean where values are rounded to 0.1.
            let rounded = differences.contains(&0.0);
            let step = if rounded { 0.1 / differences.len() as f64 } else { 0.0 };
            let tolerance = 0.06 * case["standard_error"].as_f64().unwrap() + step;
            let interval = percentile(&values, 0.95);
            let wanted = numbers(&case["bootstrap"]["percentile"]);
            assert!((interval.low - wanted[0]).abs() < tolerance, "{interval:?}");
            assert!((interval.high - wanted[1]).abs() < tolerance, "{interval:?}");
            let error = case["standard_error"].as_f64().unwrap();
            assert!((deviation(&values) / error - 1.0).abs() < 0.03);
        }
    }

    #[test]
    fn nothing_gives_no_distribution() {
        assert!(distribution(0, Resampling::default(), |_| 1.0).is_empty());
        assert!(percentile(&[], 0.95).low.is_nan());
    }

    #[test]
    fn threads_do_not_change_the_distribution() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i).sin()).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap()
                .install(|| distribution(50, Resampling::default(), |indices| indices.iter().map(|&i| values[i]).sum()))
        };
        assert_eq!(run(1), run(4));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn mirrors_with_the_values(values in prop::collection::vec(-10.0..10.0f64, 4..40)) {
            let resampling = Resampling { resamples: 800, ..Resampling::default() };
            let draw = |sign: f64| distribution(values.len(), resampling, |indices| {
                indices.iter().map(|&i| sign * values[i]).sum()
            });
            let (up, down) = (percentile(&draw(1.0), 0.9), percentile(&draw(-1.0), 0.9));
            prop_assert!((up.low + down.high).abs() < 1e-9 && (up.high + down.low).abs() < 1e-9);
        }
    }
}
