//! Finds the part of a passage that a question is about, by its words alone.
//!
//! Okapi BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond",
//! equation 3.15) without its length normalisation (b = 0), for all parts have one width.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tutelage_metrics::blind::is_unspaced;

/// Saturation of a word's count: the paper names 1.2 to 2 as good in many cases.
const K1: f64 = 1.2;

/// Counts in how many pieces of text each word stands.
pub(super) struct Rarity {
    pieces: f64,
    containing: BTreeMap<String, f64>,
}

impl Rarity {
    /// Counts over passages cut into pieces of `width` bytes or a word more.
    pub(super) fn of<'a>(passages: impl IntoIterator<Item = &'a str>, width: usize) -> Self {
        let mut rarity = Self { pieces: 0.0, containing: BTreeMap::new() };
        for passage in passages {
            let mut piece = BTreeSet::new();
            let mut end = width;
            for (place, word) in words(passage) {
                if place.start >= end {
                    rarity.add(std::mem::take(&mut piece));
                    end = place.start + width;
                }
                piece.insert(word);
            }
            rarity.add(piece);
        }
        rarity
    }

    fn add(&mut self, piece: BTreeSet<String>) {
        self.pieces += 1.0;
        for word in piece {
            *self.containing.entry(word).or_default() += 1.0;
        }
    }

    /// Returns `ln(1 + (N - n + 1/2) / (n + 1/2))` for a word that is in n of N pieces.
    fn weight(&self, word: &str) -> f64 {
        let containing = self.containing.get(word).copied().unwrap_or(0.0);
        (1.0 + (self.pieces - containing + 0.5) / (containing + 0.5)).ln()
    }

    /// Returns those of `windows` (bytes of `passage`) that have the highest score for `question`:
    /// `sum of weight(word) * tf * (k1 + 1) / (tf + k1)` over the question's words.
    pub(super) fn best(&self, question: &str, passage: &str, windows: &[Range<usize>]) -> Vec<usize> {
        let asked: BTreeSet<String> = words(question).map(|(_, word)| word).collect();
        let asked: Vec<(f64, String)> = asked.into_iter().map(|word| (self.weight(&word), word)).collect();
        let found: Vec<(Range<usize>, usize)> = words(passage)
            .filter_map(|(place, word)| Some((place, asked.iter().position(|(_, known)| *known == word)?)))
            .collect();
        let score = |window: &Range<usize>| -> f64 {
            let mut counts = vec![0.0; asked.len()];
            let inside = found.iter().skip_while(|(place, _)| place.start < window.start);
            for (_, word) in inside.take_while(|(place, _)| place.end <= window.end) {
                counts[*word] += 1.0;
            }
            let part = |(count, (weight, _)): (f64, &(f64, String))| weight * count * (K1 + 1.0) / (count + K1);
            counts.into_iter().zip(&asked).map(part).sum()
        };
        let scores: Vec<f64> = windows.iter().map(score).collect();
        let highest = scores.iter().copied().fold(0.0, f64::max);
        (0..windows.len()).filter(|&index| scores[index] == highest).collect()
    }
}

/// Splits text into lower-case words of letters and digits, with their places in bytes; each letter of a
/// script without spaces is a word.
pub(super) fn words(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let mut letters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while letters.next_if(|(_, letter)| !letter.is_alphanumeric()).is_some() {}
        let (start, first) = letters.next()?;
        let mut end = start + first.len_utf8();
        while !is_unspaced(first)
            && let Some((at, letter)) = letters.next_if(|&(_, next)| next.is_alphanumeric() && !is_unspaced(next))
        {
            end = at + letter.len_utf8();
        }
        Some((start..end, text[start..end].to_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        words(text).map(|(_, word)| word).collect()
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(split("The 5G-AMF (été)…"), ["the", "5g", "amf", "été"]);
        assert_eq!(split("用AMF户 ab"), ["用", "amf", "户", "ab"]);
        assert_eq!(split("カNR ไทย한국 ខ"), ["カ", "nr", "ไ", "ท", "ย", "한국", "ខ"]);
        let text = "a bc";
        assert!(words(text).all(|(place, word)| text[place] == *word));
        assert_eq!(split(" -- "), Vec::<String>::new());
    }

    #[test]
    fn a_weight_is_that_of_the_equation() {
        let rarity = Rarity::of(["a b", "a", "a c"], 100);
        assert!((rarity.weight("a") - (1.0 + 0.5 / 3.5_f64).ln()).abs() < 1e-12);
        assert!((rarity.weight("b") - (1.0 + 2.5 / 1.5_f64).ln()).abs() < 1e-12);
        assert!((rarity.weight("z") - (1.0 + 3.5 / 0.5_f64).ln()).abs() < 1e-12);
        // Pieces of two bytes: `a` in each, `b` in one.
        let pieces = Rarity::of(["a a a b"], 2);
        assert_eq!((pieces.pieces, pieces.containing["a"], pieces.containing["b"]), (4.0, 3.0, 1.0));
    }

    #[test]
    fn the_rarest_words_decide_and_equal_windows_are_all_returned() {
        let passage = "the cell the cell the cell pages terminals the cell";
        let rarity = Rarity::of([passage, "the cell", "the"], 10);
        let windows = [0..26, 27..42, 43..51];
        assert_eq!(rarity.best("Who pages the cell?", passage, &windows), [1]);
        assert_eq!(rarity.best("nothing of it", passage, &windows), [0, 1, 2]);
        assert_eq!(rarity.best("cell", "cell cell", &[0..4, 5..9]), [0, 1]);
        // A word that a window only cuts is not in it.
        assert_eq!(rarity.best("terminals", passage, &[0..40, 33..42]), [1]);
    }
}
