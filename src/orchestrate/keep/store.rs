//! The folder that holds everything a run leaves behind.
//!
//! `stages/<kind>/<key>/` belongs to one stage, whichever experiments use it;
//! `experiments/<name>/` holds plan, records and report of one experiment; `encoded/` holds sequences
//! that stages would otherwise encode again, each file whole and known by its content: it can be removed.
//! A stage folder is written by whoever holds its lock, and is complete once the list of its files (`done`)
//! exists and holds.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::experiment::Key;
use crate::files;
use crate::orchestrate::keep::board;
use crate::orchestrate::keep::manifest::{DONE, Damage, Depth, Manifest, VERIFIED, Verified};
use crate::orchestrate::kind::StageKind;

/// Name of the lock file in the folder of a stage or an experiment.
const LOCK: &str = "lock";
/// Time between two attempts to take a lock that another process holds: short beside any stage, long
/// beside an attempt.
pub const POLL: Duration = Duration::from_millis(100);
/// Name of the folder of saved states in a stage folder.
const CHECKPOINT: &str = "checkpoint";
/// Name of the folder of outputs in a stage folder.
const OUTPUT: &str = "output";
/// Starts the names of the folders of further states in a stage folder.
const BEST: &str = "best-";

/// Gives access to a store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Says how far a stage got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All outputs are there.
    Done,
    /// A saved state is there to go on from.
    Partial,
    /// Nothing of use is there.
    Absent,
    /// Outputs differ from what was written.
    Corrupt(Vec<Damage>),
}

impl Store {
    /// Opens a store, creating its folder.
    ///
    /// # Errors
    /// A folder that cannot be created or written to.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        for part in ["stages", "experiments"] {
            let folder = root.join(part);
            fs::create_dir_all(&folder).map_err(|error| files::failed(&folder, None, error))?;
            // A read-only disk is told now and not by every stage.
            files::try_write(&folder.join(LOCK))?;
        }
        let root = root.canonicalize()?;
        Ok(Self { root })
    }

    /// Opens a store for reading only: nothing is created, and a store that does not exist is
    /// empty.
    #[must_use]
    pub fn view(root: &Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self { root }
    }

    /// Returns the folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a stage, which need not exist.
    #[must_use]
    pub fn stage(&self, kind: StageKind, key: &Key) -> StageFolder {
        let root = self.root.join("stages").join(kind.name()).join(key.as_str());
        StageFolder { root }
    }

    /// Returns the folder of an experiment, which need not exist.
    #[must_use]
    pub fn experiment(&self, name: &str) -> PathBuf {
        self.root.join("experiments").join(name)
    }

    /// Takes the folder of an experiment for this process, creating it: its report is many files
    /// that belong together. Waits while another process has it, which is as long as a report takes,
    /// and calls `waiting` once then.
    ///
    /// # Errors
    /// A folder that cannot be created, a file system without locks.
    pub fn lock_experiment(&self, name: &str, waiting: impl FnOnce()) -> anyhow::Result<FolderLock> {
        let folder = self.experiment(name);
        let mut waiting = Some(waiting);
        let lock = loop {
            if let Some(lock) = try_lock(&folder)? {
                break lock;
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            thread::sleep(POLL);
        };
        files::sweep(&folder)?;
        Ok(lock)
    }
}

/// Names the files of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFolder {
    root: PathBuf,
}

impl StageFolder {
    /// Returns the folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for outputs: empty when a stage starts, listed with checksums when it
    /// ends.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join(OUTPUT)
    }

    /// Returns the folder of the state with the second lowest dev loss, the third and so on: as loadable as the
    /// output, and listed with it.
    #[must_use]
    pub fn best(&self, place: usize) -> PathBuf {
        self.root.join(format!("{BEST}{place}"))
    }

    /// Lists those that are there.
    fn all_best(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(BEST) {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    /// Returns the folder for the state of unfinished work: kept from one attempt to the next,
    /// removed when the stage ends. Whoever writes it must be able to tell a damaged state.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join(CHECKPOINT)
    }

    /// Returns the path in the store of sequences that stages share, by their name.
    #[must_use]
    pub fn encoded(&self, name: &str) -> PathBuf {
        // `stages/<kind>/<key>` lies three folders below the store.
        let store = self.root.ancestors().nth(3).unwrap_or(&self.root);
        store.join("encoded").join(name)
    }

    /// Returns the path of the resolved stage.
    #[must_use]
    pub fn stage_json(&self) -> PathBuf {
        self.root.join("stage.json")
    }

    /// Returns the path of the description of code, device and versions.
    #[must_use]
    pub fn environment_json(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// Returns the path of the events.
    #[must_use]
    pub fn events_jsonl(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// Returns the path of the energy account.
    #[must_use]
    pub fn energy_json(&self) -> PathBuf {
        self.root.join("energy.json")
    }

    /// Returns the path of the energy of attempts whose work was done again.
    #[must_use]
    pub fn lost_json(&self) -> PathBuf {
        self.root.join("lost-energy.json")
    }

    /// Returns the path of the reason why the last run of the stage failed.
    #[must_use]
    pub fn failure_json(&self) -> PathBuf {
        self.root.join("failure.json")
    }

    /// Says how far the stage got.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn state(&self, depth: Depth) -> io::Result<State> {
        match Manifest::read(&self.root) {
            Ok(Some(manifest)) => {
                let damages = manifest.damages(&self.root, depth);
                Ok(if damages.is_empty() { State::Done } else { State::Corrupt(damages) })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData || is_json(&error) => {
                let file = DONE.to_owned();
                let what = error.to_string();
                Ok(State::Corrupt(vec![Damage { file, what }]))
            }
            Err(error) => Err(error),
            Ok(None) if holds_files(&self.checkpoint())? => Ok(State::Partial),
            Ok(None) => Ok(State::Absent),
        }
    }

    /// Says how far the stage got, and remembers when its large files were found to be whole.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn verify(&self, _lock: &FolderLock, depth: Depth) -> io::Result<State> {
        // As they are before they are read.
        let now = Manifest::read(&self.root).ok().flatten().map(|manifest| Verified::now(&self.root, &manifest));
        let state = self.state(depth)?;
        if let (State::Done, Some(now)) = (&state, now)
            && [Depth::Changes, Depth::Checksums].contains(&depth)
            && now != Verified::read(&self.root)
        {
            // Only saves the next run a reading: a disk without room for it is no fault of the stage.
            let _ = now.write(&self.root);
        }
        Ok(state)
    }

    /// Takes the stage for this process, creating its folder; none while another process has it.
    ///
    /// # Errors
    /// A folder that cannot be created, a file system without locks.
    pub fn try_lock(&self) -> anyhow::Result<Option<FolderLock>> {
        let Some(lock) = try_lock(&self.root)? else { return Ok(None) };
        // Whoever held the lock before may have been killed in the middle of a write.
        files::sweep(&self.root)?;
        if self.checkpoint().exists() {
            files::sweep(&self.checkpoint())?;
        }
        Ok(Some(lock))
    }

    /// Returns when the last failure of the stage was noted; none if there is none.
    #[must_use]
    pub fn failed_at(&self) -> Option<std::time::SystemTime> {
        fs::metadata(self.failure_json()).and_then(|found| found.modified()).ok()
    }

    /// Removes everything but the lock, so that the stage can start from nothing.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn clear(&self, _lock: &FolderLock) -> io::Result<()> {
        // First what says that the folder is complete.
        remove_file_if_there(&self.root.join(DONE))?;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Empties the output folder and forgets an earlier failure; saved states stay.
    ///
    /// # Errors
    /// Files that cannot be removed or created.
    pub fn begin(&self, _lock: &FolderLock) -> anyhow::Result<()> {
        let output = self.output();
        if output.exists() {
            fs::remove_dir_all(&output)?;
        }
        self.all_best()?.iter().try_for_each(fs::remove_dir_all)?;
        for folder in [output, self.checkpoint()] {
            fs::create_dir_all(&folder).map_err(|error| files::failed(&folder, None, error))?;
        }
        remove_file_if_there(&self.failure_json())?;
        Ok(())
    }

    /// Lists every file with its checksum, which makes the stage done, and removes saved states.
    ///
    /// # Errors
    /// Files that cannot be read, a full disk.
    pub fn finish(&self, lock: &FolderLock) -> anyhow::Result<()> {
        self.sync()?;
        let is_left_out =
            |path: &str| [LOCK, CHECKPOINT, DONE, VERIFIED].contains(&path) || path.starts_with(board::PREFIX);
        let manifest = Manifest::of(&self.root, is_left_out)?;
        let _ = Verified::now(&self.root, &manifest).write(&self.root);
        manifest.write(&self.root)?;
        self.tidy(lock);
        Ok(())
    }

    /// Removes the saved states of a stage that is done. A process that was killed right after it
    /// wrote `done` leaves them; best effort, since they cost room and nothing else.
    pub fn tidy(&self, _lock: &FolderLock) {
        let _ = fs::remove_dir_all(self.checkpoint());
    }

    /// Flushes what `done` will list to the device, whoever wrote it: `done` must not outlive it in
    /// a power cut.
    fn sync(&self) -> io::Result<()> {
        if self.events_jsonl().exists() {
            File::open(self.events_jsonl())?.sync_all()?;
        }
        let mut folders = self.all_best()?;
        folders.push(self.output());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    File::open(entry.path())?.sync_all()?;
                }
            }
            // The names in it; not every file system lets a folder be flushed.
            let _ = File::open(&folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// Holds a folder of the store for one process; dropping it, or the death of the process, frees it.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Takes a folder, creating it; none while another process has it.
fn try_lock(folder: &Path) -> anyhow::Result<Option<FolderLock>> {
    let fail = |error| files::failed(folder, None, error);
    // Opened anew each time: the folder may have been removed by hand meanwhile, and a lock on a file
    // without a name excludes nobody.
    fs::create_dir_all(folder).map_err(fail)?;
    #[expect(clippy::disallowed_methods, reason = "a lock holds no data")]
    let file = File::create(folder.join(LOCK)).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FolderLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            let hint = "hint: the file system of the store has no locks; put the store elsewhere with `--store`";
            Err(fail(error)).with_context(|| format!("cannot lock `{}`\n{hint}", folder.display()))
        }
    }
}

fn holds_files(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A list of files that is no JSON reaches us as an input/output error around serde's.
fn is_json(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<serde_json::Error>())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::experiment::identity;

    fn store() -> (tempfile::TempDir, StageFolder) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let key = identity("sft", 1, &0, &[]).unwrap();
        let stage = store.stage(StageKind::Sft, &key);
        (folder, stage)
    }

    fn finished() -> (tempfile::TempDir, StageFolder) {
        let (folder, stage) = store();
        let lock = stage.try_lock().unwrap().unwrap();
        stage.begin(&lock).unwrap();
        files::write(&stage.output().join("weights"), b"1234").unwrap();
        stage.finish(&lock).unwrap();
        (folder, stage)
    }

    #[test]
    fn a_stage_goes_from_absent_over_partial_to_done() {
        let (_folder, stage) = store();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Absent);
        let lock = stage.try_lock().unwrap().unwrap();
        stage.begin(&lock).unwrap();
        files::write(&stage.output().join("half"), b"12").unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Absent);
        files::write(&stage.checkpoint().join("state"), b"1").unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Partial);
        // The process dies here; the next one finds the saved state and an empty output.
        drop(lock);
        let lock = stage.try_lock().unwrap().unwrap();
        stage.begin(&lock).unwrap();
        assert_eq!(fs::read_dir(stage.output()).unwrap().count(), 0);
        stage.finish(&lock).unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
        assert!(!stage.checkpoint().exists());
    }

    #[test]
    fn a_flipped_byte_makes_a_stage_corrupt_until_it_is_cleared() {
        let (_folder, stage) = finished();
        files::write(&stage.output().join("weights"), b"1235").unwrap();
        assert_eq!(stage.state(Depth::Sizes).unwrap(), State::Done);
        let State::Corrupt(damages) = stage.state(Depth::Checksums).unwrap() else {
            panic!("the flipped byte went unnoticed");
        };
        assert_eq!(damages[0].file, "output/weights");
        let lock = stage.try_lock().unwrap().unwrap();
        stage.clear(&lock).unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Absent);
    }

    #[test]
    fn large_files_are_verified_once_until_they_change() {
        let (_folder, stage) = store();
        let lock = stage.try_lock().unwrap().unwrap();
        stage.begin(&lock).unwrap();
        let weights = stage.output().join("model.safetensors");
        files::write(&weights, b"1234").unwrap();
        stage.finish(&lock).unwrap();
        // A copy of the store has other times, and is remembered when it has been read.
        let before = Verified::read(stage.path());
        thread::sleep(Duration::from_millis(20));
        files::write(&weights, b"1234").unwrap();
        assert_eq!(stage.verify(&lock, Depth::Changes).unwrap(), State::Done);
        let copied = Verified::read(stage.path());
        assert_ne!(copied, before);
        thread::sleep(Duration::from_millis(20));
        files::write(&weights, b"1235").unwrap();
        assert!(matches!(stage.verify(&lock, Depth::Changes).unwrap(), State::Corrupt(_)));
        assert_eq!(Verified::read(stage.path()), copied);
    }

    #[test]
    fn a_damaged_list_of_files_is_corrupt_too() {
        let (_folder, stage) = finished();
        files::write(&stage.path().join(DONE), b"{\"files\": {").unwrap();
        let state = stage.state(Depth::Sizes).unwrap();
        assert!(matches!(state, State::Corrupt(_)), "{state:?}");
    }

    #[test]
    fn the_second_of_two_gets_a_stage_when_the_first_is_through_with_it() {
        let (_folder, stage) = store();
        let first = stage.try_lock().unwrap().unwrap();
        assert!(stage.try_lock().unwrap().is_none());
        stage.begin(&first).unwrap();
        stage.finish(&first).unwrap();
        drop(first);
        let _second = stage.try_lock().unwrap().unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
    }

    #[test]
    fn a_report_waits_for_the_other_process_that_writes_it() {
        let (folder, _) = store();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let first = store.lock_experiment("study", || ()).unwrap();
        let (send, receive) = mpsc::channel();
        let second = {
            let store = store.clone();
            std::thread::spawn(move || {
                let lock = store.lock_experiment("study", || send.send("waiting").unwrap()).unwrap();
                send.send("mine").unwrap();
                lock
            })
        };
        assert_eq!(receive.recv_timeout(Duration::from_secs(20)), Ok("waiting"));
        assert!(receive.recv_timeout(3 * POLL).is_err());
        drop(first);
        assert_eq!(receive.recv_timeout(Duration::from_secs(20)), Ok("mine"));
        second.join().unwrap();
    }

    #[test]
    fn a_lock_that_was_removed_by_hand_is_made_anew() {
        let (_folder, stage) = store();
        let first = stage.try_lock().unwrap().unwrap();
        fs::remove_file(stage.path().join(LOCK)).unwrap();
        // The first holds a file that is gone; the second gets the new one, and a third does not.
        let second = stage.try_lock().unwrap().unwrap();
        assert!(stage.try_lock().unwrap().is_none());
        drop((first, second));
        stage.try_lock().unwrap().unwrap();
    }

    #[test]
    fn saved_states_of_a_stage_that_is_done_are_removed() {
        let (_folder, stage) = finished();
        // As if the process had been killed right after it wrote `done`.
        files::write(&stage.output().join("weights"), b"1234").unwrap();
        fs::create_dir_all(stage.checkpoint()).unwrap();
        files::write(&stage.checkpoint().join("state"), b"1").unwrap();
        let lock = stage.try_lock().unwrap().unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
        stage.tidy(&lock);
        assert!(!stage.checkpoint().exists());
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_under_the_lock() {
        let (_folder, stage) = finished();
        files::write(&stage.path().join(".writing-77-0-done"), b"{").unwrap();
        let _lock = stage.try_lock().unwrap().unwrap();
        assert!(!stage.path().join(".writing-77-0-done").exists());
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
    }

    /// Needs the right to mount a small file system; told on stderr where there is none.
    #[test]
    fn a_real_full_disk_says_what_is_missing_and_leaves_the_store_usable() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Mounted::new(folder.path());
        let Some(disk) = mounted else {
            #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
            {
                eprintln!("skipped: mounting a tmpfs needs root");
            }
            return;
        };
        let store = Store::open(disk.0).unwrap();
        let stage = store.stage(StageKind::Sft, &identity("sft", 1, &0, &[]).unwrap());
        let lock = stage.try_lock().unwrap().unwrap();
        stage.begin(&lock).unwrap();
        let file = stage.output().join("weights");
        let error = files::write(&file, &vec![1; 2_000_000]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("2000000 bytes needed, ") && text.starts_with("disk full"), "{text}");
        files::write(&file, b"small").unwrap();
        stage.finish(&lock).unwrap();
        assert_eq!(stage.state(Depth::Checksums).unwrap(), State::Done);
    }

    /// A file system of one megabyte, for the life of the value.
    struct Mounted<'a>(&'a Path);

    impl<'a> Mounted<'a> {
        fn new(folder: &'a Path) -> Option<Self> {
            let mount = std::process::Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
                .arg(folder)
                .stderr(std::process::Stdio::null())
                .status();
            mount.ok()?.success().then_some(Self(folder))
        }
    }

    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.0).status();
        }
    }
}
