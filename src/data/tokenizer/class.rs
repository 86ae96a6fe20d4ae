//! Tokenizer classes whose `tokenizer.json` transformers does not take at its word.
//!
//! For these, transformers 5 keeps the vocabulary and the merges and builds the rest anew: how text is
//! normalised, split and decoded. Older files (Llama-2, TinyLlama, Code Llama) say otherwise, and
//! ` answer` would begin with another token. A class is read as transformers reads it, or refused.

use serde_json::Value;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::{NormalizerWrapper, Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{DecoderWrapper, PostProcessorWrapper, SplitDelimiterBehavior, Tokenizer};

/// Says how a class reads its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `tokenizer.json` at its word.
    Generic,
    /// Byte-fallback BPE that marks spaces (Llama, TinyLlama).
    Llama,
    /// As Llama, with tokens for infilling and no `legacy` prefix.
    CodeLlama,
    /// Byte-level BPE, split by GPT-2's expression.
    Gpt2,
    /// Byte-level BPE over composed characters, split by Qwen's expression.
    Qwen2,
    /// Byte-fallback BPE that marks spaces, with none in front (Gemma).
    Gemma,
    /// As GPT-2 (Phi-1.5, Phi-2).
    CodeGen,
    /// As GPT-2, over composed characters, with nothing before a text.
    GptNeoX,
}

/// Classes that are read; `Fast` behind them changes nothing.
const CLASSES: [(&str, Class); 11] = [
    ("PreTrainedTokenizer", Class::Generic),
    ("TokenizersBackend", Class::Generic),
    ("PythonBackend", Class::Generic),
    ("BloomTokenizer", Class::Generic),
    ("LlamaTokenizer", Class::Llama),
    ("CodeLlamaTokenizer", Class::CodeLlama),
    ("GPT2Tokenizer", Class::Gpt2),
    ("Qwen2Tokenizer", Class::Qwen2),
    ("GemmaTokenizer", Class::Gemma),
    ("CodeGenTokenizer", Class::CodeGen),
    ("GPTNeoXTokenizer", Class::GptNeoX),
];

/// Classes that transformers has for types of models, and whether one that files name gives way to it. A model
/// whose class is the generic one is read at its word, whatever its files name.
const OF_MODELS: [(&str, Class, bool); 11] = [
    ("mistral", Class::Generic, true),
    ("ministral", Class::Generic, true),
    ("phi3", Class::Generic, true),
    ("olmo2", Class::Generic, true),
    ("qwen2", Class::Qwen2, true),
    ("qwen3", Class::Qwen2, false),
    ("phi", Class::Gpt2, false),
    ("gpt2", Class::Gpt2, false),
    ("gemma", Class::Gemma, false),
    ("gemma2", Class::Gemma, false),
    ("gemma3_text", Class::Gemma, false),
];

/// Qwen's expression, as the class has it.
const QWEN_WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Class {
    /// Finds the class that transformers takes for a tokenizer of the class `named` beside a model of
    /// type `model_type`.
    ///
    /// # Errors
    /// The class that is not read here.
    pub(super) fn find(named: Option<&str>, model_type: Option<&str>, inner: &Tokenizer) -> Result<Self, String> {
        let of_model = OF_MODELS.iter().find(|(of, ..)| Some(*of) == model_type);
        let Some(named) = named else {
            // One that is no class of its model: nothing says how it is read.
            let fits = |class: &Self| !class.is_byte_level() || is_byte_level(inner);
            return Ok(of_model.map(|&(_, class, _)| class).filter(fits).unwrap_or(Self::Generic));
        };
        let name = named.strip_suffix("Fast").unwrap_or(named);
        let found = CLASSES.iter().find(|(class, _)| *class == name).map(|&(_, class)| class);
        match (of_model, found) {
            (_, Some(Self::Generic)) => Ok(Self::Generic),
            (Some(&(_, class, true)), _) => Ok(class),
            // Llama 3 names the class of Llama 2, which could not read it.
            (_, Some(Self::Llama)) if is_byte_level(inner) => Ok(Self::Generic),
            (_, Some(class)) => Ok(class),
            (_, None) => Err(named.to_owned()),
        }
    }

    /// Says whether the class splits words into bytes.
    fn is_byte_level(self) -> bool {
        matches!(self, Self::Gpt2 | Self::Qwen2 | Self::CodeGen | Self::GptNeoX)
    }

    /// Lists the special tokens that the class has where its files name none, by key.
    pub(super) fn default_tokens(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Generic => &[],
            Self::Llama => &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")],
            Self::CodeLlama => &[
                ("unk_token", "<unk>"),
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("prefix_token", "▁<PRE>"),
                ("middle_token", "▁<MID>"),
                ("suffix_token", "▁<SUF>"),
                ("eot_token", "▁<EOT>"),
                ("fill_token", "<FILL_ME>"),
            ],
            Self::Gpt2 | Self::CodeGen => {
                &[("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>")]
            }
            Self::GptNeoX => &[
                ("unk_token", "<|endoftext|>"),
                ("bos_token", "<|endoftext|>"),
                ("eos_token", "<|endoftext|>"),
                ("pad_token", "<|padding|>"),
            ],
            Self::Gemma => &[
                ("unk_token", "<unk>"),
                ("bos_token", "<bos>"),
                ("eos_token", "<eos>"),
                ("pad_token", "<pad>"),
                ("mask_token", "<mask>"),
            ],
            Self::Qwen2 => {
                &[("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")]
            }
        }
    }

    /// Builds anew what the class builds anew.
    ///
    /// # Errors
    /// A vocabulary that is not of the class's kind, in words.
    pub(super) fn apply(self, inner: &mut Tokenizer, config: Option<&Value>) -> Result<(), String> {
        if self == Self::Generic {
            return Ok(());
        }
        let flag = |name: &str| config.and_then(|config| config.get(name)).and_then(Value::as_bool);
        let in_words = |error: tokenizers::Error| error.to_string();
        self.rebuild_model(inner)?;
        match self {
            Self::Generic => {}
            Self::Llama | Self::CodeLlama => {
                let prefixed = flag("add_prefix_space").unwrap_or(true);
                let scheme = match (prefixed, flag("legacy")) {
                    (false, _) => PrependScheme::Never,
                    (true, Some(true)) if self == Self::Llama => PrependScheme::Always,
                    (true, _) => PrependScheme::First,
                };
                inner.with_normalizer(None::<NormalizerWrapper>).map_err(in_words)?;
                inner.with_pre_tokenizer(Some(Metaspace::new('\u{2581}', scheme, false)));
                let mut decoders: Vec<DecoderWrapper> = vec![
                    DecoderWrapper::Replace(Replace::new("\u{2581}", " ").map_err(in_words)?),
                    ByteFallback::new().into(),
                    Fuse::new().into(),
                ];
                if prefixed || self == Self::CodeLlama {
                    decoders.push(Strip::new(' ', 1, 0).into());
                }
                inner.with_decoder(Some(Decoders::new(decoders)));
                if self == Self::CodeLlama {
                    // Whatever the file says of it.
                    let begins = begins(inner, config)?;
                    inner.with_post_processor(Some(begins));
                }
            }
            Self::Gemma => {
                let spaces = SplitPattern::String(" ".to_owned());
                let spaces = Split::new(spaces, SplitDelimiterBehavior::MergedWithPrevious, false).map_err(in_words)?;
                inner.with_normalizer(Some(Replace::new(" ", "\u{2581}").map_err(in_words)?)).map_err(in_words)?;
                inner.with_pre_tokenizer(Some(spaces));
                inner.with_decoder(Some(Decoders::new(vec![
                    DecoderWrapper::Replace(Replace::new("\u{2581}", " ").map_err(in_words)?),
                    ByteFallback::new().into(),
                    Fuse::new().into(),
                ])));
            }
            Self::Gpt2 | Self::CodeGen | Self::GptNeoX => {
                let prefixed = flag("add_prefix_space").unwrap_or(false);
                let composes = (self == Self::GptNeoX).then(|| NormalizerWrapper::from(NFC));
                inner.with_normalizer(composes).map_err(in_words)?;
                if self == Self::GptNeoX {
                    inner.with_post_processor(None::<PostProcessorWrapper>);
                }
                inner.with_pre_tokenizer(Some(ByteLevel::new(prefixed, true, true)));
                inner.with_decoder(Some(ByteLevel::new(true, true, true)));
            }
            Self::Qwen2 => {
                let prefixed = flag("add_prefix_space").unwrap_or(false);
                let words = SplitPattern::Regex(QWEN_WORDS.to_owned());
                let words = Split::new(words, SplitDelimiterBehavior::Isolated, false).map_err(in_words)?;
                let bytes = ByteLevel::new(prefixed, false, false);
                inner.with_normalizer(Some(NFC)).map_err(in_words)?;
                inner.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
                inner.with_decoder(Some(ByteLevel::new(true, true, true)));
            }
        }
        Ok(())
    }

    /// Gives the merges the settings of the class.
    fn rebuild_model(self, inner: &mut Tokenizer) -> Result<(), String> {
        let marks_spaces = !self.is_byte_level();
        let ModelWrapper::BPE(bpe) = inner.get_model() else {
            return Err("the vocabulary is no byte-pair encoding".to_owned());
        };
        if marks_spaces && !bpe.byte_fallback {
            return Err("the vocabulary has no byte fallback".to_owned());
        }
        let mut bpe = bpe.clone();
        (bpe.dropout, bpe.ignore_merges) = (None, false);
        (bpe.fuse_unk, bpe.byte_fallback) = (marks_spaces, marks_spaces);
        (bpe.continuing_subword_prefix, bpe.end_of_word_suffix) = (None, None);
        if !marks_spaces {
            bpe.unk_token = None;
        }
        inner.with_model(bpe);
        Ok(())
    }
}

/// Returns what puts the token that begins a sequence before every text.
fn begins(inner: &Tokenizer, config: Option<&Value>) -> Result<TemplateProcessing, String> {
    let named = config.and_then(|config| config.get("bos_token"));
    let token = named.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str())).unwrap_or("<s>");
    let id = inner.token_to_id(token).ok_or_else(|| format!("`{token}`, which begins a sequence, is no token"))?;
    let begun = TemplateProcessing::builder()
        .try_single(vec![token, "$A"])
        .map(|builder| builder.special_tokens(vec![(token, id)]).build().map_err(|error| error.to_string()));
    begun.map_err(|error| error.to_string())?
}

/// Says whether the words of a text are split into bytes.
fn is_byte_level(inner: &Tokenizer) -> bool {
    match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::ByteLevel(_)) => true,
        Some(PreTokenizerWrapper::Sequence(parts)) => {
            parts.as_ref().iter().any(|part| matches!(part, PreTokenizerWrapper::ByteLevel(_)))
        }
        _ => false,
    }
}
