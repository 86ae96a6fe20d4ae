//! Rows as people have them: JSON lines or one JSON list, gzipped or not, from a file or standard input.
//!
//! Every fault names file, line and field, what was expected and what was found.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use serde_json::{Map, Value};

use crate::data::json::{self, NoIdentifier, NoText, QUOTE, described};
use crate::data::names;

/// What stands for standard input where a file is asked for.
pub(super) const STDIN: &str = "-";

/// Most names of a list that a message shows.
const SHOWN: usize = 5;

/// One row: an object of the file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    place: Place,
    fields: Map<String, Value>,
}

/// Where a row stands.
#[derive(Debug, Clone)]
struct Place {
    file: Rc<str>,
    /// What its number counts.
    unit: &'static str,
    number: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} {}", self.file, self.unit, self.number)
    }
}

/// Reads the rows of a file; `-` is standard input.
///
/// # Errors
/// A file that cannot be read or unpacked, is no UTF-8, or holds anything but objects, each key once.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let file: Rc<str> = name(path).into();
    let text = text(path, &file)?;
    match text.trim_start().chars().next() {
        None => bail!("{file} is empty\nhint: expected one JSON object per line, or a JSON list of objects"),
        Some('[') => list(&text, &file),
        Some(_) => lines(&text, &file),
    }
}

/// Returns how messages call a file.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { format!("`{}`", path.display()) }
}

fn text(path: &Path, file: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    read.with_context(|| format!("cannot read {file}"))?;
    json::text(bytes).map_err(|error| match error {
        NoText::Packed(source) => {
            anyhow::Error::new(source).context(format!("cannot unpack {file}, which starts as gzip does"))
        }
        NoText::Encoding { line, .. } => anyhow!(
            "{file}, line {line}: not UTF-8\nhint: save the file as UTF-8 (JSON lines or a JSON list, may be gzipped)"
        ),
    })
}

fn list(text: &str, file: &Rc<str>) -> anyhow::Result<Vec<Row>> {
    let list = json::parse(text).map_err(|(error, twice)| fault(&error, twice, file, error.line(), text))?;
    let Value::Array(items) = list else { bail!("{file}: expected a list, found {}", described(&list)) };
    let place = |number| Place { file: Rc::clone(file), unit: "item", number };
    (1..).zip(items).map(|(number, item)| Row::new(place(number), item)).collect()
}

fn lines(text: &str, file: &Rc<str>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let value = json::parse(line).map_err(|(error, twice)| {
            if rows.is_empty() && error.is_eof() && serde_json::from_str::<Value>(text).is_ok() {
                return anyhow!(
                    "{file} is one JSON object over several lines\nhint: expected one object per line or a list of objects, such as `jq -c '.[]'` makes"
                );
            }
            fault(&error, twice, file, number, line)
        })?;
        rows.push(Row::new(Place { file: Rc::clone(file), unit: "line", number }, value)?);
    }
    Ok(rows)
}

/// Words a fault of syntax, or a key given twice; `text` is what was parsed.
fn fault(error: &serde_json::Error, twice: Option<String>, file: &str, line: usize, text: &str) -> anyhow::Error {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = match twice {
        Some(key) => format!("`{key}` is given twice"),
        None => told.strip_suffix(&place).unwrap_or(&told).to_owned(),
    };
    let column = if error.line() > 0 { format!(", column {}", error.column()) } else { String::new() };
    let parsed = text.lines().nth(error.line().saturating_sub(1)).unwrap_or(text);
    let hint = if parsed.contains("NaN") || parsed.contains("Infinity") {
        "\nhint: JSON has no NaN and no Infinity, though Python writes them"
    } else {
        ""
    };
    anyhow!("{what}{hint}").context(format!("{file}, line {line}{column}"))
}

impl Row {
    fn new(place: Place, value: Value) -> anyhow::Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self { place, fields }),
            other => bail!("{place}: expected an object, found {}", described(&other)),
        }
    }

    /// Says whether the row has a field, be it null.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Returns the names of the row's fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Words a fault of this row.
    pub(super) fn fault(&self, what: impl fmt::Display) -> anyhow::Error {
        anyhow!("{}: {what}", self.place)
    }

    /// Returns where the row stands, for a message about two rows.
    pub(super) fn place(&self) -> impl fmt::Display {
        &self.place
    }

    /// Returns a field that is neither missing nor null.
    fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn mistyped(&self, field: &str, expected: &str, value: &Value) -> anyhow::Error {
        self.fault(format!("expected {expected} in `{field}`, found {}", described(value)))
    }

    /// Returns a text.
    pub(super) fn text(&self, field: &str) -> anyhow::Result<Option<String>> {
        match self.field(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.mistyped(field, "text", other)),
        }
    }

    /// Returns texts: a list of them, or one.
    pub(super) fn texts(&self, field: &str) -> anyhow::Result<Option<Vec<String>>> {
        match self.field(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            Some(Value::Array(items)) if items.is_empty() => {
                Err(self.fault(format!("expected at least one text in `{field}`, found none")))
            }
            Some(Value::Array(items)) => {
                let text = |item: &Value| match item {
                    Value::String(text) => Ok(text.clone()),
                    other => Err(self.mistyped(field, "a list of texts", other)),
                };
                items.iter().map(text).collect::<anyhow::Result<_>>().map(Some)
            }
            Some(other) => Err(self.mistyped(field, "text or a list of texts", other)),
        }
    }

    /// Returns a name, as [`json::identifier`] reads it.
    pub(super) fn identifier(&self, field: &str) -> anyhow::Result<Option<String>> {
        let Some(value) = self.field(field) else { return Ok(None) };
        json::identifier(value).map(Some).map_err(|wrong| {
            let hint = if wrong == NoIdentifier::Inexact { format!("\nhint: {QUOTE}") } else { String::new() };
            self.fault(format!("expected {} in `{field}`, found {}{hint}", wrong.expected(), wrong.found(value)))
        })
    }

    /// Returns a number.
    pub(super) fn number(&self, field: &str) -> anyhow::Result<Option<f64>> {
        let Some(value) = self.field(field) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.mistyped(field, "a number", value))
    }

    /// Returns a list of numbers, empty where there is none.
    pub(super) fn numbers(&self, field: &str) -> anyhow::Result<Vec<f64>> {
        match self.field(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let number =
                    |item: &Value| item.as_f64().ok_or_else(|| self.mistyped(field, "a list of numbers", item));
                items.iter().map(number).collect()
            }
            Some(other) => Err(self.mistyped(field, "a list of numbers", other)),
        }
    }
}

/// Says which fields of rows without a `group` may be meant to be it, those of `read` aside.
pub(super) fn unread_groups<'a>(rows: impl IntoIterator<Item = &'a Row>, read: &[&str], file: &str) -> Option<String> {
    let alike: BTreeSet<&str> = rows
        .into_iter()
        .filter(|row| row.field("group").is_none())
        .flat_map(|row| row.names().filter(|name| row.field(name).is_some() && !read.contains(name)))
        .filter(|name| names::may_be(name, names::GROUP))
        .collect();
    (!alike.is_empty()).then(|| {
        let verb = if alike.len() == 1 { "is" } else { "are" };
        let names = listed(alike);
        format!(
            "there is no `group` in rows of {file}, and {names} {verb} not read: their questions count as independent"
        )
    })
}

/// Lists the first of many names, in backticks.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn table(bytes: &[u8]) -> anyhow::Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        crate::files::write(&path, bytes).unwrap();
        read(&path)
            .map_err(|error| anyhow!("{}", format!("{error:#}").replace(&folder.path().display().to_string(), "")))
    }

    fn told(text: &str) -> String {
        table(text.as_bytes()).unwrap_err().to_string()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_lists_and_gzip_hold_the_same_rows() {
        let lines = "\u{feff}{\"id\": \"a\", \"n\": [1, 2.5]}\r\n\n{\"id\": 7}\n";
        let list = " [\n{\"id\": \"a\", \"n\": [1, 2.5]},\n{\"id\": 7}]";
        // Two parts, as `cat a.gz b.gz` leaves them.
        let parts = [gzip(&lines.as_bytes()[..30]), gzip(&lines.as_bytes()[30..])].concat();
        for (bytes, second) in
            [(lines.as_bytes().to_vec(), "`/t`, line 3"), (list.into(), "`/t`, item 2"), (parts, "`/t`, line 3")]
        {
            let rows = table(&bytes).unwrap();
            let ids: Vec<_> = rows.iter().map(|row| row.identifier("id").unwrap().unwrap()).collect();
            assert_eq!(ids, ["a", "7"]);
            assert_eq!(rows[0].numbers("n").unwrap(), [1.0, 2.5]);
            assert!(rows[1].place().to_string().ends_with(&second[3..]), "{}", rows[1].place());
        }
    }

    #[test]
    fn what_is_no_row_is_told_by_place() {
        assert_eq!(told(""), "`/t` is empty\nhint: expected one JSON object per line, or a JSON list of objects");
        assert_eq!(told("{\"id\": 1}\n{\"id\": \n"), "`/t`, line 2, column 7: EOF while parsing a value");
        assert_eq!(told("[{\"id\": 1},\n 3]"), "`/t`, item 2: expected an object, found the number 3");
        assert_eq!(told("\"a\"\n"), "`/t`, line 1: expected an object, found text");
        assert_eq!(told("{\"id\": 1, \"id\": 2}"), "`/t`, line 1, column 14: `id` is given twice");
        assert_eq!(told("[{\"id\": 1,\n \"a\": {\"b\": 1, \"b\": 2}}]"), "`/t`, line 2, column 18: `b` is given twice");
        assert!(told("{\n \"id\": 1\n}\n").starts_with("`/t` is one JSON object over several lines\nhint: "));
        assert!(told("{\"value\": NaN}").contains("hint: JSON has no NaN"));
        let latin = table(b"{\"id\": 1}\n{\"id\": \"\xe9\"}\n").unwrap_err().to_string();
        assert!(latin.starts_with("`/t`, line 2: not UTF-8\nhint: "), "{latin}");
        assert!(table(&gzip(b"{}")[..12]).unwrap_err().to_string().starts_with("cannot unpack `/t`"));
    }

    #[test]
    fn ids_are_told_apart_or_refused() {
        let id = |text: &str| table(format!("{{\"id\": {text}}}").as_bytes()).unwrap()[0].identifier("id");
        assert_eq!(id("1").unwrap(), id("\"1\"").unwrap());
        // Beyond 2^53, where f64 would join neighbours.
        assert_ne!(id("18446744073709551615").unwrap(), id("18446744073709551614").unwrap());
        assert_ne!(id("-9007199254740993").unwrap(), id("-9007199254740992").unwrap());
        for refused in ["18446744073709551616", "18446744073709551617", "1.0", "1e3", "-0"] {
            let error = id(refused).unwrap_err().to_string();
            assert!(error.contains("expected text or a whole number below 2^64 in `id`, found "), "{error}");
            assert!(error.ends_with("\nhint: put the number in quotes"), "{error}");
        }
        assert!(
            id("[1]").unwrap_err().to_string().ends_with("expected text or a whole number in `id`, found a list of 1")
        );
        assert_eq!(id("null").unwrap(), None);
    }

    #[test]
    fn texts_are_one_or_several() {
        let texts = |text: &str| table(format!("{{\"r\": {text}}}").as_bytes()).unwrap()[0].texts("r");
        assert_eq!(texts("\"a\"").unwrap().unwrap(), ["a"]);
        assert_eq!(texts("[\"a\", \"b\"]").unwrap().unwrap(), ["a", "b"]);
        let told = |text: &str| texts(text).unwrap_err().to_string();
        assert!(told("[]").ends_with("expected at least one text in `r`, found none"));
        assert!(told("[\"a\", 3]").ends_with("expected a list of texts in `r`, found the number 3"));
        assert!(told("{\"text\": [\"a\"]}").ends_with("expected text or a list of texts in `r`, found an object"));
    }
}
