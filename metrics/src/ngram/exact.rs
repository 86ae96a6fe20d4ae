//! Exact match after SQuAD's normalisation: `EM = maxᵣ [tokens(prediction) = tokens(r)]`.
//!
//! Rajpurkar, Zhang, Lopyrev and Liang 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of
//! Text", section 6.1; the corpus value is the mean.

use super::squad;

/// Returns 1 if the normalised prediction equals one of the normalised references, else 0.
///
/// Two answers that are both empty after normalisation match. References that normalise to
/// nothing are left out unless all do, as in the SQuAD 2.0 script.
pub fn sentence(prediction: &str, references: &[impl AsRef<str>]) -> f64 {
    let prediction = squad::tokens(prediction);
    let is_match = squad::answers(references).into_iter().any(|reference| squad::tokens(reference) == prediction);
    f64::from(u8::from(is_match))
}

/// Names the variant.
pub fn signature() -> String {
    format!("norm:squad|refs:max|{}", crate::metric::implementation("squad-2.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_matching_reference_suffices() {
        assert_eq!(sentence("the SMF.", &["AMF", "smf"]), 1.0);
        assert_eq!(sentence("SMF and AMF", &["AMF", "smf"]), 0.0);
    }

    #[test]
    fn empty_matches_only_empty() {
        assert_eq!(sentence("", &[""]), 1.0);
        assert_eq!(sentence("", &["", "AMF"]), 0.0);
        assert_eq!(sentence("AMF", &[""]), 0.0);
    }
}
