//! Confidence intervals from resampled items.

use rand::RngExt;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};
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

/// Takes the bias-corrected and accelerated interval of a bootstrap distribution.
///
/// Efron (1987), "Better bootstrap confidence intervals"; Efron and Tibshirani (1993), equations
/// 14.9 to 14.15. With `z0` the normal quantile of the share of the distribution below `estimate`
/// (ties count half) and `a` from the leave-one-out values `jackknife`, the limits are the quantiles
/// at `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))` for `z` the normal quantiles at (1 -+ level)/2.
///
/// Falls to the percentile interval where no correction is defined: when the whole distribution
/// lies on one side of the estimate, or the leave-one-out values do not vary.
pub fn bca(distribution: &[f64], estimate: f64, jackknife: &[f64], level: f64) -> Interval {
    let sorted = sorted(distribution);
    let below = sorted.iter().filter(|&&value| value < estimate).count();
    let upto = sorted.iter().filter(|&&value| value <= estimate).count();
    let share = (below + upto) as f64 / (2 * sorted.len()) as f64;
    let centre = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let squares: f64 = jackknife.iter().map(|v| (centre - v).powi(2)).sum();
    let cubes: f64 = jackknife.iter().map(|v| (centre - v).powi(3)).sum();
    if !(share > 0.0 && share < 1.0) || squares == 0.0 || !squares.is_finite() {
        return percentile(distribution, level);
    }
    let normal = Normal::standard();
    let bias = normal.inverse_cdf(share);
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    let limit = |probability: f64| {
        let shifted = bias + normal.inverse_cdf(probability);
        let corrected = normal.cdf(bias + shifted / (1.0 - acceleration * shifted));
        quantile(&sorted, corrected)
    };
    let tail = (1.0 - level) / 2.0;
    Interval { low: limit(tail), high: limit(1.0 - tail) }
}

/// Bootstraps the mean of paired differences with the BCa interval.
pub fn mean_interval(differences: &[f64], resampling: Resampling) -> Interval {
    let total: f64 = differences.iter().sum();
    let count = differences.len() as f64;
    let distribution = distribution(differences.len(), resampling, |indices| {
        indices.iter().map(|&index| differences[index]).sum::<f64>() / count
    });
    let jackknife: Vec<f64> = differences.iter().map(|difference| (total - difference) / (count - 1.0)).collect();
    bca(&distribution, total / count, &jackknife, resampling.level)
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
    use super::super::moments::{deviation, mean};
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
            let plain = percentile(&values, 0.95);
            let corrected = mean_interval(&differences, resampling);
            for (interval, name) in [(plain, "percentile"), (corrected, "bca")] {
                let wanted = numbers(&case["bootstrap"][name]);
                assert!((interval.low - wanted[0]).abs() < tolerance, "{name} {interval:?}");
                assert!((interval.high - wanted[1]).abs() < tolerance, "{name} {interval:?}");
            }
            let error = case["standard_error"].as_f64().unwrap();
            assert!((deviation(&values) / error - 1.0).abs() < 0.03);
        }
    }

    #[test]
    fn bca_without_bias_or_skew_is_the_percentile_interval() {
        let values: Vec<f64> = (-500..=500).map(f64::from).collect();
        let jackknife = [-1.0, 0.0, 1.0];
        let corrected = bca(&values, 0.0, &jackknife, 0.9);
        let plain = percentile(&values, 0.9);
        assert!((corrected.low - plain.low).abs() < 1e-6);
        assert!((corrected.high - plain.high).abs() < 1e-6);
    }

    #[test]
    fn a_constant_has_an_interval_of_no_width() {
        let interval = mean_interval(&[0.25; 9], Resampling::default());
        assert_eq!((interval.low, interval.high), (0.25, 0.25));
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
        fn contains_the_estimate_and_mirrors(values in prop::collection::vec(-10.0..10.0f64, 4..40)) {
            let resampling = Resampling { resamples: 800, ..Resampling::default() };
            let interval = mean_interval(&values, resampling);
            prop_assert!(interval.low <= mean(&values) && mean(&values) <= interval.high);
            let draw = |sign: f64| distribution(values.len(), resampling, |indices| {
                indices.iter().map(|&i| sign * values[i]).sum()
            });
            let (up, down) = (percentile(&draw(1.0), 0.9), percentile(&draw(-1.0), 0.9));
            prop_assert!((up.low + down.high).abs() < 1e-9 && (up.high + down.low).abs() < 1e-9);
        }
    }
}
