//! The `13a` tokenizer of BLEU: the rules of `mteval-v13a.pl`, as sacrebleu applies them.
//!
//! Four substitutions follow one another; each scans from the left and never looks again at what
//! it has consumed, which is why a run of full stops pairs up as it does.

use super::whitespace;

/// Splits `text` into the tokens that BLEU counts.
pub fn tokenize(text: &str) -> Vec<String> {
    // Trailing space goes first, so that a final "-\n" is no hyphenation.
    let text = text.trim_end_matches(whitespace::is_whitespace);
    let mut line = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if line.contains('&') {
        // In this order: `&amp;lt;` becomes `<`.
        for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            line = line.replace(entity, character);
        }
    }
    part_punctuation([' '].into_iter().chain(line.chars()).chain([' ']))
}

/// Splits at white space, ASCII punctuation and symbols, but not inside a number.
///
/// The second half of 13a, which the tokenizer for Chinese shares.
pub(super) fn part_punctuation(characters: impl IntoIterator<Item = char>) -> Vec<String> {
    let mut spaced = Vec::new();
    for character in characters {
        if stands_alone(character) {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    let before = substitute(&spaced, |a, b| !a.is_ascii_digit() && is_mark(b), |a, b| [a, ' ', b, ' ']);
    let after = substitute(&before, |a, b| is_mark(a) && !b.is_ascii_digit(), |a, b| [' ', a, ' ', b]);
    let dashed = substitute(&after, |a, b| a.is_ascii_digit() && b == '-', |a, b| [a, ' ', b, ' ']);

    let tokenized: String = dashed.into_iter().collect();
    whitespace::words(&tokenized).map(str::to_owned).collect()
}

/// Says whether a character is a token of its own wherever it stands: ASCII punctuation and
/// symbols except the apostrophe, the comma, the hyphen and the full stop.
fn stands_alone(character: char) -> bool {
    matches!(character, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

fn is_mark(character: char) -> bool {
    matches!(character, '.' | ',')
}

/// Replaces each pair of neighbours that `matches`, from the left, without overlap.
pub(super) fn substitute(
    characters: &[char],
    matches: impl Fn(char, char) -> bool,
    replacement: impl Fn(char, char) -> [char; 4],
) -> Vec<char> {
    let mut output = Vec::with_capacity(characters.len() * 2);
    let mut rest = characters;
    loop {
        match *rest {
            [a, b, ..] if matches(a, b) => {
                output.extend(replacement(a, b));
                rest = &rest[2..];
            }
            [a, ..] => {
                output.push(a);
                rest = &rest[1..];
            }
            [] => return output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_whole_and_punctuation_parts() {
        assert_eq!(
            tokenize("See 3GPP TS 23.501, clause 5.1.2 (1,000 users)."),
            ["See", "3GPP", "TS", "23.501", ",", "clause", "5.1.2", "(", "1,000", "users", ")", "."]
        );
        assert_eq!(tokenize("5-tuple non-3GPP it's"), ["5", "-", "tuple", "non-3GPP", "it's"]);
    }

    #[test]
    fn entities_skips_and_hyphenation_are_resolved() {
        assert_eq!(tokenize("a &amp;lt; b<skipped> hand-\nover"), ["a", "<", "b", "handover"]);
        assert!(tokenize(" \n ").is_empty());
    }
}
