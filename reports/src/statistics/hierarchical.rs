//! Confidence intervals that resample seeds as well as items.

use rand::RngExt;
use rayon::prelude::*;

use super::{Resampling, stream};

/// Computes the statistic on samples that draw seeds with replacement and, independently, items.
///
/// A crossed two-way bootstrap: each resample draws one list of seeds and one list of items, and
/// applies the items to every drawn seed, because all seeds answer the same questions (Owen 2007,
/// "The pigeonhole bootstrap"). Its intervals are conservative. They say what to expect of new
/// seeds *and* new questions, where [`super::bootstrap::distribution`] holds the seeds as they are.
///
/// `statistic(seeds, items)` receives drawn indices. Empty when there are no seeds or no items.
pub fn distribution(
    seeds: usize,
    items: usize,
    resampling: Resampling,
    statistic: impl Fn(&[usize], &[usize]) -> f64 + Sync,
) -> Vec<f64> {
    if seeds == 0 || items == 0 {
        return Vec::new();
    }
    (0..resampling.resamples)
        .into_par_iter()
        .map_init(
            || (vec![0; seeds], vec![0; items]),
            |(drawn_seeds, drawn_items), resample| {
                let mut rng = stream(resampling.seed, resample);
                for seed in drawn_seeds.iter_mut() {
                    *seed = rng.random_range(0..seeds);
                }
                for item in drawn_items.iter_mut() {
                    *item = rng.random_range(0..items);
                }
                statistic(drawn_seeds, drawn_items)
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::moments::variance;
    use super::*;

    /// value(seed, item) = seed effect + item effect, so the variance of the mean is known:
    /// sum of population variances over their counts.
    #[test]
    fn variance_adds_up_over_both_levels() {
        let seeds = [0.0, 1.0, 2.0, 5.0];
        let items: Vec<f64> = (0..30).map(|i| f64::from(i % 7)).collect();
        let resampling = Resampling { resamples: 30_000, ..Resampling::default() };
        let values = distribution(4, 30, resampling, |s, i| {
            s.iter().map(|&s| seeds[s]).sum::<f64>() / 4.0 + i.iter().map(|&i| items[i]).sum::<f64>() / 30.0
        });
        let population = |v: &[f64]| variance(v) * (v.len() - 1) as f64 / v.len() as f64;
        let wanted = population(&seeds) / 4.0 + population(&items) / 30.0;
        assert!((variance(&values) / wanted - 1.0).abs() < 0.04);
    }

    #[test]
    fn one_seed_adds_no_variance_of_seeds() {
        let values = distribution(1, 5, Resampling::default(), |seeds, _| seeds[0] as f64);
        assert!(values.iter().all(|&value| value == 0.0));
    }
}
