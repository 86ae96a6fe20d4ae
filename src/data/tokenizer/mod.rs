//! Text to token ids and back, with tokenizers as Hugging Face stores them.
//!
//! Reads and writes `tokenizer.json` with its side files, trains small vocabularies, and tells
//! whether two vocabularies are the same. Special tokens are not added but where a prompt begins.

mod added;
mod class;
mod files;
#[cfg(test)]
mod parity;
mod train;
mod vocabulary;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::files::Files;
use crate::data::chat::{ChatError, ChatTemplate};
use crate::experiment::settings::TokenizerSource;
use crate::files::WriteError;

/// Maps text to token ids and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Token of each id; empty where an id is not used.
    tokens: Vec<String>,
    /// Whether text is encoded to an id; see `vocabulary`.
    counted: Vec<bool>,
    eos: u32,
    /// Ids that end an answer, `eos` first.
    ends: Vec<u32>,
    /// Ids that stand before every text.
    beginning: Vec<u32>,
    files: Files,
}

/// Says why a tokenizer cannot be loaded, trained or saved.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// A file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file is not what its name says.
    #[error("`{file}` cannot be understood")]
    Format {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No end-of-sequence token is named.
    #[error("tokenizer `{folder}` names no end-of-sequence token")]
    NoEos {
        /// Folder of the tokenizer.
        folder: PathBuf,
    },
    /// The files are read by a class that builds a tokenizer of its own from them.
    #[error(
        "tokenizer `{folder}` is a `{class}`, which does not read `tokenizer.json` as it stands; expected \
         `PreTrainedTokenizerFast`, `LlamaTokenizer`, `CodeLlamaTokenizer`, `GemmaTokenizer`, `GPT2Tokenizer`, \
         `CodeGenTokenizer`, `GPTNeoXTokenizer` or `Qwen2Tokenizer`"
    )]
    Class {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// The class that is named.
        class: String,
    },
    /// `tokenizer.json` is not of the kind that the class reads.
    #[error("`tokenizer.json` of `{folder}` does not fit its class `{class}`: {problem}")]
    Misfit {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// The class that is named.
        class: String,
        /// What does not fit.
        problem: String,
    },
    /// A file beside `tokenizer.json` declares tokens that cannot be added.
    #[error("tokens beside `tokenizer.json` of `{folder}` cannot be added: {problem}")]
    Added {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// What is wrong, with what was expected.
        problem: String,
    },
    /// The end-of-sequence token is not in the vocabulary.
    #[error("end-of-sequence token `{token}` of `{folder}` is not in its vocabulary")]
    UnknownEos {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// Token or id that the side files name.
        token: String,
    },
    /// A model's file names something else than tokens as ends of an answer.
    #[error("`eos_token_id` in `{file}` holds {value}, expected {expected}")]
    End {
        /// The file.
        file: PathBuf,
        /// What it holds.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// Some text has no tokens.
    #[error("tokenizer `{folder}` cannot encode every text")]
    Incomplete {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// What the tokenizer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The vocabulary asked for does not hold single bytes, characters and special tokens.
    #[error("vocabulary of {asked} tokens is too small: at least {least} expected")]
    TooSmall {
        /// Tokens asked for.
        asked: usize,
        /// Fewest that these texts need.
        least: usize,
    },
    /// There is no text to train on.
    #[error("no text to train a tokenizer on")]
    NoText,
    /// A trained source was expected.
    #[error("tokenizer is read from `{0}`, not trained")]
    NotTrained(PathBuf),
    /// Training failed.
    #[error("training the tokenizer failed")]
    Train(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TokenizerError {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "name a `tokenizer.json` or the folder that holds it",
            Self::Write(_) => "check permissions and free space of that folder",
            Self::Format { .. } => "fetch the file again; it may be damaged or a pointer of git-lfs",
            Self::NoEos { .. } => {
                "put `tokenizer_config.json` with `eos_token`, or the model's `config.json`, beside `tokenizer.json`"
            }
            Self::Class { .. } | Self::Misfit { .. } => {
                "save it again with transformers as `PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, \
                 eos_token=tokenizer.eos_token)`"
            }
            Self::Added { .. } => {
                "save the tokenizer again with transformers: `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`"
            }
            Self::UnknownEos { .. } => "fetch all files of the tokenizer from one model",
            Self::End { .. } => "correct it, or fetch all files of the model again",
            Self::Incomplete { .. } => "use a tokenizer with an unknown token or byte fallback",
            Self::TooSmall { .. } => "raise `vocabulary`",
            Self::NoText => "check `limit` and `split` of the data set",
            Self::NotTrained(_) => "load it",
            Self::Train(_) => "try another `vocabulary` or kind of tokenizer",
        }
    }
}

/// Says that a student ends answers with a token that its teacher cannot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the student ends answers with `{student}`, which the teacher does not have: it ends them with `{teacher}`")]
pub struct ForeignEnd {
    /// The teacher's end.
    pub teacher: String,
    /// The student's.
    pub student: String,
}

impl ForeignEnd {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        "name one `eos_token` in `tokenizer_config.json` of both models"
    }
}

/// A character outside of every vocabulary: what the loader tries unknown text with.
const UNASSIGNED: &str = "\u{10fffd}";

impl Tokenizer {
    /// Loads a `tokenizer.json`, or the one in a folder; files beside it name the end-of-sequence
    /// token. Truncation and padding settings of the file are not applied.
    ///
    /// # Errors
    /// If a file is missing or damaged, no end-of-sequence token is named, something else than a token
    /// is named as an end, or the model has no tokens for unknown text.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut files = Files::read(path)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&files.tokenizer).map_err(|source| {
            let file = files.file.clone();
            TokenizerError::Format { file, source }
        })?;
        files.complete(&mut inner)?;
        Self::assemble(inner, files)
    }

    /// Trains a vocabulary on `texts`. The result depends on the texts alone: not on threads, nor on
    /// the order of a hash map. A Unigram vocabulary ends smaller than asked for where the texts
    /// give no more pieces.
    ///
    /// Byte-level BPE has the special tokens `<s>` 0, `</s>` 1 and the 256 bytes. Unigram has
    /// `<unk>` 0, `<s>` 1, `</s>` 2, all characters of the texts and, last, 256 byte tokens for
    /// characters outside of them. Both give back every text they encode.
    ///
    /// # Errors
    /// If there is no text or `vocabulary` does not hold what must be in it.
    pub fn train(source: &TokenizerSource, texts: &[String]) -> Result<Self, TokenizerError> {
        if texts.iter().all(|text| text.trim().is_empty()) {
            return Err(TokenizerError::NoText);
        }
        let inner = match source {
            TokenizerSource::ByteLevelBpe { vocabulary, .. } => train::byte_level_bpe(*vocabulary, texts)?,
            TokenizerSource::Unigram { vocabulary, .. } => train::unigram(*vocabulary, texts)?,
            TokenizerSource::File { path } => return Err(TokenizerError::NotTrained(path.clone())),
        };
        let files = Files::trained(&inner)?;
        Self::assemble(inner, files)
    }

    fn assemble(mut inner: tokenizers::Tokenizer, files: Files) -> Result<Self, TokenizerError> {
        inner.with_padding(None);
        let untruncated = inner.with_truncation(None).map(|_| ());
        let incomplete = |source| TokenizerError::Incomplete { folder: files.folder.clone(), source };
        untruncated.map_err(incomplete)?;
        inner.encode_fast(UNASSIGNED, false).map_err(incomplete)?;
        let beginning = beginning(&inner).map_err(incomplete)?;
        let tokens = tokens(&inner);
        let eos = files.eos(&inner, tokens.len())?;
        let ends = files.ends(eos, tokens.len())?;
        let counted = vocabulary::counted(&inner, &tokens);
        Ok(Self { inner, tokens, counted, eos, ends, beginning, files })
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` to a folder,
    /// as `AutoTokenizer` reads them: it then encodes as this one does. `tokenizer.json` of a loaded
    /// tokenizer is written back byte for byte unless its class overrules it (see `llama`).
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        self.files.write(folder, &self.tokens[self.eos as usize])
    }

    /// Returns what [`save`](Self::save) writes as `tokenizer.json`.
    pub fn json(&self) -> &[u8] {
        &self.files.tokenizer
    }

    /// Encodes a text, without adding special tokens.
    ///
    /// # Panics
    /// If the model has no tokens for a character though it had some for an unassigned one.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.expect("a tokenizer is loaded only if it encodes unknown text");
        encoding.get_ids().to_vec()
    }

    /// Encodes a text that a model reads from its start: what stands before every text, unless the text says it
    /// itself, and the text.
    ///
    /// # Panics
    /// As [`encode`](Self::encode).
    pub fn encode_begun(&self, text: &str) -> Vec<u32> {
        let tokens = self.encode(text);
        if tokens.starts_with(&self.beginning) { tokens } else { [self.beginning.as_slice(), &tokens].concat() }
    }

    /// Lists the ids that stand before every text: as a rule that of the beginning of a sequence, or none.
    /// transformers puts them there unless it is told to add no special tokens; a chat template writes them itself.
    pub fn beginning(&self) -> &[u32] {
        &self.beginning
    }

    /// Encodes a text as [`encode`](Self::encode), each token with its place in the text, in bytes.
    ///
    /// # Panics
    /// As [`encode`](Self::encode).
    pub fn encode_in_place(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        let encoding = self.inner.encode(text, false);
        let encoding = encoding.expect("a tokenizer is loaded only if it encodes unknown text");
        let places = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        encoding.get_ids().iter().copied().zip(places).collect()
    }

    /// Returns the chat template of the model as it is written; none where its files have none.
    pub fn chat_template_source(&self) -> Option<&str> {
        self.files.chat_template()
    }

    /// Returns the chat template of the model; none where its files have none.
    ///
    /// # Errors
    /// A template that is none.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, ChatError> {
        self.files.chat_template().map(|source| ChatTemplate::new(source, self.files.special_tokens())).transpose()
    }

    /// Decodes token ids, leaving special tokens and ids outside of the vocabulary out.
    ///
    /// # Panics
    /// If the decoder of a damaged `tokenizer.json` fails.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let text = self.inner.decode(tokens, true);
        text.expect("decoders only rewrite strings")
    }

    /// Lists the ends of answers that text is encoded to as well, as the vocabulary spells them: an
    /// answer breaks off where it holds one.
    pub fn ends_in_text(&self) -> Vec<&str> {
        let counts = |end: &&u32| self.counted.get(**end as usize) == Some(&true);
        self.ends.iter().filter(counts).filter_map(|&end| self.token(end)).collect()
    }

    /// Returns the end-of-sequence token and, in a list, the ends that the model's files name, where it is none of them.
    pub fn ends_apart(&self) -> Option<(String, String)> {
        let named = self.files.named_ends();
        if named.is_empty() || named.contains(&self.eos) {
            return None;
        }
        let spell = |&id: &u32| self.token(id).map_or_else(|| id.to_string(), |token| format!("`{token}`"));
        let others: Vec<String> = named.iter().map(spell).collect();
        Some((self.end()?.to_owned(), others.join(", ")))
    }

    /// Returns the id of the end-of-sequence token: the one that closes a response in training.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Lists the ids that end an answer: the end-of-sequence token first, then the others that
    /// `eos_token_id` names in `generation_config.json` or, where there is no such file, in `config.json`.
    /// transformers stops at each of them, whatever it stands for.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Counts ids: one more than the largest.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the token of an id, as the vocabulary spells it; none outside of the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        let token = self.tokens.get(id as usize)?;
        (!token.is_empty()).then_some(token)
    }

    /// Returns the tokens by id; empty where an id is not used.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Lists the ids that ordinary text is encoded to, with their tokens, in order. Special tokens,
    /// placeholders and markup are none of them (see `vocabulary`).
    pub fn vocabulary(&self) -> impl Iterator<Item = (u32, &str)> {
        let tokens = (0..).zip(&self.tokens).zip(&self.counted);
        tokens.filter(|(_, counted)| **counted).map(|((id, token), _)| (id, token.as_str()))
    }

    /// Puts a token before every text, as files of some models do.
    #[cfg(test)]
    pub(crate) fn beginning_with(mut self, token: u32) -> Self {
        self.beginning = vec![token];
        self
    }

    /// Says whether two tokenizers are one vocabulary: every id that ordinary text is encoded to means
    /// the same token in both, so that distributions over them compare entry by entry. Their ends, and
    /// how they split text, may differ.
    pub fn same_vocabulary(&self, other: &Self) -> bool {
        self.vocabulary().eq(other.vocabulary())
    }

    /// Returns the two ends to exchange in what a teacher with this tokenizer says, so that a student
    /// of the same vocabulary learns to end answers with its own token: the teacher's, then the
    /// student's. None where one token ends the answers of both. `rows` counts the entries of the
    /// teacher's distributions, which may be more than its tokens.
    ///
    /// # Errors
    /// If the teacher lacks the student's end, or has no entry for one of the two.
    pub fn exchanged_ends(&self, student: &Self, rows: usize) -> Result<Option<[u32; 2]>, ForeignEnd> {
        let ends = [self.eos, student.eos];
        if ends[0] == ends[1] {
            return Ok(None);
        }
        let is_known = self.end().is_some() && self.token(student.eos) == student.end();
        if is_known && ends.iter().all(|&end| (end as usize) < rows) {
            return Ok(Some(ends));
        }
        let name = |tokenizer: &Self| tokenizer.end().unwrap_or_default().to_owned();
        Err(ForeignEnd { teacher: name(self), student: name(student) })
    }

    /// Returns the end-of-sequence token, as the vocabulary spells it.
    pub fn end(&self) -> Option<&str> {
        self.token(self.eos)
    }

    /// Returns a BLAKE3 hash, in hexadecimal, of what [`Self::same_vocabulary`] compares.
    pub fn vocabulary_id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (id, token) in self.vocabulary() {
            hasher.update(&id.to_le_bytes());
            hasher.update(&(token.len() as u64).to_le_bytes());
            hasher.update(token.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Returns a BLAKE3 hash, in hexadecimal, of everything that says which tokens a text has, and of the end.
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let written = serde_json::to_writer(&mut hasher, &self.inner);
        written.expect("a tokenizer that was read from JSON can be written as JSON");
        hasher.update(&self.eos.to_le_bytes());
        for token in &self.beginning {
            hasher.update(&token.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Returns a BLAKE3 hash, in hexadecimal, of the map from tokens to ids, the normaliser and
    /// the pre-tokeniser. Padding, truncation and post-processing do not count: they change no token of
    /// a text.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for token in &self.tokens {
            hasher.update(&(token.len() as u64).to_le_bytes());
            hasher.update(token.as_bytes());
        }
        let normalizer = serde_json::to_string(&self.inner.get_normalizer());
        let pre_tokenizer = serde_json::to_string(&self.inner.get_pre_tokenizer());
        for part in [normalizer, pre_tokenizer] {
            let part = part.expect("settings that were read from JSON can be written as JSON");
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Tokenizer");
        debug.field("tokens", &self.len()).field("eos", &self.eos);
        debug.finish_non_exhaustive()
    }
}

/// Returns the ids that the post-processor puts before a text.
fn beginning(inner: &tokenizers::Tokenizer) -> tokenizers::Result<Vec<u32>> {
    let (whole, text) = (inner.encode_fast("a", true)?, inner.encode_fast("a", false)?);
    let text = text.get_ids();
    let mut parts = whole.get_ids().windows(text.len().max(1));
    let before = parts.position(|part| part == text).unwrap_or(0);
    Ok(whole.get_ids()[..before].to_vec())
}

fn tokens(inner: &tokenizers::Tokenizer) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut pairs: Vec<_> = inner.get_vocab(true).into_iter().collect();
    // An added token may share its id with one of the model; the added one is what is decoded.
    pairs.sort();
    for (token, id) in pairs {
        let index = id as usize;
        if tokens.len() <= index {
            tokens.resize(index + 1, String::new());
        }
        tokens[index] = inner.id_to_token(id).unwrap_or(token);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        let sentences = [
            "The AMF manages registration and mobility of the terminal.",
            "The SMF controls sessions and selects the UPF over the N4 interface.",
            "Question: What does HARQ do?\nAnswer: It combines retransmissions.",
            "Übertragung über 5G-NR: 256-QAM, 4×4 MIMO (25 %), naïve café.",
        ];
        sentences.map(str::to_owned).to_vec()
    }

    const SOURCES: [TokenizerSource; 2] = [
        TokenizerSource::ByteLevelBpe { vocabulary: 320, data: None },
        TokenizerSource::Unigram { vocabulary: 360, data: None },
    ];

    #[test]
    fn training_is_deterministic() {
        for source in SOURCES {
            let first = Tokenizer::train(&source, &texts()).unwrap();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| Tokenizer::train(&source, &texts()).unwrap());
                assert_eq!(first.files.tokenizer, again.files.tokenizer, "{source:?}");
            }
        }
    }

    #[test]
    fn every_text_comes_back() {
        for source in SOURCES {
            let tokenizer = Tokenizer::train(&source, &texts()).unwrap();
            let unseen = "\n 日本語 <unk?> \u{1f4e1}  two  spaces\t§ ";
            for text in texts().iter().map(String::as_str).chain([unseen, "", " a"]) {
                assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text, "{source:?}");
            }
        }
    }

    #[test]
    fn special_tokens_are_known_and_not_decoded() {
        for source in SOURCES {
            let tokenizer = Tokenizer::train(&source, &texts()).unwrap();
            assert_eq!(tokenizer.token(tokenizer.eos()), Some("</s>"));
            let mut tokens = tokenizer.encode("the AMF");
            tokens.push(tokenizer.eos());
            assert_eq!(tokenizer.decode(&tokens), "the AMF");
            assert!(tokens.iter().all(|&id| (id as usize) < tokenizer.len()));
            assert_eq!(tokenizer.token(tokenizer.len() as u32), None);
        }
    }

    #[test]
    fn a_vocabulary_has_the_size_asked_for_or_says_what_it_needs() {
        let long = crate::data::glossary::texts();
        for vocabulary in [500, 800] {
            for source in [
                TokenizerSource::ByteLevelBpe { vocabulary, data: None },
                TokenizerSource::Unigram { vocabulary, data: None },
            ] {
                let trained = Tokenizer::train(&source, &long).unwrap();
                assert_eq!(trained.len(), vocabulary, "{source:?}");
            }
        }
        let error = Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 257, data: None }, &texts());
        assert!(matches!(error.unwrap_err(), TokenizerError::TooSmall { asked: 257, least: 258 }));
        let error = Tokenizer::train(&TokenizerSource::Unigram { vocabulary: 259, data: None }, &texts());
        assert!(matches!(error.unwrap_err(), TokenizerError::TooSmall { asked: 259, .. }));
        let error = Tokenizer::train(&SOURCES[0], &[" ".to_owned()]).unwrap_err();
        assert!(matches!(error, TokenizerError::NoText));
    }

    #[test]
    fn a_saved_tokenizer_loads_the_same() {
        for source in SOURCES {
            let folder = tempfile::tempdir().unwrap();
            let trained = Tokenizer::train(&source, &texts()).unwrap();
            trained.save(folder.path()).unwrap();
            let loaded = Tokenizer::load(folder.path()).unwrap();
            let file = Tokenizer::load(&folder.path().join("tokenizer.json")).unwrap();
            assert_eq!(trained.fingerprint(), loaded.fingerprint());
            assert_eq!(file.eos(), trained.eos());
            assert!(trained.same_vocabulary(&loaded));
            for text in texts() {
                assert_eq!(trained.encode(&text), loaded.encode(&text));
            }
        }
    }

    #[test]
    fn fingerprints_compare_token_maps_not_sizes() {
        let [bpe, unigram] = [&SOURCES[0], &SOURCES[1]];
        let bpe_tokenizer = Tokenizer::train(bpe, &texts()).unwrap();
        let mut other = texts();
        other.push("zzz zzz zzz zzz zzz zzz".to_owned());
        let same_size = Tokenizer::train(bpe, &other).unwrap();
        assert_eq!(bpe_tokenizer.len(), same_size.len());
        assert_ne!(bpe_tokenizer.fingerprint(), same_size.fingerprint());
        assert!(!bpe_tokenizer.same_vocabulary(&same_size));
        let unigram = Tokenizer::train(unigram, &texts()).unwrap();
        assert_ne!(bpe_tokenizer.fingerprint(), unigram.fingerprint());
    }

    /// Saves a trained tokenizer whose files `edit` changed, and loads it.
    fn edited(edit: impl Fn(&mut serde_json::Value, &mut serde_json::Value)) -> Result<Tokenizer, TokenizerError> {
        let folder = tempfile::tempdir().unwrap();
        Tokenizer::train(&SOURCES[0], &texts()).unwrap().save(folder.path()).unwrap();
        let read = |name: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
        };
        let (mut tokenizer, mut config) = (read("tokenizer.json"), read("tokenizer_config.json"));
        edit(&mut tokenizer, &mut config);
        for (name, value) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)] {
            std::fs::write(folder.path().join(name), value.to_string()).unwrap();
        }
        Tokenizer::load(folder.path())
    }

    fn token(content: &str, special: bool) -> serde_json::Value {
        serde_json::json!({"content": content, "special": special, "normalized": false})
    }

    #[test]
    fn a_vocabulary_is_what_text_is_encoded_to() {
        let trained = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        let next = trained.len();
        let with = |content: &str, special: bool| {
            let content = token(content, special);
            edited(|_, config| config["added_tokens_decoder"][next.to_string()] = content.clone()).unwrap()
        };
        for (content, special) in
            [("[PAD]", true), ("[PAD]", false), ("<|im_end|>", true), ("<unused1>", false), ("<tool_call>", false)]
        {
            let other = with(content, special);
            assert_eq!(other.len(), next + 1);
            assert!(trained.same_vocabulary(&other), "{content}");
            assert_eq!(trained.vocabulary_id(), other.vocabulary_id(), "{content}");
        }
        // A word that text holds is another matter.
        let other = with("HARQ", false);
        assert!(!trained.same_vocabulary(&other));
        assert_ne!(trained.vocabulary_id(), other.vocabulary_id());
    }

    #[test]
    fn an_added_token_has_the_id_that_is_declared_or_is_refused() {
        let trained = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        let error = edited(|_, config| config["added_tokens_decoder"]["999"] = token("<tool>", false)).unwrap_err();
        let expected = format!("the added token `<tool>` gets the id {}, expected 999 as declared", trained.len());
        assert!(error.to_string().ends_with(&expected), "{error}");
        let error = edited(|_, config| config["added_tokens_decoder"] = serde_json::json!({"x": 1})).unwrap_err();
        assert!(error.to_string().contains("`added_tokens_decoder` holds `x`"), "{error}");
    }

    #[test]
    fn byte_level_files_of_llamas_class_are_taken_at_their_word() {
        // As Llama 3's.
        let loaded = edited(|_, config| config["tokenizer_class"] = "LlamaTokenizer".into()).unwrap();
        let trained = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        assert_eq!(loaded.encode(" answer"), trained.encode(" answer"));
    }

    #[test]
    fn a_class_that_reads_its_files_otherwise_is_refused_by_name() {
        let error = edited(|_, config| config["tokenizer_class"] = "XLNetTokenizer".into()).unwrap_err();
        assert!(error.to_string().contains("is a `XLNetTokenizer`, which does not read"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        Tokenizer::train(&SOURCES[1], &texts()).unwrap().save(folder.path()).unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"tokenizer_class": "LlamaTokenizer"}"#)
            .unwrap();
        let error = Tokenizer::load(folder.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("class `LlamaTokenizer`: the vocabulary is no byte-pair encoding"),
            "{error}"
        );
        assert!(error.hint().contains("PreTrainedTokenizerFast"));
    }

    #[test]
    fn the_end_of_sequence_token_must_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let trained = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        trained.save(folder.path()).unwrap();
        std::fs::remove_file(path("tokenizer_config.json")).unwrap();
        std::fs::remove_file(path("special_tokens_map.json")).unwrap();
        let error = Tokenizer::load(folder.path()).unwrap_err();
        assert!(matches!(error, TokenizerError::NoEos { .. }));
        std::fs::write(path("config.json"), r#"{"eos_token_id": [7, 8]}"#).unwrap();
        assert_eq!(Tokenizer::load(folder.path()).unwrap().eos(), 7);
        assert_eq!(Tokenizer::load(folder.path()).unwrap().ends(), [7, 8]);
        // Where there is a file for generation, it alone counts; 8 stands for a byte, which is told.
        std::fs::write(path("generation_config.json"), r#"{"max_length": 20}"#).unwrap();
        assert_eq!(Tokenizer::load(folder.path()).unwrap().ends(), [7]);
        std::fs::write(path("generation_config.json"), r#"{"eos_token_id": [0, 8]}"#).unwrap();
        let loaded = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(loaded.ends(), [0, 8]);
        assert_eq!(loaded.ends_in_text(), [trained.token(8).unwrap()]);
        std::fs::write(path("special_tokens_map.json"), r#"{"eos_token": {"content": "</s>"}}"#).unwrap();
        assert_eq!(Tokenizer::load(folder.path()).unwrap().eos(), trained.eos());
        std::fs::write(path("tokenizer_config.json"), r#"{"eos_token": "<end>"}"#).unwrap();
        let error = Tokenizer::load(folder.path()).unwrap_err();
        assert!(matches!(error, TokenizerError::UnknownEos { .. }));
    }

    #[test]
    fn what_is_no_end_is_refused_by_file_and_value() {
        let folder = tempfile::tempdir().unwrap();
        let trained = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        trained.save(folder.path()).unwrap();
        let length = trained.len();
        let told = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).unwrap();
            let told = Tokenizer::load(folder.path()).map(|loaded| loaded.ends().to_vec()).map_err(|error| {
                assert_eq!(error.hint(), "correct it, or fetch all files of the model again");
                error.to_string().replace(&folder.path().display().to_string(), "")
            });
            std::fs::remove_file(folder.path().join(file)).unwrap();
            told
        };
        for file in ["config.json", "generation_config.json"] {
            for (value, shown) in [
                ("\"</s>\"", "\"</s>\""),
                ("[\"</s>\"]", "[\"</s>\"]"),
                ("-1", "-1"),
                ("[1, 2.5]", "[1,2.5]"),
                ("{}", "{}"),
            ] {
                let expected =
                    format!("`eos_token_id` in `/{file}` holds {shown}, expected a token id or a list of them");
                assert_eq!(told(file, &format!("{{\"eos_token_id\": {value}}}")).unwrap_err(), expected);
            }
            let expected = format!("`eos_token_id` in `/{file}` holds {length}, expected ids below {length}");
            assert_eq!(told(file, &format!("{{\"eos_token_id\": [1, {length}]}}")).unwrap_err(), expected);
            assert_eq!(told(file, "{\"eos_token_id\": null}"), Ok(vec![1]));
        }
        // A row of the embedding that is none of the tokenizer's: a model may end with it.
        let padded = format!("{{\"eos_token_id\": [1, {length}], \"vocab_size\": {}}}", length + 1);
        assert_eq!(told("config.json", &padded), Ok(vec![1, length as u32]));
    }

    #[test]
    fn ends_are_exchanged_where_the_teacher_has_both() {
        let teacher = Tokenizer::train(&SOURCES[0], &texts()).unwrap();
        let rows = teacher.len();
        assert_eq!(teacher.exchanged_ends(&teacher, rows), Ok(None));
        let student = edited(|_, config| config["eos_token"] = "<s>".into()).unwrap();
        assert_eq!(teacher.exchanged_ends(&student, rows), Ok(Some([1, 0])));
        assert!(teacher.exchanged_ends(&student, 1).is_err(), "the head is shorter than the vocabulary");
        // The same id by another name, and an id that the teacher lacks.
        let renamed = |tokenizer: &mut serde_json::Value, config: &mut serde_json::Value| {
            let id = tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("<s>").unwrap();
            tokenizer["model"]["vocab"]["<end>"] = id;
            tokenizer["added_tokens"][0]["content"] = "<end>".into();
            config["eos_token"] = "<end>".into();
            config["bos_token"] = serde_json::Value::Null;
        };
        let added = |_: &mut serde_json::Value, config: &mut serde_json::Value| {
            config["added_tokens_decoder"][rows.to_string()] = token("<end>", true);
            config["eos_token"] = "<end>".into();
        };
        for student in [edited(renamed).unwrap(), edited(added).unwrap()] {
            assert!(teacher.same_vocabulary(&student));
            let error = teacher.exchanged_ends(&student, rows + 1).unwrap_err();
            let told =
                "the student ends answers with `<end>`, which the teacher does not have: it ends them with `</s>`";
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Tokenizer::load(folder.path()).unwrap_err(), TokenizerError::Read { .. }));
        std::fs::write(folder.path().join("tokenizer.json"), "{\"version\"").unwrap();
        assert!(matches!(Tokenizer::load(folder.path()).unwrap_err(), TokenizerError::Format { .. }));
        Tokenizer::train(&SOURCES[0], &texts()).unwrap().save(folder.path()).unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), "[]").unwrap();
        assert!(matches!(Tokenizer::load(folder.path()).unwrap_err(), TokenizerError::Format { .. }));
    }
}
