//! The tokenizers that BLEU can count with, each equal to sacrebleu's of the same name.
//!
//! Post 2018, "A Call for Clarity in Reporting BLEU Scores", section 2.2: scores under different
//! tokenizers cannot be compared, so the signature names the one used.

use std::fmt;
use std::str::FromStr;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::tokenizer_13a::{part_punctuation, substitute, tokenize as mteval_13a};
use super::whitespace;

/// Says how BLEU cuts a text into tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// `13a`: words and ASCII punctuation, as `mteval-v13a.pl`; sacrebleu's default.
    #[default]
    Mteval13a,
    /// `intl`: words, punctuation and symbols of any script, as `mteval-v14.pl` with international
    /// tokenization.
    International,
    /// `zh`: Chinese characters one by one, the rest as `13a`.
    Chinese,
    /// `char`: all characters one by one, without white space.
    Character,
    /// `none`: whatever white space parts.
    None,
}

impl Tokenizer {
    /// All tokenizers, in the order that help shows them.
    pub const ALL: [Self; 5] = [Self::Mteval13a, Self::International, Self::Chinese, Self::Character, Self::None];

    /// Returns sacrebleu's name of the tokenizer, as in a signature after `tok:`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::International => "intl",
            Self::Chinese => "zh",
            Self::Character => "char",
            Self::None => "none",
        }
    }

    /// Splits `text` into the tokens that BLEU counts.
    pub fn tokenize(self, text: &str) -> Vec<String> {
        match self {
            Self::Mteval13a => mteval_13a(text),
            Self::International => international(text),
            Self::Chinese => chinese(text),
            Self::Character => text.chars().filter(|&c| !whitespace::is_whitespace(c)).map(String::from).collect(),
            Self::None => whitespace::words(text).map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.id())
    }
}

/// Says that no tokenizer has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown tokenizer `{name}`: expected one of {}", Tokenizer::ALL.map(Tokenizer::id).join(", "))]
pub struct UnknownTokenizer {
    /// The name as given.
    pub name: String,
}

impl FromStr for Tokenizer {
    type Err = UnknownTokenizer;

    fn from_str(name: &str) -> Result<Self, UnknownTokenizer> {
        let found = Self::ALL.into_iter().find(|tokenizer| tokenizer.id() == name);
        found.ok_or_else(|| UnknownTokenizer { name: name.to_owned() })
    }
}

/// Parts punctuation that does not stand between two numbers, then every symbol.
///
/// A mark that ends the text after a number stays with it, as in the original program.
fn international(text: &str) -> Vec<String> {
    let is = |character: char, group| character.general_category_group() == group;
    let is_number = |character| is(character, GeneralCategoryGroup::Number);
    let is_mark = |character| is(character, GeneralCategoryGroup::Punctuation);
    // Trailing space goes first, so that a final mark before it ends the text.
    let characters: Vec<char> = text.trim_end_matches(whitespace::is_whitespace).chars().collect();
    let before = substitute(&characters, |a, b| !is_number(a) && is_mark(b), |a, b| [a, ' ', b, ' ']);
    let after = substitute(&before, |a, b| is_mark(a) && !is_number(b), |a, b| [' ', a, ' ', b]);
    let mut spaced = String::with_capacity(text.len() * 2);
    for character in after {
        if is(character, GeneralCategoryGroup::Symbol) {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    whitespace::words(&spaced).map(str::to_owned).collect()
}

fn chinese(text: &str) -> Vec<String> {
    let text = text.trim_matches(whitespace::is_whitespace);
    let mut spaced = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if is_chinese(character) {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    part_punctuation(spaced.chars())
}

/// Says whether sacrebleu's `zh` takes a character for Chinese: ideographs, their radicals and strokes,
/// full-width forms, and symbols of East Asian typography.
///
/// The first range is an accident of that program: it means U+20000 to U+2A6D6, but its comparison reads
/// four digits, and so splits at dashes, arrows and Braille instead. Equal scores need it.
fn is_chinese(character: char) -> bool {
    matches!(character,
        '\u{2001}'..='\u{2a6d}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{303f}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ef}'
        | '\u{3200}'..='\u{4db5}'
        | '\u{4e00}'..='\u{9fbb}'
        | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cuts_its_own_way() {
        let text = "用户面 5G,3.5 GHz。";
        let tokens = |tokenizer: Tokenizer| tokenizer.tokenize(text).join("|");
        assert_eq!(tokens(Tokenizer::None), "用户面|5G,3.5|GHz。");
        assert_eq!(tokens(Tokenizer::Mteval13a), "用户面|5G|,|3.5|GHz。");
        assert_eq!(tokens(Tokenizer::International), "用户面|5G|,|3.5|GHz|。");
        assert_eq!(tokens(Tokenizer::Chinese), "用|户|面|5G|,|3.5|GHz|。");
        assert_eq!(tokens(Tokenizer::Character), "用|户|面|5|G|,|3|.|5|G|H|z|。");
    }

    #[test]
    fn names_read_back_and_others_are_refused() {
        for tokenizer in Tokenizer::ALL {
            assert_eq!(tokenizer.id().parse(), Ok(tokenizer));
        }
        let error = "ja-mecab".parse::<Tokenizer>().unwrap_err().to_string();
        assert_eq!(error, "unknown tokenizer `ja-mecab`: expected one of 13a, intl, zh, char, none");
    }
}
