//! One file from the hub into the cache: resumed, verified, and named when it is whole.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::cache::{Cache, create_folder_of};
use super::checksum::{Checksum, read_into};
use super::client::{Client, Failure, Patience, Remote};
use super::error::HubError;
use super::name::Name;
use super::news::{News, Watch};
use super::settings::Settings;
use crate::files;

/// Bytes that are written at a time, at most.
const CHUNK: usize = 1 << 18;

/// Where files come from and go to.
pub(super) struct Download<'a> {
    pub(super) settings: &'a Settings,
    pub(super) cache: &'a Cache,
    pub(super) client: &'a Client<'a>,
    pub(super) name: &'a Name,
    pub(super) commit: &'a str,
}

impl Download<'_> {
    /// Says whether a content is here, whole.
    pub(super) fn is_here(&self, remote: &Remote) -> bool {
        fs::metadata(self.cache.blob(self.name, &remote.blob)).is_ok_and(|found| found.len() == remote.bytes)
    }

    /// Returns the bytes of a content that are yet to be fetched.
    pub(super) fn missing(&self, remote: &Remote) -> u64 {
        if self.is_here(remote) {
            return 0;
        }
        let part = fs::metadata(self.cache.incomplete(self.name, &remote.blob)).map_or(0, |found| found.len());
        remote.bytes.saturating_sub(part)
    }

    /// Fetches a content, unless it is here or another process fetches it meanwhile.
    ///
    /// # Errors
    /// See [`HubError`]. What was received stays, and the next attempt goes on from there.
    pub(super) fn fetch(&self, remote: &Remote, watch: &mut dyn Watch) -> Result<(), HubError> {
        if self.is_here(remote) {
            return Ok(());
        }
        let expected = self.missing(remote);
        let waiting = || watch.hear(&News::Waiting { file: &remote.file });
        let _lock = self.cache.lock(self.name, &remote.blob, waiting)?;
        if self.is_here(remote) {
            watch.hear(&News::Received { bytes: expected });
            return Ok(());
        }
        let path = self.cache.incomplete(self.name, &remote.blob);
        let mut part = Part::open(path, remote)?;
        if part.bytes > 0 {
            watch.hear(&News::Resumed { file: &remote.file, bytes: part.bytes });
        }
        // Another process may have gone on with it before this one had the lock.
        watch.hear(&News::Corrected { bytes: expected as i64 - (remote.bytes - part.bytes) as i64 });
        loop {
            let is_in_pieces = self.receive(&mut part, remote, watch)?;
            let Some(found) = part.mismatch(remote) else { break };
            part.restart(remote)?;
            if !is_in_pieces {
                let (name, expected) = (self.name.to_string(), remote.blob.clone());
                return Err(HubError::Checksum { name, file: remote.file.clone(), expected, found });
            }
            // A piece that an earlier attempt left is wrong, or was of something else.
            watch.hear(&News::Spoiled { file: &remote.file });
            watch.hear(&News::Corrected { bytes: -(remote.bytes as i64) });
        }
        part.keep(&self.cache.blob(self.name, &remote.blob))
    }

    /// Receives what is missing of a content; says whether it came in several pieces.
    fn receive(&self, part: &mut Part, remote: &Remote, watch: &mut dyn Watch) -> Result<bool, HubError> {
        let mut patience = Patience::new(self.settings);
        let mut is_in_pieces = part.bytes > 0;
        while part.bytes < remote.bytes {
            let before = part.bytes;
            if let Err(failure) = self.receive_piece(part, remote, watch) {
                if part.bytes > before {
                    patience.renew();
                }
                patience.bear(failure, watch)?;
                is_in_pieces |= part.bytes > 0;
            }
        }
        Ok(is_in_pieces)
    }

    /// Receives bytes until the content is whole or the connection breaks off.
    fn receive_piece(&self, part: &mut Part, remote: &Remote, watch: &mut dyn Watch) -> Result<(), Failure> {
        let mut sending = self.client.open(self.name, self.commit, &remote.file, part.bytes)?;
        if sending.from != part.bytes {
            watch.hear(&News::Corrected { bytes: -(part.bytes as i64) });
            part.restart(remote)?;
        }
        let mut chunk = vec![0; CHUNK];
        while part.bytes < remote.bytes {
            let room = usize::try_from(remote.bytes - part.bytes).unwrap_or(CHUNK).min(CHUNK);
            match sending.body.read(&mut chunk[..room]) {
                Ok(0) | Err(_) => return Err(self.client.cut(remote, part.bytes)),
                Ok(read) => {
                    part.append(&chunk[..read], remote)?;
                    watch.hear(&News::Received { bytes: read as u64 });
                }
            }
        }
        Ok(())
    }
}

/// A content that is not whole yet.
struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
    checksum: Checksum,
}

impl Part {
    /// Opens what an earlier attempt left, or an empty file.
    fn open(path: PathBuf, remote: &Remote) -> Result<Self, HubError> {
        let opened = create_folder_of(&path)
            .and_then(|()| File::options().create(true).truncate(false).read(true).write(true).open(&path));
        let mut file = opened.map_err(|source| HubError::Write(files::failed(&path, None, source)))?;
        let failed = |source| HubError::cache(&path, source);
        let mut checksum = Checksum::new(&remote.blob, remote.bytes);
        let mut bytes = 0;
        if file.metadata().map_err(failed)?.len() <= remote.bytes {
            bytes = read_into(&mut checksum, &mut file).map_err(failed)?;
        }
        let mut part = Self { path, file, bytes, checksum };
        if bytes == 0 {
            part.restart(remote)?;
        }
        Ok(part)
    }

    /// Discards what was received.
    fn restart(&mut self, remote: &Remote) -> Result<(), HubError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| HubError::cache(&self.path, source))?;
        self.bytes = 0;
        self.checksum = Checksum::new(&remote.blob, remote.bytes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], remote: &Remote) -> Result<(), HubError> {
        let missing = remote.bytes - self.bytes;
        if let Err(source) = self.file.write_all(bytes) {
            // What fitted on the disk goes to the same place again.
            let _ = self.file.set_len(self.bytes);
            return Err(HubError::Write(files::failed(&self.path, Some(missing), source)));
        }
        self.checksum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Returns the hash of what was received, if it is not the one of the content.
    fn mismatch(&mut self, remote: &Remote) -> Option<String> {
        std::mem::replace(&mut self.checksum, Checksum::Unknown).mismatch(&remote.blob)
    }

    /// Gives the whole content its name.
    fn keep(self, blob: &Path) -> Result<(), HubError> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.path, blob));
        kept.map_err(|source| HubError::Write(files::failed(blob, None, source)))
    }
}
