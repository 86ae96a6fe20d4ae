//! What ends an answer before its longest length: tokens, and texts wherever tokens begin and end.

use crate::data::Tokenizer;

/// Ends answers.
#[derive(Debug, Clone, Default)]
pub struct Ends<'t> {
    tokens: Vec<u32>,
    texts: Option<(&'t Tokenizer, &'t [String])>,
}

impl<'t> Ends<'t> {
    /// Ends answers at any of these tokens.
    #[must_use]
    pub fn at(tokens: Vec<u32>) -> Self {
        Self { tokens, texts: None }
    }

    /// Ends answers at the ends that a tokenizer names, and before each text of `stop`.
    ///
    /// A text that is the name of a special token, such as `<|im_end|>`, means this token: answers are
    /// decoded without special tokens, and would never hold it.
    #[must_use]
    pub fn of(tokenizer: &'t Tokenizer, stop: &'t [String]) -> Self {
        let special = |text: &String| {
            let id = tokenizer.tokens().iter().position(|token| token == text)?;
            let id = u32::try_from(id).ok()?;
            tokenizer.decode(&[id]).is_empty().then_some(id)
        };
        let mut tokens = tokenizer.ends().to_vec();
        tokens.extend(stop.iter().filter_map(special));
        Self { tokens, texts: (!stop.is_empty()).then_some((tokenizer, stop)) }
    }

    /// Lists the tokens.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Says whether a token ends an answer.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.tokens.contains(&token)
    }

    /// Says whether an answer holds one of the texts.
    ///
    /// The whole answer is decoded: what a token stands for may depend on those around it, and a character
    /// may lie in several. One whose last bytes are still to come is read as U+FFFD, and is not looked at.
    pub(super) fn has_text(&self, answer: &[u32]) -> bool {
        self.texts.is_some_and(|(tokenizer, stop)| {
            let text = tokenizer.decode(answer);
            let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            before(text, stop).len() < text.len()
        })
    }
}

/// Returns what comes before the first of the texts; all where there is none of them.
#[must_use]
pub fn before<'a>(text: &'a str, stop: &[String]) -> &'a str {
    let first = stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
    &text[..first.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::TokenizerSource;

    fn tokenizer() -> Tokenizer {
        let source = TokenizerSource::ByteLevelBpe { vocabulary: 258, data: None };
        Tokenizer::train(&source, &["a cell".to_owned()]).unwrap()
    }

    #[test]
    fn the_first_of_several_texts_ends_an_answer() {
        let stop = ["Question:", "\n\n", "é"].map(str::to_owned);
        assert_eq!(before("a\nb\n\nQuestion: c", &stop), "a\nb");
        assert_eq!(before("caf\u{e9}\n\n", &stop), "caf");
        assert_eq!(before("a\nb", &stop), "a\nb");
        assert_eq!(before("a", &[]), "a");
    }

    #[test]
    fn a_text_is_found_across_tokens_and_within_characters_that_are_not_whole_yet() {
        // Every token is a byte.
        let (tokenizer, stop) = (tokenizer(), ["é€".to_owned(), "ab".to_owned()]);
        let ends = Ends::of(&tokenizer, &stop);
        let tokens = tokenizer.encode("xé€");
        assert_eq!(tokens.len(), 6);
        let found: Vec<bool> = (0..=6).map(|read| ends.has_text(&tokens[..read])).collect();
        assert_eq!(found, [false, false, false, false, false, false, true]);
        assert!(ends.has_text(&tokenizer.encode("cabc")) && !ends.has_text(&tokenizer.encode("acb")));
        assert!(!Ends::at(vec![1]).has_text(&tokens));
    }

    #[test]
    fn a_text_that_names_a_special_token_is_that_token() {
        let (tokenizer, stop) = (tokenizer(), ["<s>".to_owned(), "a".to_owned()]);
        let ends = Ends::of(&tokenizer, &stop);
        assert_eq!(ends.tokens(), [1, 0]);
        assert!(ends.is_end(0) && !ends.is_end(tokenizer.encode("a")[0]));
    }
}
