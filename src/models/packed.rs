//! A batch without padding: the tokens of all sequences one after another.
//!
//! Linear layers see one long matrix, attention one sequence at a time, so but for rounding a result
//! depends neither on who else is in the batch nor on how long they are.

use tch::{Device, Tensor};

/// Holds sequences laid end to end.
#[derive(Debug)]
pub struct Packed {
    /// Token ids `[tokens]`, int64.
    pub ids: Tensor,
    /// Position of each token in its own sequence `[tokens]`, int64.
    pub positions: Tensor,
    /// Tokens of each sequence; their sum is `tokens`.
    pub lengths: Vec<i64>,
}

impl Packed {
    /// Packs `sequences`, each starting at its position in `offsets` (zero without any).
    ///
    /// # Panics
    /// When `offsets` is given and not as long as `sequences`.
    pub fn new(sequences: &[&[u32]], offsets: Option<&[i64]>, device: Device) -> Self {
        let ids: Vec<i64> = sequences.iter().flat_map(|tokens| tokens.iter().map(|&id| i64::from(id))).collect();
        let lengths: Vec<i64> = sequences.iter().map(|tokens| tokens.len() as i64).collect();
        let start = |sequence: usize| offsets.map_or(0, |offsets| offsets[sequence]);
        let positions: Vec<i64> = lengths
            .iter()
            .enumerate()
            .flat_map(|(sequence, &length)| (0..length).map(move |i| start(sequence) + i))
            .collect();
        Self {
            ids: Tensor::from_slice(&ids).to_device(device),
            positions: Tensor::from_slice(&positions).to_device(device),
            lengths,
        }
    }
}
