//! ROUGE-1, -2, -L and -Lsum, equal to Google's rouge-score.
//!
//! Tokens are runs of `[a-z0-9]` of the lower-cased text; words longer than three characters are
//! stemmed where asked. `P = hits / predicted`, `R = hits / expected`, the value is
//! `F1 = 2·P·R / (P + R)` against the reference with the best; hits are shared n-grams (ROUGE-N) or
//! the length of the longest common subsequence (ROUGE-L). ROUGE-Lsum takes each line as one
//! sentence.
//!
//! Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", sections 2 (ROUGE-N), 3.1
//! (sentence-level LCS) and 3.2 (union LCS), with the clipping of ROUGE 1.5.5.

use super::multiset::{Interner, Multiset, WORD_BITS};
use super::{lcs, porter};

/// Chooses the metric of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// ROUGE-1: words.
    One,
    /// ROUGE-2: pairs of neighbouring words.
    Two,
    /// ROUGE-L: longest common subsequence of the whole text.
    L,
    /// ROUGE-Lsum: union of the longest common subsequences of the lines.
    Lsum,
}

/// Says whether words are stemmed before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stemming {
    /// Porter's stemmer ([`porter`]) on words longer than three characters.
    Porter,
    /// Words as they are.
    None,
}

/// Holds the score against one reference; each field 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Share of the prediction that the reference has too.
    pub precision: f64,
    /// Share of the reference that the prediction has too.
    pub recall: f64,
    /// Harmonic mean of the two, 0 where both are 0.
    pub f1: f64,
}

impl Score {
    /// Empty sides divide by one: with nothing in common the score is 0 either way.
    fn of(hits: u64, predicted: u64, expected: u64) -> Self {
        let precision = hits as f64 / predicted.max(1) as f64;
        let recall = hits as f64 / expected.max(1) as f64;
        let f1 = if hits == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        Self { precision, recall, f1 }
    }
}

/// Returns the score against the reference with the best F1 (the first of equals); 0 where the
/// prediction or all references have no token.
///
/// # Panics
/// If `references` is empty.
pub fn sentence(variant: Variant, prediction: &str, references: &[impl AsRef<str>], stemming: Stemming) -> Score {
    assert!(!references.is_empty(), "ROUGE needs a reference");
    let mut interner = Interner::default();
    let prediction = Tokens::of(variant, prediction, stemming, &mut interner);
    references
        .iter()
        .map(|reference| {
            let reference = Tokens::of(variant, reference.as_ref(), stemming, &mut interner);
            score(variant, &prediction, &reference)
        })
        .reduce(|best, next| if next.f1 > best.f1 { next } else { best })
        .unwrap_or_default()
}

/// Names the variant.
pub fn signature(variant: Variant, stemming: Stemming) -> String {
    let stemming = match stemming {
        Stemming::Porter => "porter",
        Stemming::None => "none",
    };
    let split = if variant == Variant::Lsum { "|split:newline" } else { "" };
    format!(
        "stem:{stemming}|tok:a-z0-9{split}|refs:max|agg:mean|{}",
        crate::metric::implementation("rouge-score-0.1.2")
    )
}

/// Splits text into the words that ROUGE sees: runs of ASCII letters and digits.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// Interned words of a text, one list for each line (ROUGE-Lsum) or one for all.
struct Tokens {
    lines: Vec<Vec<u32>>,
}

impl Tokens {
    fn of(variant: Variant, text: &str, stemming: Stemming, interner: &mut Interner) -> Self {
        let lower = text.to_lowercase();
        let mut line = |text: &str| -> Vec<u32> {
            words(text)
                .map(|word| match stemming {
                    Stemming::Porter if word.len() > 3 => interner.intern(&porter::stem(word)),
                    _ => interner.intern(word),
                })
                .collect()
        };
        let lines = match variant {
            Variant::Lsum => lower.split('\n').map(line).collect(),
            Variant::One | Variant::Two | Variant::L => vec![line(&lower)],
        };
        Self { lines }
    }

    fn len(&self) -> u64 {
        self.lines.iter().map(|line| line.len() as u64).sum()
    }
}

fn score(variant: Variant, prediction: &Tokens, reference: &Tokens) -> Score {
    match variant {
        Variant::One => score_ngrams(&prediction.lines[0], &reference.lines[0], 1),
        Variant::Two => score_ngrams(&prediction.lines[0], &reference.lines[0], 2),
        Variant::L => {
            let hits = lcs::length(&reference.lines[0], &prediction.lines[0]) as u64;
            Score::of(hits, prediction.len(), reference.len())
        }
        Variant::Lsum => Score::of(union_hits(prediction, reference), prediction.len(), reference.len()),
    }
}

fn score_ngrams(prediction: &[u32], reference: &[u32], order: usize) -> Score {
    let prediction = Multiset::of(prediction, order, WORD_BITS);
    let reference = Multiset::of(reference, order, WORD_BITS);
    Score::of(prediction.overlap(&reference), prediction.total(), reference.total())
}

/// Counts the words of each reference line that a common subsequence with some predicted line
/// holds; no word counts more often than either text has it.
fn union_hits(prediction: &Tokens, reference: &Tokens) -> u64 {
    let size = reference.lines.iter().chain(&prediction.lines).flatten().max().map_or(0, |&last| last as usize + 1);
    let tally = |tokens: &Tokens| {
        let mut left = vec![0u32; size];
        for &word in tokens.lines.iter().flatten() {
            left[word as usize] += 1;
        }
        left
    };
    let (mut predicted_left, mut expected_left) = (tally(prediction), tally(reference));

    let mut hits = 0;
    for expected in &reference.lines {
        let mut in_union = vec![false; expected.len()];
        for predicted in &prediction.lines {
            for position in lcs::positions(expected, predicted) {
                in_union[position] = true;
            }
        }
        for (&word, _) in expected.iter().zip(&in_union).filter(|(_, in_union)| **in_union) {
            let (predicted, expected) = (&mut predicted_left[word as usize], &mut expected_left[word as usize]);
            if *predicted > 0 && *expected > 0 {
                *predicted -= 1;
                *expected -= 1;
                hits += 1;
            }
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f1(variant: Variant, prediction: &str, reference: &str) -> f64 {
        sentence(variant, prediction, &[reference], Stemming::Porter).f1
    }

    #[test]
    fn lin_2004_example_of_sentence_level() {
        // Section 3.1: "police killed the gunman" against two candidates, LCS 3 and 2 of 4 words.
        let reference = "police killed the gunman";
        assert!((f1(Variant::L, "police kill the gunman", reference) - 1.0).abs() < 1e-12, "stems agree");
        let plain = sentence(Variant::L, "police kill the gunman", &[reference], Stemming::None);
        assert!((plain.f1 - 0.75).abs() < 1e-12);
        let plain = sentence(Variant::L, "the gunman kill police", &[reference], Stemming::None);
        assert!((plain.f1 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn lin_2004_example_of_summary_level() {
        // Section 3.2: reference w1..w5; candidates "w1 w2 w6 w7 w8" and "w1 w3 w8 w9 w5"; the
        // union LCS is w1 w2 w3 w5, 4 of 5.
        let score = sentence(Variant::Lsum, "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", &["w1 w2 w3 w4 w5"], Stemming::None);
        assert!((score.recall - 0.8).abs() < 1e-12);
        assert!((score.precision - 0.4).abs() < 1e-12);
    }

    #[test]
    fn words_and_pairs_are_clipped() {
        assert!((f1(Variant::One, "cell cell cell", "cell edge") - 0.4).abs() < 1e-12);
        assert!((f1(Variant::Two, "cell edge user", "cell edge") - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_best_reference_counts_and_empty_text_scores_0() {
        let score = sentence(Variant::One, "cell edge", &["none", "cell edge", "cell"], Stemming::Porter);
        assert_eq!(score.f1, 1.0);
        for variant in [Variant::One, Variant::Two, Variant::L, Variant::Lsum] {
            assert_eq!(f1(variant, "", "cell"), 0.0);
            assert_eq!(f1(variant, "…", "é"), 0.0);
        }
    }
}
