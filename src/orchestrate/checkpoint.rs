//! States of unfinished work, from which a stage goes on after a kill.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic;
use super::manifest::{Depth, Manifest};

/// Saves states of unfinished work, each a folder `step-N` that appears whole and is checked
/// before it is used again.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Keeps checkpoints in `folder`, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Saves the state after `step`: `fill` writes its files into the folder that it gets. Earlier
    /// states are removed once the new one is safe.
    ///
    /// # Errors
    /// Whatever `fill` returns; a disk that is full. The last good state is then kept.
    pub fn save(
        &self,
        step: u64,
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("step-{step:09}"));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        atomic::write_folder(&path, |inside| {
            fill(inside)?;
            Manifest::of(inside, |_| false)?.write(inside)?;
            Ok(())
        })?;
        for (other, old) in self.all()? {
            if other != step {
                fs::remove_dir_all(old)?;
            }
        }
        Ok(())
    }

    /// Returns the step and folder of the newest state whose checksums hold.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn latest(&self) -> io::Result<Option<(u64, PathBuf)>> {
        let mut states = self.all()?;
        states.retain(|(_, folder)| match Manifest::read(folder) {
            Ok(Some(manifest)) => manifest.damages(folder, Depth::Checksums).is_empty(),
            Ok(None) | Err(_) => false,
        });
        Ok(states.pop())
    }

    /// Removes every state.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what a killed process left of a state it was saving.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn sweep(&self) -> io::Result<()> {
        match self.folder.exists() {
            true => atomic::sweep(&self.folder),
            false => Ok(()),
        }
    }

    /// Returns all states by rising step, unchecked.
    fn all(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut states = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
                states.push((step, entry.path()));
            }
        }
        states.sort();
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sound_checkpoint_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let states = Checkpoints::new(folder.path().join("checkpoint"));
        assert_eq!(states.latest().unwrap(), None);
        let save = |step: u64| {
            states.save(step, |inside| Ok(atomic::write(&inside.join("w"), &step.to_le_bytes())?))
        };
        save(5).unwrap();
        save(10).unwrap();
        let (step, path) = states.latest().unwrap().unwrap();
        assert_eq!(step, 10);
        assert_eq!(states.all().unwrap().len(), 1, "the state of step 5 is gone");
        // A save that fails keeps the last good state.
        assert!(states.save(15, |_| anyhow::bail!("out of memory")).is_err());
        assert_eq!(states.latest().unwrap().unwrap().0, 10);
        atomic::write(&path.join("w"), &11_u64.to_le_bytes()).unwrap();
        assert_eq!(states.latest().unwrap(), None);
    }
}
