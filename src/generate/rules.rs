//! What changes logits before a token is chosen, because of what prompt and answer hold already.

use crate::experiment::settings::Decoding;

/// Rules on repetition, in the order in which transformers' `generate` applies them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    penalty: Option<f64>,
    ngram: Option<usize>,
}

impl Rules {
    /// Returns the rules of a way of decoding.
    pub fn of(decoding: &Decoding) -> Self {
        Self { penalty: decoding.repetition_penalty(), ngram: decoding.no_repeat_ngram() }
    }

    /// Says whether there are none.
    pub fn is_empty(self) -> bool {
        self.penalty.is_none() && self.ngram.is_none()
    }

    /// Applies the rules to the logits `[vocab]` of the token that comes after `context`: prompt and answer.
    pub fn apply(self, logits: &mut [f32], context: &[u32]) {
        if let Some(penalty) = self.penalty {
            penalise(logits, context, penalty);
        }
        if let Some(length) = self.ngram {
            ban(logits, &repeating(context, length));
        }
    }
}

/// Divides positive logits of tokens that the context holds by `penalty`, and multiplies negative ones: each
/// token once, however often it is there (Keskar et al. 2019, arXiv 1909.05858, section 4.1, where logits are
/// divided whatever their sign; as here in transformers' `RepetitionPenaltyLogitsProcessor`).
pub fn penalise(logits: &mut [f32], context: &[u32], penalty: f64) {
    let penalty = penalty as f32;
    for token in distinct(context) {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
}

/// Lists the tokens that would end a sequence of `length` tokens which the context holds already.
pub fn repeating(context: &[u32], length: usize) -> Vec<u32> {
    let Some(start) = (context.len() + 1).checked_sub(length) else { return Vec::new() };
    let last = &context[start..];
    let follows = |window: &[u32]| window.split_last().filter(|(_, before)| *before == last).map(|(token, _)| *token);
    distinct(&context.windows(length.max(1)).filter_map(follows).collect::<Vec<_>>())
}

/// Takes tokens out of the choice, unless that leaves none.
fn ban(logits: &mut [f32], tokens: &[u32]) {
    let mut banned = Vec::with_capacity(tokens.len());
    for &token in tokens {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        banned.push((token, std::mem::replace(logit, f32::NEG_INFINITY)));
    }
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        for (token, logit) in banned {
            logits[token as usize] = logit;
        }
    }
}

fn distinct(tokens: &[u32]) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_penalty_makes_a_token_less_probable_once_whatever_its_sign() {
        let mut logits = [3.0, -2.0, 1.0, 0.0];
        // Token 9 is beyond the logits.
        penalise(&mut logits, &[0, 1, 0, 3, 9, 1], 2.0);
        assert_eq!(logits, [1.5, -4.0, 1.0, 0.0]);
        penalise(&mut logits, &[0, 1], 0.5);
        assert_eq!(logits, [3.0, -2.0, 1.0, 0.0]);
    }

    #[test]
    fn what_ends_a_sequence_a_second_time_is_found() {
        let context = [1, 2, 3, 1, 2, 4, 5, 1, 2];
        assert_eq!(repeating(&context, 3), [3, 4]);
        assert_eq!(repeating(&context, 2), [3, 4]);
        assert_eq!(repeating(&context, 4), Vec::<u32>::new());
        assert_eq!(repeating(&context, 1), [1, 2, 3, 4, 5]);
        // Too short to hold one.
        assert_eq!(repeating(&[1, 2], 3), Vec::<u32>::new());
        assert_eq!(repeating(&[1], 9), Vec::<u32>::new());
        assert_eq!(repeating(&[7, 7], 2), [7]);
    }

    #[test]
    fn tokens_are_taken_out_unless_none_is_left() {
        let rules = Rules { penalty: Some(2.0), ngram: Some(1) };
        let mut logits = [4.0, 2.0, f32::NEG_INFINITY];
        rules.apply(&mut logits, &[0]);
        assert_eq!(logits, [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY]);
        let mut logits = [4.0, 2.0, f32::NEG_INFINITY];
        rules.apply(&mut logits, &[0, 1]);
        assert_eq!(logits, [2.0, 1.0, f32::NEG_INFINITY]);
    }
}
