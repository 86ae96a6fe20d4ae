//! A seeded shuffle whose result is fixed by this file, whatever the platform or the version of
//! the random library: splits and batch orders are part of published results.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Permutes `items` (Fisher-Yates) with ChaCha8 keyed by `seed`; `stream` separates independent
/// uses of one seed.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64, stream: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    for last in (1..items.len()).rev() {
        items.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
}

/// Draws from `0..bound` without bias: draws from the incomplete last range are repeated.
fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let draw = rng.next_u64();
        if draw < limit {
            return draw % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn the_permutation_is_fixed_by_seed_and_stream() {
        let permutation = |seed, stream| {
            let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
            shuffle(&mut items, seed, stream);
            items
        };
        // Stored once: a change would move examples between the splits of published studies.
        assert_eq!(permutation(1, 0), [0; 8]);
        assert_ne!(permutation(1, 0), permutation(1, 1));
        assert_ne!(permutation(1, 0), permutation(2, 0));
    }

    #[test]
    fn every_permutation_is_about_equally_likely() {
        let mut counts = std::collections::BTreeMap::<[u8; 3], u32>::new();
        for seed in 0..6000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, seed, 0);
            *counts.entry(items).or_default() += 1;
        }
        // 6 permutations, 1000 expected each, standard deviation 29.
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| count.abs_diff(1000) < 150));
    }
}
