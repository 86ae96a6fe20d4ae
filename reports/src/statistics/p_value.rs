//! p values that know how small they could have been.

use serde::Serialize;

/// Holds a two-sided p value; a plain number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(into = "f64")]
pub struct P {
    /// The p value, in 0..=1.
    pub value: f64,
    /// The smallest that the test can give however large the effect is, where that is a matter of how
    /// many random draws it makes: `1 / (draws + 1)`. 0 for a test that draws nothing.
    pub floor: f64,
}

impl P {
    /// Takes the p value of a test that draws nothing.
    pub fn exact(value: f64) -> Self {
        Self { value, floor: 0.0 }
    }

    /// Takes the p value of `hits` of `draws` random outcomes: `(hits + 1) / (draws + 1)`.
    ///
    /// Phipson and Smyth (2010), "Permutation p-values should never be zero".
    pub fn resampled(hits: usize, draws: usize) -> Self {
        let outcomes = (draws + 1) as f64;
        Self { value: (hits + 1) as f64 / outcomes, floor: 1.0 / outcomes }
    }

    /// Multiplies, as adjusting for several tests does; at most 1.
    pub fn times(self, factor: f64) -> Self {
        Self { value: (self.value * factor).min(1.0), floor: (self.floor * factor).min(1.0) }
    }

    /// Whether it is as small as its test can give, so that all that is known is "smaller than".
    pub fn is_at_floor(self) -> bool {
        self.floor > 0.0 && self.value <= self.floor * (1.0 + 1e-9)
    }
}

impl From<P> for f64 {
    fn from(p: P) -> Self {
        p.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_scale_with_the_value() {
        let p = P::resampled(0, 9_999);
        assert_eq!((p.value, p.is_at_floor(), p.times(5.0).is_at_floor()), (1e-4, true, true));
        assert!(!P::resampled(1, 9_999).is_at_floor() && !P::exact(0.0).is_at_floor());
        assert_eq!(P::exact(0.4).times(3.0), P::exact(1.0));
        assert_eq!(serde_json::to_string(&P::exact(0.25)).unwrap(), "0.25");
    }
}
