//! Training sequences as tensors: what the model reads, and where and what it predicts.

use tch::{Device, Tensor};

use crate::data::encode::Sequence;
use crate::models::packed::{Packed, Tails};

/// Holds sequences laid end to end with the tokens that predict responses.
#[derive(Debug)]
pub struct Batch {
    /// All tokens but the last of each sequence.
    pub packed: Packed,
    /// The tokens that predict a response token: the last ones of each sequence, `[responses]`.
    pub tails: Tails,
    /// Token at each of these rows `[responses]`, int64.
    pub inputs: Tensor,
    /// Token to predict there `[responses]`, int64.
    pub labels: Tensor,
}

impl Batch {
    /// Packs `sequences` on `device`.
    pub fn new(sequences: &[&Sequence], device: Device) -> Self {
        let read: Vec<&[u32]> =
            sequences.iter().map(|sequence| &sequence.tokens[..sequence.tokens.len() - 1]).collect();
        let (mut inputs, mut labels, mut response_lengths) = (vec![], vec![], vec![]);
        for sequence in sequences {
            for target in sequence.response_start..sequence.tokens.len() {
                inputs.push(i64::from(sequence.tokens[target - 1]));
                labels.push(i64::from(sequence.tokens[target]));
            }
            response_lengths.push((sequence.tokens.len() - sequence.response_start) as i64);
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let packed = Packed::new(&read, None, device);
        let tails = packed.tails(&response_lengths);
        Self { packed, tails, inputs: tensor(&inputs), labels: tensor(&labels) }
    }
}

/// Returns the number of tokens that `sequence` predicts.
pub fn response_tokens(sequence: &Sequence) -> usize {
    sequence.tokens.len() - sequence.response_start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_predict_the_response_and_nothing_else() {
        let first = Sequence { example: 0, tokens: vec![5, 6, 7, 2], response_start: 2 };
        let second = Sequence { example: 1, tokens: vec![8, 9, 2], response_start: 1 };
        let batch = Batch::new(&[&first, &second], Device::Cpu);
        let values = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!(values(&batch.packed.ids), [5, 6, 7, 8, 9]);
        assert_eq!(values(&batch.packed.positions), [0, 1, 2, 0, 1]);
        assert_eq!(values(&batch.tails.rows), [1, 2, 3, 4]);
        assert_eq!(values(&batch.inputs), [6, 7, 8, 9]);
        assert_eq!(values(&batch.labels), [7, 2, 9, 2]);
        assert_eq!(batch.tails.lengths, [2, 2]);
    }
}
