//! Tables in the store: one JSON object per line.

use std::io::Write;
use std::path::Path;

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
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("`{}`, line {}", path.display(), number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}
