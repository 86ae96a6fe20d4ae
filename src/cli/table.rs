//! Rows as people have them: JSON lines or one JSON list, gzipped or not, from a file or standard input.
//!
//! Every fault names file, line and field, what was expected and what was found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use flate2::read::MultiGzDecoder;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// What stands for standard input where a file is asked for.
pub(super) const STDIN: &str = "-";

/// Most names of a list that a message shows.
const SHOWN: usize = 5;

/// One row: an object of the file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    place: Place,
    fields: BTreeMap<String, Value>,
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
/// A file that cannot be read, is no UTF-8, or holds anything but objects; by line and column.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let file: Rc<str> = name(path).into();
    let text = text(path, &file)?;
    // Some editors on Windows start a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match text.trim_start().chars().next() {
        None => bail!("{file} is empty\nhint: expected one JSON object per line, or a JSON list of objects"),
        Some('[') => list(text, &file),
        Some(_) => lines(text, &file),
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
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&bytes[..])
            .read_to_end(&mut unpacked)
            .with_context(|| format!("cannot unpack {file}, which starts as gzip does"))?;
        bytes = unpacked;
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        anyhow!(
            "{file}, line {line}: not UTF-8\nhint: save the file as UTF-8 (JSON lines or a JSON list, may be gzipped)"
        )
    })
}

fn list(text: &str, file: &Rc<str>) -> anyhow::Result<Vec<Row>> {
    let fields: Vec<Fields> = serde_json::from_str(text).map_err(|error| fault(&error, file, error.line(), text))?;
    let place = |number| Place { file: Rc::clone(file), unit: "item", number };
    Ok((1..).zip(fields).map(|(number, Fields(fields))| Row { place: place(number), fields }).collect())
}

fn lines(text: &str, file: &Rc<str>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let Fields(fields) = serde_json::from_str(line).map_err(|error| {
            if rows.is_empty() && error.is_eof() && serde_json::from_str::<Value>(text).is_ok() {
                return anyhow!(
                    "{file} is one JSON object over several lines\nhint: expected one object per line or a list of objects, such as `jq -c '.[]'` makes"
                );
            }
            fault(&error, file, number, line)
        })?;
        rows.push(Row { place: Place { file: Rc::clone(file), unit: "line", number }, fields });
    }
    Ok(rows)
}

/// Words a fault of syntax; `text` is what was parsed.
fn fault(error: &serde_json::Error, file: &str, line: usize, text: &str) -> anyhow::Error {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = told.strip_suffix(&place).unwrap_or(&told).to_owned();
    let column = if error.line() > 0 { format!(", column {}", error.column()) } else { String::new() };
    let parsed = text.lines().nth(error.line().saturating_sub(1)).unwrap_or(text);
    let hint = if parsed.contains("NaN") || parsed.contains("Infinity") {
        "\nhint: JSON has no NaN and no Infinity, though Python writes them"
    } else {
        ""
    };
    anyhow!("{what}{hint}").context(format!("{file}, line {line}{column}"))
}

/// The members of an object, each once.
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = members.next_key::<String>()? {
                    let value = members.next_value()?;
                    match fields.entry(name) {
                        Entry::Vacant(entry) => drop(entry.insert(value)),
                        Entry::Occupied(entry) => {
                            return Err(A::Error::custom(format!("`{}` is given twice", entry.key())));
                        }
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Row {
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

    /// Returns a name: text, or a whole number as many programs write it. 1 and "1" are the same.
    pub(super) fn identifier(&self, field: &str) -> anyhow::Result<Option<String>> {
        match self.field(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if number.is_u64() || number.is_i64() => Ok(Some(number.to_string())),
            // Two numbers beyond 64 bits, or with a fraction, may read as one.
            Some(Value::Number(number)) => Err(self.fault(format!(
                "expected text or a whole number below 2^64 in `{field}`, found {number}\nhint: put the number in quotes"
            ))),
            Some(other) => Err(self.mistyped(field, "text or a whole number", other)),
        }
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

/// Says in few words what a value is.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
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
        assert_eq!(told("[{\"id\": 1},\n 3]"), "`/t`, line 2, column 2: invalid type: integer `3`, expected an object");
        assert_eq!(told("\"a\"\n"), "`/t`, line 1, column 3: invalid type: string \"a\", expected an object");
        assert_eq!(told("{\"id\": 1, \"id\": 2}"), "`/t`, line 1, column 18: `id` is given twice");
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
