//! BLEU, equal to sacrebleu's defaults: up to 4-grams, exponential smoothing, 13a tokens unless others
//! are asked for.
//!
//! `BLEU = 100 · BP · exp(¼ Σₙ log pₙ)` with `BP = min(1, exp(1 − r/c))`.
//!
//! Papineni, Roukos, Ward and Zhu 2002, "BLEU: a Method for Automatic Evaluation of Machine
//! Translation", sections 2.1 to 2.3; smoothing is method 3 of Chen and Cherry 2014, "A Systematic
//! Comparison of Smoothing Techniques for Sentence-Level BLEU"; tokens and signature follow Post
//! 2018, "A Call for Clarity in Reporting BLEU Scores".

use super::multiset::{Interner, Multiset, WORD_BITS};
use super::tokenizer::Tokenizer;

/// Longest n-gram that counts.
pub const MAX_ORDER: usize = 4;

/// Length of the vector [`counts`] returns.
pub const COUNTS: usize = 2 * MAX_ORDER + 2;

/// Returns the sufficient statistics of one example.
///
/// Layout: `[correct₁..correct₄, total₁..total₄, prediction length, reference length]`, in tokens.
/// An n-gram is correct at most as often as in the reference that has it most often; the
/// reference length is the one closest to the prediction's (the shorter one of two as close).
///
/// # Panics
/// If `references` is empty.
pub fn counts(tokenizer: Tokenizer, prediction: &str, references: &[impl AsRef<str>]) -> Vec<f64> {
    assert!(!references.is_empty(), "BLEU needs a reference");
    let mut interner = Interner::default();
    let mut intern =
        |text: &str| -> Vec<u32> { tokenizer.tokenize(text).iter().map(|token| interner.intern(token)).collect() };
    let prediction = intern(prediction);
    let references: Vec<Vec<u32>> = references.iter().map(|text| intern(text.as_ref())).collect();

    let mut counts = vec![0.0; COUNTS];
    for order in 1..=MAX_ORDER {
        let predicted = Multiset::of(&prediction, order, WORD_BITS);
        let allowed = references
            .iter()
            .map(|tokens| Multiset::of(tokens, order, WORD_BITS))
            .reduce(|allowed, next| allowed.union(&next))
            .unwrap_or_default();
        counts[order - 1] = predicted.overlap(&allowed) as f64;
        counts[MAX_ORDER + order - 1] = predicted.total() as f64;
    }
    counts[2 * MAX_ORDER] = prediction.len() as f64;
    let closest = references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(prediction.len()), length));
    counts[2 * MAX_ORDER + 1] = closest.unwrap_or_default() as f64;
    counts
}

/// Returns the corpus score, 0 to 100, of summed [`counts`].
///
/// 0 where no unigram is correct, or where the corpus has no 4-gram at all (as sacrebleu with
/// `effective_order=False`).
///
/// # Panics
/// If `counts` has not [`COUNTS`] entries.
pub fn from_counts(counts: &[f64]) -> f64 {
    compute(counts, EffectiveOrder::No)
}

/// Returns the sentence score, 0 to 100, of one example's [`counts`], over the orders it has
/// (sacrebleu's `effective_order=True`): a three-word answer is judged by 1- to 3-grams.
///
/// # Panics
/// If `counts` has not [`COUNTS`] entries.
pub fn sentence_from_counts(counts: &[f64]) -> f64 {
    compute(counts, EffectiveOrder::Yes)
}

/// Returns the sentence score, 0 to 100: [`sentence_from_counts`] of [`counts`].
///
/// # Panics
/// If `references` is empty.
pub fn sentence(tokenizer: Tokenizer, prediction: &str, references: &[impl AsRef<str>]) -> f64 {
    sentence_from_counts(&counts(tokenizer, prediction, references))
}

/// Names the variant of the corpus score as sacrebleu does, with our own version; `references` is the
/// number per example, `None` where it varies.
pub fn signature(tokenizer: Tokenizer, references: Option<usize>) -> String {
    sign(tokenizer, references, EffectiveOrder::No)
}

/// Names the variant of a sentence score: as [`signature`], but with effective order.
pub fn sentence_signature(tokenizer: Tokenizer, references: Option<usize>) -> String {
    sign(tokenizer, references, EffectiveOrder::Yes)
}

/// Turns the signature of sentence scores into that of the corpus score from the same counts; signatures
/// of other metrics stay as they are.
pub fn corpus_signature(sentence: &str) -> String {
    if sentence.contains("|smooth:exp|") { sentence.replace("|eff:yes|", "|eff:no|") } else { sentence.to_owned() }
}

fn sign(tokenizer: Tokenizer, references: Option<usize>, effective_order: EffectiveOrder) -> String {
    format!(
        "nrefs:{}|case:mixed|eff:{}|tok:{tokenizer}|smooth:exp|{}",
        super::chrf::reference_count(references),
        if effective_order == EffectiveOrder::Yes { "yes" } else { "no" },
        crate::metric::implementation("sacrebleu-2.6.0")
    )
}

/// Says whether orders that the prediction is too short for are left out of the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EffectiveOrder {
    Yes,
    No,
}

fn compute(counts: &[f64], effective_order: EffectiveOrder) -> f64 {
    assert_eq!(counts.len(), COUNTS, "BLEU counts have {COUNTS} entries");
    let (correct, total) = (&counts[..MAX_ORDER], &counts[MAX_ORDER..2 * MAX_ORDER]);
    let (prediction_length, reference_length) = (counts[2 * MAX_ORDER], counts[2 * MAX_ORDER + 1]);
    if correct.iter().all(|&count| count == 0.0) {
        return 0.0;
    }
    let brevity_penalty =
        if prediction_length < reference_length { (1.0 - reference_length / prediction_length).exp() } else { 1.0 };

    let mut smoothing = 1.0;
    let mut sum_of_logs = 0.0;
    let mut orders = 0;
    for (&correct, &total) in correct.iter().zip(total) {
        if total == 0.0 {
            break;
        }
        orders += 1;
        // Each order without a match halves the precision it is granted.
        let precision = if correct == 0.0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total)
        } else {
            100.0 * correct / total
        };
        sum_of_logs += precision.ln();
    }
    match effective_order {
        EffectiveOrder::No if orders < MAX_ORDER => 0.0,
        _ => brevity_penalty * (sum_of_logs / f64::from(orders as u32)).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENIZER: Tokenizer = Tokenizer::Mteval13a;

    #[test]
    fn a_copy_scores_100() {
        let text = "the AMF selects an SMF";
        assert!((sentence(TOKENIZER, text, &[text]) - 100.0).abs() < 1e-9);
        assert!((from_counts(&counts(TOKENIZER, text, &[text])) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn counts_follow_papineni_example_of_the_repeated_the() {
        let references = ["The cat is on the mat.", "There is a cat on the mat."];
        let counts = counts(TOKENIZER, "the the the the the the the", &references);
        // "the" occurs once in each reference (case matters), of 7 predicted.
        assert_eq!(counts[0], 1.0);
        assert_eq!(counts[4..8], [7.0, 6.0, 5.0, 4.0]);
        // 7 tokens are as far from 7 as can be: the first reference.
        assert_eq!(counts[8..], [7.0, 7.0]);
    }

    #[test]
    fn of_two_references_as_close_the_shorter_counts() {
        assert_eq!(counts(TOKENIZER, "a b c", &["a b c d", "a b"])[9], 2.0);
        assert_eq!(counts(TOKENIZER, "a b c", &["a b", "a b c d"])[9], 2.0);
    }

    #[test]
    fn brevity_and_smoothing_by_hand() {
        // 3 of 3 unigrams, 2 of 2 bigrams, 0 of 1 trigram... : prediction "a b c" against "a b x b c".
        let counts = counts(TOKENIZER, "a b c", &["a b x b c"]);
        assert_eq!(counts, [3.0, 2.0, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0, 3.0, 5.0]);
        let expected = (1.0f64 - 5.0 / 3.0).exp() * 100.0 * (0.5f64).powf(1.0 / 3.0);
        assert!((sentence_from_counts(&counts) - expected).abs() < 1e-9);
        assert_eq!(from_counts(&counts), 0.0);
    }

    #[test]
    fn an_empty_prediction_scores_0() {
        assert_eq!(sentence(TOKENIZER, "", &["a b"]), 0.0);
        assert_eq!(from_counts(&counts(TOKENIZER, "", &["a b"])), 0.0);
    }

    #[test]
    fn the_signature_names_this_implementation() {
        let corpus = signature(TOKENIZER, Some(1));
        assert!(corpus.starts_with("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:tutelage-"));
        let sentence = sentence_signature(Tokenizer::Chinese, None);
        assert!(sentence.starts_with("nrefs:var|case:mixed|eff:yes|tok:zh|smooth:exp|version:tutelage-"));
        assert_eq!(corpus_signature(&sentence), signature(Tokenizer::Chinese, None));
        let chrf = crate::ngram::chrf::signature(crate::ngram::chrf::Variant::Characters, None);
        assert_eq!(corpus_signature(&chrf), chrf);
    }
}
