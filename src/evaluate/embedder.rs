//! Sentence vectors for the metrics: text to tokens to the encoder.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tch::{Device, Kind, Tensor};
use tokenizers::{Tokenizer, TruncationParams};
use tutelage_metrics::embedding::{Embedder, EmbedderError};

use crate::models::ModelError;
use crate::models::encoder::{Encoder, Pooling};
use crate::models::packed::Packed;

/// Tokens of one batch: enough that matrix products are large, little memory.
const BATCH_TOKENS: usize = 4096;

/// Turns texts into the vectors that sentence-transformers makes with the same model folder.
#[derive(Debug)]
pub struct SentenceEmbedder {
    /// A tensor may be used by one thread at a time.
    encoder: Mutex<Encoder>,
    tokenizer: Tokenizer,
    device: Device,
    signature: String,
}

/// Why texts cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum SentenceError {
    /// The encoder cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer cannot be read.
    #[error("cannot read `{}`", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: tokenizers::Error,
    },
    /// The tokenizer has tokens that the encoder does not know.
    #[error("`{}` has {tokens} tokens, expected at most the encoder's {embeddings}", path.display())]
    Vocabulary {
        /// The tokenizer's file.
        path: PathBuf,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the encoder's embedding.
        embeddings: usize,
    },
    /// A text cannot be tokenized.
    #[error("cannot tokenize a text")]
    Text {
        /// The cause.
        source: tokenizers::Error,
    },
}

impl SentenceEmbedder {
    /// Loads a sentence-transformers model folder with a BERT encoder on `device`.
    ///
    /// # Errors
    /// When a file is missing, damaged or of another kind of model.
    pub fn load(folder: &Path, device: Device) -> Result<Self, SentenceError> {
        let encoder = Encoder::load(folder, device)?;
        let path = folder.join("tokenizer.json");
        let failed = |source| SentenceError::Tokenizer { path: path.clone(), source };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(failed)?;
        // The file may ask for padding and for another length: batches here have no padding.
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: encoder.sentence.max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed)?;
        let tokens = tokenizer.get_vocab(true).into_values().max().map_or(0, |last| last as usize + 1);
        let embeddings = encoder.word_embeddings.size()[0] as usize;
        if tokens > embeddings {
            return Err(SentenceError::Vocabulary { path, tokens, embeddings });
        }
        let signature = signature(&encoder);
        Ok(Self { encoder: Mutex::new(encoder), tokenizer, device, signature })
    }

    /// Returns one vector for each text, in order.
    ///
    /// # Errors
    /// When a text cannot be tokenized.
    pub fn vectors(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, SentenceError> {
        let encodings =
            self.tokenizer.encode_batch(texts.to_vec(), true).map_err(|source| SentenceError::Text { source })?;
        let tokens: Vec<&[u32]> = encodings.iter().map(|encoding| encoding.get_ids()).collect();
        // Equal lengths side by side: the encoder attends to them in one operation.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| (tokens[text].len(), text));
        let encoder = self.encoder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut start = 0;
        while start < order.len() {
            let mut held = 0;
            let fitting = order[start..].iter().take_while(|&&text| {
                held += tokens[text].len();
                held <= BATCH_TOKENS
            });
            let batch = &order[start..start + fitting.count().max(1)];
            let sequences: Vec<&[u32]> = batch.iter().map(|&text| tokens[text]).collect();
            let embedded = encoder.embed(&Packed::new(&sequences, None, self.device)).to_kind(Kind::Float);
            let rows = Vec::<Vec<f32>>::try_from(embedded.to_device(Device::Cpu)).expect("[texts, width] in f32");
            for (&text, row) in batch.iter().zip(rows) {
                vectors[text] = row;
            }
            start += batch.len();
        }
        Ok(vectors)
    }
}

impl Embedder for SentenceEmbedder {
    fn signature(&self) -> String {
        self.signature.clone()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedderError> {
        Ok(self.vectors(texts)?)
    }
}

/// Names layers, width, pooling, length and a digest of the word embeddings, which tells models
/// apart that were trained apart: a folder's name says little.
fn signature(encoder: &Encoder) -> String {
    let sentence = encoder.sentence;
    let pooling = match sentence.pooling {
        Pooling::Mean => "mean",
        Pooling::FirstToken => "first-token",
    };
    let normalised = if sentence.normalise { "l2" } else { "none" };
    format!(
        "model:bert-{}x{}-{}|pool:{pooling}|norm:{normalised}|tokens:{}",
        encoder.layers.len(),
        encoder.word_embeddings.size()[1],
        digest(&encoder.word_embeddings),
        sentence.max_tokens,
    )
}

/// Returns eight hexadecimal digits of a BLAKE3 hash of a table's values.
fn digest(table: &Tensor) -> String {
    let values = Vec::<f32>::try_from(table.to_device(Device::Cpu).flatten(0, -1)).expect("an f32 table");
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex()[..8].to_owned()
}
