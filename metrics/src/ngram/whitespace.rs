//! White space as Python's `str.split` and `str.isspace` see it.
//!
//! The reference tools are Python programs, and their notion is wider than Unicode's
//! `White_Space`: the four ASCII separators U+001C to U+001F split words too.

/// Says whether Python's `str.isspace` holds for `character`.
pub fn is_whitespace(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Splits `text` into its words, as `str.split()` does without arguments.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_every_space_python_knows() {
        let text = " a\u{a0}b\u{1c}c\u{3000}\td \n";
        assert_eq!(words(text).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        // U+200B (zero width space) is no space in Python either.
        assert_eq!(words("a\u{200b}b").count(), 1);
    }
}
