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
    // Some editors on Windows start a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let told = error.to_string();
            let what = told.strip_suffix(&place).unwrap_or(&told).to_owned();
            let column = if error.line() > 0 { format!(", column {}", error.column()) } else { String::new() };
            anyhow::anyhow!(what).context(format!("`{}`, line {}{column}", path.display(), number + 1))
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}
