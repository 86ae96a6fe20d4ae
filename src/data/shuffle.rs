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

/// Draws from `0..bound` for one example: by `seed`, the `purpose` and its id alone, so that neither
/// the other examples nor their order matter.
pub(super) fn draw(seed: u64, purpose: &str, id: &str, bound: u64) -> u64 {
    below(&mut ChaCha8Rng::seed_from_u64(rank(seed, purpose, id)), bound)
}

/// Returns a number that is random by `seed` and `purpose` and fixed for an id: examples sorted by it
/// are shuffled.
pub(super) fn rank(seed: u64, purpose: &str, id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
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
    use super::{draw, rank, shuffle};

    #[test]
    fn the_permutation_is_fixed_by_seed_and_stream() {
        let permutation = |seed, stream| {
            let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
            shuffle(&mut items, seed, stream);
            items
        };
        // Stored once: a change would move examples between the splits of published studies.
        assert_eq!(permutation(2, 0), [0, 2, 3, 4, 7, 6, 1, 5]);
        assert_eq!(permutation(3, 0), [0, 7, 3, 6, 1, 2, 4, 5]);
        assert_ne!(permutation(1, 0), permutation(1, 1));
        assert_ne!(permutation(1, 0), permutation(2, 0));
    }

    #[test]
    fn what_is_drawn_for_an_example_is_fixed_by_seed_purpose_and_id() {
        // Stored once: a change would move the windows of published studies.
        assert_eq!(draw(1, "window", "a", 1000), 525);
        assert_ne!(rank(1, "window", "a"), rank(2, "window", "a"));
        assert_ne!(rank(1, "window", "a"), rank(1, "limit", "a"));
        let mut counts = [0_u32; 8];
        for id in 0..8000 {
            counts[draw(1, "window", &id.to_string(), 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 150), "{counts:?}");
    }

    #[test]
    fn every_permutation_is_about_equally_likely() {
        let mut counts = std::collections::BTreeMap::<[u8; 4], u32>::new();
        for seed in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut items, seed, 0);
            *counts.entry(items).or_default() += 1;
        }
        // 24 permutations, 1000 expected each, standard deviation 31.
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| count.abs_diff(1000) < 150));
    }
}
