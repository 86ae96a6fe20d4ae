//! A batch without padding to the longest: the tokens of all sequences one after another.
//!
//! Linear layers see one long matrix, attention keeps the sequences apart, so but for rounding a result
//! depends neither on who else is in the batch nor on how long they are.

use tch::{Device, Tensor};

/// Tokens that the length of a sequence may be rounded up to. oneDNN compiles a kernel for every
/// shape it meets and keeps a thousand: with a new number of rows in every step, a third of the time of
/// a model of two million parameters went into compiling (8,275 tokens/s became 12,573 by rounding).
const ROUND: usize = 16;

/// Returns a number of tokens rounded up so that few shapes differ.
pub fn rounded(tokens: usize) -> usize {
    tokens.next_multiple_of(ROUND)
}

/// The last tokens of each sequence of a batch: where hidden states are asked for.
#[derive(Debug)]
pub struct Tails {
    /// Their rows in the packed batch `[selected]`, int64.
    pub rows: Tensor,
    /// Tokens of each sequence that are selected; their sum is `selected`.
    pub lengths: Vec<i64>,
}

/// Holds sequences laid end to end.
#[derive(Debug)]
pub struct Packed {
    /// Token ids `[tokens]`, int64.
    pub ids: Tensor,
    /// Position of each token in its own sequence `[tokens]`, int64.
    pub positions: Tensor,
    /// Tokens of each sequence, its filler included; their sum is `tokens`.
    pub lengths: Vec<i64>,
    /// Tokens of each sequence without the filler behind them.
    pub unfilled: Vec<i64>,
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
            unfilled: lengths.clone(),
            lengths,
        }
    }

    /// Packs `sequences` as [`Self::new`] does, each followed by filler up to its [`rounded`] length: no token
    /// sees what comes after it, so the filler changes nothing before it.
    pub fn filled(sequences: &[&[u32]], offsets: Option<&[i64]>, device: Device) -> Self {
        let filled: Vec<Vec<u32>> = sequences
            .iter()
            .map(|tokens| {
                let mut filled = tokens.to_vec();
                filled.resize(rounded(tokens.len()), 0);
                filled
            })
            .collect();
        let unfilled = sequences.iter().map(|tokens| tokens.len() as i64).collect();
        Self { unfilled, ..Self::new(&filled.iter().map(Vec::as_slice).collect::<Vec<_>>(), offsets, device) }
    }

    /// Selects the last `lengths[i]` tokens of each sequence `i`.
    ///
    /// # Panics
    /// When there is not one length for each sequence, or one is longer than its sequence.
    pub fn tails(&self, lengths: &[i64]) -> Tails {
        assert_eq!(lengths.len(), self.lengths.len(), "one length for each sequence");
        let fits = lengths.iter().zip(&self.lengths).all(|(tail, length)| tail <= length);
        assert!(fits, "tails of {lengths:?} tokens, expected at most {:?}", self.lengths);
        Tails { rows: tail_rows(lengths, &self.lengths, self.ids.device()), lengths: lengths.to_vec() }
    }
}

/// Returns the rows `[sum of tails]` of the last tokens of each sequence, int64.
pub(super) fn tail_rows(tails: &[i64], lengths: &[i64], device: Device) -> Tensor {
    let mut end = 0;
    let mut rows = Vec::new();
    for (&tail, &length) in tails.iter().zip(lengths) {
        end += length;
        rows.extend(end - tail..end);
    }
    Tensor::from_slice(&rows).to_device(device)
}
