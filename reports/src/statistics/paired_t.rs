//! Student's t test of paired differences.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Interval, moments};

/// Reports a paired t test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedT {
    /// The statistic `mean / (s / sqrt(n))`.
    pub t: f64,
    /// Degrees of freedom, n - 1.
    pub degrees: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Confidence interval of the mean difference.
    pub interval: Interval,
}

/// Tests whether the mean of paired differences is zero, two-sided.
///
/// Student (1908), "The probable error of a mean". `None` for fewer than two differences or when
/// they do not vary: t is then undefined.
pub fn paired_t(differences: &[f64], level: f64) -> Option<PairedT> {
    let count = differences.len() as f64;
    let error = moments::deviation(differences) / count.sqrt();
    if error.is_nan() || error == 0.0 {
        return None;
    }
    let mean = moments::mean(differences);
    let distribution = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
    let t = mean / error;
    let reach = error * distribution.inverse_cdf(0.5 + level / 2.0);
    Some(PairedT {
        t,
        degrees: count - 1.0,
        p: 2.0 * distribution.cdf(-t.abs()),
        interval: Interval { low: mean - reach, high: mean + reach },
    })
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::*;

    #[test]
    fn agrees_with_scipy() {
        for case in expected()["paired"].as_array().unwrap() {
            let result = paired_t(&numbers(&case["differences"]), 0.95).unwrap();
            let wanted = &case["paired_t"];
            close(result.t, wanted["t"].as_f64().unwrap(), 1e-8);
            close(result.p, wanted["p"].as_f64().unwrap(), 1e-8);
            close(result.interval.low, wanted["low"].as_f64().unwrap(), 1e-8);
            close(result.interval.high, wanted["high"].as_f64().unwrap(), 1e-8);
        }
    }

    #[test]
    fn undefined_without_variation() {
        assert!(paired_t(&[0.1; 10], 0.95).is_none());
        assert!(paired_t(&[0.5], 0.95).is_none());
    }
}
