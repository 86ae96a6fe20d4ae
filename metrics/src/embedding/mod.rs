//! Metrics that compare vectors of meaning.
//!
//! This crate knows no model: whoever has one implements [`Embedder`].

pub mod cosine;

/// Carries whatever an embedder failed with.
pub type EmbedderError = Box<dyn std::error::Error + Send + Sync>;

/// Turns texts into vectors.
pub trait Embedder {
    /// Names the model, its pooling and its version, for the metric's signature.
    fn signature(&self) -> String;

    /// Returns one vector for each text, in order, all of one dimension.
    ///
    /// # Errors
    /// Whatever keeps the model from running.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedderError>;
}
