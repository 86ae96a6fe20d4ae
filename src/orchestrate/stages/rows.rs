//! Tables in the store: one JSON object per line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::files;
use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes rows as JSON lines.
///
/// # Errors
/// See [`files::write()`].
pub fn write<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), files::WriteError> {
    files::write_with(path, |file| {
        for row in rows {
            serde_json::to_writer(&mut *file, row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Reads JSON lines.
///
/// # Errors
/// A file that cannot be read, or a line that is no row, by its number.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    // Some editors on Windows start a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| parse(path, number, line)).collect()
}

fn parse<T: DeserializeOwned>(path: &Path, number: usize, line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let told = error.to_string();
        let what = told.strip_suffix(&place).unwrap_or(&told).to_owned();
        let column = if error.line() > 0 { format!(", column {}", error.column()) } else { String::new() };
        anyhow::anyhow!(what).context(format!("`{}`, line {number}{column}", path.display()))
    })
}

/// Reads JSON lines that this program wrote, one by one.
///
/// # Errors
/// As for [`read`], each where it is met.
pub fn stream<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Stream<T>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let reader = BufReader::with_capacity(1 << 20, file);
    Ok(Stream { path: path.to_owned(), reader, line: String::new(), number: 0, row: std::marker::PhantomData })
}

/// Reads rows one by one.
#[derive(Debug)]
pub struct Stream<T> {
    path: PathBuf,
    reader: BufReader<File>,
    line: String,
    number: usize,
    row: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Stream<T> {
    type Item = anyhow::Result<T>;

    fn next(&mut self) -> Option<anyhow::Result<T>> {
        self.line.clear();
        self.number += 1;
        match self.reader.read_line(&mut self.line) {
            Ok(0) => None,
            Ok(_) => Some(parse(&self.path, self.number, &self.line)),
            Err(error) => Some(Err(error).with_context(|| format!("cannot read `{}`", self.path.display()))),
        }
    }
}
