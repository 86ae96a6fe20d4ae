//! What each kind of stage is told to do.
//!
//! A job holds every setting that can change the stage's result, and beside them the few that say
//! only how it is computed (`accumulation`, when states are saved, the batches of a capture and of
//! decoding): these are reset by [`Job::essential`] before the job is hashed, so that changing them
//! invalidates nothing. They can change rounding and, with `accumulation`, which inputs dropout
//! drops; never what is estimated.
//! What a stage reads reaches it under the input names given with each job. A *model folder* is a
//! Hugging Face folder: `config.json`, safetensors, `tokenizer.json`; an *adapter folder* is
//! PEFT's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stage::StageKind;
use crate::data::{encode, template};
use crate::device::Precision;
use crate::experiment::settings::{Algorithm, Data, Decoding, Scratch, TokenizerSource, Training, Tuning};

/// Says what a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// Imports and divides data.
    Data(DataJob),
    /// Trains or copies a tokenizer.
    Tokenizer(TokenizerJob),
    /// Trains a scratch model.
    Pretrain(PretrainJob),
    /// Fine-tunes a model.
    Sft(SftJob),
    /// Stores a teacher's signal.
    Capture(CaptureJob),
    /// Trains a student with a teacher.
    Distill(DistillJob),
    /// Answers questions.
    Generate(GenerateJob),
    /// Scores answers.
    Score(ScoreJob),
}

/// Imports and divides data. Input: `source` unless the data is embedded. Output: `train.jsonl`,
/// `dev.jsonl`, `test.jsonl`, `corpus.jsonl`, `wordings.jsonl`, `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataJob {
    /// The settings; the path only tells where to read.
    pub data: Data,
    /// Checksum of the embedded source; none for a file, which is an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<String>,
}

/// Makes a tokenizer. Input: `data` if it is trained, `source` if it is read. Output:
/// `tokenizer.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenizerJob {
    /// The settings.
    pub tokenizer: TokenizerSource,
}

/// Trains a scratch model on the corpus of the training split. Inputs: `data`, `tokenizer`.
/// Output: a model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PretrainJob {
    /// The decoder; the name of its tokenizer is for people.
    pub model: Scratch,
    /// Optimisation.
    pub training: Training,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of initial weights and order.
    pub seed: u64,
}

/// Fine-tunes on the training split. Inputs: `data`, `model`. Output: a model folder, with
/// adapters an adapter folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SftJob {
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation.
    pub training: Training,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of adapters, dropout and order.
    pub seed: u64,
}

/// Stores the teacher's last hidden states on response positions of the training split. Inputs:
/// `data`, `teacher`, and `teacher-adapter` if it was tuned by adapters. Output: the capture's own files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaptureJob {
    /// Longest sequence, in tokens of the teacher.
    pub max_length: usize,
    /// Longest prompt, in tokens of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<usize>,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Sequences of `max_length` that one forward pass has room for.
    pub batch: usize,
}

/// Trains a student with a teacher. Inputs: `data`, `student`, `student-adapter` if it was tuned by
/// adapters, `teacher`, `teacher-adapter` likewise, `capture`. Output: a model folder, with
/// adapters an adapter folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DistillJob {
    /// Objective with its settings.
    pub algorithm: Algorithm,
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation.
    pub training: Training,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of adapters, projectors, dropout and order.
    pub seed: u64,
}

/// Answers the test split and measures the likelihood of its references. Inputs: `data`, `model`,
/// and `adapter` if it was tuned by adapters. Output: `test.jsonl` and, if asked, `dev.jsonl`, rows
/// of [`super::generation::Generation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GenerateJob {
    /// How the next token is chosen.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Longest sequence, in tokens: prompt and answer, prompt and reference.
    pub max_length: usize,
    /// Longest prompt, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<usize>,
    /// Answers so many examples of each split only, drawn by the seed of its division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Answers the dev split too.
    pub dev: bool,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of sampling; of no effect on greedy answers.
    pub seed: u64,
    /// Sequences decoded at a time; changes no answer.
    pub batch: usize,
}

/// Scores answers. Inputs: `data`, `generations`, and `embedding-model` if a metric needs it.
/// Output: `test.jsonl` and where there are answers `dev.jsonl`, rows of [`super::score::Value`],
/// and `metrics.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScoreJob {
    /// Metrics with the version of their results, in the order of tables.
    pub metrics: Vec<(String, u32)>,
    /// CPU threads of the embedding model; none where no metric needs one, and on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Job {
    /// Returns the kind of stage that does this.
    #[must_use]
    pub fn kind(&self) -> StageKind {
        match self {
            Self::Data(_) | Self::Tokenizer(_) => StageKind::Prepare,
            Self::Pretrain(_) => StageKind::Pretrain,
            Self::Sft(_) => StageKind::Sft,
            Self::Capture(_) => StageKind::Capture,
            Self::Distill(_) => StageKind::Distill,
            Self::Generate(_) => StageKind::Generate,
            Self::Score(_) => StageKind::Score,
        }
    }

    /// Returns the number format of its products, where it has any.
    #[must_use]
    pub fn precision(&self) -> Option<Precision> {
        match self {
            Self::Data(_) | Self::Tokenizer(_) | Self::Score(_) => None,
            Self::Pretrain(job) => Some(job.precision),
            Self::Sft(job) => Some(job.precision),
            Self::Capture(job) => Some(job.precision),
            Self::Distill(job) => Some(job.precision),
            Self::Generate(job) => Some(job.precision),
        }
    }

    /// Returns the CPU threads that its sums are divided among, where it has any.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        match self {
            Self::Data(_) | Self::Tokenizer(_) => None,
            Self::Pretrain(job) => job.threads,
            Self::Sft(job) => job.threads,
            Self::Capture(job) => job.threads,
            Self::Distill(job) => job.threads,
            Self::Generate(job) => job.threads,
            Self::Score(job) => job.threads,
        }
    }

    /// Returns the versions of what the code puts into words and tokens for it, by name: they are
    /// hashed beside [`Job::version`].
    #[must_use]
    pub fn versions_of_texts(&self) -> BTreeMap<String, u32> {
        let (wording, encoding) = (("wording", template::VERSION), ("encoding", encode::VERSION));
        let used: &[(&str, u32)] = match self {
            Self::Data(_) | Self::Tokenizer(_) | Self::Score(_) => &[],
            // Texts have no prompt.
            Self::Pretrain(_) => &[encoding],
            Self::Sft(_) | Self::Capture(_) | Self::Distill(_) | Self::Generate(_) => &[wording, encoding],
        };
        used.iter().map(|&(name, version)| (name.to_owned(), version)).collect()
    }

    /// Returns the version of the code's results: raise it when the same job would give another
    /// result than before. Wording and encoding have their own, [`Job::versions_of_texts`].
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            // 2: a passage is followed by its questions, and blank contexts join no rows.
            // 3: a question asked in two documents stays with both, rows of one context are one group;
            // how a corpus is laid out is part of the key.
            // 4: windows are cut after the division and, in dev and test, without the answer; groups that
            // share a question with its answer are in one split; corpora are passages without questions.
            Self::Data(_) => 4,
            // 2: classes that read their files otherwise, and tokens beside `tokenizer.json`, as transformers.
            Self::Tokenizer(_) => 2,
            // 2: in bf16, a step in one piece that followed one in several had lost its gradient.
            Self::Pretrain(_) => 2,
            // 3: tokenizers of checkpoints as for the tokenizer's 2.
            Self::Sft(_) => 3,
            // 2: lengths are rounded up to 16 tokens, which changes rounding. 3: tokenizers, windows by layer.
            Self::Capture(_) => 3,
            // 3: tokenizers; vocabularies are compared by the tokens of text, heads cut to the smaller width,
            // ends exchanged.
            Self::Distill(_) => 3,
            // 2: every end token that a checkpoint names ends an answer. 3: adapters stay beside bf16 weights.
            // 4: references that training leaves out for their length are measured; a limit is a random sample;
            // ends that are no special tokens, too; bytes of references; tokenizers, windows by layer.
            Self::Generate(_) => 4,
            Self::Score(_) => 1,
        }
    }

    /// Returns the job with every setting reset that says only how it is computed: what is hashed.
    #[must_use]
    pub fn essential(&self) -> Self {
        let mut job = self.clone();
        match &mut job {
            Self::Data(job) => job.data.path = None,
            Self::Tokenizer(job) => {
                if let TokenizerSource::File { path } = &mut job.tokenizer {
                    path.clear();
                }
            }
            Self::Pretrain(job) => {
                job.model.tokenizer.clear();
                reset(&mut job.training);
            }
            Self::Sft(job) => reset(&mut job.training),
            Self::Capture(job) => job.batch = 0,
            Self::Distill(job) => reset(&mut job.training),
            Self::Generate(job) => {
                job.batch = 0;
                if matches!(job.decoding, Decoding::Greedy {}) {
                    job.seed = 0;
                }
            }
            Self::Score(_) => {}
        }
        job
    }
}

fn reset(training: &mut Training) {
    training.accumulation = 1;
    training.checkpoint_every = 0;
    training.checkpoint_minutes = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sft(training: Training, seed: u64) -> Job {
        Job::Sft(SftJob {
            tuning: Tuning::default(),
            training,
            closed_book: false,
            precision: Precision::F32,
            threads: None,
            seed,
        })
    }

    #[test]
    fn settings_of_how_it_is_computed_are_not_hashed() {
        let plain = sft(Training::default(), 1);
        let saved = Training { checkpoint_every: 7, checkpoint_minutes: 0.5, ..Training::default() };
        let mut training = Training { accumulation: 8, ..saved };
        assert_eq!(sft(training.clone(), 1).essential(), plain.essential());
        training.lr *= 2.0;
        assert_ne!(sft(training, 1).essential(), plain.essential());
        assert_ne!(sft(Training::default(), 2).essential(), plain.essential());
    }

    #[test]
    fn data_are_known_by_their_source_and_by_what_prompts_show() {
        let settings = "importer = \"glossary\"";
        let data: Data = toml::from_str(settings).unwrap();
        let essential =
            |data: Data, embedded: &str| Job::Data(DataJob { data, embedded: Some(embedded.to_owned()) }).essential();
        let plain = essential(data.clone(), "1");
        assert_eq!(essential(Data { path: Some("elsewhere".into()), ..data.clone() }, "1"), plain);
        assert_ne!(essential(Data { closed_book: true, ..data.clone() }, "1"), plain);
        assert_ne!(essential(data, "2"), plain);
    }

    #[test]
    fn the_seed_matters_to_drawn_answers_only() {
        let job = |decoding, seed| {
            Job::Generate(GenerateJob {
                decoding,
                max_new_tokens: 8,
                max_length: 64,
                max_prompt: None,
                limit: None,
                dev: false,
                closed_book: false,
                precision: Precision::F32,
                threads: None,
                seed,
                batch: 4,
            })
            .essential()
        };
        let drawn = Decoding::Sample { temperature: 1.0, top_p: 1.0, top_k: None };
        assert_eq!(job(Decoding::Greedy {}, 1), job(Decoding::Greedy {}, 2));
        assert_ne!(job(drawn, 1), job(drawn, 2));
    }
}
