//! The order of training: which examples share a batch, and when.

use super::shuffle::shuffle;

/// Batches of one pool. Larger pools pad less and mix lengths less. With batches of 16, 32 leaves
/// 1 to 2 % padding where batches in the order of the data have 10 to 24 % (TeleQuAD with whole
/// contexts, glossary; measured), and a pool still spans hundreds of examples.
const POOL_BATCHES: usize = 32;

/// Arranges one epoch: returns batches of indices into `lengths` (tokens per sequence).
///
/// Every index occurs exactly once; all batches hold `batch` indices but the last, which holds the
/// remainder. The same arguments give the same order on every machine. Lengths play no part:
/// batches are packed without padding, so there is nothing to gain from similar lengths.
///
/// # Panics
/// If `batch` is 0.
pub fn batches(examples: usize, batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    assert!(batch > 0, "a batch holds at least one sequence");
    let mut indices: Vec<usize> = (0..lengths.len()).collect();
    shuffle(&mut indices, seed, 2 * epoch);
    for pool in indices.chunks_mut(batch.saturating_mul(POOL_BATCHES)) {
        pool.sort_by_key(|&index| lengths[index]);
    }
    let mut batches: Vec<Vec<usize>> = indices.chunks(batch).map(<[usize]>::to_vec).collect();
    shuffle(&mut batches, seed, 2 * epoch + 1);
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn batches_hold_little_padding() {
        // Every length from 1 to 640 once, scattered.
        let lengths: Vec<usize> = (0..640).map(|index| 1 + (index * 37) % 640).collect();
        let padded = |batches: &[Vec<usize>]| {
            let longest = |batch: &Vec<usize>| batch.iter().map(|&index| lengths[index]).max();
            let sizes = batches
                .iter()
                .map(|batch| batch.len() * longest(batch).unwrap());
            sizes.sum::<usize>() as f64 / lengths.iter().sum::<usize>() as f64
        };
        let in_order: Vec<Vec<usize>> = (0..640)
            .collect::<Vec<_>>()
            .chunks(16)
            .map(<[usize]>::to_vec)
            .collect();
        assert!(padded(&in_order) > 1.8);
        // Sorted lengths would give 1 + 15 / 641; pools of 512 and 128 give a little more.
        assert!(padded(&batches(&lengths, 16, 1, 0)) < 1.06);
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(batches(100, 8, 1, 0), batches(100, 8, 1, 1));
        assert_ne!(batches(100, 8, 1, 0), batches(100, 8, 2, 0));
        assert!(batches(0, 8, 1, 0).is_empty());
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
