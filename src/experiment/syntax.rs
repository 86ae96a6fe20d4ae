//! Faults of syntax, each once: a bracket that is never closed must not make every later line
//! wrong.

use std::ops::Range;

use toml::de::DeTable;

/// Faults of syntax that are reported at most.
const LIMIT: usize = 20;

/// Lists what keeps `text` from being TOML, with spans, in the order of the text.
///
/// Each fault is blanked out, the rest is read again.
pub(super) fn syntax_faults(text: &str) -> Vec<(String, Range<usize>)> {
    let mut rest = text.to_owned();
    let mut faults = Vec::new();
    for (bracket, at) in unclosed(text) {
        faults.push((format!("`{bracket}` is never closed"), at..at + 1));
        blank_statement(&mut rest, at);
    }
    while faults.len() < LIMIT
        && let Err(error) = DeTable::parse(&rest)
    {
        let span = error.span().unwrap_or(0..0);
        let line = line_around(&rest, span.start);
        if rest[line.clone()].trim().is_empty() {
            // Nothing left to blank: the fault lies between lines and was caused by another one.
            if faults.is_empty() {
                faults.push((error.message().to_owned(), span));
            }
            break;
        }
        faults.push((error.message().to_owned(), span));
        blank(&mut rest, line);
    }
    faults.sort_by_key(|(_, span)| span.start);
    faults
}

/// Finds brackets outside strings and comments that have no partner, with their offsets.
fn unclosed(text: &str) -> Vec<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        match c {
            '#' => at += rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => at += string_length(rest, c),
            _ => {
                match c {
                    '[' | '{' => open.push((c, at)),
                    ']' if open.last().is_some_and(|(c, _)| *c == '[') => drop(open.pop()),
                    '}' if open.last().is_some_and(|(c, _)| *c == '{') => drop(open.pop()),
                    _ => {}
                }
                at += c.len_utf8();
            }
        }
    }
    open
}

/// Measures the string at the start of `text`; one that is not closed ends with its line.
fn string_length(text: &str, quote: char) -> usize {
    let triple: String = [quote; 3].iter().collect();
    let (open, multiline) = if text.starts_with(&triple) { (3, true) } else { (1, false) };
    let mut escaped = false;
    for (offset, c) in text.char_indices().skip(open) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if multiline && text[offset..].starts_with(&triple) {
            return offset + 3;
        } else if !multiline && (c == quote || c == '\n') {
            return offset + 1;
        }
    }
    text.len()
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let start = text.as_bytes()[..at].iter().rposition(|b| *b == b'\n');
    let end = text.as_bytes()[at..].iter().position(|b| *b == b'\n');
    start.map_or(0, |start| start + 1)..end.map_or(text.len(), |end| at + end)
}

/// Blanks the line around `at` and those after it that start no key or table.
fn blank_statement(text: &mut String, at: usize) {
    let mut line = line_around(text, at);
    loop {
        let next = line.end + 1;
        blank(text, line);
        if next >= text.len() {
            return;
        }
        line = line_around(text, next);
        if starts_statement(&text[line.clone()]) {
            return;
        }
    }
}

fn starts_statement(line: &str) -> bool {
    let line = line.trim_start();
    let key = |c: char| c.is_ascii_alphanumeric() || "-_.\"' ".contains(c);
    line.starts_with('[') || line.trim_start_matches(key).starts_with('=')
}

/// Replaces bytes by as many spaces, so that spans stay true.
fn blank(text: &mut String, range: Range<usize>) {
    let spaces = " ".repeat(range.len());
    text.replace_range(range, &spaces);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let line = |(_, span): &(String, Range<usize>)| text[..span.start].matches('\n').count() + 1;
        syntax_faults(text).iter().map(line).collect()
    }

    #[test]
    fn an_open_bracket_is_one_fault() {
        assert_eq!(lines("a = [1, 2\nb = 3\n[c]\nd = \"[\" # [\n"), [1]);
        assert_eq!(lines("a = [\n  1,\n  2,\n[b]\nc = 1\n"), [1]);
    }

    #[test]
    fn faults_on_several_lines_are_all_found() {
        assert_eq!(lines("a = \nb = 1\nc = \"x\nd = { e = 1\nf = 1\nf = 2\n"), [1, 3, 4, 6]);
    }
}
