//! A BERT encoder and the vectors that sentence-transformers makes of its hidden states.
//!
//! Reads the folder of a sentence-transformers model: `config.json`, `model.safetensors`,
//! `modules.json`, the pooling's `config.json`, `sentence_bert_config.json`. Knows no tokenizer.

use std::path::Path;

use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};

use super::layers::Linear;
use super::layers::Mode::Infer;
use super::packed::Packed;
use super::weights::Checkpoint;
use super::{Misfits, ModelError};

/// An encoder of sentences (Devlin et al. 2019, arXiv 1810.04805; Reimers and Gurevych 2019,
/// arXiv 1908.10084, section 3).
#[derive(Debug)]
pub struct Encoder {
    /// Token embedding `[vocab, hidden]`.
    pub word_embeddings: Tensor,
    /// Position embedding `[positions, hidden]`.
    pub position_embeddings: Tensor,
    /// Embedding of the first segment `[hidden]`.
    pub token_type_embedding: Tensor,
    /// Norm of the embeddings' sum.
    pub embedding_norm: LayerNorm,
    /// Layers, first to last.
    pub layers: Vec<EncoderLayer>,
    /// How tokens become a sentence.
    pub sentence: Sentence,
}

/// One layer: attention to all tokens and a GELU feed-forward, each with a residual, then a norm.
#[derive(Debug)]
pub struct EncoderLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    heads: i64,
}

/// Standardises each row, scales and shifts it (Ba et al. 2016, arXiv 1607.06450, eq. 4).
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

/// Says how the hidden states of a text become its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// How tokens are joined.
    pub pooling: Pooling,
    /// Divides the vector by its length.
    pub normalise: bool,
    /// Longest text, in tokens, special tokens included.
    pub max_tokens: usize,
}

/// Says how the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean, special tokens included.
    Mean,
    /// That of the first token.
    FirstToken,
}

impl Encoder {
    /// Loads a model folder in f32 on `device`.
    ///
    /// # Errors
    /// When a file is missing or damaged, describes another kind of model, or a weight is missing
    /// or of another shape.
    pub fn load(folder: &Path, device: Device) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let config = read_json(&path)?;
        let wrong = |problem: String| ModelError::Config { path: path.clone(), problem };
        let text = |name: &str| config.get(name).and_then(Value::as_str);
        for (name, expected) in
            [("model_type", "bert"), ("hidden_act", "gelu"), ("position_embedding_type", "absolute")]
        {
            let found = text(name).unwrap_or(expected);
            if found != expected {
                return Err(wrong(format!("`{name}` is `{found}`, expected `{expected}`")));
            }
        }
        let size = |name: &str| match config.get(name).and_then(Value::as_i64) {
            Some(size) if size > 0 => Ok(size),
            _ => Err(wrong(format!("`{name}` is not a positive number"))),
        };
        let (hidden, wide, heads) = (size("hidden_size")?, size("intermediate_size")?, size("num_attention_heads")?);
        if hidden % heads != 0 {
            return Err(wrong(format!("`hidden_size` is {hidden}, expected a multiple of the {heads} heads")));
        }
        let positions = size("max_position_embeddings")?;
        let epsilon = config.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(1e-12);
        let sentence = Sentence::read(folder, positions as usize)?;

        let checkpoint = Checkpoint::open(folder)?;
        let mut misfits = Misfits::default();
        let mut tensor = |name: String, shape: &[i64]| -> Result<Tensor, ModelError> {
            match checkpoint.shape(&name) {
                Some(found) if found != shape => {
                    misfits.add(format!("`{name}` has shape {found:?}, expected {shape:?}"));
                }
                _ => match checkpoint.read(&name, Kind::Float, device)? {
                    Some(tensor) => return Ok(tensor),
                    None => misfits.add(format!("`{name}` is missing")),
                },
            }
            Ok(Tensor::empty([0], (Kind::Float, device)))
        };
        let word_embeddings = tensor("embeddings.word_embeddings.weight".to_owned(), &[size("vocab_size")?, hidden])?;
        let position_embeddings = tensor("embeddings.position_embeddings.weight".to_owned(), &[positions, hidden])?;
        let segments = size("type_vocab_size")?;
        let token_types = tensor("embeddings.token_type_embeddings.weight".to_owned(), &[segments, hidden])?;
        let mut norm = |name: String| -> Result<LayerNorm, ModelError> {
            let weight = tensor(format!("{name}.weight"), &[hidden])?;
            Ok(LayerNorm { weight, bias: tensor(format!("{name}.bias"), &[hidden])?, epsilon })
        };
        let embedding_norm = norm("embeddings.LayerNorm".to_owned())?;
        let mut layers = Vec::new();
        for i in 0..size("num_hidden_layers")? {
            let name = |part: &str| format!("encoder.layer.{i}.{part}");
            let mut norm = |part: &str| -> Result<LayerNorm, ModelError> {
                let weight = tensor(name(&format!("{part}.weight")), &[hidden])?;
                Ok(LayerNorm { weight, bias: tensor(name(&format!("{part}.bias")), &[hidden])?, epsilon })
            };
            let (attention_norm, output_norm) = (norm("attention.output.LayerNorm")?, norm("output.LayerNorm")?);
            let mut linear = |part: &str, out: i64, width: i64| -> Result<Linear, ModelError> {
                let mut linear = Linear::new(tensor(name(&format!("{part}.weight")), &[out, width])?);
                linear.bias = Some(tensor(name(&format!("{part}.bias")), &[out])?);
                Ok(linear)
            };
            layers.push(EncoderLayer {
                query: linear("attention.self.query", hidden, hidden)?,
                key: linear("attention.self.key", hidden, hidden)?,
                value: linear("attention.self.value", hidden, hidden)?,
                attention_output: linear("attention.output.dense", hidden, hidden)?,
                attention_norm,
                intermediate: linear("intermediate.dense", wide, hidden)?,
                output: linear("output.dense", hidden, wide)?,
                output_norm,
                heads,
            });
        }
        misfits.check(folder)?;
        let token_type_embedding = token_types.get(0);
        Ok(Self { word_embeddings, position_embeddings, token_type_embedding, embedding_norm, layers, sentence })
    }

    /// Computes the hidden states `[tokens, hidden]`. Texts of equal length that are neighbours
    /// are attended together.
    pub fn hidden(&self, batch: &Packed) -> Tensor {
        no_grad(|| {
            let embed = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, false);
            let sum = embed(&self.word_embeddings, &batch.ids)
                + embed(&self.position_embeddings, &batch.positions)
                + &self.token_type_embedding;
            let mut x = self.embedding_norm.forward(&sum);
            for layer in &self.layers {
                x = layer.forward(&x, &batch.lengths);
            }
            x
        })
    }

    /// Computes one vector for each text `[texts, hidden]`.
    pub fn embed(&self, batch: &Packed) -> Tensor {
        no_grad(|| {
            let hidden = self.hidden(batch);
            let texts = hidden.split_with_sizes(&batch.lengths, 0);
            let pooled: Vec<Tensor> = texts
                .iter()
                .map(|text| match self.sentence.pooling {
                    Pooling::Mean => text.mean_dim(0i64, false, Kind::Float),
                    Pooling::FirstToken => text.get(0),
                })
                .collect();
            let vectors = Tensor::stack(&pooled, 0);
            if !self.sentence.normalise {
                return vectors;
            }
            let lengths = vectors.square().sum_dim_intlist(1i64, true, Kind::Float).sqrt();
            vectors / lengths.clamp_min(1e-12)
        })
    }
}

impl EncoderLayer {
    fn forward(&self, x: &Tensor, lengths: &[i64]) -> Tensor {
        let attended = self.attention_output.forward(&self.attend(x, lengths), Infer);
        let x = self.attention_norm.forward(&(x + attended));
        let wide = self.intermediate.forward(&x, Infer).gelu("none");
        self.output_norm.forward(&(&x + self.output.forward(&wide, Infer)))
    }

    fn attend(&self, x: &Tensor, lengths: &[i64]) -> Tensor {
        let width = x.size()[1];
        let (query, key, value) =
            (self.query.forward(x, Infer), self.key.forward(x, Infer), self.value.forward(x, Infer));
        let mut parts = Vec::new();
        let mut start = 0;
        for run in lengths.chunk_by(|a, b| a == b) {
            let (texts, length) = (run.len() as i64, run[0]);
            let tokens = texts * length;
            // [texts, heads, length, head_dim]
            let heads = |all: &Tensor| {
                all.narrow(0, start, tokens).view([texts, length, self.heads, width / self.heads]).transpose(1, 2)
            };
            let attended = Tensor::scaled_dot_product_attention::<&Tensor>(
                &heads(&query),
                &heads(&key),
                &heads(&value),
                None,
                0.0,
                false,
                None,
                false,
            );
            parts.push(attended.transpose(1, 2).reshape([tokens, width]));
            start += tokens;
        }
        Tensor::cat(&parts, 0)
    }
}

impl LayerNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.epsilon, false)
    }
}

impl Sentence {
    /// Reads how a model folder makes vectors; a plain encoder gets the mean, not normalised, as
    /// sentence-transformers does.
    fn read(folder: &Path, positions: usize) -> Result<Self, ModelError> {
        let mut sentence = Self { pooling: Pooling::Mean, normalise: false, max_tokens: positions };
        let limits = folder.join("sentence_bert_config.json");
        if limits.exists()
            && let Some(limit) = read_json(&limits)?.get("max_seq_length").and_then(Value::as_u64)
        {
            sentence.max_tokens = positions.min(limit as usize);
        }
        let path = folder.join("modules.json");
        if !path.exists() {
            return Ok(sentence);
        }
        let modules = read_json(&path)?;
        let Some(modules) = modules.as_array() else {
            return Err(ModelError::Config { path, problem: "it holds no list of modules".to_owned() });
        };
        for module in modules {
            let kind = module.get("type").and_then(Value::as_str).unwrap_or("");
            let place = module.get("path").and_then(Value::as_str).unwrap_or("");
            match kind.rsplit('.').next().unwrap_or("") {
                "Transformer" => {}
                "Pooling" => sentence.pooling = Pooling::read(&folder.join(place).join("config.json"))?,
                "Normalize" => sentence.normalise = true,
                _ => {
                    let problem = format!("module `{kind}` is unknown, expected Transformer, Pooling, Normalize");
                    return Err(ModelError::Config { path, problem });
                }
            }
        }
        let path = folder.join("config_sentence_transformers.json");
        if path.exists()
            && let Some(prompt) = read_json(&path)?.get("default_prompt_name").filter(|name| !name.is_null())
        {
            let problem = format!("`default_prompt_name` is {prompt}, expected none: texts are embedded as they are");
            return Err(ModelError::Config { path, problem });
        }
        Ok(sentence)
    }
}

impl Pooling {
    /// Reads the pooling's configuration: one name (sentence-transformers 6), or a flag for each
    /// kind of pooling.
    fn read(path: &Path) -> Result<Self, ModelError> {
        let config = read_json(path)?;
        let flags = config.as_object().into_iter().flatten();
        let on: Vec<&str> = match config.get("pooling_mode") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(name) => name.as_str().into_iter().collect(),
            None => flags
                .filter(|(name, value)| name.starts_with("pooling_mode_") && **value == Value::Bool(true))
                .map(|(name, _)| name.as_str())
                .collect(),
        };
        match on[..] {
            ["mean" | "pooling_mode_mean_tokens"] => Ok(Self::Mean),
            ["cls" | "pooling_mode_cls_token"] => Ok(Self::FirstToken),
            _ => {
                let expected = "expected `pooling_mode_mean_tokens` or `pooling_mode_cls_token`";
                Err(ModelError::Config { path: path.to_owned(), problem: format!("pooling is {on:?}, {expected}") })
            }
        }
    }
}

fn read_json(path: &Path) -> Result<Value, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_folder_says_how_sentences_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Sentence::read(folder.path(), 512);
        let plain = Sentence { pooling: Pooling::Mean, normalise: false, max_tokens: 512 };
        assert_eq!(read().unwrap(), plain);
        write(folder.path(), "sentence_bert_config.json", r#"{"max_seq_length": 256}"#);
        write(
            folder.path(),
            "modules.json",
            r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#,
        );
        assert!(read().unwrap_err().to_string().contains("1_Pooling/config.json"));
        let pooling = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
        write(folder.path(), "1_Pooling/config.json", pooling);
        assert_eq!(read().unwrap(), Sentence { pooling: Pooling::FirstToken, normalise: true, max_tokens: 256 });
        write(folder.path(), "1_Pooling/config.json", r#"{"embedding_dimension": 384, "pooling_mode": "mean"}"#);
        assert_eq!(read().unwrap().pooling, Pooling::Mean);
        let prompts = "config_sentence_transformers.json";
        write(folder.path(), prompts, r#"{"prompts": {}, "default_prompt_name": null}"#);
        assert!(read().is_ok());
        write(folder.path(), prompts, r#"{"default_prompt_name": "query"}"#);
        assert!(read().unwrap_err().to_string().contains("`default_prompt_name` is \"query\""));
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "modules.json", r#"[{"path": "", "type": "a.Dense"}]"#);
        let message = Sentence::read(folder.path(), 512).unwrap_err().to_string();
        assert!(message.contains("module `a.Dense` is unknown"), "{message}");
        write(folder.path(), "modules.json", "{}");
        let message = Sentence::read(folder.path(), 512).unwrap_err().to_string();
        assert!(message.ends_with("modules.json`: it holds no list of modules"), "{message}");
        write(folder.path(), "pooling.json", r#"{"pooling_mode_max_tokens": true}"#);
        let message = Pooling::read(&folder.path().join("pooling.json")).unwrap_err().to_string();
        assert!(message.contains("pooling is [\"pooling_mode_max_tokens\"], expected"), "{message}");
        write(folder.path(), "config.json", r#"{"model_type": "roberta"}"#);
        let message = Encoder::load(folder.path(), Device::Cpu).unwrap_err().to_string();
        assert!(message.ends_with("`model_type` is `roberta`, expected `bert`"), "{message}");
        let sizes = r#"{"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 3}"#;
        write(folder.path(), "config.json", sizes);
        let message = Encoder::load(folder.path(), Device::Cpu).unwrap_err().to_string();
        assert!(message.ends_with("`hidden_size` is 8, expected a multiple of the 3 heads"), "{message}");
    }
}
