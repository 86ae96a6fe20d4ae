//! A folder that is whole or not there.
//!
//! It is filled under another name beside its place and renamed at the end: what a killed process leaves
//! starts with [`PREFIX`], is taken for nothing finished, and is removed by the next export to the same place.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::files;

/// Starts the name of a folder that is not finished.
pub const PREFIX: &str = ".exporting-";

/// A folder that is being filled; dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct Draft {
    output: PathBuf,
    folder: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Draft {
    /// Begins the folder `output`, which must not be there, or be empty.
    ///
    /// # Errors
    /// A folder that holds something, a place that cannot be written to, and another process that fills it.
    pub fn begin(output: &Path) -> anyhow::Result<Self> {
        let Some(name) = output.file_name() else {
            bail!(
                "`{}` is no name for a new folder\nhint: name one that is not there yet: `--output NAME`",
                output.display()
            );
        };
        check_free(output)?;
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|error| files::failed(parent, None, error))?;
        let beside = |ending: &str| parent.join(format!("{PREFIX}{}{ending}", name.to_string_lossy()));
        let (folder, lock) = (beside(""), beside(".lock"));
        let Some(held) = take(&lock)? else {
            bail!("another process exports to `{}`\nhint: wait for it, or name another folder", output.display());
        };
        let draft = Self { output: output.to_owned(), folder, lock, _held: held };
        // Another process may have finished it before the lock was free.
        check_free(output)?;
        if draft.folder.exists() {
            fs::remove_dir_all(&draft.folder)?;
        }
        fs::create_dir(&draft.folder).map_err(|error| files::failed(&draft.folder, None, error))?;
        Ok(draft)
    }

    /// Returns where to write.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes sure that so many bytes fit on the disk.
    ///
    /// # Errors
    /// A disk that has not enough room; one that does not tell how much it has is no error.
    pub fn check_room(&self, bytes: u64) -> anyhow::Result<()> {
        match fs4::available_space(&self.folder) {
            Ok(free) if free < bytes => bail!(
                "`{}` takes about {} MB, its disk has {} MB free\nhint: make room, name a folder on another disk, or \
                 write fewer bits (`--dtype bf16`, `--as gguf-q8-0`)",
                self.output.display(),
                bytes.div_ceil(1_000_000),
                free / 1_000_000
            ),
            _ => Ok(()),
        }
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// Something that took the name meanwhile.
    pub fn finish(self) -> anyhow::Result<()> {
        fs::rename(&self.folder, &self.output)
            .with_context(|| format!("cannot rename the finished folder to `{}`", self.output.display()))?;
        // Makes the name survive a power cut, where the file system lets a folder be flushed.
        let _ = self.folder.parent().map(|parent| File::open(parent).and_then(|parent| parent.sync_all()));
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Best effort: what stays only costs room, and the next export removes it.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock);
    }
}

/// Makes sure that there is nothing to be lost.
fn check_free(output: &Path) -> anyhow::Result<()> {
    match fs::read_dir(output).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!(
            "`{}` is there and not empty: it is not overwritten\nhint: name another folder, or remove this one",
            output.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("`{}` is a file, expected a new folder\nhint: name another folder", output.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot look into `{}`", output.display())),
    }
}

/// Takes a lock; none while another process has it.
fn take(path: &Path) -> anyhow::Result<Option<File>> {
    loop {
        #[expect(clippy::disallowed_methods, reason = "a lock holds no data")]
        let file = File::create(path).map_err(|error| files::failed(path, None, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                let hint = "hint: the file system has no locks; name a folder on another disk";
                return Err(error).with_context(|| format!("cannot lock `{}`\n{hint}", path.display()));
            }
        }
        // Whoever had it before removes the file at the end: a lock without a name excludes nobody.
        let (ours, named) = (file.metadata()?, fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_has_its_name_only_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("new/model");
        let draft = Draft::begin(&output).unwrap();
        files::write(&draft.path().join("weights"), b"1").unwrap();
        assert!(!output.exists());
        draft.finish().unwrap();
        assert_eq!(names(&folder.path().join("new")), ["model"]);
        assert_eq!(names(&output), ["weights"]);
        // One that is given up leaves nothing.
        drop(Draft::begin(&folder.path().join("other")).unwrap());
        assert_eq!(names(folder.path()), ["new"]);
        // An empty folder is nothing to be lost.
        fs::create_dir(folder.path().join("empty")).unwrap();
        Draft::begin(&folder.path().join("empty")).unwrap().finish().unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".exporting-model");
        fs::create_dir(&left).unwrap();
        files::write(&left.join("half"), b"1").unwrap();
        files::write(&folder.path().join(".exporting-model.lock"), b"").unwrap();
        let draft = Draft::begin(&folder.path().join("model")).unwrap();
        files::write(&draft.path().join("whole"), b"1").unwrap();
        draft.finish().unwrap();
        assert_eq!(names(folder.path()), ["model"]);
        assert_eq!(names(&folder.path().join("model")), ["whole"]);
    }

    #[test]
    fn nothing_is_overwritten_and_one_process_writes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (full, file) = (folder.path().join("full"), folder.path().join("file"));
        fs::create_dir(&full).unwrap();
        files::write(&full.join("theirs"), b"1").unwrap();
        files::write(&file, b"1").unwrap();
        let refused = |output: &Path| Draft::begin(output).unwrap_err().to_string();
        assert_eq!(
            refused(&full),
            format!(
                "`{}` is there and not empty: it is not overwritten\nhint: name another folder, or remove this one",
                full.display()
            )
        );
        assert!(refused(&file).contains("is a file, expected a new folder"));
        assert!(refused(Path::new("/")).contains("is no name for a new folder"));
        let first = Draft::begin(&folder.path().join("model")).unwrap();
        assert!(refused(&folder.path().join("model")).starts_with("another process exports to"));
        assert!(first.path().exists());
    }

    #[test]
    fn a_disk_that_is_too_small_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let draft = Draft::begin(&folder.path().join("model")).unwrap();
        draft.check_room(1).unwrap();
        let error = draft.check_room(u64::MAX).unwrap_err().to_string();
        assert!(error.contains("takes about 18446744073710 MB, its disk has"), "{error}");
    }
}
