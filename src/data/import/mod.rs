//! Reads data of every kind: one file per format, one contract for all.
//!
//! A faulty file is an error that names file, row and field. What a format allows but training
//! cannot use (impossible questions, empty answers, repeated rows) is skipped and counted. A format is its
//! file here and its entry in `experiment::importers`.

mod answers;
mod chat;
mod choice;
mod error;
mod glossary;
mod messages;
mod place;
mod qa;
mod row;
mod sharegpt;
mod source;
mod squad;
mod table;
mod teleqna;
mod telequad;
mod text;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

pub use self::error::{ImportError, Place};
use self::place::Found;
use self::source::{Node, Source};
pub(in crate::data) use self::text::Seen;
pub use self::text::{Texts, bytes as text_bytes, is_text};
use super::example::{Example, SplitName, Turn};
use crate::experiment::importers::importers;
use crate::experiment::settings::{Data, Importer};

/// Holds what an import delivers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Usable examples in the order of the source, with their whole passages as contexts.
    pub examples: Vec<Example>,
    /// Where the first accepted answer of an example, by its id, stands in its context, in bytes; none
    /// for those whose answer is not there.
    pub places: BTreeMap<String, Range<usize>>,
    /// The texts of each group: its passages, each once. Several texts of a group tell the same in other
    /// words.
    pub passages: BTreeMap<String, Vec<String>>,
    /// What a group is called: `document`, `term`, `group`, `context`, `conversation` or `question`.
    pub unit: &'static str,
    /// Rows (or references) left out, counted by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Rows that were kept with a reservation, counted by reason.
    pub notes: BTreeMap<String, u64>,
    /// BLAKE3 of the source, in hexadecimal.
    pub checksum: String,
}

/// How an importer reads.
enum Read {
    /// Rows of a file.
    File(fn(&Source, &mut Rows<'_>) -> Result<(), ImportError>),
    /// What this program has.
    Embedded {
        /// The source, whose checksum tells versions of the data from each other.
        source: &'static str,
        read: fn(&Data) -> Result<Imported, ImportError>,
    },
    /// Texts of a file or a folder.
    Texts(fn(&Data, &Path) -> Result<Texts, ImportError>),
}

macro_rules! readers {
    ($($(#[$about:meta])+ $importer:ident($($name:literal),+) $module:ident: $($rest:tt),+;)+) => {
        fn reader(importer: Importer) -> Read {
            match importer { $(Importer::$importer => $module::READ),+ }
        }
    };
}

importers!(readers);

/// Imports a data set of questions; a relative path starts at `base`.
///
/// # Errors
/// If the file cannot be read or is no file of the importer's format, if a row lacks a field or
/// shares its id with a different row, if no row is usable, or if the importer gives texts.
pub fn import(data: &Data, base: &Path) -> Result<Imported, ImportError> {
    let importer = data.importer.name();
    match (reader(data.importer), &data.path) {
        (Read::Embedded { read, .. }, None) => read(data),
        (Read::Embedded { .. }, Some(path)) => Err(ImportError::Embedded { path: path.clone() }),
        (_, None) => Err(ImportError::NoPath { importer }),
        (Read::File(read), Some(path)) => {
            let password = (data.importer == Importer::Teleqna).then(|| teleqna::password(data));
            let source = Source::read(&base.join(path), password)?;
            let mut rows = Rows::new(data);
            read(&source, &mut rows)?;
            rows.finish(source)
        }
        (Read::Texts(_), Some(_)) => Err(ImportError::NoQuestions { importer }),
    }
}

/// Returns the BLAKE3 hash, in hexadecimal, of the source of data that this program has; none for what is read
/// from a file.
#[must_use]
pub fn embedded(importer: Importer) -> Option<String> {
    match reader(importer) {
        Read::Embedded { source, .. } => Some(blake3::hash(source.as_bytes()).to_hex().to_string()),
        Read::File(_) | Read::Texts(_) => None,
    }
}

/// Looks through a data set of texts; a relative path starts at `base`.
///
/// # Errors
/// As for [`import`]; or if the importer gives no texts.
pub fn texts(data: &Data, base: &Path) -> Result<Texts, ImportError> {
    let importer = data.importer.name();
    match (reader(data.importer), &data.path) {
        (Read::Texts(read), Some(path)) => read(data, &base.join(path)),
        (Read::Texts(_), None) => Err(ImportError::NoPath { importer }),
        _ => Err(ImportError::NoTexts { importer }),
    }
}

/// One row as its format gives it, before the rules that hold for every format.
struct Row<'a> {
    id: String,
    group: String,
    fields: BTreeMap<String, String>,
    turns: Option<Vec<Turn>>,
    passage: Option<&'a str>,
    question: &'a str,
    answers: Vec<Answer<'a>>,
    options: Vec<String>,
    impossible: bool,
    split: Option<SplitName>,
}

impl<'a> Row<'a> {
    /// Has no answer yet.
    fn new(id: String, group: String, question: &'a str) -> Self {
        Self {
            id,
            group,
            fields: BTreeMap::new(),
            turns: None,
            passage: None,
            question,
            answers: Vec::new(),
            options: Vec::new(),
            impossible: false,
            split: None,
        }
    }
}

struct Answer<'a> {
    text: &'a str,
    /// Offset in the passage, in characters.
    start: Option<usize>,
}

/// Gathers rows and applies the rules that hold for every format.
struct Rows<'d> {
    data: &'d Data,
    unit: &'static str,
    examples: Vec<Example>,
    places: BTreeMap<String, Range<usize>>,
    passages: BTreeMap<String, Vec<String>>,
    skipped: BTreeMap<String, u64>,
    notes: BTreeMap<String, u64>,
    /// By id: number of the row and hash of its content.
    seen: BTreeMap<String, (usize, blake3::Hash)>,
}

impl<'d> Rows<'d> {
    fn new(data: &'d Data) -> Self {
        Self {
            data,
            unit: "document",
            examples: Vec::new(),
            places: BTreeMap::new(),
            passages: BTreeMap::new(),
            skipped: BTreeMap::new(),
            notes: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }

    fn note(&mut self, reason: &str) {
        *self.notes.entry(reason.to_owned()).or_default() += 1;
    }

    /// Takes a row whose JSON is at `node`.
    fn push(&mut self, node: &Node<'_>, row: Row<'_>) -> Result<(), ImportError> {
        if self.repeats(node, &row)? {
            self.skip("row repeated");
            return Ok(());
        }
        if row.impossible {
            self.skip("question marked impossible");
            return Ok(());
        }
        let question = row.question.trim();
        if question.is_empty() {
            self.skip("question empty");
            return Ok(());
        }
        let (given, empty): (Vec<_>, Vec<_>) = row.answers.iter().partition(|answer| !answer.text.trim().is_empty());
        let Some(&first) = given.first() else {
            self.skip("answer empty");
            return Ok(());
        };
        for _ in empty {
            self.skip("reference empty");
        }
        let mut references = Vec::<String>::new();
        for text in given.iter().map(|answer| answer.text.trim()) {
            if !references.iter().any(|reference| reference == text) {
                references.push(text.to_owned());
            }
        }
        let passage = row.passage.map(str::trim).filter(|passage| !passage.is_empty());
        let context = row.passage.filter(|_| passage.is_some());
        // Of what is offered, nothing need stand in the passage.
        if row.options.is_empty()
            && let Some(place) = context.and_then(|context| self.place(context, first))
        {
            self.places.insert(row.id.clone(), place);
        }
        if let Some(passage) = passage {
            let passages = self.passages.entry(row.group.clone()).or_default();
            // From the end: questions on one passage mostly follow each other.
            if !passages.iter().rev().any(|known| known == passage) {
                passages.push(passage.to_owned());
            }
        }
        self.examples.push(Example {
            id: row.id,
            group: row.group,
            fields: row.fields,
            turns: row.turns,
            context: context.map(str::to_owned),
            question: question.to_owned(),
            answer: references[0].clone(),
            references,
            options: row.options,
            split: row.split,
        });
        Ok(())
    }

    /// Says whether an identical row was seen before; a different one with the same id is an error.
    fn repeats(&mut self, node: &Node<'_>, row: &Row<'_>) -> Result<bool, ImportError> {
        let number = node.row().unwrap_or(0);
        let content =
            Value::from(vec![node.value().clone(), Value::from(row.group.as_str()), Value::from(row.passage)]);
        let hash = blake3::hash(content.to_string().as_bytes());
        match self.seen.entry(row.id.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((number, hash));
                Ok(false)
            }
            Entry::Occupied(entry) if entry.get().1 == hash => Ok(true),
            Entry::Occupied(entry) => {
                let first = format!("row {}", entry.get().0).into();
                Err(ImportError::Duplicate { place: node.place(), id: row.id.clone(), first })
            }
        }
    }

    /// Finds an answer in its context, and counts those that are not where the file says.
    fn place(&mut self, context: &str, answer: &Answer<'_>) -> Option<Range<usize>> {
        let text = answer.text.trim();
        let indent = answer.text.chars().take_while(|letter| letter.is_whitespace()).count();
        let start = answer.start.map(|start| start.saturating_add(indent));
        let found = place::find(context, text, start);
        match &found {
            Some((_, Found::Searched)) if start.is_some() => {
                self.note("answer not at its `answer_start`: taken where its text stands");
            }
            None => self.note("answer not in its context"),
            _ => {}
        }
        found.map(|(place, _)| place)
    }

    fn finish(self, source: Source) -> Result<Imported, ImportError> {
        if self.examples.is_empty() {
            let (file, skipped) = (source.file, listed(&self.skipped));
            return Err(ImportError::Nothing { file, what: "question", skipped });
        }
        let passages = self.passages.into_iter();
        Ok(Imported {
            examples: self.examples,
            places: self.places,
            passages: passages.map(|(group, parts)| (group, vec![parts.join("\n\n")])).collect(),
            unit: self.unit,
            skipped: self.skipped,
            notes: self.notes,
            checksum: source.checksum,
        })
    }
}

/// Lists reasons with their counts.
fn listed(skipped: &BTreeMap<String, u64>) -> String {
    let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}

#[cfg(test)]
mod tests;
