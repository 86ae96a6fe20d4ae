//! What makes two tokenizers one vocabulary: the ids that ordinary text is encoded to, and the token of
//! each.
//!
//! An id counts if text without markup can have it. Set aside are
//! - special tokens (start, end, padding, turns of a dialogue): no text has them, and which of them ends
//!   an answer is told apart from the vocabulary; the token for unknown text counts where it is in use,
//! - placeholders: padding, reserved and unused tokens by the way they are written (`[PAD]`,
//!   `<unused7>`, `<|reserved_special_token_3|>`),
//! - added tokens written as markup (`<tool_call>`), which a later model of a family adds to the same
//!   vocabulary.
//!
//! Rows of an embedding beyond the tokenizer's ids (Qwen2.5 has 151,936 for 151,665 tokens) are none of
//! the tokenizer's, and never count.

use std::collections::BTreeSet;

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

/// What the name of a placeholder begins with, inside its brackets.
const PLACEHOLDERS: [&str; 6] = ["pad", "unused", "reserved", "extra", "placeholder", "dummy"];

/// Returns which ids count, of `tokens` by id.
pub(super) fn counted(inner: &Tokenizer, tokens: &[String]) -> Vec<bool> {
    let added = inner.get_added_tokens_decoder();
    let special: BTreeSet<&str> =
        added.values().filter(|token| token.special).map(|token| token.content.as_str()).collect();
    let unknown = unknown(inner);
    let counts = |(id, token): (usize, &String)| {
        let is_added = u32::try_from(id).is_ok_and(|id| added.contains_key(&id));
        let set_aside =
            special.contains(token.as_str()) || is_placeholder(token) || (is_added && markup(token).is_some());
        !token.is_empty() && (!set_aside || unknown == Some(token.as_str()))
    };
    tokens.iter().enumerate().map(counts).collect()
}

/// Returns the token for text that has no other, if there is such text.
fn unknown(inner: &Tokenizer) -> Option<&str> {
    match inner.get_model() {
        ModelWrapper::BPE(bpe) => bpe.unk_token.as_deref().filter(|_| !bpe.byte_fallback),
        _ => None,
    }
}

/// Says whether a token holds a place that no text fills, by the way it is written.
pub(super) fn is_placeholder(token: &str) -> bool {
    let Some(name) = markup(token) else { return false };
    let name = name.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|placeholder| {
        let rest = name.strip_prefix(placeholder);
        // `<padding_3>` and `<extra_id_0>`, but no `<paddle>`.
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(|letter: char| !letter.is_alphabetic()) || rest.starts_with("ding")
        })
    })
}

/// Returns what stands in the brackets of `<name>`, `<|name|>` or `[name]`.
fn markup(token: &str) -> Option<&str> {
    let inside = |open, close| token.strip_prefix(open)?.strip_suffix(close);
    let name = inside('<', '>').or_else(|| inside('[', ']'))?.trim_matches(['|', '_', '/', '\u{ff5c}']);
    let is_name = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || "<>[]".contains(letter));
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_by_the_way_they_are_written() {
        for token in
            ["[PAD]", "<pad>", "<|pad|>", "<unused7>", "[unused12]", "<|reserved_special_token_3|>", "<extra_id_0>"]
        {
            assert!(is_placeholder(token), "{token}");
        }
        for token in ["pad", "unused", "<paddle>", "<0x41>", "</s>", "<tool_call>", "<", "[]", "<pad and text>"] {
            assert!(!is_placeholder(token), "{token}");
        }
    }
}
