//! Token F1 after SQuAD's normalisation: `F1 = maxᵣ 2·P·R / (P + R)`, the best over the references,
//! with `P = shared / predicted` and `R = shared / expected` words, counted as multisets.
//!
//! Rajpurkar, Zhang, Lopyrev and Liang 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of
//! Text", section 6.1; the corpus value is the mean.

use super::multiset::{Interner, Multiset, WORD_BITS};
use super::squad;

/// Returns the token F1, 0 to 1, against the best reference.
///
/// Where one side has no word left, 1 if neither has, else 0. References that normalise to
/// nothing are left out unless all do, as in the SQuAD 2.0 script.
pub fn sentence(prediction: &str, references: &[impl AsRef<str>]) -> f64 {
    let mut interner = Interner::default();
    let mut words = |answer: &str| {
        let numbers: Vec<u32> = squad::tokens(answer).iter().map(|token| interner.intern(token)).collect();
        Multiset::of(&numbers, 1, WORD_BITS)
    };
    let prediction = words(prediction);
    squad::answers(references).into_iter().map(|reference| f1(&prediction, &words(reference))).fold(0.0, f64::max)
}

/// Names the variant.
pub fn signature() -> String {
    format!("norm:squad|refs:max|{}", crate::metric::implementation("squad-2.0"))
}

fn f1(prediction: &Multiset, reference: &Multiset) -> f64 {
    let (predicted, expected) = (prediction.total(), reference.total());
    if predicted == 0 || expected == 0 {
        return f64::from(u8::from(predicted == expected));
    }
    let shared = prediction.overlap(reference);
    if shared == 0 {
        return 0.0;
    }
    let precision = shared as f64 / predicted as f64;
    let recall = shared as f64 / expected as f64;
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_by_hand() {
        // 2 of 3 predicted words, 2 of 2 expected: P = 2/3, R = 1.
        assert!((sentence("session management now", &["the Session Management"]) - 0.8).abs() < 1e-12);
        // The better of two references.
        assert_eq!(sentence("session management", &["mobility", "session management."]), 1.0);
    }

    #[test]
    fn empty_answers_follow_squad_2() {
        assert_eq!(sentence("", &[""]), 1.0);
        assert_eq!(sentence("the", &["a"]), 1.0);
        assert_eq!(sentence("", &["AMF"]), 0.0);
        assert_eq!(sentence("AMF", &["", "SMF"]), 0.0);
    }
}
