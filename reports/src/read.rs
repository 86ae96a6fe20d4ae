//! Reading what a run left behind.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::record::Record;
use crate::study::Study;
use crate::{Error, Result};

/// Version of [`Study`] that this crate reads.
pub const STUDY_FORMAT: u32 = 1;

/// Reads records from a file of JSON lines; empty lines are passed over.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Row`] for the first row that is no record.
pub fn read_records(path: &Path) -> Result<Vec<Record>> {
    let unreadable = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    let mut records = Vec::new();
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    for (index, line) in file.lines().enumerate() {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        records.push(serde_json::from_str(&line).map_err(|source| Error::Row {
            path: path.to_path_buf(),
            row: index + 1,
            source,
        })?);
    }
    Ok(records)
}

/// Reads the description of a study.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Study`] when it is no study, [`Error::Format`]
/// when it was written in another version.
pub fn read_study(path: &Path) -> Result<Study> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    let study: Study =
        serde_json::from_str(&text).map_err(|source| Error::Study { path: path.to_path_buf(), source })?;
    if study.format != STUDY_FORMAT {
        return Err(Error::Format { path: path.to_path_buf(), expected: STUDY_FORMAT, found: study.format });
    }
    Ok(study)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    const ROW: &str =
        r#"{"arm":"a","seed":1,"example":"q1","metric":"rouge-l","value":0.5,"unit":"fraction","direction":"higher"}"#;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn reads_rows_and_passes_over_empty_lines() {
        let (_folder, path) = file(&format!("{ROW}\n\n{ROW}\n"));
        let records = read_records(&path).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].value, 0.5);
        assert!(records[0].counts.is_empty());
    }

    #[test]
    fn names_file_row_and_field() {
        let (_folder, path) = file(&format!("{ROW}\n{}\n", ROW.replace("seed", "sed")));
        let error = read_records(&path).unwrap_err();
        assert!(error.to_string().contains("records.jsonl`, row 2"), "{error}");
        assert!(error.source().unwrap().to_string().contains("unknown field `sed`"));
    }

    #[test]
    fn a_truncated_last_row_is_a_fault() {
        let (_folder, path) = file(&format!("{ROW}\n{}", &ROW[..40]));
        assert!(read_records(&path).unwrap_err().to_string().contains("row 2"));
    }
}
