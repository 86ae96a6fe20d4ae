//! Cuts a passage to the surroundings of an answer.

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

/// Keeps `width` characters on each side of `span` (bytes), and the rest of a word that a cut falls
/// into.
pub(super) fn cut(context: &str, span: Range<usize>, width: usize) -> &str {
    let start = match width.checked_sub(1) {
        Some(last) => context[..span.start].char_indices().rev().nth(last).map_or(0, |(byte, _)| byte),
        None => span.start,
    };
    let end = context[span.end..].char_indices().nth(width);
    let end = end.map_or(context.len(), |(byte, _)| span.end + byte);
    let (before, after) = (&context[..start], &context[end..]);
    let start = match context[start..].starts_with(char::is_whitespace) {
        true => start,
        false => before.trim_end_matches(|letter: char| !letter.is_whitespace()).len(),
    };
    let end = match context[..end].ends_with(char::is_whitespace) {
        true => end,
        false => end + after.find(char::is_whitespace).unwrap_or(after.len()),
    };
    context[start..end].trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn cuts_move_outward_to_words() {
        let context = "alpha beta gamma delta epsilon";
        let span = 11..16;
        assert_eq!(cut(context, span.clone(), 0), "gamma");
        assert_eq!(cut(context, span.clone(), 1), "gamma");
        assert_eq!(cut(context, span.clone(), 3), "beta gamma delta");
        assert_eq!(cut(context, span.clone(), 5), "beta gamma delta");
        assert_eq!(cut(context, span.clone(), 7), "alpha beta gamma delta");
        assert_eq!(cut(context, span.clone(), 8), context);
        assert_eq!(cut(context, span, 100), context);
        // An answer inside of a word keeps the word.
        assert_eq!(cut(context, 7..8, 0), "beta");
    }

    proptest! {
        #[test]
        fn a_window_holds_answer_and_width(
            before in "[a-zü ]{0,40}",
            answer in "[a-zé]{1,8}",
            after in "[a-z ñ]{0,40}",
            width in 0_usize..50,
        ) {
            let context = format!("{before}{answer}{after}");
            let span = before.len()..before.len() + answer.len();
            let window = cut(&context, span, width);
            prop_assert!(context.contains(window));
            prop_assert!(window.contains(&answer));
            let tail = |text: &str| text.chars().rev().take(width).collect::<Vec<_>>();
            let kept: String = tail(&before).into_iter().rev().collect();
            let head: String = after.chars().take(width).collect();
            let expected = format!("{kept}{answer}{head}");
            prop_assert!(window.contains(expected.trim()));
        }
    }
}
