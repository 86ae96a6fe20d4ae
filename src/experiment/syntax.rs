//! Faults of syntax, each once: a bracket that is never closed must not make every later line
//! wrong, and quotes that a word processor bent are one fault, however many there are.

use std::ops::Range;

use toml::de::DeTable;

/// Faults of syntax that are reported at most.
const LIMIT: usize = 20;

/// States what keeps a text from being TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxFault {
    pub(crate) message: String,
    /// Bytes of the text that are underlined.
    pub(crate) span: Range<usize>,
    /// Remedy, where one is known.
    pub(crate) help: Option<String>,
}

impl SyntaxFault {
    fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Lists what keeps `text` from being TOML, in the order of the text.
///
/// Each fault is blanked out, the rest is read again.
pub(super) fn syntax_faults(text: &str) -> Vec<SyntaxFault> {
    let mut rest = text.to_owned();
    let mut faults = typographic(text, &mut rest);
    for (bracket, at) in unclosed(&rest) {
        faults.push(SyntaxFault::new(format!("`{bracket}` is never closed"), at..at + 1));
        blank_statement(&mut rest, at);
    }
    while faults.len() < LIMIT
        && let Err(error) = DeTable::parse(&rest)
    {
        let span = error.span().unwrap_or(0..0);
        let line = line_around(&rest, span.start);
        let is_blank = rest[line.clone()].trim().is_empty();
        // Nothing left to blank: the fault lies between lines and was caused by another one.
        if !is_blank || faults.is_empty() {
            faults.push(advised(&rest, error.message(), span));
        }
        if is_blank {
            break;
        }
        blank(&mut rest, line);
    }
    faults.sort_by_key(|fault| fault.span.start);
    faults
}

/// Signs that look like those of TOML: what they look like, what to write, and the signs.
const LOOKALIKES: [(&str, &str, &str); 3] = [
    ("a typographic quote", "\"", "“”„‟‘’‚«»‹›"),
    ("a typographic dash", "-", "–—−‐‑"),
    ("a special space", " ", "\u{a0}\u{2002}\u{2003}\u{2009}\u{202f}\u{3000}\u{200b}\u{feff}"),
];

/// Finds signs outside strings and comments that only look like those of TOML, each kind once, and
/// blanks the lines that hold them.
fn typographic(text: &str, rest: &mut String) -> Vec<SyntaxFault> {
    let mut faults = Vec::new();
    let mut found: [Vec<(char, usize)>; 3] = Default::default();
    let mut at = 0;
    while let Some((position, c)) = next_bare(text, &mut at) {
        if let Some(kind) = LOOKALIKES.iter().position(|(_, _, signs)| signs.contains(c)) {
            found[kind].push((c, position));
            // An apostrophe in what was meant as a string starts none.
            at = line_around(text, position).end;
        }
    }
    for ((what, meant, _), found) in LOOKALIKES.iter().zip(found) {
        let Some(&(sign, first)) = found.first() else { continue };
        let shown = if sign.is_whitespace() || "\u{200b}\u{feff}".contains(sign) {
            format!("U+{:04X}", u32::from(sign))
        } else {
            sign.to_string()
        };
        let message = match found.len() {
            1 => format!("`{shown}` is {what}"),
            2 => format!("`{shown}` is {what}, here and on 1 more line"),
            lines => format!("`{shown}` is {what}, here and on {} more lines", lines - 1),
        };
        let help = match *meant {
            " " => "write a plain space".to_owned(),
            sign => format!("write `{sign}`"),
        };
        faults.push(SyntaxFault::new(message, first..first + sign.len_utf8()).help(help));
        for (_, position) in found {
            blank(rest, line_around(text, position));
        }
    }
    faults
}

/// Adds the remedy to the parser's message, and says more plainly what it says in a roundabout way.
fn advised(text: &str, message: &str, span: Range<usize>) -> SyntaxFault {
    let around = line_around(text, span.start);
    let line = text[around.clone()].trim();
    let before = text.get(around.start..span.start).unwrap_or_default().trim();
    let rest = text.get(span.start..around.end).unwrap_or_default().trim_end();
    let fault = SyntaxFault::new(message, span.clone());
    let starts_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let has_grouped_digits = {
        let mut parts = line.split(',');
        parts.next().is_some_and(|part| part.ends_with(|c: char| c.is_ascii_digit()))
            && parts.next().is_some_and(starts_number)
    };
    match message {
        "duplicate key" => {
            let key = text.get(span).unwrap_or_default();
            let help = if line.starts_with('[') { "make one table of the two" } else { "remove one of them" };
            SyntaxFault { message: format!("duplicate key `{key}`"), ..fault }.help(help)
        }
        _ if message.starts_with("key with no value") => {
            let key = before.trim_end_matches(':').trim();
            match rest {
                value if before.ends_with(':') && !value.is_empty() => fault.help(format!("write `{key} = {value}`")),
                "]" => fault.help(format!("the header of a table is `[{key}]`")),
                value if value.is_empty() || value.starts_with([',', '}']) => {
                    fault.help("write a key, `=` and a value")
                }
                value => fault.help(format!("write `{key} = {value}`")),
            }
        }
        _ if message.starts_with("missing escaped value") || message.contains("escape") => {
            fault.help("in double quotes `\\` starts an escape: write `/`, or use single quotes")
        }
        _ if message.starts_with("unexpected key or value") => match rest {
            _ if rest.starts_with("//") => fault.help("a comment starts with `#`"),
            _ if rest.starts_with(';') => fault.help("remove it: the line ends the value"),
            _ if rest.starts_with(']') && line.starts_with('[') => {
                fault.help("a header has as many brackets at its end as at its start")
            }
            _ if rest.starts_with(',') && starts_number(&rest[1..]) => {
                let value = before.rsplit('=').next().unwrap_or_default().trim();
                fault.help(format!("write `{value}.{}`, or brackets around several values", &rest[1..]))
            }
            _ if rest.starts_with(',') => fault.help("remove it, or put several values in brackets"),
            _ => fault,
        },
        _ if message.starts_with("unquoted keys cannot be empty") && line.starts_with('=') => {
            fault.help("write a key before `=`")
        }
        _ if message.starts_with("invalid literal string") && !rest.starts_with('\'') && has_grouped_digits => {
            let message = "a comma inside of a number";
            SyntaxFault { message: message.to_owned(), ..fault }.help("write `4096`, or `4_096`, for 4,096")
        }
        _ if is_bare_value(message) => bare_value(fault, before, rest),
        _ => fault,
    }
}

/// Says whether a message is about a value that is neither text in quotes nor anything else of TOML.
fn is_bare_value(message: &str) -> bool {
    ["string values must be quoted", "invalid boolean", "invalid mantissa", "invalid fraction", "unexpected leading"]
        .iter()
        .any(|start| message.starts_with(start))
}

/// Says how a value should be written that starts at or before `rest`.
fn bare_value(fault: SyntaxFault, before: &str, rest: &str) -> SyntaxFault {
    let end = rest.find([',', ']', '}', '#']).unwrap_or(rest.len());
    let value = before.rsplit(['=', '[', '{', ',']).next().unwrap_or_default().trim().to_owned() + rest[..end].trim();
    if value.is_empty() {
        let message = "missing value".to_owned();
        return SyntaxFault { message, ..fault }.help("write a value after `=`");
    }
    let words: Vec<&str> = value.split_whitespace().collect();
    let are_numbers = words.iter().all(|word| word.parse::<f64>().is_ok());
    let help = match (value.to_lowercase().as_str(), number(&value)) {
        ("true" | "yes" | "on", _) => "write `true`".to_owned(),
        ("false" | "no" | "off", _) => "write `false`".to_owned(),
        ("none" | "null" | "nil", _) => "leave the key out: a value that is not there is its default".to_owned(),
        (_, Some(number)) => format!("write `{number}`"),
        _ if are_numbers && words.len() > 1 => format!("write a list: `[{}]`", words.join(", ")),
        _ => format!("write text in quotes: `{value:?}`"),
    };
    fault.help(help)
}

/// Reads a number that is not written as in TOML (`.5`, `1.`, `05`, `50%`, `−1`), and writes it so.
pub(super) fn number(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches([',', ';']).replace(['–', '−'], "-");
    let (text, scale) = match text.strip_suffix('%') {
        Some(share) => (share.trim_end(), 0.01),
        None => (text.as_str(), 1.0),
    };
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if scale == 1.0
        && let Ok(whole) = text.parse::<i64>()
    {
        return Some(whole.to_string());
    }
    let number = text.parse::<f64>().ok()?;
    let toml_writes_it = DeTable::parse(&format!("a = {text}")).is_ok();
    // `1e-4` stays as it is written.
    if scale == 1.0 && toml_writes_it { Some(text.to_owned()) } else { Some(format!("{:?}", number * scale)) }
}

/// Returns the next character outside strings and comments with its offset, and moves `at` beyond it.
fn next_bare(text: &str, at: &mut usize) -> Option<(usize, char)> {
    loop {
        let rest = &text[*at..];
        let c = rest.chars().next()?;
        match c {
            '#' => *at += rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => *at += string_length(rest, c),
            _ => {
                *at += c.len_utf8();
                return Some((*at - c.len_utf8(), c));
            }
        }
    }
}

/// Finds brackets outside strings and comments that have no partner, with their offsets.
fn unclosed(text: &str) -> Vec<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    while let Some((position, c)) = next_bare(text, &mut at) {
        match c {
            '[' | '{' => open.push((c, position)),
            ']' if open.last().is_some_and(|(c, _)| *c == '[') => drop(open.pop()),
            '}' if open.last().is_some_and(|(c, _)| *c == '{') => drop(open.pop()),
            _ => {}
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
        let line = |fault: &SyntaxFault| text[..fault.span.start].matches('\n').count() + 1;
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
