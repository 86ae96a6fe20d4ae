//! The text of a source file and a cursor over its JSON that knows where it is.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zip::ZipArchive;

use super::error::{ImportError, Place};
use super::table::{Entry, Format};
use crate::data::json::{self, NoIdentifier, NoText, line_of};

/// The first bytes of an archive (APPNOTE.TXT, section 4.3.7).
const ZIP: &[u8] = b"PK\x03\x04";

/// Holds a source file's text.
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) format: Format,
    /// The text; empty where the file is none or not held in memory.
    pub(super) text: String,
    /// BLAKE3 of the file's bytes, in hexadecimal.
    pub(super) checksum: String,
}

impl Source {
    /// Reads a file, out of its archive where there is a `password` for one.
    pub(super) fn read(file: &Path, password: Option<&str>) -> Result<Self, ImportError> {
        let (file, format) = (file.to_owned(), Format::of(file));
        let mut bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ImportError::Read { file, source }),
        };
        let checksum = blake3::hash(&bytes).to_hex().to_string();
        if format == Format::Parquet {
            return match bytes.is_empty() {
                true => Err(ImportError::Empty { file }),
                false => Ok(Self { file, format, text: String::new(), checksum }),
            };
        }
        if let Some(password) = password.filter(|_| bytes.starts_with(ZIP)) {
            bytes = unpacked(&file, bytes, password)?;
        }
        let text = match json::text(bytes) {
            Ok(text) => text,
            Err(NoText::Packed(source)) => return Err(ImportError::Packed { file, source }),
            Err(NoText::Encoding { byte, line }) => return Err(ImportError::Encoding { file, byte, line }),
        };
        if text.trim().is_empty() {
            return Err(ImportError::Empty { file });
        }
        Ok(Self { file, format, text, checksum })
    }

    /// Stands for a file whose rows are read one by one.
    pub(super) fn streamed(file: &Path) -> Self {
        Self { file: file.to_owned(), format: Format::of(file), text: String::new(), checksum: String::new() }
    }

    /// Points at rows.
    pub(super) fn nodes<'a>(&'a self, entries: &'a [Entry]) -> Vec<Node<'a>> {
        entries.iter().map(|entry| self.node(entry)).collect()
    }

    /// Points at a row.
    pub(super) fn node<'a>(&'a self, entry: &'a Entry) -> Node<'a> {
        let mut node = Node::root(self, &entry.value);
        node.place.field.clone_from(&entry.field);
        node.at_row(entry.row, entry.line)
    }

    /// Parses the whole file as one JSON value.
    pub(super) fn document(&self) -> Result<Value, ImportError> {
        self.parse(&self.text, 1)
    }

    /// Parses each line that is not blank, with its number.
    pub(super) fn lines(&self) -> Result<Vec<(usize, Value)>, ImportError> {
        let lines = (1..).zip(self.text.lines()).filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(number, line)| Ok((number, self.parse(line, number)?))).collect()
    }

    /// Says whether the file is a JSON list.
    pub(super) fn is_array(&self) -> bool {
        self.text.trim_start().starts_with('[')
    }

    /// Says whether the first line is a question of its own.
    pub(super) fn is_lines(&self) -> bool {
        let first = self.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let is_question = |value: Value| value.get("question").is_some() || value.get("context").is_some();
        serde_json::from_str(first).is_ok_and(is_question)
    }

    /// Parses the JSON that starts at line `first`.
    fn parse(&self, text: &str, first: usize) -> Result<Value, ImportError> {
        json::parse(text).map_err(|(error, twice)| match twice {
            Some(field) => ImportError::Twice { file: self.file.clone(), line: first + error.line() - 1, field },
            None => self.syntax(error, first),
        })
    }

    /// Says that the JSON which starts at line `first` is wrong.
    fn syntax(&self, source: serde_json::Error, first: usize) -> ImportError {
        let line = first + source.line().saturating_sub(1);
        let is_last = self.text.lines().skip(line).all(|later| later.trim().is_empty());
        ImportError::Syntax {
            file: self.file.clone(),
            line,
            column: source.column(),
            truncated: source.is_eof() && is_last,
            source,
        }
    }

    /// Finds the line on which an object with this key begins; none where it stands more than once.
    fn line_of_key(&self, key: &str) -> Option<usize> {
        let quoted = Value::from(key).to_string();
        let mut places = self.text.match_indices(&quoted).filter(|(byte, _)| {
            let after = self.text[byte + quoted.len()..].trim_start().strip_prefix(':');
            after.is_some_and(|after| after.trim_start().starts_with('{'))
        });
        let (byte, _) = places.next()?;
        places.next().is_none().then(|| line_of(self.text.as_bytes(), byte))
    }

    /// Finds the line on which the id of a question stands; none where it stands more than once.
    fn line_of_id(&self, id: &str) -> Option<usize> {
        let quoted = Value::from(id).to_string();
        let mut places = self.text.match_indices(&quoted).filter(|(byte, _)| {
            let before = self.text[..*byte].trim_end().strip_suffix(':');
            before.is_some_and(|before| before.trim_end().ends_with("\"id\""))
        });
        let (byte, _) = places.next()?;
        places.next().is_none().then(|| line_of(self.text.as_bytes(), byte))
    }
}

/// Takes the one file out of an archive.
fn unpacked(file: &Path, bytes: Vec<u8>, password: &str) -> Result<Vec<u8>, ImportError> {
    let wrong = |source| ImportError::Archive { file: file.to_owned(), source };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(wrong)?;
    if archive.len() != 1 {
        return Err(ImportError::Several { file: file.to_owned(), found: archive.len() });
    }
    let mut unpacked = Vec::new();
    let opened = archive.by_index_decrypt(0, password.as_bytes()).map_err(wrong)?;
    let mut inner = opened.map_err(|_| ImportError::Locked { file: file.to_owned() })?;
    inner.read_to_end(&mut unpacked).map_err(|error| wrong(error.into()))?;
    Ok(unpacked)
}

/// Points at one value of a source file.
#[derive(Clone)]
pub(super) struct Node<'a> {
    source: &'a Source,
    value: &'a Value,
    place: Place,
    /// Id of the question, by which its line is found when it is needed.
    id: Option<&'a str>,
    /// Its key, where it has that instead.
    key: Option<&'a str>,
}

impl<'a> Node<'a> {
    pub(super) fn root(source: &'a Source, value: &'a Value) -> Self {
        let place = Place { file: source.file.clone(), row: None, line: None, field: String::new() };
        Self { source, value, place, id: None, key: None }
    }

    /// Goes through the members of an object, each a row that its key tells.
    pub(super) fn members(&self) -> Result<Vec<(&'a str, Self)>, ImportError> {
        let Value::Object(members) = self.value else {
            return Err(self.mistyped("an object"));
        };
        let member = |(key, value): (&'a String, &'a Value)| {
            (key.as_str(), Self { value, place: self.inner(key), key: Some(key), ..self.clone() })
        };
        Ok(members.iter().map(member).collect())
    }

    /// Says that this value is question `row`; without a `line`, it is found by the question's id.
    pub(super) fn at_row(mut self, row: usize, line: Option<usize>) -> Self {
        self.id = self.value.get("id").and_then(Value::as_str);
        self.place.line = line;
        self.place.row = Some(row);
        self
    }

    pub(super) fn row(&self) -> Option<usize> {
        self.place.row
    }

    pub(super) fn place(&self) -> Place {
        self.located(self.place.clone())
    }

    /// Adds the line to a place; finding it takes a pass over the file, so only errors do.
    fn located(&self, place: Place) -> Place {
        let by_id = || self.source.line_of_id(self.id?);
        let by_key = || self.source.line_of_key(self.key?);
        let line = place.line.or_else(by_id).or_else(by_key);
        Place { line, ..place }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Goes to a member, or says that it is missing. A cell that is there may be empty.
    pub(super) fn field(&self, name: &str) -> Result<Self, ImportError> {
        let found = self.member(name)?.filter(|node| !node.value.is_null());
        found.ok_or_else(|| ImportError::Missing { place: self.inside(name) })
    }

    /// Goes to a member; none if it is absent, null or an empty cell.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Self>, ImportError> {
        Ok(self.member(name)?.filter(|node| !node.is_nothing()))
    }

    fn member(&self, name: &str) -> Result<Option<Self>, ImportError> {
        let Value::Object(members) = self.value else {
            return Err(self.mistyped("an object"));
        };
        Ok(members.get(name).map(|value| Self { value, place: self.inner(name), ..self.clone() }))
    }

    /// Says whether it is null or an empty cell.
    fn is_nothing(&self) -> bool {
        self.value.is_null() || self.is_cell() && self.value.as_str().is_some_and(str::is_empty)
    }

    /// Says whether its value was written as text, whatever it is.
    pub(super) fn is_cell(&self) -> bool {
        matches!(self.source.format, Format::Cells(_))
    }

    /// Goes through the elements of an array.
    pub(super) fn elements(&self) -> Result<impl Iterator<Item = Self>, ImportError> {
        let Value::Array(values) = self.value else {
            return Err(self.mistyped("a list"));
        };
        let element = |(index, value)| Self {
            value,
            place: Place { field: format!("{}[{index}]", self.place.field), ..self.place.clone() },
            ..self.clone()
        };
        Ok(values.iter().enumerate().map(element))
    }

    /// Returns the names of members that are none of `known` and not null.
    pub(super) fn others(&self, known: &[&str]) -> Result<Vec<&'a str>, ImportError> {
        let Value::Object(members) = self.value else {
            return Err(self.mistyped("an object"));
        };
        let is_nothing = |value: &'a Value| Self { value, ..self.clone() }.is_nothing();
        let others = members.iter().filter(|(name, value)| !known.contains(&name.as_str()) && !is_nothing(value));
        Ok(others.map(|(name, _)| name.as_str()).collect())
    }

    /// Returns the place of a member.
    pub(super) fn inside(&self, name: &str) -> Place {
        self.located(self.inner(name))
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        self.value.as_str().ok_or_else(|| self.mistyped("text"))
    }

    /// Reads an identifier: text or a whole number.
    pub(super) fn identifier(&self) -> Result<String, ImportError> {
        json::identifier(self.value).map_err(|wrong| {
            let (place, expected, found) = (self.place(), wrong.expected(), wrong.found(self.value));
            match wrong {
                NoIdentifier::Inexact => ImportError::Inexact { place, expected, found },
                NoIdentifier::Mistyped => ImportError::Type { place, expected: expected.into(), found },
            }
        })
    }

    pub(super) fn boolean(&self) -> Result<bool, ImportError> {
        let written = self.written().and_then(|text| text.to_lowercase().parse().ok());
        self.value.as_bool().or(written).ok_or_else(|| self.mistyped("true or false"))
    }

    pub(super) fn index(&self) -> Result<usize, ImportError> {
        let index = self.value.as_u64().and_then(|index| index.try_into().ok());
        let written = self.written().and_then(|text| text.parse().ok());
        index.or(written).ok_or_else(|| self.mistyped("a whole number from 0"))
    }

    /// Reads text, a number or true or false as text.
    pub(super) fn scalar(&self) -> Result<String, ImportError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(self.value.to_string()),
            _ => Err(self.mistyped("text, a number or true or false")),
        }
    }

    /// Returns what a cell has for a value that is no text.
    fn written(&self) -> Option<&'a str> {
        self.value.as_str().filter(|_| self.is_cell()).map(str::trim)
    }

    /// Says that a value is not what was expected here.
    pub(super) fn refused(&self, expected: impl Into<String>, found: impl Into<String>) -> ImportError {
        ImportError::Type { place: self.place(), expected: expected.into().into(), found: found.into() }
    }

    fn inner(&self, name: &str) -> Place {
        let outer = &self.place.field;
        let field = match outer.is_empty() {
            true => name.to_owned(),
            false => format!("{outer}.{name}"),
        };
        Place { field, ..self.place.clone() }
    }

    pub(super) fn mistyped(&self, expected: &str) -> ImportError {
        self.refused(expected, json::described(self.value))
    }
}
