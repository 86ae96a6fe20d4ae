//! Files that are complete or absent.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// Writes a file beside its place and renames it, so that no reader sees half of it.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that writes")]
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let failed = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(|source| {
        // The rename or the write has failed: leave nothing half-written behind.
        let _ = fs::remove_file(&partial);
        failed(source)
    })
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::File { action: "create", path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_no_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_the_file_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent").join("a.txt");
        let error = write(&path, b"one").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("a.txt"), "{error}");
    }
}
