//! The list of files that makes a folder complete: size and BLAKE3 checksum of each.
//!
//! The list is written last, as the file `done`; a folder without it is unfinished, a folder that
//! differs from it is corrupt.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::files;
use serde::{Deserialize, Serialize};

/// Name of the list within its folder.
pub const DONE: &str = "done";

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
        let damage = |(name, entry): (&String, &Entry)| {
            let is_large = [".safetensors", ".bin"].iter().any(|ending| name.ends_with(ending));
            let by_size = depth == Depth::Sizes || (depth == Depth::Reported && is_large);
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
