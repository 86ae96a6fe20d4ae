//! What models say about text: likelihood of responses, vectors of sentences, logits of ids.
//! Implements the traits of `tutelage_metrics` with this crate's models.

pub mod embedder;
pub mod likelihood;
pub mod locate;
pub mod logits;

pub use embedder::SentenceEmbedder;
pub use locate::embedding_model;
pub use logits::{is_logits, logits};
