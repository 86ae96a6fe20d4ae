//! Files that are either whole or not there: the only way this crate writes what it keeps.
//!
//! A file is written under a temporary name beside its place, synced and renamed: whoever reads a
//! name sees the old file or the new one. Temporary names start with [`PREFIX`], so that what a
//! killed process left behind can be recognised and swept. A full disk is told with what is missing.
//! Only what is no regular file (a pipe, `/dev/null`) is written in place: it cannot be replaced.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Starts the name of every temporary file.
pub const PREFIX: &str = ".writing-";

/// Says which file could not be written and, on a full disk, how much is missing.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system has no room left.
    #[error("disk full: cannot write `{}`: {}", path.display(), shortage(*needed_bytes, *free_bytes))]
    Full {
        /// The file that was to be written.
        path: PathBuf,
        /// Bytes that were to be written, where known.
        needed_bytes: Option<u64>,
        /// Bytes free on the file system after the attempt was cleaned up, where known.
        free_bytes: Option<u64>,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else: rights, a missing folder, a device error.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn shortage(needed: Option<u64>, free: Option<u64>) -> String {
    let needed = needed.map_or("an unknown number of bytes".to_owned(), |n| format!("{n} bytes"));
    let free = free.map_or("an unknown number".to_owned(), |n| n.to_string());
    format!("{needed} needed, {free} free")
}

/// Says whether an error means that a disk is full, quotas included.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes `bytes` to `path`, replacing what is there. Who may read the file is left to the umask, as
/// for any other program.
///
/// # Errors
/// See [`WriteError`]; the old file is then untouched and no temporary file remains.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let needed = Some(bytes.len() as u64);
    write_sized(path, needed, |file| file.write_all(bytes))
}

/// Writes `value` to `path` as indented JSON with a final newline.
///
/// # Errors
/// See [`write()`]; also a value that JSON cannot hold, as an input/output error.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), WriteError> {
    let bytes = json(value).map_err(|error| WriteError::Io { path: path.to_owned(), source: error.into() })?;
    write(path, &bytes)
}

/// Returns what [`write_json`] writes.
///
/// # Errors
/// A value that JSON cannot hold.
pub fn json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file piece by piece: `fill` gets a buffered writer on the temporary file.
///
/// # Errors
/// See [`write()`]; also whatever `fill` returns.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    write_sized(path, None, fill)
}

/// Writes a file piece by piece, as [`write_with`], whose size is known: a full disk is then told
/// with what is missing.
///
/// # Errors
/// As for [`write_with`].
pub fn write_sized(
    path: &Path,
    needed_bytes: Option<u64>,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    replace(path, fill).map_err(|source| failed(path, needed_bytes, source))
}

fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> io::Result<()> {
    if is_special(path) {
        return fill_file(&mut File::options().write(true).open(path)?, fill);
    }
    let folder = folder_of(path);
    // Temporary files are their owner's alone by default; a store is read by a whole group.
    let permissions = Permissions::from_mode(0o666);
    let mut temporary = tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(folder)?;
    fill_file(temporary.as_file_mut(), fill)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    // Makes the rename survive a power cut. Not every file system lets a folder be flushed; the
    // rename itself is done either way.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn fill_file(file: &mut File, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 20, file);
    fill(&mut buffered)?;
    buffered.flush()
}

/// Tries whether `path` can be written, before the work whose result it is to hold. What is there
/// stays as it is.
///
/// # Errors
/// See [`write()`].
pub fn try_write(path: &Path) -> Result<(), WriteError> {
    let tried = if path.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if is_special(path) {
        File::options().write(true).open(path).map(drop)
    } else {
        tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder_of(path)).map(drop)
    };
    tried.map_err(|error| failed(path, None, error))
}

/// Says whether a path is a device or a pipe, which is written to where a file would be replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Returns the folder that a file lies in: the current one for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the BLAKE3 checksum of a file in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Removes temporary files that a killed process left in `folder`.
///
/// Only for a folder that no other process writes to: hold its lock.
///
/// # Errors
/// A folder that cannot be read or a file that cannot be removed.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

/// Says what a failed write to `path` means, for files that are written in place (logs).
#[must_use]
pub fn failed(path: &Path, needed_bytes: Option<u64>, source: io::Error) -> WriteError {
    let path = path.to_owned();
    if is_full(&source) {
        let free_bytes = fs4::available_space(folder_of(&path)).ok();
        WriteError::Full { path, needed_bytes, free_bytes, source }
    } else {
        WriteError::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("folder exists");
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries.map(|e| name(e).to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value.json");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(matches!(error, Err(WriteError::Full { free_bytes: Some(_), .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["value.json"]);
    }

    #[test]
    fn a_file_is_as_readable_as_those_of_other_programs() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
        write(&ours, b"1").unwrap();
        fs::write(&plain, b"1").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        // A link stands in for the device: replacing it would spoil this machine.
        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write(&null, b"nothing").unwrap();
        assert!(!fs::metadata(&null).unwrap().is_file());
        assert_eq!(names(folder.path()), ["null"]);
    }

    #[test]
    fn a_folder_is_no_file_to_write_and_a_new_name_is() {
        let folder = tempfile::tempdir().unwrap();
        let error = try_write(folder.path()).unwrap_err();
        assert!(matches!(error, WriteError::Io { ref source, .. } if source.kind() == io::ErrorKind::IsADirectory));
        try_write(&folder.path().join("new")).unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_full_disk_says_what_is_missing() {
        let error = WriteError::Full {
            path: "weights".into(),
            needed_bytes: Some(100),
            free_bytes: Some(7),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let text = error.to_string();
        assert_eq!(text, "disk full: cannot write `weights`: 100 bytes needed, 7 free");
    }

    #[test]
    fn sweeping_removes_what_a_killed_process_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("kept"), b"1").unwrap();
        write(&folder.path().join(".writing-1-0-x"), b"1").unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["kept"]);
    }
}
