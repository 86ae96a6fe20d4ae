//! Permutation test of paired differences: random signs.

use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;

use super::{Resampling, stream};

/// Largest number of non-zero differences whose 2^n sign patterns are all tried.
const EXACT_LIMIT: usize = 18;

/// Reports a permutation test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Permutation {
    /// The observed mean difference.
    pub mean: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Whether every sign pattern was tried.
    pub exact: bool,
}

/// Tests whether paired differences are symmetric about zero by flipping their signs, two-sided.
///
/// Fisher (1935), "The design of experiments", section 21. p is the share of patterns whose
/// absolute mean reaches the observed one. Up to 18 non-zero differences all patterns are tried;
/// beyond that `b` of `m` random ones give `(b + 1) / (m + 1)` (Phipson and Smyth 2010,
/// "Permutation p-values should never be zero").
pub fn permutation(differences: &[f64], resampling: Resampling) -> Permutation {
    let moved: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let observed: f64 = moved.iter().sum();
    // Sums of the same values in another order may differ in the last digits.
    let scale: f64 = moved.iter().map(|value| value.abs()).sum();
    let reach = observed.abs() - 1e-12 * scale;
    let exact = moved.len() <= EXACT_LIMIT;
    let p = if exact {
        let patterns = 1_u32 << moved.len();
        let hits = (0..patterns)
            .into_par_iter()
            .filter(|pattern| {
                let sum: f64 = moved
                    .iter()
                    .enumerate()
                    .map(|(bit, value)| if pattern >> bit & 1 == 1 { -value } else { *value })
                    .sum();
                sum.abs() >= reach
            })
            .count();
        hits as f64 / f64::from(patterns)
    } else {
        let hits = (0..resampling.resamples)
            .into_par_iter()
            .filter(|&resample| {
                let mut rng = stream(resampling.seed, resample);
                let sum: f64 = moved.iter().map(|value| if rng.random::<bool>() { -value } else { *value }).sum();
                sum.abs() >= reach
            })
            .count();
        (hits + 1) as f64 / (resampling.resamples + 1) as f64
    };
    Permutation { mean: observed / differences.len().max(1) as f64, p, exact }
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::super::paired_t::paired_t;
    use super::*;

    #[test]
    fn agrees_with_scipy_where_all_patterns_are_tried() {
        let mut compared = 0;
        for case in expected()["paired"].as_array().unwrap() {
            if let Some(wanted) = case["permutation"].as_f64() {
                let result = permutation(&numbers(&case["differences"]), Resampling::default());
                assert!(result.exact);
                close(result.p, wanted, 1e-12);
                compared += 1;
            }
        }
        assert!(compared > 0);
    }

    #[test]
    fn random_patterns_approach_the_t_test_on_many_pairs() {
        let mut compared = 0;
        for case in expected()["paired"].as_array().unwrap() {
            let differences = numbers(&case["differences"]);
            if differences.len() < 60 {
                continue;
            }
            let result = permutation(&differences, Resampling::default());
            compared += 1;
            assert!(!result.exact);
            let t = paired_t(&differences, 0.95).unwrap();
            assert!((result.p - t.p).abs() < 0.01, "{} {}", result.p, t.p);
        }
        assert!(compared > 0);
    }

    #[test]
    fn never_zero_and_one_without_differences() {
        let clear = permutation(&[1.0; 40], Resampling::default());
        assert_eq!(clear.p, 1.0 / 10_001.0);
        assert_eq!(permutation(&[0.0; 5], Resampling::default()).p, 1.0);
    }
}
