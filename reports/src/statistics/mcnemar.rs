//! McNemar's test of two paired proportions.

use super::sign::sign;

/// Computes the exact two-sided p value of McNemar's test from the discordant pairs.
///
/// `only_first` items were right in the first system alone, `only_second` in the second alone;
/// under the null hypothesis they split evenly. McNemar (1947), "Note on the sampling error of the
/// difference between correlated proportions"; the exact (binomial) form, without continuity
/// correction. Returns 1 when no pair is discordant.
pub fn mcnemar(only_first: u64, only_second: u64) -> f64 {
    sign(only_first, only_second)
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected};
    use super::*;

    #[test]
    fn agrees_with_scipy() {
        for case in expected()["mcnemar"].as_array().unwrap() {
            let count = |name: &str| case[name].as_u64().unwrap();
            let p = mcnemar(count("only_first"), count("only_second"));
            close(p, case["p"].as_f64().unwrap(), 1e-10);
        }
    }
}
