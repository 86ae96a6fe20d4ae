//! Metrics that compare words and characters.
//!
//! Pure functions on text: one file per metric, each equal to its reference tool (sacrebleu,
//! rouge-score, the SQuAD evaluation script) on the fixtures under `tests/fixtures`. A metric
//! here sees one example (a prediction and its references); [`crate::score`] runs over the corpus.
//!
//! | metric | file | built on |
//! |---|---|---|
//! | BLEU | [`bleu`] | [`tokenizer`], [`multiset`] |
//! | chrF, chrF++ | [`chrf`] | [`multiset`] |
//! | ROUGE-1, -2, -L, -Lsum | [`rouge`] | [`porter`], [`lcs`], [`multiset`] |
//! | exact match | [`exact`] | [`squad`] |
//! | token F1 | [`token_f1`] | [`squad`], [`multiset`] |

pub mod bleu;
pub mod chrf;
pub mod exact;
pub mod lcs;
pub mod multiset;
pub mod porter;
pub mod rouge;
pub mod squad;
pub mod token_f1;
pub mod tokenizer;
pub mod tokenizer_13a;
pub mod whitespace;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns every sentence score with the most it can be.
    fn scores(prediction: &str, references: &[String]) -> Vec<(f64, f64)> {
        let chrf = |variant| chrf::sentence(variant, prediction, references);
        let rouge = |variant| rouge::sentence(variant, prediction, references, rouge::Stemming::Porter).f1;
        vec![
            (bleu::sentence(tokenizer::Tokenizer::default(), prediction, references), 100.0),
            (chrf(chrf::Variant::Characters), 100.0),
            (chrf(chrf::Variant::CharactersAndWords), 100.0),
            (rouge(rouge::Variant::One), 1.0),
            (rouge(rouge::Variant::Two), 1.0),
            (rouge(rouge::Variant::L), 1.0),
            (rouge(rouge::Variant::Lsum), 1.0),
            (exact::sentence(prediction, references), 1.0),
            (token_f1::sentence(prediction, references), 1.0),
        ]
    }

    proptest! {
        #[test]
        fn scores_stay_on_their_scale_and_a_reference_more_never_hurts_a_maximum(
            prediction in "[a-c é.,\n-]{0,20}",
            references in prop::collection::vec("[a-c é.,\n-]{0,20}", 1..4),
        ) {
            for (score, most) in scores(&prediction, &references) {
                prop_assert!((0.0..=most + 1e-9).contains(&score), "{}", score);
            }
            // ROUGE is a maximum over references. BLEU and chrF pool or choose by their own rule,
            // and to SQuAD's metrics an empty reference counts only where all are.
            let fewer = scores(&prediction, &references[..1]);
            let all = scores(&prediction, &references);
            for ((fewer, _), (all, _)) in fewer.into_iter().zip(all).skip(3).take(4) {
                prop_assert!(all >= fewer);
            }
        }

        #[test]
        fn a_copy_among_the_references_scores_the_most(prediction in "[b-d]{1,5}( [b-d]{1,5}){1,6}", other in "[a-c ]{0,20}") {
            for (score, most) in scores(&prediction, &[other, prediction.clone()]) {
                prop_assert!((score - most).abs() < 1e-9, "{} of {}", score, most);
            }
        }
    }
}
