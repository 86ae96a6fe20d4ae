//! Cosine between the embeddings of prediction and reference: `maxᵣ a·r / (|a| |r|)`.
//!
//! Per example the best over the references, -1 to 1; the corpus value is the mean. An empty text
//! has no meaning to compare: it is not embedded, and its cosine with anything is 0.
//!
//! Reimers and Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
//! section 3.

use super::{Embedder, EmbedderError};
use crate::ngram::whitespace;
use std::collections::BTreeMap;

/// Says why cosines could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum CosineError {
    /// The embedder failed.
    #[error("embedder `{signature}` failed")]
    Embedder {
        /// The embedder's signature.
        signature: String,
        /// Its own error.
        #[source]
        source: EmbedderError,
    },
    /// The embedder returned another number of vectors than it was given texts.
    #[error("vectors of embedder `{signature}` and texts differ in number: {vectors}, {texts}")]
    Count {
        /// The embedder's signature.
        signature: String,
        /// Number of vectors it returned.
        vectors: usize,
        /// Number of texts it was given.
        texts: usize,
    },
    /// Vectors have different lengths.
    #[error("embedder `{signature}` returned vectors of different dimensions: {first}, {other}")]
    Dimension {
        /// The embedder's signature.
        signature: String,
        /// Dimension of the first vector.
        first: usize,
        /// A dimension that differs.
        other: usize,
    },
    /// A vector holds a number that is not finite.
    #[error("embedder `{signature}` returned a vector that is not finite for text `{text}`")]
    NotFinite {
        /// The embedder's signature.
        signature: String,
        /// The text it was given.
        text: String,
    },
}

/// Returns the cosine of each pair of a prediction and its references, best over the references.
///
/// Each distinct text is embedded once, all in one call and in sorted order.
///
/// # Errors
/// If the embedder fails or returns vectors that do not fit.
pub fn sentences(pairs: &[(&str, &[String])], embedder: &dyn Embedder) -> Result<Vec<f64>, CosineError> {
    let mut vectors: BTreeMap<&str, Vec<f32>> = pairs
        .iter()
        .flat_map(|(prediction, references)| std::iter::once(*prediction).chain(references.iter().map(String::as_str)))
        .filter(|text| whitespace::words(text).next().is_some())
        .map(|text| (text, Vec::new()))
        .collect();
    let texts: Vec<&str> = vectors.keys().copied().collect();
    for (text, vector) in texts.iter().zip(embed(&texts, embedder)?) {
        vectors.insert(text, vector);
    }
    Ok(pairs
        .iter()
        .map(|(prediction, references)| {
            let cosines =
                references.iter().map(|reference| match (vectors.get(prediction), vectors.get(reference.as_str())) {
                    (Some(a), Some(b)) => cosine(a, b),
                    _ => 0.0,
                });
            cosines.reduce(f64::max).unwrap_or_default()
        })
        .collect())
}

/// Names the variant: the embedder, and how several references and empty texts are treated.
pub fn signature(embedder: &dyn Embedder) -> String {
    format!("{}|refs:max|empty:0|version:tutelage-{}", embedder.signature(), env!("CARGO_PKG_VERSION"))
}

/// Returns the cosine of the angle between two vectors, 0 if one of them is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 { 0.0 } else { (dot(a, b) / norms).clamp(-1.0, 1.0) }
}

fn embed(texts: &[&str], embedder: &dyn Embedder) -> Result<Vec<Vec<f32>>, CosineError> {
    let signature = || embedder.signature();
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let vectors = embedder.embed(texts).map_err(|source| CosineError::Embedder { signature: signature(), source })?;
    if vectors.len() != texts.len() {
        return Err(CosineError::Count { signature: signature(), vectors: vectors.len(), texts: texts.len() });
    }
    let first = vectors[0].len();
    for (text, vector) in texts.iter().zip(&vectors) {
        if vector.len() != first {
            return Err(CosineError::Dimension { signature: signature(), first, other: vector.len() });
        }
        if !vector.iter().all(|value| value.is_finite()) {
            return Err(CosineError::NotFinite { signature: signature(), text: (*text).to_owned() });
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embeds a text as its numbers of `a` and `b`.
    struct Letters;

    impl Embedder for Letters {
        fn signature(&self) -> String {
            "letters".to_owned()
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedderError> {
            let count = |text: &str, letter| text.matches(letter).count() as f32;
            Ok(texts.iter().map(|text| vec![count(text, 'a'), count(text, 'b')]).collect())
        }
    }

    /// Returns what it is told to.
    struct Broken(Result<Vec<Vec<f32>>, String>);

    impl Embedder for Broken {
        fn signature(&self) -> String {
            "broken".to_owned()
        }

        fn embed(&self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedderError> {
            Ok(self.0.clone()?)
        }
    }

    #[test]
    fn the_best_reference_counts_and_empty_text_is_0() {
        let references = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (best, single, none) = (references(&["b", "ab"]), references(&["a"]), references(&["", "ccc"]));
        let cosines = sentences(&[("aab", &best), (" ", &single), ("a", &none), ("ccc", &single)], &Letters).unwrap();
        assert!((cosines[0] - 3.0 / 10.0f64.sqrt()).abs() < 1e-6);
        assert_eq!(cosines[1..], [0.0, 0.0, 0.0]);
    }

    #[test]
    fn vectors_that_do_not_fit_are_refused() {
        let references = ["b".to_owned()];
        let error = |result| sentences(&[("a", &references)], &Broken(result)).unwrap_err().to_string();
        assert_eq!(error(Err("out of memory".to_owned())), "embedder `broken` failed");
        assert_eq!(error(Ok(vec![vec![1.0]])), "vectors of embedder `broken` and texts differ in number: 1, 2");
        assert_eq!(
            error(Ok(vec![vec![1.0], vec![1.0, 2.0]])),
            "embedder `broken` returned vectors of different dimensions: 1, 2"
        );
        assert_eq!(
            error(Ok(vec![vec![1.0], vec![f32::NAN]])),
            "embedder `broken` returned a vector that is not finite for text `b`"
        );
    }
}
