//! One statistic for effect, interval and test: the mean difference over units, and over seeds too.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::detectable::{self, Component};
use super::moments;
use super::p_value::P;
use super::permutation::{Permutation, permutation};
use super::units::Units;
use super::wilson::{effective_count, wilson};
use super::{Interval, Resampling};

/// Holds what can be said of a mean difference.
///
/// With one seed it is the [`Permutation`] test of units and its interval: it speaks of the models as
/// they were trained, and of other units. With several, the spread over seeds comes on top, so that it
/// speaks of models trained again: with `D_s` the difference at seed s, `A = s^2(D_s) / S` the variance
/// of the mean (denominator S - 1 in `s^2`, so that a variance over few seeds is not too small) and
/// `[L, U]` the interval over units, the interval is
///
/// `effect - sqrt(t^2 A + (effect - L)^2)` to `effect + sqrt(t^2 A + (U - effect)^2)`,
///
/// `t` being Student's with S - 1 degrees of freedom at the same level, and p is the smallest alpha
/// whose interval leaves zero out. Banerjee (1961), "On confidence interval for two-means problem based
/// on separate estimates of variances and tabulated values of t-table", shows that so adding squared
/// limits of two components covers at least as often as it says; asymmetric limits after Zou and Donner
/// (2008), "Construction of confidence limits about effect measures: a general approach". It is
/// conservative: noise that seeds and units share is in both parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    effect: f64,
    permutation: Permutation,
    units: Component,
    seeds: Option<Component>,
}

impl Inference {
    /// Takes the units of a difference and its value at each seed.
    pub fn new(units: &Units, by_seed: &[f64], resampling: Resampling) -> Self {
        let seeds = by_seed.len() as f64;
        Self {
            effect: units.mean(),
            permutation: permutation(units, resampling),
            units: Component { variance: units.variance(), degrees: units.count() as f64 - 1.0 },
            seeds: (by_seed.len() > 1)
                .then(|| Component { variance: moments::variance(by_seed) / seeds, degrees: seeds - 1.0 }),
        }
    }

    /// The mean difference.
    pub fn effect(&self) -> f64 {
        self.effect
    }

    /// Two-sided p value of no difference.
    pub fn p(&self) -> P {
        self.p_at(0.0)
    }

    /// Two-sided p value of a difference of `value`: the smallest alpha whose interval leaves it out.
    pub fn p_at(&self, value: f64) -> P {
        let Some(seeds) = self.seeds.filter(|seeds| seeds.variance > 0.0) else {
            return self.permutation.p_at(value);
        };
        let distance = self.effect - value;
        // What is left of the squared distance for the seeds, when so many patterns are as extreme.
        let left = |hits: usize| {
            let (low, high) = self.permutation.ends(hits);
            let end = if distance > 0.0 { self.effect - low } else { high - self.effect };
            distance * distance - end * end
        };
        let tail = |hits: usize| student_tail(seeds.degrees, (left(hits).max(0.0) / seeds.variance).sqrt());
        // Between share(hits - 1) and share(hits) the interval over units stays as it is while Student's t falls.
        let rejects = |hits: usize| left(hits) > 0.0 && tail(hits) < self.permutation.share(hits);
        let (mut accepted, mut rejected) = (0, self.permutation.patterns() + 1);
        while accepted + 1 < rejected {
            let middle = usize::midpoint(accepted, rejected);
            if rejects(middle) { rejected = middle } else { accepted = middle }
        }
        let value = if rejected > self.permutation.patterns() {
            1.0
        } else {
            tail(rejected).max(self.permutation.share(rejected - 1))
        };
        P { value, floor: self.permutation.share(0) }
    }

    /// p value of the difference being `value` or beyond it, on the other side of `value` than the effect was
    /// observed on: half of the two-sided one, at most 0.5.
    ///
    /// Flips of signs are symmetric, so that half of the patterns as extreme in either direction are as extreme in
    /// the observed one. Below alpha if and only if [`Inference::interval`] at `2 alpha` leaves `value` out.
    pub fn one_sided(&self, value: f64) -> P {
        self.p_at(value).times(0.5)
    }

    /// Returns the differences that the test does not reject at `alpha`; unbounded where there are too few
    /// units to reject anything.
    pub fn interval(&self, alpha: f64) -> Interval {
        self.over_seeds(self.permutation.interval(alpha), alpha)
    }

    /// Returns the interval of a mean of values in 0..=1, by itself: over units that of [`wilson`], which
    /// holds where nearly all are right, while flipping the signs of such skewed values gives limits that
    /// are too close.
    pub fn interval_of_share(&self, alpha: f64) -> Interval {
        let units = (self.units.degrees + 1.0) as usize;
        let count = effective_count(self.effect, self.units.variance, units);
        self.over_seeds(wilson(self.effect, count, self.units.quantile(alpha)), alpha)
    }

    /// Widens an interval over units by what seeds add to it.
    fn over_seeds(&self, Interval { low, high }: Interval, alpha: f64) -> Interval {
        let Some(seeds) = self.seeds.filter(|seeds| seeds.variance > 0.0) else { return Interval { low, high } };
        let reach = seeds.reach(alpha);
        Interval {
            low: self.effect - reach.hypot(self.effect - low),
            high: self.effect + reach.hypot(high - self.effect),
        }
    }

    /// Variance of the effect over units, and over seeds where there are several.
    pub fn components(&self) -> (Component, Option<Component>) {
        (self.units, self.seeds)
    }

    /// Standard error of the effect, over units and, where there are several, seeds.
    pub fn error(&self) -> f64 {
        (self.units.variance + self.seeds.map_or(0.0, |seeds| seeds.variance)).sqrt()
    }

    /// Standard deviation over units of what the effect is the mean of: its error over units times the
    /// root of their number.
    pub fn spread(&self) -> f64 {
        (self.units.variance * (self.units.degrees + 1.0)).sqrt()
    }

    /// Smallest p value that so few units can give.
    pub fn least_p(&self) -> f64 {
        if self.permutation.exact { self.permutation.share(1) } else { self.permutation.share(0) }
    }

    /// Smallest effect that this test would find at `alpha` with probability `power` if the components
    /// are what they were estimated to be.
    pub fn detectable(&self, alpha: f64, power: f64) -> f64 {
        detectable::detectable(self.units, self.seeds, alpha, power)
    }
}

/// Two-sided tail of Student's distribution.
fn student_tail(degrees: f64, t: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |student| 2.0 * student.cdf(-t))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::expected::{expected, numbers};
    use super::super::moments;
    use super::super::paired_t::paired_t;
    use super::*;

    const RESAMPLING: Resampling = Resampling { resamples: 2_000, level: 0.95, seed: 3 };

    #[test]
    fn one_seed_is_the_permutation_test() {
        let units = Units::each(&[0.3, 0.1, -0.2, 0.4, 0.6, 0.1, -0.1, 0.5]);
        let (inference, wanted) = (Inference::new(&units, &[0.2], RESAMPLING), permutation(&units, RESAMPLING));
        assert_eq!((inference.p(), inference.interval(0.1)), (wanted.p(), wanted.interval(0.1)));
        assert_eq!(inference.error(), units.variance().sqrt());
    }

    #[test]
    fn one_sided_tests_of_many_pairs_agree_with_scipy_and_statsmodels() {
        let mut compared = 0;
        for case in expected()["paired"].as_array().unwrap() {
            let differences = numbers(&case["differences"]);
            if differences.len() < 40 {
                continue;
            }
            let units = Units::each(&differences);
            let inference = Inference::new(&units, &[units.mean()], Resampling { resamples: 20_000, ..RESAMPLING });
            let wanted = |name: &str| case["margin"][name].as_f64().unwrap();
            let margin = wanted("margin");
            let [low, high] = [-margin, margin].map(|margin| inference.one_sided(margin).value);
            assert!((low - wanted("not_worse")).abs() < 0.005, "{low} {}", wanted("not_worse"));
            assert!((low.max(high) - wanted("tost")).abs() < 0.005, "{low} {high} {}", wanted("tost"));
            let beyond = inference.one_sided(units.mean() + 1.5 * units.variance().sqrt()).value;
            assert!((beyond - wanted("worse")).abs() < 0.01, "{beyond} {}", wanted("worse"));
            compared += 1;
        }
        assert!(compared >= 3);
    }

    #[test]
    fn seeds_alone_are_a_t_test() {
        // Every unit says the same, so that all that is unknown is other seeds.
        let by_seed = [0.25, -0.15, 0.02];
        let units = Units::each(&[0.04; 60]);
        let inference = Inference::new(&units, &by_seed, RESAMPLING);
        let t = paired_t(&by_seed, 0.95).unwrap();
        let Interval { low, high } = inference.interval(0.05);
        assert!((low - t.interval.low).abs() < 1e-9 && (high - t.interval.high).abs() < 1e-9, "{low} {high}");
        // scipy.stats.ttest_1samp([.25, -.15, .02], 0).pvalue
        assert!((inference.p().value - 0.762_9).abs() < 5e-4, "{:?} {}", inference.p(), t.p);
    }

    #[test]
    fn two_seeds_say_little_and_equal_ones_add_nothing() {
        let units = Units::each(&(0..40).map(|unit| 0.2 + 0.01 * f64::from(unit % 5)).collect::<Vec<_>>());
        let mean = units.mean();
        let two = Inference::new(&units, &[mean - 0.02, mean + 0.02], RESAMPLING);
        // 12.706 standard errors of 0.02.
        assert!((two.interval(0.05).low - (mean - 0.254)).abs() < 2e-3 && two.p().value > 0.05);
        let equal = Inference::new(&units, &[mean, mean], RESAMPLING);
        assert!(equal.p().is_at_floor() && equal.interval(0.05).low > 0.21);
    }

    #[test]
    fn a_share_has_wilsons_interval_and_that_of_seeds_on_top() {
        // scipy: t.ppf(.975, 29) is 2.045230; all right, so that 30 units count: 30 / (30 + t^2).
        let units = Units::each(&[1.0; 30]);
        let one = Inference::new(&units, &[1.0], RESAMPLING).interval_of_share(0.05);
        assert!((one.low - 0.877_630).abs() < 1e-5 && one.high == 1.0, "{one:?}");
        // t.ppf(.975, 1) times sqrt(2 0.01^2 / 2).
        let two = Inference::new(&units, &[0.99, 1.01], RESAMPLING).interval_of_share(0.05);
        assert!((two.low - (1.0 - 0.127_062_f64.hypot(1.0 - one.low))).abs() < 1e-5, "{two:?}");
    }

    #[test]
    fn too_few_units_have_no_limits() {
        let inference = Inference::new(&Units::each(&[0.1, 0.2, 0.4]), &[0.2, 0.3], RESAMPLING);
        assert_eq!(inference.least_p(), 0.25);
        assert_eq!(inference.interval(0.05), Interval { low: f64::NEG_INFINITY, high: f64::INFINITY });
        assert!(inference.p().value >= 0.25);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]
        #[test]
        fn test_and_interval_are_one(
            values in prop::collection::vec(-0.5..1.0f64, 4..40),
            apart in prop::collection::vec(-0.2..0.2f64, 2..6),
            alpha in 0.002..0.9f64,
        ) {
            let units = Units::each(&values);
            let centre = moments::mean(&apart);
            let by_seed: Vec<f64> = apart.iter().map(|part| units.mean() + part - centre).collect();
            let inference = Inference::new(&units, &by_seed, Resampling { resamples: 300, ..RESAMPLING });
            let (p, Interval { low, high }) = (inference.p().value, inference.interval(alpha));
            prop_assert!(low <= inference.effect() && inference.effect() <= high);
            // Student's quantile and tail are inverse to each other up to their own rounding.
            if (p - alpha).abs() > 1e-9 {
                prop_assert_eq!(p < alpha, low > 0.0 || high < 0.0, "p {} alpha {} {} {}", p, alpha, low, high);
            }
            // At any difference, on one side too.
            for value in [0.3, -0.1] {
                let (two, one) = (inference.p_at(value).value, inference.one_sided(value).value);
                prop_assert_eq!(one, two / 2.0);
                if (two - alpha).abs() > 1e-9 {
                    prop_assert_eq!(one < alpha / 2.0, low > value || high < value, "p {} alpha {}", two, alpha);
                }
            }
            // Never narrower, nor surer, than units by themselves.
            let alone = Inference::new(&units, &[units.mean()], Resampling { resamples: 300, ..RESAMPLING });
            prop_assert!(p >= alone.p().value && low <= alone.interval(alpha).low);
            prop_assert!(inference.interval(alpha / 2.0).low <= low);
        }
    }
}
