//! Metrics that compare words and characters.
//!
//! Pure functions on text: one file per metric, each equal to its reference tool (sacrebleu,
//! rouge-score, the SQuAD evaluation script) on the fixtures under `tests/fixtures`. A metric
//! here sees one example (a prediction and its references); [`crate::score`] runs over the corpus.
//!
//! | metric | file | built on |
//! |---|---|---|
//! | BLEU | [`bleu`] | [`tokenizer_13a`], [`multiset`] |
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
pub mod tokenizer_13a;
pub mod whitespace;
