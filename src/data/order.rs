//! The order of training: which examples share a batch, and when.

use super::shuffle::shuffle;

/// Arranges one epoch of `examples` into batches of indices.
///
/// Every index occurs exactly once; all batches hold `batch` indices but the last, which holds the
/// remainder. The same arguments give the same order on every machine. Lengths play no part:
/// batches are packed, so there is nothing to gain from similar lengths.
///
/// # Panics
/// If `batch` is 0.
pub fn batches(examples: usize, batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    assert!(batch > 0, "a batch holds at least one sequence");
    let mut indices: Vec<usize> = (0..examples).collect();
    shuffle(&mut indices, seed, epoch);
    indices.chunks(batch).map(<[usize]>::to_vec).collect()
}

/// Draws `count` of `all` indices by `seed`, in the order of the draw: each once before any comes again.
pub fn drawn(all: usize, count: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..all).collect();
    shuffle(&mut indices, seed, stream);
    indices.into_iter().cycle().take(if all == 0 { 0 } else { count }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(batches(100, 8, 1, 0), batches(100, 8, 1, 1));
        assert_ne!(batches(100, 8, 1, 0), batches(100, 8, 2, 0));
        assert!(batches(0, 8, 1, 0).is_empty());
    }

    #[test]
    fn what_is_drawn_comes_again_only_after_all() {
        let few = drawn(10, 4, 1, 1);
        assert_eq!(few.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let many = drawn(3, 7, 1, 1);
        assert_eq!((many.len(), &many[..3], many[6]), (7, &many[3..6], many[0]));
        assert_ne!(drawn(100, 9, 1, 1), drawn(100, 9, 2, 1));
        assert!(drawn(0, 5, 1, 1).is_empty());
    }

    proptest! {
        #[test]
        fn every_index_occurs_once(examples in 0_usize..400, batch in 1_usize..20, seed: u64, epoch in 0_u64..9) {
            let batches = batches(examples, batch, seed, epoch);
            prop_assert_eq!(&batches, &super::batches(examples, batch, seed, epoch));
            prop_assert!(batches.iter().rev().skip(1).all(|members| members.len() == batch));
            let mut indices: Vec<usize> = batches.into_iter().flatten().collect();
            indices.sort_unstable();
            prop_assert_eq!(indices, (0..examples).collect::<Vec<_>>());
        }
    }
}
