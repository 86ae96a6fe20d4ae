//! What can be wrong with a source file, and where.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::text::ENDINGS;
use crate::data::json::QUOTE;

/// Names a place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Number of the question, counted from 1; for JSONL the number of the line. None outside of
    /// a question.
    pub row: Option<usize>,
    /// Line of the file, counted from 1, where it can be told.
    pub line: Option<usize>,
    /// Path of the field, such as `data[0].paragraphs[0].qas[3].answers[0].text`.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.file.display())?;
        if let Some(row) = self.row {
            write!(formatter, ", row {row}")?;
        }
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        if !self.field.is_empty() {
            write!(formatter, ", field `{}`", self.field)?;
        }
        Ok(())
    }
}

/// Says why a source cannot be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The importer reads a file, and none is named.
    #[error("importer `{importer}` has no `path`")]
    NoPath {
        /// Name of the importer.
        importer: &'static str,
    },
    /// The importer takes no file, and one is named.
    #[error("importer `glossary` is embedded, found `path` `{path}`")]
    Embedded {
        /// The file named.
        path: PathBuf,
    },
    /// The file holds nothing.
    #[error("`{file}` is empty")]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The file is no UTF-8.
    #[error("`{file}` is not UTF-8 at byte {byte} (line {line})")]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Offset of the first wrong byte, counted from 0.
        byte: usize,
        /// Its line, counted from 1.
        line: usize,
    },
    /// The file, or one of its lines, is no JSON.
    #[error("`{file}` is not JSON at line {line}, column {column}")]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// The file ends inside of a value.
        truncated: bool,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The file starts as gzip does and cannot be unpacked.
    #[error("cannot unpack `{file}`, which starts as gzip does")]
    Packed {
        /// The file.
        file: PathBuf,
        /// What the unpacker said.
        source: std::io::Error,
    },
    /// An archive cannot be unpacked.
    #[error("cannot unpack `{file}`, which starts as an archive does")]
    Archive {
        /// The file.
        file: PathBuf,
        /// What the unpacker said.
        source: zip::result::ZipError,
    },
    /// The password does not unlock the archive.
    #[error("the password does not unlock `{file}`")]
    Locked {
        /// The file.
        file: PathBuf,
    },
    /// The archive holds another number of files than one.
    #[error("`{file}` holds {found} files, expected 1")]
    Several {
        /// The file.
        file: PathBuf,
        /// Files in it.
        found: usize,
    },
    /// A row of cells has more or fewer of them than the first line has names.
    #[error("`{file}`, line {line}: expected {expected} cells, as the first line has, found {found}")]
    Cells {
        /// The file.
        file: PathBuf,
        /// Line on which the row starts, counted from 1.
        line: usize,
        /// Names in the first line.
        expected: usize,
        /// Cells in the row.
        found: usize,
    },
    /// The file is no Parquet, or packed in a way that is not read.
    #[error("cannot read `{file}` as Parquet")]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// A file of texts has none of the endings that are read.
    #[error("`{file}` has no ending of texts: expected one of {}", ENDINGS.map(|ending| format!("`.{ending}`")).join(", "))]
    Ending {
        /// The file.
        file: PathBuf,
    },
    /// The embedded data have no such field to keep.
    #[error("importer `glossary` has no field `{field}`")]
    NoField {
        /// The field.
        field: String,
    },
    /// The importer gives texts where questions are asked for.
    #[error("importer `{importer}` gives texts and no questions")]
    NoQuestions {
        /// Name of the importer.
        importer: &'static str,
    },
    /// The importer gives questions where texts are asked for.
    #[error("importer `{importer}` gives questions and no texts")]
    NoTexts {
        /// Name of the importer.
        importer: &'static str,
    },
    /// A file was another one when it was read again.
    #[error("`{file}` changed while it was read")]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// An object has a field twice.
    #[error("`{file}`, line {line}: field `{field}` is given twice")]
    Twice {
        /// The file.
        file: PathBuf,
        /// Line of the second one, counted from 1.
        line: usize,
        /// Its name.
        field: String,
    },
    /// A field that is not read may be one that the row lacks.
    #[error("{place} is not read, and there is no {}", listed(meant))]
    Misspelt {
        /// Where it is.
        place: Place,
        /// The fields that may be meant.
        meant: Vec<String>,
    },
    /// A field is not there.
    #[error("{place} is missing")]
    Missing {
        /// Where it should be.
        place: Place,
    },
    /// A field has another type.
    #[error("{place}: expected {expected}, found {found}")]
    Type {
        /// Where.
        place: Place,
        /// What was expected.
        expected: Box<str>,
        /// What was found.
        found: String,
    },
    /// A value reads as one thing and as another.
    #[error("{place} may be {} or {}", readings[0], readings[1])]
    Ambiguous {
        /// Where.
        place: Place,
        /// What it may be.
        readings: Box<[String; 2]>,
    },
    /// A number that is to identify something may read as its neighbours do.
    #[error("{place}: expected {expected}, found {found}")]
    Inexact {
        /// Where.
        place: Place,
        /// What was expected.
        expected: &'static str,
        /// The number.
        found: String,
    },
    /// Two different rows have one id.
    #[error("{place}: id `{id}` is already used by {first}, which differs")]
    Duplicate {
        /// Where the second one is.
        place: Place,
        /// The id.
        id: String,
        /// The first one: its row, and its file where that is another.
        first: Box<str>,
    },
    /// A row without a group has a context that two groups have.
    #[error("{place}: no `group`, and its context is in `{}` (row {}) and in `{}` (row {})",
        claims[0].0, claims[0].1, claims[1].0, claims[1].1)]
    Claimed {
        /// The row.
        place: Place,
        /// Two groups of its context, each with the first row that names it.
        claims: Box<[(String, usize); 2]>,
    },
    /// No row is left.
    #[error("`{file}` has no usable {what} (skipped: {skipped})")]
    Nothing {
        /// The file or folder.
        file: PathBuf,
        /// What it should have: `question` or `text`.
        what: &'static str,
        /// Counts by reason.
        skipped: String,
    },
}

impl ImportError {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "check `path`; a relative one starts at the experiment file's folder",
            Self::NoPath { .. } => "add `path = \"...\"` to the data set",
            Self::Embedded { .. } => "remove `path`, or choose the importer of that file",
            Self::Empty { .. } => "fetch the file again",
            Self::Encoding { .. } => "convert the file to UTF-8, or fetch it again if it is damaged",
            Self::Syntax { truncated: true, .. } => "the file ends early: fetch it again",
            Self::Syntax { .. } => "correct the file there, or choose the importer of its format",
            Self::Packed { .. } => "fetch the file again; it may be cut short",
            Self::Archive { .. } => "fetch the file again, or unpack it yourself and name the file that was in it",
            Self::Locked { .. } => "write the `password` that its authors give, or unpack it yourself",
            Self::Several { .. } => "unpack it, and name the file that is meant",
            Self::Cells { .. } => "put cells that hold the separator, quotes or a line break in quotes",
            Self::Parquet { .. } => {
                "fetch the file again, or write it anew, packed by snappy, gzip, lz4, zstd or not at all"
            }
            Self::Ending { .. } => "give the file the ending of its format",
            Self::NoField { .. } => "its field is `fact`: what of a term is asked for",
            Self::NoQuestions { .. } => "choose an importer of questions",
            Self::NoTexts { .. } => "choose an importer of texts",
            Self::Changed { .. } => "wait until it is whole, and run this again",
            Self::Ambiguous { .. } => "write all answers of the file as letters, or all as texts that no index is",
            Self::Twice { .. } => "remove one of the two",
            Self::Misspelt { meant, .. } if meant.len() > 1 => {
                "give it the one of these names that it is, or another one if it is something else"
            }
            Self::Misspelt { .. } => "give it that name, or another one if it is something else",
            Self::Missing { .. } => {
                "add the field, say in `columns` what it is called, or choose the importer of the file's format"
            }
            Self::Type { .. } => "correct the field, or choose the importer of the file's format",
            Self::Inexact { .. } => QUOTE,
            Self::Duplicate { .. } => "give each row its own id",
            Self::Claimed { .. } => "name the `group` of that row: rows of one document are kept in one split",
            Self::Nothing { what: "text", .. } => "check that the files have texts",
            Self::Nothing { .. } => "check that the file has questions with answers",
        }
    }
}

/// Lists names, any of which may be the one.
fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}
