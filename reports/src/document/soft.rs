//! Text from models and data, made fit for a page without changing what it says.

/// Longest run without a space that is left alone.
const LONGEST_RUN: usize = 28;
/// Where longer runs may break.
const BREAK_EVERY: usize = 14;
/// Characters of code that a line of the page holds, in three columns.
const CODE_LINE: usize = 42;
/// The zero-width space: lines may break at it.
const BREAK: &str = "\u{200b}";

/// Replaces control characters by U+FFFD and lets long runs break.
///
/// Line breaks stay line breaks. A zero-width space goes into runs that no line could hold: between
/// the parts that names of arms and signatures of metrics are made of, and inside parts that are
/// too long themselves.
pub(crate) fn soften(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let mut softened = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        if word.trim_end().chars().count() <= LONGEST_RUN {
            softened.extend(word.chars().map(visible));
            continue;
        }
        for (index, part) in word.split_inclusive(['/', '|']).enumerate() {
            softened.push_str(if index > 0 { BREAK } else { "" });
            if part.chars().count() <= LONGEST_RUN {
                softened.extend(part.chars().map(visible));
                continue;
            }
            for (index, piece) in part.split_inclusive(['-', '_']).enumerate() {
                softened.push_str(if index > 0 { BREAK } else { "" });
                let long = piece.trim_end().chars().count() > LONGEST_RUN;
                for (index, character) in piece.chars().enumerate() {
                    if long && index > 0 && index % BREAK_EVERY == 0 && !character.is_whitespace() {
                        softened.push_str(BREAK);
                    }
                    softened.push(visible(character));
                }
            }
        }
    }
    softened
}

/// Replaces control characters by U+FFFD and lets only such runs break as no line holds: text to be
/// copied must not gain characters. Lines break after slashes and hyphens by themselves.
pub(crate) fn soften_code(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let mut softened = String::with_capacity(text.len());
    for run in text.split_inclusive(|character: char| character.is_whitespace() || matches!(character, '/' | '-')) {
        let long = run.trim_end().chars().count() > CODE_LINE;
        for (index, character) in run.chars().enumerate() {
            if long && index > 0 && index % CODE_LINE == 0 && !character.is_whitespace() {
                softened.push_str(BREAK);
            }
            softened.push(visible(character));
        }
    }
    softened
}

fn visible(character: char) -> char {
    match character {
        '\n' => '\n',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
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
        assert_eq!(
            soften("llama_7b/a-level-with-a-really-long-name/dskd"),
            "llama_7b/\u{200b}a-\u{200b}level-\u{200b}with-\u{200b}a-\u{200b}really-\u{200b}long-\u{200b}name/\u{200b}dskd"
        );
    }

    #[test]
    fn code_stays_as_it_is_where_a_line_can_hold_it() {
        let path = "embedding-model = \"/a/folder/with/a/rather-long-name/that/no-single-line/could_hold/as/a/whole\"";
        assert_eq!(soften_code(path), path);
        let hash = "f".repeat(64);
        assert_eq!(soften_code(&format!("h = {hash}\n")), format!("h = {}\u{200b}{}\n", &hash[..42], &hash[42..]));
        assert_eq!(soften_code("a\r\n\tb\u{7}"), "a\n    b\u{fffd}");
    }

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(soften("a\r\nb\u{0}\u{7}\u{9b}"), "a\nb\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn shortening_says_so() {
        assert_eq!(shorten("abcdef", 3), "abc\u{2026} (6 characters)");
        assert_eq!(shorten("abc", 3), "abc");
    }
}
