//! Trains vocabularies so that the result depends on the texts alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior, Tokenizer,
};

use super::TokenizerError;

const UNKNOWN: &str = "<unk>";
const BEGIN: &str = "<s>";
const END: &str = "</s>";
const BYTES: usize = 256;
/// Unicode noncharacters.
const ENDINGS: [char; 2] = ['\u{ffffe}', '\u{fffff}'];

/// Names the special tokens as transformers' side files do.
pub(super) fn special_tokens(inner: &Tokenizer) -> Value {
    let mut tokens = json!({ "bos_token": BEGIN, "eos_token": END });
    if inner.token_to_id(UNKNOWN).is_some() {
        tokens["unk_token"] = json!(UNKNOWN);
    }
    tokens
}

fn special(content: &str) -> AddedToken {
    AddedToken::from(content, true)
}

/// Trains byte-level BPE with GPT-2's pre-tokeniser and no prefix space (Radford et al. 2019).
pub(super) fn byte_level_bpe(vocabulary: usize, texts: &[String]) -> Result<Tokenizer, TokenizerError> {
    let specials = vec![special(BEGIN), special(END)];
    let least = specials.len() + BYTES;
    if vocabulary < least {
        let asked = vocabulary;
        return Err(TokenizerError::TooSmall { asked, least });
    }
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    let trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .special_tokens(specials)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let mut trainer = TrainerWrapper::BpeTrainer(trainer);
    tokenizer.train(&mut trainer, texts.iter()).map_err(TokenizerError::Train)?;
    Ok(tokenizer)
}

/// Trains Unigram (Kudo 2018) with byte fallback on words that keep the space before them;
/// punctuation and line ends are words of their own, so no piece spans them.
pub(super) fn unigram(vocabulary: usize, texts: &[String]) -> Result<Tokenizer, TokenizerError> {
    // A space is marked, never added: text comes back exactly as it was.
    let metaspace = Metaspace::new('\u{2581}', PrependScheme::Never, true);
    let line_ends = SplitPattern::Regex("[\r\n]+".to_owned());
    let line_ends = Split::new(line_ends, SplitDelimiterBehavior::Isolated, false);
    let pre_tokenizer = PreTokenizers::new(vec![
        line_ends.map_err(TokenizerError::Train)?.into(),
        Punctuation::new(SplitDelimiterBehavior::Isolated).into(),
        metaspace.clone().into(),
    ]);
    let specials = [UNKNOWN, BEGIN, END].map(special).to_vec();
    let words = words(&pre_tokenizer, texts).map_err(TokenizerError::Train)?;
    let alphabet: BTreeSet<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
    let least = specials.len() + BYTES + alphabet.len();
    if vocabulary < least {
        let asked = vocabulary;
        return Err(TokenizerError::TooSmall { asked, least });
    }
    let trainer = UnigramTrainer::builder()
        .vocab_size((vocabulary - BYTES + ENDINGS.len()) as u32)
        .special_tokens(specials.clone())
        .unk_token(Some(UNKNOWN.to_owned()))
        .show_progress(false)
        .build()
        .map_err(|error| TokenizerError::Train(error.into()))?;
    let mut model = Unigram::default();
    // Sums over words depend on how threads share them; one thread makes them reproducible.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let alone = alone.map_err(|error| TokenizerError::Train(error.into()))?;
    alone.install(|| trainer.do_train(with_endings(words), &mut model)).map_err(TokenizerError::Train)?;
    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    pieces.retain(|(piece, _)| !piece.ends_with(ENDINGS));
    order_rare_characters(&mut pieces[specials.len()..]);
    pieces.extend((0..BYTES).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
    let model = Unigram::from(pieces, Some(0), true).map_err(TokenizerError::Train)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    tokenizer.with_decoder(Some(Decoders::new(vec![ByteFallback::new().into(), metaspace.into()])));
    tokenizer.add_special_tokens(specials).map_err(TokenizerError::Train)?;
    Ok(tokenizer)
}

/// Adds recurring words with endings that no text has, more copies for more frequent words.
///
/// The trainer takes as candidates only strings that occur with two different continuations in the
/// list of distinct words, ranked by their occurrences there. Without this, a word that is the
/// beginning of no other never becomes a piece, however frequent it is.
fn with_endings(mut words: Vec<(String, u32)>) -> Vec<(String, u32)> {
    let mut ended = Vec::new();
    for (word, count) in &words {
        if word.chars().nth(1).is_some() {
            // The logarithm keeps the added mass small: 2 for a count of 2, 20 for 1,024.
            for _ in 0..count.ilog2() {
                ended.extend(ENDINGS.map(|ending| (format!("{word}{ending}"), 1)));
            }
        }
    }
    words.append(&mut ended);
    words
}

/// Counts words, sorted, so that training does not depend on the order of a hash map.
fn words(pre_tokenizer: &PreTokenizers, texts: &[String]) -> tokenizers::Result<Vec<(String, u32)>> {
    let mut counts = BTreeMap::<String, u32>::new();
    for text in texts {
        let mut split = PreTokenizedString::from(text.as_str());
        pre_tokenizer.pre_tokenize(&mut split)?;
        for (word, _, _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    Ok(counts.into_iter().collect())
}

/// Puts characters that the trainer had pruned and added back into the order of their code points.
///
/// It gives them the scores `min`, `min + 0.0001`, ... in the order of a hash map, different in
/// every run; the scores are kept and dealt out anew.
fn order_rare_characters(pieces: &mut [(String, f64)]) {
    const STEP: f64 = 0.0001;
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let mut added: Vec<usize> = Vec::new();
    let single = |piece: &str| piece.chars().count() == 1;
    // The trainer's sum of steps is repeated, to meet its rounding.
    let mut penalty = 0.0;
    loop {
        let score = lowest + penalty;
        let before = added.len();
        added.extend((0..pieces.len()).filter(|&index| {
            let (piece, other) = &pieces[index];
            single(piece) && other.to_bits() == score.to_bits()
        }));
        if added.len() == before {
            break;
        }
        penalty += STEP;
    }
    let mut characters: Vec<String> = added.iter().map(|&index| pieces[index].0.clone()).collect();
    characters.sort();
    for (index, character) in added.into_iter().zip(characters) {
        pieces[index].0 = character;
    }
    pieces.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
}
