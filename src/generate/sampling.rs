//! How the next token is chosen from logits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::experiment::settings::Decoding;

/// Chooses a token for every row of `logits` `[rows, vocab]`; `None` where they are not finite.
///
/// `generators` holds one generator for each row that is used; the other rows are not chosen for.
pub fn choose(decoding: Decoding, logits: &Tensor, generators: &mut [Option<&mut ChaCha8Rng>]) -> Vec<Option<u32>> {
    match decoding {
        Decoding::Greedy {} => greedy(logits),
        Decoding::Sample { temperature, top_p, top_k } => {
            let logits = logits.to_kind(Kind::Float).to_device(tch::Device::Cpu);
            generators
                .iter_mut()
                .enumerate()
                .map(|(row, generator)| {
                    let generator = generator.as_mut()?;
                    let row = Vec::<f32>::try_from(logits.get(row as i64)).expect("a row of f32 logits");
                    sample(&row, temperature, top_p, top_k, generator)
                })
                .collect()
        }
    }
}

/// Returns each row's most probable token; of equals, the one with the lowest id.
fn greedy(logits: &Tensor) -> Vec<Option<u32>> {
    // torch: of several largest values, the index of the first.
    let (largest, tokens) = logits.max_dim(-1, false);
    let largest = Vec::<f64>::try_from(largest.to_kind(Kind::Double)).expect("one value per row");
    let tokens = Vec::<i64>::try_from(tokens).expect("one token per row");
    largest.iter().zip(tokens).map(|(value, token)| value.is_finite().then_some(token as u32)).collect()
}

/// Draws a token from `softmax(logits / temperature)`, cut first to the `top_k` most probable and
/// then to the smallest set that holds `top_p` (Holtzman et al. 2020, arXiv 1904.09751, section 3.1).
///
/// Returns `None` when the logits are not finite.
pub fn sample(
    logits: &[f32],
    temperature: f64,
    top_p: f64,
    top_k: Option<usize>,
    generator: &mut ChaCha8Rng,
) -> Option<u32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
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
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = generator.random::<f64>() * total;
    for &(token, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return Some(token);
        }
    }
    kept.last().map(|&(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Seed;

    /// Share of each token in many draws.
    fn shares(logits: &[f32], temperature: f64, top_p: f64, top_k: Option<usize>) -> Vec<f64> {
        let mut generator = Seed(4).generator();
        let mut shares = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            let token = sample(logits, temperature, top_p, top_k, &mut generator).unwrap();
            shares[token as usize] += 1.0 / 20_000.0;
        }
        shares
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
        assert_shares(&shares(&tenths(), 1.0, 1.0, None), &[0.1, 0.4, 0.3, 0.2]);
    }

    #[test]
    fn temperature_flattens() {
        // At temperature 2 the weights are the square roots: 1, 2, sqrt 3, sqrt 2.
        let roots = [1.0, 2.0, 3f64.sqrt(), 2f64.sqrt()];
        let total: f64 = roots.iter().sum();
        assert_shares(&shares(&tenths(), 2.0, 1.0, None), &roots.map(|root| root / total));
    }

    #[test]
    fn top_k_and_top_p_cut_and_renormalise() {
        let (four, three) = (4.0 / 7.0, 3.0 / 7.0);
        assert_shares(&shares(&tenths(), 1.0, 1.0, Some(2)), &[0.0, four, three, 0.0]);
        // 0.4 alone holds less than 0.5; with 0.3 the set holds it.
        assert_shares(&shares(&tenths(), 1.0, 0.5, None), &[0.0, four, three, 0.0]);
        assert_shares(&shares(&tenths(), 1.0, 0.39, None), &[0.0, 1.0, 0.0, 0.0]);
        // Of the two best, 4/7 holds 0.5.
        assert_shares(&shares(&tenths(), 1.0, 0.5, Some(2)), &[0.0, 1.0, 0.0, 0.0]);
        assert_shares(&shares(&tenths(), 1.0, 1.0, Some(9)), &[0.1, 0.4, 0.3, 0.2]);
    }

    #[test]
    fn equals_go_to_the_lowest_id_and_what_is_not_a_number_to_none() {
        let logits = Tensor::from_slice2(&[[1f32, 7.0, 7.0, 0.0], [f32::NAN, 1.0, 2.0, 3.0]]);
        assert_eq!(greedy(&logits), [Some(1), None]);
        let mut generator = Seed(1).generator();
        assert_eq!(sample(&[1.0, f32::NAN], 1.0, 1.0, None, &mut generator), None);
        assert_eq!(sample(&[2.0, 2.0], 1.0, 1.0, Some(1), &mut generator), Some(0));
    }
}
