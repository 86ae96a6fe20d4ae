//! Sizes of effects, free of units.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{Interval, moments};

/// Computes Cohen's d of paired differences, `d_z = mean / s`, with a confidence interval.
///
/// Cohen (1988), "Statistical power analysis", section 2.3.5. The interval is normal with variance
/// `1/n + d^2 / (2n)` (Hedges and Olkin 1985, "Statistical methods for meta-analysis"): good from
/// about 20 pairs on. `None` for fewer than two differences or when they do not vary.
pub fn d_z(differences: &[f64], level: f64) -> Option<(f64, Interval)> {
    let deviation = moments::deviation(differences);
    if deviation.is_nan() || deviation == 0.0 {
        return None;
    }
    let count = differences.len() as f64;
    let value = moments::mean(differences) / deviation;
    let error = (1.0 / count + value * value / (2.0 * count)).sqrt();
    let reach = error * Normal::standard().inverse_cdf(0.5 + level / 2.0);
    Some((value, Interval { low: value - reach, high: value + reach }))
}

/// Computes Cliff's delta: P(first > second) - P(first < second) over all pairs of values.
///
/// Cliff (1993), "Dominance statistics". In -1..1; the pairing of items is not used. O(n log n).
/// NaN when either side is empty.
pub fn cliffs_delta(first: &[f64], second: &[f64]) -> f64 {
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let dominance: f64 = first
        .iter()
        .map(|value| {
            let below = sorted.partition_point(|other| other < value);
            let upto = sorted.partition_point(|other| other <= value);
            below as f64 - (sorted.len() - upto) as f64
        })
        .sum();
    dominance / (first.len() as f64 * second.len() as f64)
}

/// Computes the probability of superiority A12: P(first > second) + P(equal) / 2.
///
/// Vargha and Delaney (2000), "A critique and improvement of the CL common language effect size
/// statistics". Equals `(delta + 1) / 2` of [`cliffs_delta`].
pub fn a12(first: &[f64], second: &[f64]) -> f64 {
    (cliffs_delta(first, second) + 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::*;

    #[test]
    fn delta_agrees_with_all_pairs() {
        for case in expected()["paired"].as_array().unwrap() {
            let delta = cliffs_delta(&numbers(&case["a"]), &numbers(&case["b"]));
            close(delta, case["cliffs_delta"].as_f64().unwrap(), 1e-12);
        }
    }

    #[test]
    fn bounds() {
        assert_eq!(cliffs_delta(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(a12(&[0.0, 1.0], &[2.0, 3.0]), 0.0);
        assert_eq!(a12(&[1.0, 1.0], &[1.0, 1.0]), 0.5);
    }

    #[test]
    fn d_z_by_hand() {
        // Mean 2, deviation 1, n = 3: variance 1/3 + 4/6 = 1.
        let (value, interval) = d_z(&[1.0, 2.0, 3.0], 0.95).unwrap();
        close(value, 2.0, 1e-12);
        close(interval.high - value, 1.959_963_984_540_054, 1e-9);
        assert!(d_z(&[0.1; 10], 0.95).is_none());
    }
}
