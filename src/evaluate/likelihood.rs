//! How probable a model finds the reference responses.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tch::{Kind, no_grad};

use crate::data::encode::Sequence;
use crate::models::cross_entropy::per_token;
use crate::models::decoder::Decoder;
use crate::train::batch::Batch;

/// Holds the negative log-likelihood of one response, end token included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// `-sum ln p(token)`, in nats.
    pub nats: f64,
    /// Tokens of the response.
    pub tokens: u64,
}

impl Likelihood {
    /// Returns the nats per token; not a number without tokens.
    pub fn per_token(self) -> f64 {
        self.nats / self.tokens as f64
    }
}

/// Computes the likelihood of each sequence's response given its prompt, in order.
///
/// `at_a_time` sequences are computed together, packed without padding to the longest; logits exist
/// for response positions only, in chunks and in f32. `progress` is told the finished sequences and
/// their final number, and may ask to stop: there is no result then, unless all are finished.
pub fn likelihood(
    decoder: &Decoder,
    sequences: &[Sequence],
    at_a_time: usize,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Option<Vec<Likelihood>> {
    let mut all = Vec::with_capacity(sequences.len());
    for chunk in sequences.chunks(at_a_time.max(1)) {
        let batch = Batch::new(&chunk.iter().collect::<Vec<_>>(), decoder.device());
        no_grad(|| {
            let hidden = batch.hidden(decoder);
            let nats = per_token(&hidden, decoder.head(), &batch.labels).to_kind(Kind::Double);
            let nats = Vec::<f64>::try_from(nats).expect("one number per response token");
            let mut rest = nats.as_slice();
            for &length in &batch.response_lengths {
                let (own, others) = rest.split_at(length as usize);
                all.push(Likelihood { nats: own.iter().sum(), tokens: length as u64 });
                rest = others;
            }
        });
        if progress(all.len(), sequences.len()).is_break() && all.len() < sequences.len() {
            return None;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Tensor};

    use super::*;
    use crate::models::layers::Mode;
    use crate::models::packed::Packed;

    fn decoder() -> Decoder {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/llama");
        Decoder::load(&folder, Kind::Float, Device::Cpu).unwrap()
    }

    fn sequences() -> Vec<Sequence> {
        let sequence = |example: usize| Sequence {
            example,
            tokens: (0..6 + 5 * example).map(|i| ((i * i + 3 * example) % 96) as u32).collect(),
            response_start: 2 + example,
        };
        (0..9).map(sequence).collect()
    }

    fn measure(decoder: &Decoder, at_a_time: usize) -> Vec<Likelihood> {
        likelihood(decoder, &sequences(), at_a_time, &mut |_, _| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn ends_where_it_is_asked_to() {
        let (decoder, mut told) = (decoder(), Vec::new());
        let stopped = likelihood(&decoder, &sequences(), 4, &mut |done, all| {
            told.push((done, all));
            if done < 8 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!((stopped, told), (None, vec![(4, 9), (8, 9)]));
        assert!(likelihood(&decoder, &sequences(), 9, &mut |_, _| ControlFlow::Break(())).is_some());
    }

    #[test]
    fn equals_the_log_probabilities_of_the_response() {
        let decoder = decoder();
        for (sequence, found) in sequences().iter().zip(measure(&decoder, 4)) {
            let packed = Packed::new(&[&sequence.tokens], None, Device::Cpu);
            let log = decoder.logits(&decoder.hidden(&packed, Mode::Infer)).log_softmax(-1, Kind::Double);
            let targets = sequence.response_start..sequence.tokens.len();
            let count = targets.len() as u64;
            let nats: f64 = targets.map(|at| -log.double_value(&[at as i64 - 1, i64::from(sequence.tokens[at])])).sum();
            assert!((found.nats - nats).abs() < 1e-4, "{} {nats}", found.nats);
            assert_eq!(found.tokens, count);
        }
    }

    #[test]
    fn does_not_depend_on_the_batch() {
        let decoder = decoder();
        let alone = measure(&decoder, 1);
        for batch in [2, 4, 100] {
            for (a, b) in alone.iter().zip(measure(&decoder, batch)) {
                assert!((a.per_token() - b.per_token()).abs() < 1e-5, "{batch}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_uniform_model_is_as_perplexed_as_its_vocabulary_is_large() {
        let mut decoder = decoder();
        decoder.norm.weight = Tensor::zeros([32], (Kind::Float, Device::Cpu));
        let found = measure(&decoder, 4);
        assert!(found.iter().all(|response| (response.per_token().exp() - 96.0).abs() < 1e-4));
    }
}
