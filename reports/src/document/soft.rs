//! Text from models and data, made fit for a page without changing what it says.

/// Longest run without a space that is left alone.
const LONGEST_RUN: usize = 28;
/// Where longer runs may break.
const BREAK_EVERY: usize = 14;

/// Replaces control characters by their visible pictures and lets long runs break.
///
/// Line breaks stay line breaks. A zero-width space goes into runs that no line could hold.
pub(crate) fn soften(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let mut softened = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        let long = word.trim_end().chars().count() > LONGEST_RUN;
        for (index, character) in word.chars().enumerate() {
            if long && index > 0 && index % BREAK_EVERY == 0 && !character.is_whitespace() {
                softened.push('\u{200b}');
            }
            softened.push(match character {
                '\n' => '\n',
                '\u{7f}' => '\u{fffd}',
                control if control < ' ' => '\u{fffd}',
                other => other,
            });
        }
    }
    softened
}

/// Shortens text to `limit` characters and says how long it was.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit).collect();
    format!("{start}\u{2026} ({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_runs_may_break() {
        assert_eq!(soften("a short line"), "a short line");
        let long = soften(&"x".repeat(40));
        assert_eq!(long.matches('\u{200b}').count(), 2);
        assert_eq!(long.replace('\u{200b}', ""), "x".repeat(40));
    }

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(soften("a\r\nb\u{0}\u{7}"), "a\nb\u{fffd}\u{fffd}");
    }

    #[test]
    fn shortening_says_so() {
        assert_eq!(shorten("abcdef", 3), "abc\u{2026} (6 characters)");
        assert_eq!(shorten("abc", 3), "abc");
    }
}
