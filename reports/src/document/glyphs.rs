//! Characters that no embedded font can draw.

use serde_json::Value;
use typst::foundations::Bytes;
use typst::text::Font;

/// Knows what the embedded fonts can draw.
pub(super) struct Glyphs {
    fonts: Vec<Font>,
}

impl Glyphs {
    /// Reads the fonts.
    pub(super) fn new(files: impl IntoIterator<Item = &'static [u8]>) -> Self {
        let files = files.into_iter();
        Self { fonts: files.flat_map(|file| Font::iter(Bytes::new(file))).collect() }
    }

    /// Replaces, in every string of `value`, what cannot be drawn by its code point in brackets.
    ///
    /// Returns how many characters were replaced. An empty box would hide which character it was.
    pub(super) fn spell_out(&self, value: &mut Value) -> usize {
        match value {
            Value::String(text) => {
                let unknown = text.chars().filter(|c| !self.can_draw(*c)).count();
                if unknown > 0 {
                    *text = text.chars().map(|c| self.spelled(c)).collect();
                }
                unknown
            }
            Value::Array(items) => items.iter_mut().map(|item| self.spell_out(item)).sum(),
            Value::Object(fields) => fields.values_mut().map(|field| self.spell_out(field)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }

    fn spelled(&self, character: char) -> String {
        if self.can_draw(character) {
            character.to_string()
        } else {
            format!("\u{200b}[U+{:04X}]", u32::from(character))
        }
    }

    fn can_draw(&self, character: char) -> bool {
        let code = u32::from(character);
        // Spaces, joiners and direction marks need no glyph.
        let invisible = character.is_whitespace()
            || matches!(code, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069 | 0xfe00..=0xfe0f | 0xfeff);
        invisible || self.fonts.iter().any(|font| font.info().coverage.contains(code))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plots::fonts;

    #[test]
    fn only_what_cannot_be_drawn_is_spelled_out() {
        let glyphs = Glyphs::new([fonts::REGULAR]);
        let mut value = json!({ "a": ["caf\u{e9} \u{200b}", "\u{4f60}\u{1f4f6}"], "n": 1 });
        assert_eq!(glyphs.spell_out(&mut value), 2);
        assert_eq!(value, json!({ "a": ["caf\u{e9} \u{200b}", "\u{200b}[U+4F60]\u{200b}[U+1F4F6]"], "n": 1 }));
    }
}
