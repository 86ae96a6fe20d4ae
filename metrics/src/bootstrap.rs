//! Percentile bootstrap over examples, or over groups of them.
//!
//! Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3; for corpus metrics
//! on resampled sufficient statistics, Koehn 2004, "Statistical Significance Tests for Machine
//! Translation Evaluation", section 3.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Number of resamples.
pub const RESAMPLES: usize = 1000;

/// Seed of the resamples; fixed, so that one file of predictions always has one interval.
pub const SEED: u64 = 12345;

/// Computes a corpus value from the examples drawn, given by index with repeats.
pub type Estimator<'a> = Box<dyn Fn(&[usize]) -> f64 + Sync + 'a>;

/// Returns the 95 % percentile interval `[low, high]` of each estimator.
///
/// `units` are what is drawn, each a list of the examples that it brings: one example, or all those of
/// a group, such as the questions on one document, which then stay together (Davison and Hinkley 1997,
/// "Bootstrap Methods and their Application", section 3.8).
///
/// All estimators see the same [`RESAMPLES`] resamples; resample r draws from stream r of one
/// generator, so the intervals do not depend on the number of threads. With one unit, low equals high.
///
/// # Panics
/// If there is no unit.
pub fn intervals(units: &[Vec<usize>], estimators: &[Estimator<'_>]) -> Vec<[f64; 2]> {
    assert!(!units.is_empty(), "a bootstrap needs an example");
    let resamples: Vec<Vec<f64>> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| {
            let mut random = ChaCha8Rng::seed_from_u64(SEED);
            random.set_stream(resample as u64);
            let drawn = (0..units.len()).flat_map(|_| &units[random.random_range(0..units.len())]);
            let drawn: Vec<usize> = drawn.copied().collect();
            estimators.iter().map(|estimator| estimator(&drawn)).collect()
        })
        .collect();
    (0..estimators.len())
        .map(|index| {
            let mut values: Vec<f64> = resamples.iter().map(|values| values[index]).collect();
            values.sort_unstable_by(f64::total_cmp);
            [quantile(&values, 0.025), quantile(&values, 0.975)]
        })
        .collect()
}

/// Returns a quantile of sorted values by linear interpolation between order statistics.
///
/// Definition 7 of Hyndman and Fan (1996), "Sample quantiles in statistical packages"; the default
/// of NumPy and R. NaN for no values.
pub fn quantile(sorted: &[f64], probability: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let position = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + position.fract() * (above - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert!((quantile(&[0.0, 10.0], 0.025) - 0.25).abs() < 1e-12);
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((quantile(&sorted, 0.0), quantile(&sorted, 0.5), quantile(&sorted, 1.0)), (1.0, 2.5, 4.0));
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_interval_of_a_mean_is_near_the_normal_one() {
        // 400 values evenly between 0 and 1: mean 0.5, standard error √(1/12) / 20. The quantiles of
        // 1000 resamples have a standard error of their own, a twelfth of that.
        let values: Vec<f64> = (0..400).map(|i| (f64::from(i) + 0.5) / 400.0).collect();
        let mean = |drawn: &[usize]| drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64;
        let units: Vec<Vec<usize>> = (0..400).map(|i| vec![i]).collect();
        let [low, high] = intervals(&units, &[Box::new(mean)])[0];
        let standard_error = (1.0f64 / 12.0).sqrt() / 20.0;
        for (bound, expected) in [(low, -1.96), (high, 1.96)] {
            let errors = (bound - 0.5) / standard_error;
            assert!((errors - expected).abs() < 0.2, "{errors}, {expected}");
        }
        assert_eq!(intervals(&units, &[Box::new(mean)])[0], [low, high], "the seed is fixed");
    }

    #[test]
    fn examples_of_a_group_are_drawn_together() {
        // 100 groups of four equal values: as wide as 100 values, not as 400.
        let mean = |drawn: &[usize]| drawn.iter().map(|&i| (i / 4) as f64).sum::<f64>() / drawn.len() as f64;
        let width = |units: &[Vec<usize>]| {
            let [low, high] = intervals(units, &[Box::new(mean)])[0];
            high - low
        };
        let groups: Vec<Vec<usize>> = (0..100).map(|group| (4 * group..4 * group + 4).collect()).collect();
        let singles: Vec<Vec<usize>> = (0..400).map(|i| vec![i]).collect();
        let ratio = width(&groups) / width(&singles);
        assert!((ratio - 2.0).abs() < 0.2, "{ratio}");
    }
}
