//! The text of a source file and a cursor over its JSON that knows where it is.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ImportError, Place};
use crate::data::json::{self, NoIdentifier, NoText, line_of};

/// Holds a source file's text.
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
    /// BLAKE3 of the file's bytes, in hexadecimal.
    pub(super) checksum: String,
}

impl Source {
    pub(super) fn read(file: &Path) -> Result<Self, ImportError> {
        let file = file.to_owned();
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ImportError::Read { file, source }),
        };
        let checksum = blake3::hash(&bytes).to_hex().to_string();
        let text = match json::text(bytes) {
            Ok(text) => text,
            Err(NoText::Packed(source)) => return Err(ImportError::Packed { file, source }),
            Err(NoText::Encoding { byte, line }) => return Err(ImportError::Encoding { file, byte, line }),
        };
        if text.trim().is_empty() {
            return Err(ImportError::Empty { file });
        }
        Ok(Self { file, text, checksum })
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

    /// Finds the line on which the id of a question stands; none where it stands more than once.
    pub(super) fn line_of_id(&self, id: &str) -> Option<usize> {
        let quoted = Value::from(id).to_string();
        let mut places = self.text.match_indices(&quoted).filter(|(byte, _)| {
            let before = self.text[..*byte].trim_end().strip_suffix(':');
            before.is_some_and(|before| before.trim_end().ends_with("\"id\""))
        });
        let (byte, _) = places.next()?;
        places.next().is_none().then(|| line_of(self.text.as_bytes(), byte))
    }
}

/// Points at one value of a source file.
#[derive(Clone)]
pub(super) struct Node<'a> {
    source: &'a Source,
    value: &'a Value,
    place: Place,
    /// Id of the question, by which its line is found when it is needed.
    id: Option<&'a str>,
}

impl<'a> Node<'a> {
    pub(super) fn root(source: &'a Source, value: &'a Value) -> Self {
        let place = Place { file: source.file.clone(), row: None, line: None, field: String::new() };
        Self { source, value, place, id: None }
    }

    /// Goes through the lines of a file.
    pub(super) fn lines(source: &'a Source, lines: &'a [(usize, Value)]) -> Vec<Self> {
        let row = |(number, value): &'a (usize, Value)| Self::root(source, value).at_row(*number, Some(*number));
        lines.iter().map(row).collect()
    }

    /// Goes through the rows of an array.
    pub(super) fn rows(source: &'a Source, array: &'a Value) -> Result<Vec<Self>, ImportError> {
        let root = Self::root(source, array);
        let elements = root.elements()?;
        Ok((1..).zip(elements).map(|(number, row)| row.at_row(number, None)).collect())
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
        let line = place.line.or_else(|| self.source.line_of_id(self.id?));
        Place { line, ..place }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Goes to a member, or says that it is missing.
    pub(super) fn field(&self, name: &str) -> Result<Self, ImportError> {
        self.optional(name)?.ok_or_else(|| ImportError::Missing { place: self.inside(name) })
    }

    /// Goes to a member; none if it is absent or null.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Self>, ImportError> {
        let Value::Object(members) = self.value else {
            return Err(self.mistyped("an object"));
        };
        let value = members.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self { source: self.source, value, place: self.inner(name), id: self.id }))
    }

    /// Goes through the elements of an array.
    pub(super) fn elements(&self) -> Result<impl Iterator<Item = Self>, ImportError> {
        let Value::Array(values) = self.value else {
            return Err(self.mistyped("a list"));
        };
        let element = |(index, value)| Self {
            source: self.source,
            value,
            place: Place { field: format!("{}[{index}]", self.place.field), ..self.place.clone() },
            id: self.id,
        };
        Ok(values.iter().enumerate().map(element))
    }

    /// Returns the names of members that are none of `known` and not null.
    pub(super) fn others(&self, known: &[&str]) -> Result<Vec<&'a str>, ImportError> {
        let Value::Object(members) = self.value else {
            return Err(self.mistyped("an object"));
        };
        let others = members.iter().filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
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
                NoIdentifier::Mistyped => ImportError::Type { place, expected, found },
            }
        })
    }

    pub(super) fn boolean(&self) -> Result<bool, ImportError> {
        self.value.as_bool().ok_or_else(|| self.mistyped("true or false"))
    }

    pub(super) fn index(&self) -> Result<usize, ImportError> {
        let index = self.value.as_u64().and_then(|index| index.try_into().ok());
        index.ok_or_else(|| self.mistyped("a whole number from 0"))
    }

    fn inner(&self, name: &str) -> Place {
        let outer = &self.place.field;
        let field = match outer.is_empty() {
            true => name.to_owned(),
            false => format!("{outer}.{name}"),
        };
        Place { field, ..self.place.clone() }
    }

    pub(super) fn mistyped(&self, expected: &'static str) -> ImportError {
        ImportError::Type { place: self.place(), expected, found: json::described(self.value) }
    }
}
