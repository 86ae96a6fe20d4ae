//! Hashes by which the hub names the content of files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Hashes a file's content as far as it is there, and compares it with the name of its blob.
///
/// Large files are named by their SHA-256, others by what git calls them: the SHA-1 of `blob SIZE`, a zero
/// byte and the content. Mirrors may name the latter by the SHA-1 of the content alone. What any other
/// server calls them cannot be checked, the size can.
pub(super) enum Checksum {
    Sha256(Box<Sha256>),
    Sha1 { git: Box<Sha1>, plain: Box<Sha1> },
    Unknown,
}

impl Checksum {
    /// Starts for a blob of a name and a size in bytes.
    pub(super) fn new(blob: &str, size: u64) -> Self {
        let is_hash = blob.bytes().all(|byte| byte.is_ascii_hexdigit());
        match blob.len() {
            64 if is_hash => Self::Sha256(Box::default()),
            40 if is_hash => {
                let mut git = Sha1::new();
                git.update(format!("blob {size}\0"));
                Self::Sha1 { git: Box::new(git), plain: Box::default() }
            }
            _ => Self::Unknown,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha1 { git, plain } => {
                git.update(bytes);
                plain.update(bytes);
            }
            Self::Unknown => {}
        }
    }

    /// Returns the hash that was found, if it is another than that of the name.
    pub(super) fn mismatch(self, blob: &str) -> Option<String> {
        let blob = blob.to_ascii_lowercase();
        match self {
            Self::Sha256(hash) => Some(hex(&hash.finalize())).filter(|found| *found != blob),
            Self::Sha1 { git, plain } => {
                let found = hex(&git.finalize());
                (found != blob && hex(&plain.finalize()) != blob).then_some(found)
            }
            Self::Unknown => None,
        }
    }
}

/// Says whether a file is what the name of its blob says; where that is no hash, it is by its size alone.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn is_sound(path: &Path, blob: &str, size: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != size {
        return Ok(false);
    }
    let mut checksum = Checksum::new(blob, size);
    read_into(&mut checksum, &mut file)?;
    Ok(checksum.mismatch(blob).is_none())
}

/// Hashes what is left of a file, and returns how many bytes that was.
pub(super) fn read_into(checksum: &mut Checksum, file: &mut File) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(bytes),
            read => {
                checksum.update(&chunk[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch(blob: &str, content: &[u8]) -> Option<String> {
        let mut checksum = Checksum::new(blob, content.len() as u64);
        // In two pieces, as it arrives.
        let (first, rest) = content.split_at(content.len() / 2);
        checksum.update(first);
        checksum.update(rest);
        checksum.mismatch(blob)
    }

    #[test]
    fn content_is_known_by_the_hashes_of_git_lfs_and_git() {
        // `printf hello | sha256sum`, `printf hello | git hash-object --stdin`, `printf hello | sha1sum`.
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let git = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let plain = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        for blob in [sha256, git, plain, &sha256.to_uppercase(), "no-hash"] {
            assert_eq!(mismatch(blob, b"hello"), None, "{blob}");
        }
        assert!(mismatch(sha256, b"hellO").is_some_and(|found| found.len() == 64));
        let found = mismatch(plain, b"hellO").unwrap();
        assert!(found.len() == 40 && found != git);
    }
}
