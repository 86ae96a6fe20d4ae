//! The sign test.

use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

/// Reports a sign test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Positive differences.
    pub positive: u64,
    /// Negative differences.
    pub negative: u64,
    /// Differences of zero; they take no part.
    pub ties: u64,
}

/// Counts the signs of paired differences.
pub fn counts(differences: &[f64]) -> Counts {
    let count = |wanted: fn(&f64) -> bool| differences.iter().filter(|d| wanted(d)).count() as u64;
    Counts { positive: count(|d| *d > 0.0), negative: count(|d| *d < 0.0), ties: count(|d| *d == 0.0) }
}

/// Computes the exact two-sided p value of the sign test: a fair coin over `positive + negative`.
///
/// Arbuthnot (1710); Conover (1999), "Practical nonparametric statistics", section 3.4. Returns 1
/// when both counts are zero.
pub fn sign(positive: u64, negative: u64) -> f64 {
    let total = positive + negative;
    match Binomial::new(0.5, total) {
        Ok(coin) if total > 0 => (2.0 * coin.cdf(positive.min(negative))).min(1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::*;

    #[test]
    fn agrees_with_scipy() {
        for case in expected()["paired"].as_array().unwrap() {
            let counted = counts(&numbers(&case["differences"]));
            let wanted = &case["sign"];
            assert_eq!(counted.positive, wanted["positive"].as_u64().unwrap());
            assert_eq!(counted.negative, wanted["negative"].as_u64().unwrap());
            let p = sign(counted.positive, counted.negative);
            close(p, wanted["p"].as_f64().unwrap(), 1e-10);
        }
    }

    #[test]
    fn one_in_ten_by_hand() {
        // 2 (C(10,0) + C(10,1)) / 2^10
        assert!((sign(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!(sign(0, 0), 1.0);
    }
}
