//! Training sequences as tensors: what the model reads, and where and what it predicts.

use tch::{Device, Tensor};

use crate::data::encode::Sequence;
use crate::models::decoder::Decoder;
use crate::models::layers::Mode;
use crate::models::packed::{Packed, Tails, rounded};

/// Holds sequences laid end to end with the tokens that predict responses.
#[derive(Debug)]
pub struct Batch {
    /// All tokens but the last of each sequence, filled to a rounded length.
    packed: Packed,
    /// The last tokens of each sequence, among them all that predict a response token.
    tails: Tails,
    /// Rows of the tails that predict a response token `[responses]`, int64.
    rows: Tensor,
    /// Token at each of these rows `[responses]`, int64.
    pub inputs: Tensor,
    /// Token to predict there `[responses]`, int64.
    pub labels: Tensor,
    /// Response tokens of each sequence.
    pub response_lengths: Vec<i64>,
}

impl Batch {
    /// Packs `sequences` on `device`.
    pub fn new(sequences: &[&Sequence], device: Device) -> Self {
        let read: Vec<&[u32]> =
            sequences.iter().map(|sequence| &sequence.tokens[..sequence.tokens.len() - 1]).collect();
        let (mut rows, mut inputs, mut labels) = (vec![], vec![], vec![]);
        let (mut tails, mut response_lengths) = (vec![], vec![]);
        let mut end = 0;
        for sequence in sequences {
            for target in sequence.response_start..sequence.tokens.len() {
                inputs.push(i64::from(sequence.tokens[target - 1]));
                labels.push(i64::from(sequence.tokens[target]));
            }
            let (read, response) = (sequence.tokens.len() - 1, response_tokens(sequence));
            let filler = rounded(read) - read;
            let tail = rounded(response + filler);
            end += tail;
            rows.extend((end - filler - response..end - filler).map(|row| row as i64));
            tails.push(tail as i64);
            response_lengths.push(response as i64);
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let packed = Packed::filled(&read, None, device);
        let tails = packed.tails(&tails);
        Self { packed, tails, rows: tensor(&rows), inputs: tensor(&inputs), labels: tensor(&labels), response_lengths }
    }

    /// Computes the hidden states of `decoder` where a response token is predicted
    /// `[responses, hidden]`, not in training.
    pub fn hidden(&self, decoder: &Decoder) -> Tensor {
        decoder.hidden_at(&self.packed, &self.tails, Mode::Infer).index_select(0, &self.rows)
    }

    /// Goes through `decoder` in training: calls `differentiate` with the hidden states where a response
    /// token is predicted `[responses, hidden]`, detached, and goes back from the gradient that it returns
    /// beside its own result.
    ///
    /// # Errors
    /// Those of `differentiate`.
    pub fn pass<T, E>(
        &self,
        decoder: &Decoder,
        recomputes: bool,
        differentiate: impl FnOnce(&Tensor) -> Result<(T, Tensor), E>,
    ) -> Result<T, E> {
        let pass = decoder.pass(&self.packed, &self.tails, recomputes);
        let states = pass.hidden().detach();
        let (result, gradient) = differentiate(&states.index_select(0, &self.rows))?;
        pass.backward(&states.zeros_like().index_copy(0, &self.rows, &gradient));
        Ok(result)
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
        let filled = |tokens: &[i64]| [tokens, &vec![0; 16 - tokens.len()]].concat();
        assert_eq!(values(&batch.packed.ids), [filled(&[5, 6, 7]), filled(&[8, 9])].concat());
        assert_eq!(batch.packed.lengths, [16, 16]);
        let read = batch.packed.ids.index_select(0, &batch.tails.rows).index_select(0, &batch.rows);
        assert_eq!(values(&read), [6, 7, 8, 9]);
        assert_eq!(values(&batch.inputs), [6, 7, 8, 9]);
        assert_eq!(values(&batch.labels), [7, 2, 9, 2]);
        assert_eq!(batch.response_lengths, [2, 2]);
    }
}
