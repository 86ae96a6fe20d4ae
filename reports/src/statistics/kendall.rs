//! Whether two measurements rank the same things alike: Kendall's tau-b, its test and interval.

use rand::seq::SliceRandom;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::p_value::P;
use super::{Interval, Resampling, stream};

/// Fewest pairs of values that are tested: three have no p value below 1/3.
pub const FEWEST: usize = 4;

/// Most pairs of values with ties of which every permutation is tried: 8! is 40,320.
const ALL: usize = 8;

/// Values closer than this, as a share of the larger one, are equal: sums in another order differ by as much.
const TIE: f64 = 1e-12;

/// Reports how two lists of values rank the same things.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kendall {
    /// Kendall's tau-b, -1 to 1.
    pub tau: f64,
    /// Two-sided p value of no association.
    pub p: P,
    /// Smallest p value that so many values with such ties can give.
    pub least_p: f64,
    count: usize,
    /// Fisher's z of tau.
    z: f64,
}

/// Says why there is no rank correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undefined {
    /// Fewer than [`FEWEST`] values.
    Few,
    /// All values of the first list are equal.
    FirstConstant,
    /// All values of the second list are equal.
    SecondConstant,
}

/// Correlates the ranks of two lists, paired by position.
///
/// Kendall (1945), "The treatment of ties in ranking problems": `tau-b = (C - D) / sqrt((N - T)(N - U))`, with `C`
/// and `D` the pairs that both lists order alike and unlike, `N` all pairs, `T` and `U` those that the first and the
/// second list tie. p is the share of permutations of one list with `|C - D|` at least as large as observed: of all
/// of them for at most eight values; without ties from the exact distribution of inversions (Kendall 1938, "A new
/// measure of rank correlation"); otherwise of random ones, as [`P::resampled`].
///
/// # Errors
/// Why it is not defined.
///
/// # Panics
/// If the lists differ in length.
pub fn kendall(first: &[f64], second: &[f64], resampling: Resampling) -> Result<Kendall, Undefined> {
    assert_eq!(first.len(), second.len(), "values are paired");
    let count = first.len();
    if count < FEWEST {
        return Err(Undefined::Few);
    }
    let (one, other) = (Signs::of(first), Signs::of(second));
    let (free, other_free) = (one.untied(), other.untied());
    if free == 0 {
        return Err(Undefined::FirstConstant);
    }
    if other_free == 0 {
        return Err(Undefined::SecondConstant);
    }
    let own: Vec<usize> = (0..count).collect();
    let score = one.score(&other, &own);
    let root = (free as f64 * other_free as f64).sqrt();
    let pairs = count * (count - 1) / 2;
    let (p, least_p) = if count <= ALL {
        let scores: Vec<i64> = permutations(count).iter().map(|order| one.score(&other, order)).collect();
        let largest = scores.iter().map(|score| score.abs()).max().unwrap_or(0);
        let share =
            |reach: i64| scores.iter().filter(|score| score.abs() >= reach).count() as f64 / scores.len() as f64;
        (P::exact(share(score.abs())), share(largest))
    } else if free == pairs && other_free == pairs {
        let law = inversions(count);
        let fewest = (pairs - score.unsigned_abs() as usize) / 2;
        // C - D goes from -N to N in steps of two, alike in both directions.
        let tail = |fewest: usize| (2.0 * law[..=fewest].iter().sum::<f64>()).min(1.0);
        (P::exact(if score == 0 { 1.0 } else { tail(fewest) }), tail(0))
    } else {
        let draws = resampling.resamples;
        let as_far = |&draw: &usize| {
            let mut order = own.clone();
            order.shuffle(&mut stream(resampling.seed, draw));
            one.score(&other, &order).abs() >= score.abs()
        };
        let hits = (0..draws).into_par_iter().filter(as_far).count();
        (P::resampled(hits, draws), 1.0 / (draws + 1) as f64)
    };
    let tau = score as f64 / root;
    // Fisher's z of a perfect ranking is not finite: half a step of C - D less is.
    let bounded = tau.abs().min((root - 1.0) / root);
    Ok(Kendall { tau, p, least_p, count, z: bounded.atanh().copysign(tau) })
}

impl Kendall {
    /// Returns the interval of level `1 - alpha`, which leaves zero out if and only if p is below `alpha`.
    ///
    /// On Fisher's scale, `atanh(tau)`, whose standard error is about `sqrt(0.437 / (n - 4))`; Fieller, Hartley and
    /// Pearson (1957), "Tests for rank correlation coefficients. I". That error and the permutation test may
    /// disagree on zero, so the limit on the side of zero goes by the test: it is that of the error with which z has
    /// just the p value of the test ("test-based limits", Miettinen 1976, "Estimability and estimation in
    /// case-referent studies"). The other limit goes by the larger of the two errors. Four values have no error of
    /// z: that limit is then 1 or -1.
    pub fn interval(&self, alpha: f64) -> Interval {
        let normal = Normal::standard();
        let quantile = |p: f64| if p < 1.0 { -normal.inverse_cdf(p / 2.0) } else { 0.0 };
        let (reach, own) = (quantile(alpha), quantile(self.p.value));
        let size = self.z.abs();
        let error = (0.437 / (self.count as f64 - 4.0)).sqrt();
        let by_test = if size == 0.0 { error } else { size / own };
        let beyond = if self.tau.abs() == 1.0 { 1.0 } else { (size + reach * error.max(by_test)).tanh() };
        // Divided last, so that the limit is zero where alpha is p.
        let (left, missing) = (size * (own - reach), own == 0.0 && size > 0.0);
        let towards = match () {
            () if size == 0.0 => -beyond,
            () if missing => -1.0,
            () => (left / own).tanh(),
        };
        if self.tau < 0.0 { Interval { low: -beyond, high: -towards } } else { Interval { low: towards, high: beyond } }
    }
}

/// For each pair of values which of them is larger.
struct Signs {
    count: usize,
    /// `[first * count + second]`: 1, 0 or -1.
    signs: Vec<i8>,
}

impl Signs {
    fn of(values: &[f64]) -> Self {
        let sign = |one: f64, other: f64| {
            if (one - other).abs() <= TIE * one.abs().max(other.abs()) { 0 } else { 1 - 2 * i8::from(one < other) }
        };
        let signs = values.iter().flat_map(|&one| values.iter().map(move |&other| sign(one, other))).collect();
        Self { count: values.len(), signs }
    }

    /// Number of pairs that are not tied.
    fn untied(&self) -> usize {
        self.signs.iter().filter(|sign| **sign > 0).count()
    }

    /// Pairs ordered alike less those ordered unlike, with the values of `other` taken in this order.
    fn score(&self, other: &Self, order: &[usize]) -> i64 {
        let pairs = (0..self.count).flat_map(|a| (a + 1..self.count).map(move |b| (a, b)));
        let of = |(a, b): (usize, usize)| {
            let own = self.signs[a * self.count + b];
            i64::from(own * other.signs[order[a] * self.count + order[b]])
        };
        pairs.map(of).sum()
    }
}

/// All orders of so many things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let put = |shorter: Vec<usize>| {
        (0..count).map(move |place| {
            let mut order = shorter.clone();
            order.insert(place, last);
            order
        })
    };
    permutations(last).into_iter().flat_map(put).collect()
}

/// Probabilities of each number of inversions of a random order, from none on.
fn inversions(count: usize) -> Vec<f64> {
    let mut law = vec![1.0];
    for size in 2..=count {
        let mut next = vec![0.0; law.len() + size - 1];
        for (number, share) in law.iter().enumerate() {
            next[number..number + size].iter_mut().for_each(|sum| *sum += share / size as f64);
        }
        law = next;
    }
    law
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use proptest::prelude::*;

    use super::super::expected::{close, expected, numbers};
    use super::*;

    const RESAMPLING: Resampling = Resampling { resamples: 4_000, level: 0.95, seed: 3 };

    fn of(first: &[f64], second: &[f64]) -> Kendall {
        kendall(first, second, RESAMPLING).unwrap()
    }

    #[test]
    fn agrees_with_scipy() {
        let (mut exact, mut drawn) = (0, 0);
        for case in expected()["kendall"].as_array().unwrap() {
            let found = of(&numbers(&case["a"]), &numbers(&case["b"]));
            close(found.tau, case["tau"].as_f64().unwrap(), 1e-12);
            let wanted = case["p"].as_f64().unwrap();
            if found.p.floor == 0.0 {
                close(found.p.value, wanted, 1e-10);
                exact += 1;
            } else {
                assert!((found.p.value - wanted).abs() < 0.02, "{:?} {wanted}", found.p);
                drawn += 1;
            }
        }
        assert!(exact >= 6 && drawn >= 1, "{exact} {drawn}");
    }

    #[test]
    fn by_hand() {
        // Of six pairs five are alike and one is not: (5 - 1) / 6; of 24 orders 1 + 3 have at most one inversion.
        let found = of(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]);
        close(found.tau, 4.0 / 6.0, 1e-15);
        assert_eq!((found.p, found.least_p), (P::exact(8.0 / 24.0), 2.0 / 24.0));
        // Four values have no error of z.
        assert_eq!(found.interval(0.05).high, 1.0);
        // One tie in the first list: (5 - 0) / sqrt(5 * 6).
        close(of(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).tau, 5.0 / 30_f64.sqrt(), 1e-15);
    }

    #[test]
    fn limits_by_hand() {
        // tau 0.6 of six has z = atanh(0.6) = ln 2 and, from the test, p 98/720: its error is ln 2 / 1.491 = 0.4648.
        // The upper limit goes by the larger sqrt(0.437 / 2) = 0.4674.
        let found = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2.0, 1.0, 4.0, 3.0, 6.0, 5.0]);
        close(found.p.value, 98.0 / 720.0, 1e-12);
        let Interval { low, high } = found.interval(0.05);
        close(high, (LN_2 + 1.959_964 * 0.467_440).tanh(), 1e-5);
        let error = LN_2 / -Normal::standard().inverse_cdf(49.0 / 720.0);
        close(low, (LN_2 - 1.959_964 * error).tanh(), 1e-5);
    }

    #[test]
    fn what_does_not_vary_has_no_ranks() {
        let (up, flat) = ([1.0, 2.0, 3.0, 4.0], [0.3, 0.1 + 0.2, 0.3, 0.3]);
        let of = |first: &[f64], second: &[f64]| kendall(first, second, RESAMPLING).unwrap_err();
        assert_eq!((of(&flat, &up), of(&up, &flat)), (Undefined::FirstConstant, Undefined::SecondConstant));
        assert_eq!(of(&up[..3], &up[..3]), Undefined::Few);
    }

    #[test]
    fn perfect_rankings_have_limits() {
        let up: Vec<f64> = (0..6).map(f64::from).collect();
        let down: Vec<f64> = up.iter().rev().copied().collect();
        let (like, unlike) = (of(&up, &up), of(&up, &down));
        assert_eq!((like.tau, unlike.tau, like.p.value), (1.0, -1.0, 2.0 / 720.0));
        let (one, other) = (like.interval(0.05), unlike.interval(0.05));
        assert!(one.high == 1.0 && (0.2..0.9).contains(&one.low), "{one:?}");
        assert_eq!((one.low, one.high), (-other.high, -other.low));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]
        #[test]
        fn test_and_interval_are_one(
            values in prop::collection::vec((0..12_i32, 0..12_i32), 4..14),
            alphas in (0.001..0.6f64, 0.001..0.6f64),
        ) {
            let (first, second): (Vec<f64>, Vec<f64>) =
                values.iter().map(|(one, other)| (f64::from(*one), f64::from(*other))).unzip();
            let resampling = Resampling { resamples: 300, ..RESAMPLING };
            let Ok(found) = kendall(&first, &second, resampling) else { return Ok(()) };
            let (least, most) = (alphas.0.min(alphas.1), alphas.0.max(alphas.1));
            let (wide, narrow) = (found.interval(least), found.interval(most));
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high, "{:?} {:?}", wide, narrow);
            prop_assert!(wide.low <= found.tau && found.tau <= wide.high, "{:?} {:?}", found, wide);
            prop_assert!(wide.low >= -1.0 && wide.high <= 1.0 && found.p.value >= found.least_p);
            for alpha in [least, most, found.p.value] {
                let Interval { low, high } = found.interval(alpha);
                prop_assert_eq!(found.p.value < alpha, low > 0.0 || high < 0.0, "{:?} {} {} {}", found, alpha, low, high);
            }
        }
    }
}
