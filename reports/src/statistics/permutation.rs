//! The paired permutation test of a mean, and the interval that goes with it.

use rand::RngExt;
use rayon::prelude::*;

use super::p_value::P;
use super::units::Units;
use super::{Interval, Resampling, stream};

/// Holds the outcomes of flipping the sign of whole units.
///
/// Fisher (1935), "The design of experiments", section 21. The assumption: what units are above or below
/// the true mean `t` by is symmetric, so that it could as well have the other sign. It holds where both
/// sides have one law; where their laws have equal means and unequal shapes, the level holds for many
/// units, as that of the t test does (Romano 1990, "On the behavior of randomization tests without a group
/// invariance assumption"). Pattern `e` of signs is as extreme as what was observed when `|A - t N| <= |sum e (U - t n)|`, for unit sums `U` and sizes `n` with
/// totals `A` and `N`. That holds exactly for every `t` between the mean over the flipped units and
/// the mean over the others. So one set of patterns gives both the test of zero and, by inversion,
/// the interval, and they agree: p is below alpha if and only if zero lies outside the interval of
/// level 1 - alpha. With units of equal size flips leave the sum of squares alone, so that it makes no
/// difference whether the mean is studentised; with unequal ones it does, and here it is not. The inversion for plain means: Hartigan (1969), "Using subsample values as
/// typical values".
///
/// Up to as many patterns as there would be random ones, all are tried; `e` and `-e` are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Permutation {
    /// The observed mean.
    pub mean: f64,
    /// Whether every pattern was tried.
    pub exact: bool,
    /// Smallest mean for which each pattern is as extreme as observed, in ascending order.
    low: Vec<f64>,
    /// Largest such mean, in descending order.
    high: Vec<f64>,
}

/// Flips signs of whole units.
///
/// Sums that differ by no more than rounding count as equal.
pub fn permutation(units: &Units, resampling: Resampling) -> Permutation {
    let count = units.count();
    let half = 1_usize.checked_shl(count.saturating_sub(1) as u32).unwrap_or(usize::MAX);
    let exact = count < 64 && half <= resampling.resamples;
    let patterns = if exact { half } else { resampling.resamples };
    let (mut low, mut high): (Vec<f64>, Vec<f64>) = (0..patterns)
        .into_par_iter()
        .map(|pattern| {
            let Interval { low, high } = if exact {
                reach(units, std::iter::once(pattern as u64))
            } else {
                let mut rng = stream(resampling.seed, pattern);
                reach(units, std::iter::from_fn(|| Some(rng.random())))
            };
            (low, high)
        })
        .unzip();
    low.par_sort_unstable_by(f64::total_cmp);
    high.par_sort_unstable_by(|a, b| b.total_cmp(a));
    Permutation { mean: units.mean(), exact, low, high }
}

/// Returns the means for which flipping the units of set bits is as extreme as what was observed.
fn reach(units: &Units, mut words: impl Iterator<Item = u64>) -> Interval {
    // Sum and size of the units that stay, and of those that are flipped.
    let mut sums = [0.0; 2];
    let mut sizes = [0.0; 2];
    for (sum_block, size_block) in units.sums.chunks(64).zip(units.sizes.chunks(64)) {
        let mut word = words.next().unwrap_or(0);
        for (sum, size) in sum_block.iter().zip(size_block) {
            let side = (word & 1) as usize;
            sums[side] += sum;
            sizes[side] += size;
            word >>= 1;
        }
    }
    if sizes.contains(&0.0) || sums.iter().any(|sum| !sum.is_finite()) {
        return Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let below = |side: usize| (sums[side] - units.rounding) / sizes[side];
    let above = |side: usize| (sums[side] + units.rounding) / sizes[side];
    Interval { low: below(0).min(below(1)), high: above(0).max(above(1)) }
}

impl Permutation {
    /// Returns the two-sided p value of a mean of zero.
    pub fn p(&self) -> P {
        self.p_at(0.0)
    }

    /// Returns the two-sided p value of a mean of `value`.
    pub fn p_at(&self, value: f64) -> P {
        let lows = self.low.partition_point(|&low| low <= value);
        let highs = self.high.partition_point(|&high| high >= value);
        let hits = lows.min(highs);
        if self.exact { P::exact(hits as f64 / self.low.len() as f64) } else { P::resampled(hits, self.low.len()) }
    }

    /// Returns the means that the test does not reject at `alpha`; unbounded where so few patterns
    /// reject nothing.
    pub fn interval(&self, alpha: f64) -> Interval {
        let (low, high) = self.ends(self.hits(alpha));
        Interval { low, high }
    }

    /// Fewest patterns as extreme as observed for which p is not below `alpha`.
    pub(super) fn hits(&self, alpha: f64) -> usize {
        let mut hits = ((alpha * self.low.len() as f64) as usize).min(self.low.len());
        while hits > 0 && self.share(hits - 1) >= alpha {
            hits -= 1;
        }
        while hits < self.low.len() && self.share(hits) < alpha {
            hits += 1;
        }
        hits
    }

    /// p value of a mean for which `hits` of the patterns are as extreme.
    pub(super) fn share(&self, hits: usize) -> f64 {
        if self.exact { hits as f64 / self.low.len() as f64 } else { P::resampled(hits, self.low.len()).value }
    }

    /// The interval of means for which at least `hits` of the patterns are as extreme.
    pub(super) fn ends(&self, hits: usize) -> (f64, f64) {
        match hits.checked_sub(1) {
            None => (f64::NEG_INFINITY, f64::INFINITY),
            Some(index) => {
                let index = index.min(self.low.len() - 1);
                (self.low[index].min(self.mean), self.high[index].max(self.mean))
            }
        }
    }

    /// Number of patterns.
    pub(super) fn patterns(&self) -> usize {
        self.low.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::expected::{close, expected, numbers};
    use super::super::paired_t::paired_t;
    use super::*;

    /// p value of a mean by the outcomes of one run.
    fn each_p(units: &Units, value: f64) -> f64 {
        permutation(units, Resampling { resamples: 500, ..Resampling::default() }).p_at(value).value
    }

    fn each(differences: &[f64]) -> Permutation {
        permutation(&Units::each(differences), Resampling::default())
    }

    #[test]
    fn agrees_with_scipy_where_all_patterns_are_tried() {
        let mut compared = 0;
        for case in expected()["paired"].as_array().unwrap() {
            if let Some(wanted) = case["permutation"].as_f64() {
                let result = each(&numbers(&case["differences"]));
                assert!(result.exact);
                close(result.p().value, wanted, 1e-12);
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
            let result = each(&differences);
            compared += 1;
            assert!(!result.exact);
            let t = paired_t(&differences, 0.95).unwrap();
            assert!((result.p().value - t.p).abs() < 0.01, "{:?} {}", result.p(), t.p);
            let (found, width) = (result.interval(0.05), t.interval.high - t.interval.low);
            assert!((found.low - t.interval.low).abs() < 0.04 * width, "{found:?} {:?}", t.interval);
            assert!((found.high - t.interval.high).abs() < 0.04 * width, "{found:?} {:?}", t.interval);
        }
        assert!(compared > 0);
    }

    #[test]
    fn never_zero_and_one_without_differences() {
        let clear = each(&[1.0; 40]).p();
        assert!(clear.is_at_floor() && clear.value == 1.0 / 10_001.0);
        assert_eq!(each(&[0.0; 5]).p(), P::exact(1.0));
        assert_eq!(each(&[0.0; 50]).p().value, 1.0);
    }

    #[test]
    fn units_flip_whole() {
        // Six questions on three documents are three signs, not six: 2 / 2^3.
        let items = (0..6).map(|question| (1.0 + f64::from(question), 0.0, question as usize / 2));
        let result = permutation(&Units::paired(items), Resampling::default());
        assert_eq!((result.p(), result.mean), (P::exact(0.25), 3.5));
        // Means of documents are 1.5, 3.5 and 5.5: flipping the first reaches from 1.5 to 4.5, the last from 2.5 to 5.5.
        let Interval { low, high } = result.interval(0.5);
        assert!((low - 1.5).abs() < 1e-12 && (high - 5.5).abs() < 1e-12, "{low} {high}");
        assert_eq!(result.interval(0.2), Interval { low: f64::NEG_INFINITY, high: f64::INFINITY });
    }

    #[test]
    fn ties_survive_rounding_and_real_differences_do_not() {
        // 1/2 - 1/3 and 1/2 - 2/3 cancel, though not in the last digit of f64: of the patterns in which the last
        // two have one sign, all but that with both of these against them are as extreme.
        let (half, third) = (1.0 / 2.0, 1.0 / 3.0);
        let items = [(half, third, 0), (half, 2.0 * third, 1), (1.0, 0.0, 2), (1.0, 0.0, 3)];
        assert_eq!(permutation(&Units::paired(items), Resampling::default()).p(), P::exact(0.375));
        // A value of e^25 on both sides takes nothing away from the others.
        let large = 25_f64.exp();
        let items = (0..12).map(|unit| (2.1 + 0.01 * unit as f64, 2.0, unit)).chain([(large, large, 12)]);
        assert_eq!(permutation(&Units::paired(items), Resampling::default()).p(), P::exact(4.0 / 8192.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn test_and_interval_are_one(
            items in prop::collection::vec((-1.0..1.4f64, 0_usize..25), 3..60),
            alpha in 0.001..0.999f64,
        ) {
            let units = Units::paired(items.into_iter().map(|(value, unit)| (value, 0.0, unit)));
            let result = permutation(&units, Resampling { resamples: 500, ..Resampling::default() });
            let Interval { low, high } = result.interval(alpha);
            prop_assert!(low <= result.mean && result.mean <= high);
            prop_assert_eq!(result.p().value < alpha, low > 0.0 || high < 0.0);
            // By the definition of the test, at any mean.
            for shift in [0.3, -0.2] {
                let moved = Units {
                    sums: units.sums.iter().zip(&units.sizes).map(|(sum, size)| sum - shift * size).collect(),
                    ..units.clone()
                };
                let result = permutation(&moved, Resampling { resamples: 500, ..Resampling::default() });
                prop_assert_eq!(result.p().value < alpha, low > shift || high < shift);
                prop_assert_eq!(each_p(&units, shift) < alpha, low > shift || high < shift);
            }
        }

        #[test]
        fn threads_and_the_order_of_sides_do_not_matter(values in prop::collection::vec(-1.0..1.0f64, 20..40)) {
            let run = |threads: usize, sign: f64| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let moved: Vec<f64> = values.iter().map(|value| sign * value).collect();
                pool.install(|| each(&moved))
            };
            let (one, two) = (run(1, 1.0), run(2, -1.0));
            prop_assert_eq!(one.p(), two.p());
            let (up, down) = (one.interval(0.05), two.interval(0.05));
            prop_assert!((up.low + down.high).abs() < 1e-12 && (up.high + down.low).abs() < 1e-12);
        }
    }
}
