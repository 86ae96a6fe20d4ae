//! Finds an answer in its passage.

use std::ops::Range;

/// Says where an answer was found in its passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Where the source says.
    Stated,
    /// Elsewhere: the place nearest to the stated one.
    Searched,
}

/// Finds `answer` in `context`: at `start` (characters from 0) if it stands there, else at the
/// occurrence nearest to `start` (the first one where there is no `start`). Returns the span in
/// bytes.
pub(super) fn find(context: &str, answer: &str, start: Option<usize>) -> Option<(Range<usize>, Found)> {
    let byte = start.map(|start| {
        let mut characters = context.char_indices();
        characters.nth(start).map_or(context.len(), |(byte, _)| byte)
    });
    if let Some(byte) = byte
        && context[byte..].starts_with(answer)
    {
        return Some((byte..byte + answer.len(), Found::Stated));
    }
    let wanted = byte.unwrap_or(0);
    let occurrences = context.match_indices(answer).map(|(byte, _)| byte);
    let nearest = occurrences.min_by_key(|byte| byte.abs_diff(wanted))?;
    Some((nearest..nearest + answer.len(), Found::Searched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_place_is_verified() {
        let context = "ü AMF and AMF and AMF";
        assert_eq!(find(context, "AMF", Some(10)), Some((11..14, Found::Stated)));
        // Wrong by one: the nearest occurrence.
        assert_eq!(find(context, "AMF", Some(11)), Some((11..14, Found::Searched)));
        assert_eq!(find(context, "AMF", None), Some((3..6, Found::Searched)));
        assert_eq!(find(context, "SMF", Some(2)), None);
        assert_eq!(find(context, "AMF", Some(999)), Some((19..22, Found::Searched)));
    }
}
