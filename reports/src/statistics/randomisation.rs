//! Approximate randomisation of a metric of the whole corpus.

use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;

use super::moments::columns;
use super::{P, Resampling, stream};

/// Reports an approximate randomisation test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Randomisation {
    /// The observed difference of the two systems.
    pub difference: f64,
    /// Two-sided p value.
    pub p: P,
}

/// Tests the difference of two systems on a metric that is a function of summed counts, two-sided.
///
/// `first` and `second` hold one row of counts per item, paired by position. Under the null
/// hypothesis the labels of the two systems are exchangeable within every item: each trial swaps
/// them at random per item and recomputes `difference(first sums, second sums)`. With `b` of `m`
/// trials at least as far from zero as observed, p is `(b + 1) / (m + 1)`. Noreen (1989),
/// "Computer-intensive methods for testing hypotheses"; Riezler and Maxwell (2005), "On some
/// pitfalls in automatic evaluation and significance testing for MT"; `--paired-ar` of sacrebleu. Items
/// that are not independent of each other belong into one row, summed.
///
/// # Panics
/// If the two sides differ in their number of items, or rows in their length.
pub fn randomisation(
    first: &[Vec<f64>],
    second: &[Vec<f64>],
    resampling: Resampling,
    difference: impl Fn(&[f64], &[f64]) -> f64 + Sync,
) -> Randomisation {
    assert_eq!(first.len(), second.len(), "items are paired");
    let width = first.first().map_or(0, Vec::len);
    assert!(first.iter().chain(second).all(|row| row.len() == width), "rows are equally long");
    let [first_sums, second_sums] = [first, second].map(|rows| columns(rows.iter().map(Vec::as_slice)));
    // What a swap of the item adds to the first side and takes from the second.
    let swaps: Vec<Vec<f64>> =
        first.iter().zip(second).map(|(a, b)| b.iter().zip(a).map(|(b, a)| b - a).collect()).collect();
    let observed = difference(&first_sums, &second_sums);
    let reach = observed.abs() * (1.0 - 1e-12);
    let hits = (0..resampling.resamples)
        .into_par_iter()
        .map_init(
            || (vec![0.0; width], vec![0.0; width], vec![0.0; width]),
            |(moved, left, right), resample| {
                let mut rng = stream(resampling.seed, resample);
                moved.fill(0.0);
                for swap in &swaps {
                    if rng.random::<bool>() {
                        moved.iter_mut().zip(swap).for_each(|(sum, value)| *sum += value);
                    }
                }
                for (index, shift) in moved.iter().enumerate() {
                    left[index] = first_sums[index] + shift;
                    right[index] = second_sums[index] - shift;
                }
                usize::from(difference(left, right).abs() >= reach)
            },
        )
        .sum::<usize>();
    Randomisation { difference: observed, p: P::resampled(hits, resampling.resamples) }
}

#[cfg(test)]
mod tests {
    use super::super::expected::{expected, numbers};
    use super::super::permutation::permutation;
    use super::super::units::Units;
    use super::*;

    fn rows(values: &[f64]) -> Vec<Vec<f64>> {
        values.iter().map(|value| vec![*value, 1.0]).collect()
    }

    fn of_means(first: &[f64], second: &[f64]) -> f64 {
        first[0] / first[1] - second[0] / second[1]
    }

    #[test]
    fn of_a_mean_is_the_permutation_test() {
        for case in expected()["paired"].as_array().unwrap() {
            let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
            let resampling = Resampling::default();
            let result = randomisation(&rows(&a), &rows(&b), resampling, of_means);
            let wanted = permutation(&Units::each(&numbers(&case["differences"])), resampling);
            assert!((result.difference - wanted.mean).abs() < 1e-9);
            assert!((result.p.value - wanted.p().value).abs() < 0.015, "{:?} {:?}", result.p, wanted.p());
        }
    }

    #[test]
    fn equal_systems_give_one() {
        let same = rows(&[0.1, 0.5, 0.9]);
        assert_eq!(randomisation(&same, &same, Resampling::default(), of_means).p.value, 1.0);
    }
}
