//! chrF and chrF++, equal to sacrebleu's defaults: characters up to 6-grams without white space,
//! words up to 2-grams for chrF++, β = 2, effective order instead of epsilon smoothing.
//!
//! `chrF = 100 · (1 + β²) · P·R / (β²·P + R)` with P and R the means over the orders that both
//! sides have.
//!
//! Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", section 2; Popović
//! 2017, "chrF++: words helping character n-grams", section 2.

use super::multiset::{CHARACTER_BITS, Interner, Multiset, WORD_BITS};
use super::whitespace;

/// Longest character n-gram that counts.
pub const CHARACTER_ORDER: usize = 6;

/// Longest word n-gram that counts in chrF++.
pub const WORD_ORDER: usize = 2;

/// Weight of recall against precision.
pub const BETA: f64 = 2.0;

/// Chooses between the two metrics of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// chrF: characters only.
    Characters,
    /// chrF++: characters, and words up to 2-grams.
    CharactersAndWords,
}

impl Variant {
    /// Returns the number of orders, three counts each.
    pub fn orders(self) -> usize {
        match self {
            Self::Characters => CHARACTER_ORDER,
            Self::CharactersAndWords => CHARACTER_ORDER + WORD_ORDER,
        }
    }
}

/// Returns the sufficient statistics of one example against its best reference.
///
/// Layout: `[prediction, reference, matches]` n-grams for each order, characters 1 to 6 and then,
/// for chrF++, words 1 to 2: 18 or 24 entries. With several references, those of the reference
/// with the best sentence score (the first of equals).
///
/// # Panics
/// If `references` is empty.
pub fn counts(variant: Variant, prediction: &str, references: &[impl AsRef<str>]) -> Vec<f64> {
    assert!(!references.is_empty(), "chrF needs a reference");
    let mut interner = Interner::default();
    let prediction = ngrams(variant, prediction, &mut interner);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for reference in references {
        let reference = ngrams(variant, reference.as_ref(), &mut interner);
        let counts: Vec<f64> = prediction.iter().zip(&reference).flat_map(|(p, r)| triple(p, r)).collect();
        let score = from_counts(&counts);
        if best.as_ref().is_none_or(|(best, _)| score > *best) {
            best = Some((score, counts));
        }
    }
    best.map(|(_, counts)| counts).unwrap_or_default()
}

/// Returns the score, 0 to 100, of one example's [`counts`] or of their sum over a corpus.
///
/// An order that one side is too short for is left out; 0 where no order is left.
///
/// # Panics
/// If the number of entries fits neither chrF nor chrF++.
pub fn from_counts(counts: &[f64]) -> f64 {
    let orders = counts.len() / 3;
    assert!(
        counts.len().is_multiple_of(3) && [CHARACTER_ORDER, CHARACTER_ORDER + WORD_ORDER].contains(&orders),
        "chrF counts have 18 entries and those of chrF++ 24, found {}",
        counts.len()
    );
    let (mut precision, mut recall, mut effective_order) = (0.0, 0.0, 0.0);
    for triple in counts.chunks_exact(3) {
        let (predicted, expected, matches) = (triple[0], triple[1], triple[2]);
        if predicted > 0.0 && expected > 0.0 {
            precision += matches / predicted;
            recall += matches / expected;
            effective_order += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    precision /= effective_order;
    recall /= effective_order;
    let factor = BETA * BETA;
    100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
}

/// Returns the sentence score, 0 to 100: [`from_counts`] of [`counts`].
///
/// # Panics
/// If `references` is empty.
pub fn sentence(variant: Variant, prediction: &str, references: &[impl AsRef<str>]) -> f64 {
    from_counts(&counts(variant, prediction, references))
}

/// Names the variant as sacrebleu does, with our own version; `references` is the number per
/// example, `None` where it varies.
pub fn signature(variant: Variant, references: Option<usize>) -> String {
    format!(
        "nrefs:{}|case:mixed|eff:yes|nc:{CHARACTER_ORDER}|nw:{}|space:no|{}",
        reference_count(references),
        variant.orders() - CHARACTER_ORDER,
        crate::metric::implementation("sacrebleu-2.6.0")
    )
}

/// Writes the number of references as sacrebleu does.
pub(super) fn reference_count(references: Option<usize>) -> String {
    references.map_or_else(|| "var".to_owned(), |count| count.to_string())
}

/// Counts the n-grams of every order of `text`.
fn ngrams(variant: Variant, text: &str, interner: &mut Interner) -> Vec<Multiset> {
    let characters: Vec<u32> = text.chars().filter(|&c| !whitespace::is_whitespace(c)).map(u32::from).collect();
    let mut ngrams: Vec<Multiset> =
        (1..=CHARACTER_ORDER).map(|order| Multiset::of(&characters, order, CHARACTER_BITS)).collect();
    if variant == Variant::CharactersAndWords {
        let words: Vec<u32> =
            whitespace::words(text).flat_map(part_punctuation).map(|word| interner.intern(word)).collect();
        ngrams.extend((1..=WORD_ORDER).map(|order| Multiset::of(&words, order, WORD_BITS)));
    }
    ngrams
}

/// Parts one punctuation mark from the end of a word, or else from its start.
///
/// `(hi)` becomes `(hi` and `)`, as in sacrebleu and in the metric's own program.
fn part_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let is_mark = |character: char| character.is_ascii_punctuation();
    let (first, second) = if word.chars().nth(1).is_none() {
        (word, "")
    } else if word.ends_with(is_mark) {
        word.split_at(word.len() - 1)
    } else if word.starts_with(is_mark) {
        word.split_at(1)
    } else {
        (word, "")
    };
    [first, second].into_iter().filter(|part| !part.is_empty())
}

fn triple(prediction: &Multiset, reference: &Multiset) -> [f64; 3] {
    let expected = reference.total() as f64;
    // What the reference is too short to hold is not held against the prediction.
    let predicted = if expected > 0.0 { prediction.total() as f64 } else { 0.0 };
    [predicted, expected, prediction.overlap(reference) as f64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_scores_100_and_a_stranger_0() {
        for variant in [Variant::Characters, Variant::CharactersAndWords] {
            assert!((sentence(variant, "gNB handover", &["gNB handover"]) - 100.0).abs() < 1e-9);
            assert_eq!(sentence(variant, "xyz", &["abc"]), 0.0);
            assert_eq!(sentence(variant, "", &["abc"]), 0.0);
            assert_eq!(sentence(variant, "", &[""]), 0.0);
        }
    }

    #[test]
    fn two_orders_by_hand() {
        // "ab" against "abb": unigrams 2 of 2 and 2 of 3, bigrams 1 of 1 and 1 of 2; trigrams are
        // missing in the prediction. P = 1, R = (2/3 + 1/2) / 2 = 7/12.
        let expected = 100.0 * 5.0 * (7.0 / 12.0) / (4.0 + 7.0 / 12.0);
        assert!((sentence(Variant::Characters, "a b", &["abb"]) - expected).abs() < 1e-9);
    }

    #[test]
    fn the_best_reference_counts() {
        let counts = counts(Variant::Characters, "abc", &["xyz", "abc", "abd"]);
        assert_eq!(counts[..3], [3.0, 3.0, 3.0]);
        assert_eq!(counts.len(), 18);
    }

    #[test]
    fn punctuation_is_parted_at_one_side() {
        let parts = |word| part_punctuation(word).collect::<Vec<_>>();
        assert_eq!(parts("(hi)"), ["(hi", ")"]);
        assert_eq!(parts("(hi"), ["(", "hi"]);
        assert_eq!(parts("."), ["."]);
        assert_eq!(parts("é."), ["é", "."]);
        assert_eq!(parts("é"), ["é"]);
    }
}
