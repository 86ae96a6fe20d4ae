//! How the next token is chosen from logits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::rules::Rules;
use crate::experiment::settings::{Decoding, Sample};

/// A row of logits that a token is chosen from.
#[derive(Debug)]
pub struct Row<'a> {
    /// Tokens of prompt and answer so far.
    pub context: &'a [u32],
    /// Draws the token.
    pub generator: &'a mut ChaCha8Rng,
}

/// Chooses a token for every row of `logits` `[rows, vocab]`; `None` where they are not finite.
///
/// Logits are f32 from here on, whatever the model's format. Rows that are not used have no [`Row`]: no token
/// is chosen for them.
pub fn choose(decoding: &Decoding, logits: &Tensor, rows: &mut [Option<Row<'_>>]) -> Vec<Option<u32>> {
    let rules = Rules::of(decoding);
    if !decoding.is_drawn() && rules.is_empty() {
        return greedy(logits);
    }
    let logits = logits.to_kind(Kind::Float).to_device(tch::Device::Cpu);
    let choose = |(place, row): (usize, &mut Option<Row<'_>>)| {
        let row = row.as_mut()?;
        let mut logits = Vec::<f32>::try_from(logits.get(place as i64)).expect("a row of f32 logits");
        // Before a rule hides what is no number.
        largest(&logits)?;
        rules.apply(&mut logits, row.context);
        match decoding {
            Decoding::Greedy(_) => most_probable(&logits),
            Decoding::Sample(settings) => sample(&logits, settings, row.generator),
        }
    };
    rows.iter_mut().enumerate().map(choose).collect()
}

/// Returns the most probable token; of equals, the one with the lowest id.
fn most_probable(logits: &[f32]) -> Option<u32> {
    let largest = largest(logits)?;
    logits.iter().position(|&logit| logit == largest).map(|token| token as u32)
}

/// Returns the largest logit; none where logits are not finite.
fn largest(logits: &[f32]) -> Option<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (largest.is_finite() && !logits.iter().any(|logit| logit.is_nan())).then_some(largest)
}

/// Returns each row's most probable token; of equals, the one with the lowest id.
fn greedy(logits: &Tensor) -> Vec<Option<u32>> {
    // torch: of several largest values, the index of the first.
    let (largest, tokens) = logits.max_dim(-1, false);
    let largest = Vec::<f64>::try_from(largest.to_kind(Kind::Double)).expect("one value per row");
    let tokens = Vec::<i64>::try_from(tokens).expect("one token per row");
    largest.iter().zip(tokens).map(|(value, token)| value.is_finite().then_some(token as u32)).collect()
}

/// Draws one of the [`candidates`] by its weight.
///
/// Returns `None` when the logits are not finite.
pub fn sample(logits: &[f32], settings: &Sample, generator: &mut ChaCha8Rng) -> Option<u32> {
    let kept = candidates(logits, settings)?;
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = generator.random::<f64>() * total;
    for &(token, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return Some(token);
        }
    }
    // Rounding left a rest; what has no weight cannot be drawn.
    kept.iter().rev().find(|(_, weight)| *weight > 0.0).map(|&(token, _)| token)
}

/// Lists the tokens that are drawn from, with their weights in `softmax(logits / temperature)`, that of the most
/// probable one 1: cut first to the `top_k` most probable, then to the smallest set that holds `top_p`, then to
/// those that are at least `min_p` times as probable as the most probable one. It is the order of transformers'
/// `generate`.
///
/// Returns `None` when the logits are not finite.
pub fn candidates(logits: &[f32], settings: &Sample) -> Option<Vec<(u32, f64)>> {
    let &Sample { temperature, top_p, top_k, min_p, .. } = settings;
    let largest = largest(logits)?;
    let weight = |logit: f32| (f64::from(logit - largest) / temperature).exp();
    let mut kept: Vec<(u32, f64)> =
        logits.iter().enumerate().map(|(token, &logit)| (token as u32, weight(logit))).collect();
    let descending = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if let Some(k) = top_k.filter(|&k| k < kept.len()) {
        kept.select_nth_unstable_by(k, descending);
        kept.truncate(k);
    }
    if top_p < 1.0 {
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        // Tokens below this share hold less than 1 - top_p together: they are not in the set.
        let least = total * (1.0 - top_p) / kept.len() as f64;
        kept.retain(|&(_, weight)| weight >= least);
        kept.sort_unstable_by(descending);
        let mut held = 0.0;
        let inside = kept.iter().take_while(|(_, weight)| {
            let open = held < top_p * total;
            held += weight;
            open
        });
        let inside = inside.count().max(1);
        kept.truncate(inside);
    } else if top_k.is_some() {
        kept.sort_unstable_by(descending);
    }
    if let Some(min_p) = min_p {
        kept.retain(|&(_, weight)| weight >= min_p);
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Seed;
    use crate::experiment::settings::Greedy;

    /// Share of each token in many draws.
    fn shares(logits: &[f32], settings: &Sample) -> Vec<f64> {
        let mut generator = Seed(4).generator();
        let mut shares = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            let token = sample(logits, settings, &mut generator).unwrap();
            shares[token as usize] += 1.0 / 20_000.0;
        }
        shares
    }

    fn cut(top_p: f64, top_k: Option<usize>) -> Sample {
        Sample { top_p, top_k, ..Sample::default() }
    }

    #[track_caller]
    fn assert_shares(found: &[f64], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            // Four standard deviations of 20,000 draws are at most 0.0142.
            assert!((found - expected).abs() <= 0.0142 * f64::from(*expected > 0.0), "{found}, expected {expected}");
        }
    }

    /// Logits of the probabilities 1/10, 4/10, 3/10, 2/10.
    fn tenths() -> Vec<f32> {
        [1f32, 4.0, 3.0, 2.0].iter().map(|p| (p / 10.0).ln()).collect()
    }

    #[test]
    fn tokens_are_drawn_by_their_probability() {
        assert_shares(&shares(&tenths(), &Sample::default()), &[0.1, 0.4, 0.3, 0.2]);
    }

    #[test]
    fn temperature_flattens() {
        // At temperature 2 the weights are the square roots: 1, 2, sqrt 3, sqrt 2.
        let roots = [1.0, 2.0, 3f64.sqrt(), 2f64.sqrt()];
        let total: f64 = roots.iter().sum();
        assert_shares(
            &shares(&tenths(), &Sample { temperature: 2.0, ..Sample::default() }),
            &roots.map(|root| root / total),
        );
    }

    #[test]
    fn top_k_and_top_p_cut_and_renormalise() {
        let (four, three) = (4.0 / 7.0, 3.0 / 7.0);
        assert_shares(&shares(&tenths(), &cut(1.0, Some(2))), &[0.0, four, three, 0.0]);
        // 0.4 alone holds less than 0.5; with 0.3 the set holds it.
        assert_shares(&shares(&tenths(), &cut(0.5, None)), &[0.0, four, three, 0.0]);
        assert_shares(&shares(&tenths(), &cut(0.39, None)), &[0.0, 1.0, 0.0, 0.0]);
        // Of the two best, 4/7 holds 0.5.
        assert_shares(&shares(&tenths(), &cut(0.5, Some(2))), &[0.0, 1.0, 0.0, 0.0]);
        assert_shares(&shares(&tenths(), &cut(1.0, Some(9))), &[0.1, 0.4, 0.3, 0.2]);
    }

    #[test]
    fn tokens_far_below_the_most_probable_one_are_not_drawn() {
        let from = |min_p| shares(&tenths(), &Sample { min_p: Some(min_p), ..Sample::default() });
        // Shares of the largest: 1/4, 1, 3/4, 1/2.
        assert_shares(&from(0.6), &[0.0, 4.0 / 7.0, 3.0 / 7.0, 0.0]);
        assert_shares(&from(0.4), &[0.0, 4.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0]);
        assert_shares(&from(1.0), &[0.0, 1.0, 0.0, 0.0]);
        assert_shares(&from(0.0), &[0.1, 0.4, 0.3, 0.2]);
        // At temperature 2 the shares are the roots: 0.5, 1, 0.87, 0.71.
        let roots = [0.0, 2.0, 3f64.sqrt(), 2f64.sqrt()];
        let total: f64 = roots.iter().sum();
        let warm = Sample { temperature: 2.0, min_p: Some(0.6), ..Sample::default() };
        assert_shares(&shares(&tenths(), &warm), &roots.map(|root| root / total));
        // What top-p counts is there before: 0.4 and 0.3 hold 0.65 of all, not of what min-p leaves.
        let both = Sample { top_p: 0.65, min_p: Some(0.8), ..Sample::default() };
        assert_shares(&shares(&tenths(), &both), &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn rules_hold_for_the_most_probable_token_and_for_drawn_ones() {
        let logits = Tensor::from_slice2(&[[1f32, 4.0, 3.0, -1.0], [1.0, 4.0, 3.0, -1.0], [f32::NAN, 4.0, 3.0, -1.0]]);
        let chosen = |decoding: &Decoding| {
            let mut generators = [1, 2, 3].map(|seed| Seed(seed).generator());
            let contexts: [&[u32]; 3] = [&[1], &[0], &[0]];
            let mut rows: Vec<Option<Row<'_>>> = contexts
                .into_iter()
                .zip(&mut generators)
                .map(|(context, generator)| Some(Row { context, generator }))
                .collect();
            choose(decoding, &logits, &mut rows)
        };
        let greedy = |repetition_penalty, no_repeat_ngram| {
            Decoding::Greedy(Greedy { repetition_penalty, no_repeat_ngram, ..Greedy::default() })
        };
        assert_eq!(chosen(&greedy(None, None)), [Some(1), Some(1), None]);
        assert_eq!(chosen(&greedy(Some(2.0), None)), [Some(2), Some(1), None]);
        assert_eq!(chosen(&greedy(None, Some(1))), [Some(2), Some(1), None]);
        // Of what is left, the most probable one only.
        let drawn = Sample { top_k: Some(1), no_repeat_ngram: Some(1), ..Sample::default() };
        assert_eq!(chosen(&Decoding::Sample(drawn)), [Some(2), Some(1), None]);
    }

    #[test]
    fn equals_go_to_the_lowest_id_and_what_is_not_a_number_to_none() {
        let logits = Tensor::from_slice2(&[[1f32, 7.0, 7.0, 0.0], [f32::NAN, 1.0, 2.0, 3.0]]);
        assert_eq!(greedy(&logits), [Some(1), None]);
        let mut generator = Seed(1).generator();
        assert_eq!(sample(&[1.0, f32::NAN], &Sample::default(), &mut generator), None);
        assert_eq!(sample(&[2.0, 2.0], &cut(1.0, Some(1)), &mut generator), Some(0));
        assert_eq!(most_probable(&[1.0, 7.0, 7.0]), Some(1));
        assert_eq!(most_probable(&[f32::NEG_INFINITY; 2]), None);
    }
}
