//! The list of files that makes a folder complete: size and BLAKE3 checksum of each.
//!
//! The list is written last, as the file `done`; a folder without it is unfinished, a folder that
//! differs from it is corrupt. Beside it the file `verified` keeps when its large files were changed
//! before they were last found to be whole, so that they need not be read again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files;
use serde::{Deserialize, Serialize};

/// Name of the list within its folder.
pub const DONE: &str = "done";

/// Name of the file of [`Verified`] within a folder.
pub const VERIFIED: &str = "verified";

/// Lists the files of a finished folder by their path in it, with `/` between parts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The files.
    pub files: BTreeMap<String, Entry>,
}

/// Describes one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 checksum in hexadecimal.
    pub blake3: String,
}

/// Says how a folder differs from its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file at fault.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// Says how closely a folder is compared with its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Sizes only: for showing, never before use.
    Sizes,
    /// Checksums, but sizes of weights and captured states, which are large: for what a report reads.
    Reported,
    /// Checksums, but of those large files only where size or time of change differ from when they were
    /// verified last. Changes without a write, such as a bit that flips on the disk, are not found.
    Changes,
    /// Sizes and checksums of every byte.
    Checksums,
}

impl Manifest {
    /// Lists the files below `folder` except temporary ones and those whose path in the folder
    /// satisfies `left_out` (a folder is left out with everything in it).
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn of(folder: &Path, left_out: impl Fn(&str) -> bool) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(inside) = folders.pop() {
            for entry in fs::read_dir(folder.join(&inside))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = match inside.as_str() {
                    "" => name.clone(),
                    _ => format!("{inside}/{name}"),
                };
                if name.starts_with(files::PREFIX) || left_out(&path) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path, Entry::of(&entry.path())?);
                }
            }
        }
        Ok(Self { files })
    }

    /// Reads the list of a folder; none when the folder is unfinished.
    ///
    /// # Errors
    /// A list that cannot be read or is no list.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(DONE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let path = folder.join(DONE);
                Err(io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display())))
            }
        }
    }

    /// Writes the list, which makes the folder finished.
    ///
    /// # Errors
    /// See [`files::write`].
    pub fn write(&self, folder: &Path) -> Result<(), files::WriteError> {
        files::write_json(&folder.join(DONE), self)
    }

    /// Compares a folder with the list and returns every difference.
    #[must_use]
    pub fn damages(&self, folder: &Path, depth: Depth) -> Vec<Damage> {
        let verified = if depth == Depth::Changes { Verified::read(folder) } else { Verified::default() };
        let damage = |(name, entry): (&String, &Entry)| {
            let by_size = match depth {
                Depth::Sizes => true,
                Depth::Reported => is_large(name),
                Depth::Changes => verified.holds(folder, name, entry),
                Depth::Checksums => false,
            };
            let what = entry.damage(&folder.join(name), by_size)?;
            let file = name.clone();
            Some(Damage { file, what })
        };
        self.files.iter().filter_map(damage).collect()
    }

    /// Returns the size of all files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).sum()
    }
}

/// Says whether a file is one of weights or captured states.
fn is_large(name: &str) -> bool {
    [".safetensors", ".bin"].iter().any(|ending| name.ends_with(ending))
}

/// Remembers when the large files of a folder were changed before they were found to be whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    files: BTreeMap<String, Seen>,
}

/// A file as it was when its checksum was found to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    blake3: String,
    /// Seconds and nanoseconds of the last change as the file system tells it (`ctime`), which no
    /// program can set back.
    changed: (i64, i64),
}

impl Verified {
    /// Looks at the large files of a folder; what is not there is left out.
    #[must_use]
    pub fn now(folder: &Path, manifest: &Manifest) -> Self {
        let seen = |(name, entry): (&String, &Entry)| {
            let changed = changed(&folder.join(name)).filter(|_| is_large(name))?;
            Some((name.clone(), Seen { blake3: entry.blake3.clone(), changed }))
        };
        Self { files: manifest.files.iter().filter_map(seen).collect() }
    }

    /// Reads what is remembered of a folder: nothing where there is no file, or none of use.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join(VERIFIED)).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps this in the folder.
    ///
    /// # Errors
    /// See [`files::write`].
    pub fn write(&self, folder: &Path) -> Result<(), files::WriteError> {
        files::write_json(&folder.join(VERIFIED), self)
    }

    /// Says whether a file has been verified since it was changed last.
    fn holds(&self, folder: &Path, name: &str, entry: &Entry) -> bool {
        let seen = self.files.get(name).filter(|seen| seen.blake3 == entry.blake3);
        seen.is_some_and(|seen| changed(&folder.join(name)) == Some(seen.changed))
    }
}

fn changed(file: &Path) -> Option<(i64, i64)> {
    fs::metadata(file).ok().map(|found| (found.ctime(), found.ctime_nsec()))
}

impl Entry {
    fn of(file: &Path) -> io::Result<Self> {
        let bytes = fs::metadata(file)?.len();
        let blake3 = files::checksum(file)?;
        Ok(Self { bytes, blake3 })
    }

    fn damage(&self, file: &Path, by_size: bool) -> Option<String> {
        let found = match fs::metadata(file) {
            Ok(metadata) => metadata.len(),
            Err(error) => return Some(error.to_string()),
        };
        if found != self.bytes {
            return Some(format!("{} bytes expected, {found} found", self.bytes));
        }
        if by_size {
            return None;
        }
        match files::checksum(file) {
            Ok(sum) if sum == self.blake3 => None,
            Ok(_) => Some("checksum differs".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            files::write(&path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn a_flipped_byte_is_found_by_its_checksum_and_not_by_its_size() {
        let folder = folder_with(&[("a", b"hello"), ("b/c", b"world")]);
        let manifest = Manifest::of(folder.path(), |_| false).unwrap();
        assert_eq!(manifest.bytes(), 10);
        assert_eq!(manifest.damages(folder.path(), Depth::Checksums), []);
        files::write(&folder.path().join("b/c"), b"worle").unwrap();
        assert_eq!(manifest.damages(folder.path(), Depth::Sizes), []);
        let damages = manifest.damages(folder.path(), Depth::Checksums);
        assert_eq!(damages.len(), 1);
        assert_eq!((damages[0].file.as_str(), damages[0].what.as_str()), ("b/c", "checksum differs"));
    }

    #[test]
    fn for_a_report_weights_are_compared_by_size() {
        let folder =
            folder_with(&[("output/model.safetensors", b"1"), ("output/states.bin", b"1"), ("energy.json", b"1")]);
        let manifest = Manifest::of(folder.path(), |_| false).unwrap();
        for name in manifest.files.keys() {
            files::write(&folder.path().join(name), b"2").unwrap();
        }
        let damages = manifest.damages(folder.path(), Depth::Reported);
        assert_eq!(damages.iter().map(|damage| damage.file.as_str()).collect::<Vec<_>>(), ["energy.json"]);
        assert_eq!(manifest.damages(folder.path(), Depth::Checksums).len(), 3);
    }

    #[test]
    fn large_files_are_read_again_only_when_they_were_changed() {
        let folder = folder_with(&[("output/model.safetensors", b"12"), ("energy.json", b"12")]);
        let manifest = Manifest::of(folder.path(), |_| false).unwrap();
        let damaged = |depth| -> Vec<String> {
            manifest.damages(folder.path(), depth).into_iter().map(|damage| damage.file).collect()
        };
        // Before it was verified, it is.
        let weights = folder.path().join("output/model.safetensors");
        files::write(&weights, b"13").unwrap();
        assert_eq!(damaged(Depth::Changes), ["output/model.safetensors"]);
        // As if it had been whole then: nothing is read, unless everything is.
        Verified::now(folder.path(), &manifest).write(folder.path()).unwrap();
        files::write(&folder.path().join("energy.json"), b"13").unwrap();
        assert_eq!(damaged(Depth::Changes), ["energy.json"]);
        assert_eq!(damaged(Depth::Checksums), ["energy.json", "output/model.safetensors"]);
        // Written to, though its times of reading and writing are set back.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let written = fs::metadata(&weights).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&weights).unwrap();
        file.write_all_at(b"4", 1).unwrap();
        file.set_modified(written).unwrap();
        assert_eq!(damaged(Depth::Changes), ["energy.json", "output/model.safetensors"]);
        files::write(&weights, b"1").unwrap();
        assert_eq!(damaged(Depth::Changes), ["energy.json", "output/model.safetensors"]);
    }

    #[test]
    fn a_short_or_missing_file_is_found_by_its_size() {
        let folder = folder_with(&[("a", b"hello"), ("b", b"world")]);
        let manifest = Manifest::of(folder.path(), |_| false).unwrap();
        files::write(&folder.path().join("a"), b"hell").unwrap();
        fs::remove_file(folder.path().join("b")).unwrap();
        let damages = manifest.damages(folder.path(), Depth::Sizes);
        assert_eq!(damages[0].what, "5 bytes expected, 4 found");
        assert_eq!(damages[1].file, "b");
    }
}
