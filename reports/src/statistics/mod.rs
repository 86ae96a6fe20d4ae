//! Statistics of paired measurements: free functions on slices, one idea per file.
//!
//! [`units`] and [`inference`] give the effect, interval and test of a claim; the other tests stand beside
//! them as checks. Knows nothing of studies, arms or metrics. Everything random takes a seed and gives the same
//! result for any number of threads: resample `b` always draws from stream `b` of one ChaCha8 key.

pub mod bootstrap;
pub mod detectable;
pub mod effect;
pub mod holm;
pub mod inference;
pub mod kendall;
pub mod mcnemar;
pub mod moments;
pub mod p_value;
pub mod paired_t;
pub mod permutation;
pub mod randomisation;
pub mod sign;
pub mod units;
pub mod wilcoxon;
pub mod wilson;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use p_value::P;
pub use units::Units;

/// Holds the limits of a confidence interval, in the unit of the estimate; `[low, high]` in JSON, with `null`
/// for a limit that there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

impl From<[f64; 2]> for Interval {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.low, interval.high]
    }
}

/// Says how often to resample, from which seed, for which confidence level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// Number of resamples or random permutations.
    pub resamples: usize,
    /// Confidence level of intervals, such as 0.95.
    pub level: f64,
    /// Seed of every stream.
    pub seed: u64,
}

impl Default for Resampling {
    /// 10,000 resamples: the default number of trials of approximate randomisation in sacrebleu.
    fn default() -> Self {
        Self { resamples: 10_000, level: 0.95, seed: 12_345 }
    }
}

/// Opens the random stream of one resample.
fn stream(seed: u64, resample: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(resample as u64);
    rng
}

#[cfg(test)]
pub(crate) mod expected {
    //! Values from SciPy: `tests/fixtures/statistics.py`.

    use serde_json::Value;

    pub(crate) fn expected() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/statistics.json")).expect("the fixture is JSON")
    }

    pub(crate) fn numbers(value: &Value) -> Vec<f64> {
        let rows = value.as_array().expect("an array");
        rows.iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    pub(crate) fn close(left: f64, right: f64, tolerance: f64) {
        assert!((left - right).abs() <= tolerance * right.abs().max(1.0), "{left} is not {right}");
    }
}
