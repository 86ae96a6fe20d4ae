//! Reads question-answer data: one file per format, one contract for all.
//!
//! A faulty file is an error that names file, row and field. What a format allows but training
//! cannot use (impossible questions, empty answers, repeated rows) is skipped and counted.

mod error;
mod jsonl;
mod source;
mod squad;
mod telequad;
mod window;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use serde_json::Value;

pub use self::error::{ImportError, Place};
use self::source::{Node, Source};
use self::window::Found;
use super::example::Example;
use super::glossary;
use crate::experiment::settings::{Data, Importer};

/// Holds what an import delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Usable examples in the order of the source.
    pub examples: Vec<Example>,
    /// Full passages by group, each once: the corpus for pretraining.
    pub passages: BTreeMap<String, String>,
    /// Rows (or references) left out, counted by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Rows that were kept with a reservation, counted by reason.
    pub notes: BTreeMap<String, u64>,
    /// BLAKE3 of the source, in hexadecimal.
    pub checksum: String,
}

/// Imports a data set; a relative path starts at `base`.
///
/// # Errors
/// If the file cannot be read or is no file of the importer's format, if a row lacks a field or
/// shares its id with a different row, or if no row is usable.
pub fn import(data: &Data, base: &Path) -> Result<Imported, ImportError> {
    let name = match (data.importer, &data.path) {
        (Importer::Glossary, None) => return Ok(glossary::import()),
        (Importer::Glossary, Some(path)) => {
            return Err(ImportError::Embedded { path: path.clone() });
        }
        (Importer::Telequad, _) => "telequad",
        (Importer::Squad, _) => "squad",
        (Importer::Jsonl, _) => "jsonl",
    };
    let path = data.path.as_ref().ok_or(ImportError::NoPath { importer: name })?;
    let source = Source::read(&base.join(path))?;
    let mut rows = Rows::new(data.window);
    match data.importer {
        Importer::Telequad => telequad::read(&source, &mut rows)?,
        Importer::Squad => squad::read(&source, &mut rows)?,
        Importer::Jsonl => jsonl::read(&source, &mut rows)?,
        Importer::Glossary => {}
    }
    rows.finish(source)
}

/// One row as its format gives it, before the rules that hold for every format.
struct Row<'a> {
    id: String,
    group: String,
    passage: Option<&'a str>,
    question: &'a str,
    answers: Vec<Answer<'a>>,
    impossible: bool,
}

struct Answer<'a> {
    text: &'a str,
    /// Offset in the passage, in characters.
    start: Option<usize>,
}

/// Gathers rows and applies the rules that hold for every format.
struct Rows {
    window: Option<usize>,
    examples: Vec<Example>,
    passages: BTreeMap<String, Vec<String>>,
    skipped: BTreeMap<String, u64>,
    notes: BTreeMap<String, u64>,
    /// By id: number of the row and hash of its content.
    seen: BTreeMap<String, (usize, blake3::Hash)>,
}

impl Rows {
    fn new(window: Option<usize>) -> Self {
        Self {
            window,
            examples: Vec::new(),
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
        let context = match row.passage {
            Some(whole) if passage.is_some() => Some(self.context(whole, first)),
            _ => None,
        };
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
            context,
            question: question.to_owned(),
            answer: references[0].clone(),
            references,
            split: None,
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
                Err(ImportError::Duplicate { place: node.place(), id: row.id.clone(), first: entry.get().0 })
            }
        }
    }

    fn context(&mut self, passage: &str, answer: &Answer<'_>) -> String {
        let Some(width) = self.window else {
            return passage.to_owned();
        };
        let text = answer.text.trim();
        let indent = answer.text.chars().take_while(|letter| letter.is_whitespace()).count();
        let start = answer.start.map(|start| start.saturating_add(indent));
        match window::find(passage, text, start) {
            Some((span, found)) => {
                if found == Found::Searched && answer.start.is_some() {
                    self.note("answer not at its stated offset: window cut where its text stands");
                }
                window::cut(passage, span, width).to_owned()
            }
            None => {
                self.note("answer not in its context: whole context kept");
                passage.to_owned()
            }
        }
    }

    fn finish(self, source: Source) -> Result<Imported, ImportError> {
        if self.examples.is_empty() {
            let counts = self.skipped.iter();
            let skipped: Vec<_> = counts.map(|(reason, count)| format!("{reason}: {count}")).collect();
            return Err(ImportError::Nothing {
                file: source.file,
                skipped: if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") },
            });
        }
        let passages = self.passages.into_iter();
        Ok(Imported {
            examples: self.examples,
            passages: passages.map(|(group, parts)| (group, parts.join("\n\n"))).collect(),
            skipped: self.skipped,
            notes: self.notes,
            checksum: source.checksum,
        })
    }
}

#[cfg(test)]
mod tests;
