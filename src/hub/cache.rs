//! The local cache, as the hub's own tools lay it out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checksum::is_sound;
use super::error::HubError;
use super::name::Name;
use crate::files;

/// Weights in one file.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The list of files that weights are divided among.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// What a model is made of.
pub(super) const CONFIG: &str = "config.json";
/// The tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// Says what of a repository is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Weights, configuration and tokenizer.
    Model,
    /// The tokenizer alone.
    Tokenizer,
}

/// A folder of downloaded repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Names the folder of a cache, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of a repository.
    #[must_use]
    pub fn repository(&self, name: &Name) -> PathBuf {
        self.folder.join(directory(name))
    }

    /// Returns the commit that a revision was when it was downloaded; a whole commit hash is itself.
    #[must_use]
    pub fn commit(&self, name: &Name) -> Option<String> {
        if let Some(commit) = name.commit() {
            return Some(commit.to_owned());
        }
        let text = fs::read_to_string(self.repository(name).join("refs").join(name.revision())).ok()?;
        let commit = text.trim();
        let is_name = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_name.then(|| commit.to_owned())
    }

    /// Returns the folder of a revision's files, whether or not all of them are there.
    #[must_use]
    pub fn files(&self, name: &Name) -> Option<PathBuf> {
        let folder = self.snapshot_of(name, &self.commit(name)?);
        folder.is_dir().then_some(folder)
    }

    /// Returns the folder of a revision's files if all that is needed is there. Sizes and hashes were
    /// verified when it was downloaded, see [`Self::discard_damaged`].
    #[must_use]
    pub fn snapshot(&self, name: &Name, content: Content) -> Option<PathBuf> {
        self.files(name).filter(|folder| is_whole(folder, content))
    }

    /// Hashes every file of a revision that is here, removes those that are not what their name says, and
    /// returns their names. What the hub names by no hash cannot be verified and stays.
    ///
    /// # Errors
    /// Files that cannot be read or removed.
    pub fn discard_damaged(&self, name: &Name) -> Result<Vec<String>, HubError> {
        let Some(folder) = self.files(name) else { return Ok(Vec::new()) };
        let mut damaged = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|source| HubError::cache(&folder, source))? {
            let link = entry.map_err(|source| HubError::cache(&folder, source))?.path();
            let failed = |source| HubError::cache(&link, source);
            // What is no link has no hash in its name; a link to nothing is found missing anyway.
            let Ok(target) = fs::read_link(&link) else { continue };
            let Some(blob) = target.file_name().and_then(|name| name.to_str()).filter(|_| link.is_file()) else {
                continue;
            };
            let size = fs::metadata(&link).map_err(failed)?.len();
            if !is_sound(&link, blob, size).map_err(failed)? {
                fs::remove_file(self.blob(name, blob)).map_err(failed)?;
                damaged.push(link.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        damaged.sort();
        Ok(damaged)
    }

    /// Returns the folder of a commit's files.
    pub(super) fn snapshot_of(&self, name: &Name, commit: &str) -> PathBuf {
        self.repository(name).join("snapshots").join(commit)
    }

    /// Returns the place of a file's content.
    pub(super) fn blob(&self, name: &Name, blob: &str) -> PathBuf {
        self.repository(name).join("blobs").join(blob)
    }

    /// Returns the place of a file's content while it is fetched.
    pub(super) fn incomplete(&self, name: &Name, blob: &str) -> PathBuf {
        self.repository(name).join("blobs").join(format!("{blob}.incomplete"))
    }

    /// Takes the lock of a blob, which the hub's own tools take, too; calls `waiting` if another process has it.
    ///
    /// # Errors
    /// A folder that cannot be written to, a file system without locks.
    pub(super) fn lock(&self, name: &Name, blob: &str, waiting: impl FnOnce()) -> Result<File, HubError> {
        let path = self.folder.join(".locks").join(directory(name)).join(format!("{blob}.lock"));
        let failed = |source| HubError::cache(&path, source);
        create_folder_of(&path).map_err(failed)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => waiting(),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Gives a blob its name in a snapshot.
    ///
    /// # Errors
    /// A folder that cannot be written to, a file system without links.
    pub(super) fn link(&self, name: &Name, commit: &str, file: &str, blob: &str) -> Result<(), HubError> {
        let path = self.snapshot_of(name, commit).join(file);
        let target = Path::new("../../blobs").join(blob);
        if fs::read_link(&path).is_ok_and(|found| found == target) {
            return Ok(());
        }
        // Made under another name first: whoever reads the name sees the old file or the new one.
        let temporary = path.with_file_name(format!("{}{}-{file}", files::PREFIX, std::process::id()));
        let linked = create_folder_of(&path).and_then(|()| {
            let _ = fs::remove_file(&temporary);
            symlink(&target, &temporary)?;
            fs::rename(&temporary, &path)
        });
        linked.map_err(|source| HubError::cache(&path, source))
    }

    /// Keeps what commit a revision is.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub(super) fn refer(&self, name: &Name, commit: &str) -> Result<(), HubError> {
        if self.commit(name).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.repository(name).join("refs").join(name.revision());
        create_folder_of(&path).map_err(|source| HubError::cache(&path, source))?;
        files::write(&path, commit.as_bytes()).map_err(HubError::Write)
    }
}

/// Returns the names of the files that weights are divided among, in order.
pub(super) fn shards(index: &[u8]) -> Option<BTreeSet<String>> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let files = index.get("weight_map")?.as_object()?.values();
    files.map(|file| file.as_str().map(str::to_owned)).collect()
}

/// Says whether a folder has all that is needed.
fn is_whole(folder: &Path, content: Content) -> bool {
    let is_there = |name: &str| folder.join(name).is_file();
    let weights = || {
        is_there(WEIGHTS)
            || fs::read(folder.join(INDEX))
                .ok()
                .and_then(|index| shards(&index))
                .is_some_and(|shards| shards.iter().all(|shard| is_there(shard)))
    };
    is_there(TOKENIZER) && (content == Content::Tokenizer || is_there(CONFIG) && weights())
}

pub(super) fn create_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn directory(name: &Name) -> String {
    format!("models--{}", name.repository().replace('/', "--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            files::write(&folder.join(name), text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_revision_is_found_by_its_ref_and_a_commit_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let repository = folder.path().join("models--org--name");
        let snapshot = repository.join("snapshots").join(COMMIT);
        write(&snapshot, &[("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "")]);
        let by_commit = name(&format!("hf:org/name@{COMMIT}"));
        assert_eq!(cache.snapshot(&by_commit, Content::Model), Some(snapshot.clone()));
        assert_eq!(cache.snapshot(&name("hf:org/name"), Content::Model), None);
        write(&repository.join("refs/refs/pr"), &[("1", &format!("{COMMIT}\n"))]);
        write(&repository.join("refs"), &[("main", COMMIT)]);
        for text in ["hf:org/name", "hf:org/name@refs/pr/1"] {
            let found = cache.snapshot(&name(text), Content::Model);
            assert_eq!(found, Some(snapshot.clone()), "{text}");
        }
        assert_eq!(cache.snapshot(&name("hf:org/other"), Content::Model), None);
    }

    #[test]
    fn a_ref_to_another_folder_is_none() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("models--org--name/refs"), &[("main", "../../elsewhere")]);
        assert_eq!(Cache::new(folder.path().to_owned()).commit(&name("hf:org/name")), None);
    }

    #[test]
    fn a_snapshot_is_whole_with_all_shards_of_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        write(folder, &[("tokenizer.json", "{}"), (INDEX, index), ("model-1.safetensors", "")]);
        assert!(is_whole(folder, Content::Tokenizer) && !is_whole(folder, Content::Model));
        write(folder, &[("config.json", "{}")]);
        assert!(!is_whole(folder, Content::Model));
        write(folder, &[("model-2.safetensors", "")]);
        assert!(is_whole(folder, Content::Model));
    }

    #[test]
    fn what_is_not_what_its_name_says_is_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let name = name(&format!("hf:org/name@{COMMIT}"));
        // `printf hello | sha256sum`, `printf hello | git hash-object --stdin`.
        let (large, small) = (
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
        );
        write(&cache.repository(&name).join("blobs"), &[(large, "hello"), (small, "hello"), ("other", "any")]);
        for (file, blob) in [("model.safetensors", large), ("config.json", small), ("tokenizer.json", "other")] {
            cache.link(&name, COMMIT, file, blob).unwrap();
        }
        assert_eq!(cache.snapshot(&name, Content::Model), Some(cache.snapshot_of(&name, COMMIT)));
        assert_eq!(cache.discard_damaged(&name).unwrap(), Vec::<String>::new());
        write(&cache.repository(&name).join("blobs"), &[(large, "hellO")]);
        assert_eq!(cache.discard_damaged(&name).unwrap(), ["model.safetensors"]);
        assert_eq!(cache.snapshot(&name, Content::Model), None);
        assert!(!cache.blob(&name, large).exists() && cache.blob(&name, small).exists());
    }
}
