//! Answers on disk as they are finished: what a stage that was killed goes on from.
//!
//! A file of lines that is only added to. Each line is a checksum and what it is of, so that a torn end or
//! a flipped byte costs the answers of the lines that it is in, and nothing else. The first line says which
//! prompts and settings the answers belong to.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::files::{self, WriteError};
use crate::generate::{Generated, StopReason};

/// Version of the lines.
const FORMAT: u32 = 1;

/// Characters of a line's checksum.
const CHECKSUM: usize = 16;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// Digest of prompts and settings.
    of: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    example: usize,
    tokens: Vec<u32>,
    stopped: StopReason,
}

/// Keeps answers.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// What the file holds when the first answer of this attempt is added.
    start: Vec<u8>,
    /// None until then: a file without an answer is no state to go on from.
    file: Option<File>,
}

/// What earlier attempts left.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// The answer to each prompt, where there is one.
    pub(super) answers: Vec<Option<Generated>>,
    /// What cannot be used, in words.
    pub(super) note: Option<String>,
}

impl Kept {
    /// Reads the answers to `prompts` prompts that earlier attempts kept at `path`, if they belong to `of`: a
    /// digest of prompts and settings.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(super) fn open(path: PathBuf, of: String, prompts: usize) -> anyhow::Result<(Self, Found)> {
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        let header = Header { format: FORMAT, of };
        let mut start = line(&header)?;
        let mut answers = vec![None; prompts];
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let note = match lines.next() {
            None => None,
            Some(first) if checked::<Header>(first).is_some_and(|found| found == header) => {
                let (mut all, mut damaged) = (0, 0);
                for line in lines {
                    all += 1;
                    match checked::<Record>(line).filter(|record| record.example < prompts) {
                        Some(Record { example, tokens, stopped }) => {
                            start.extend_from_slice(line);
                            start.push(b'\n');
                            answers[example] = Some(Generated { tokens, stopped });
                        }
                        None => damaged += 1,
                    }
                }
                (damaged > 0).then(|| format!("{damaged} of {all} kept answers are damaged, and are computed again"))
            }
            Some(first) => Some(match checked::<Header>(first) {
                Some(_) => "kept answers belong to other prompts or settings, and are computed again".to_owned(),
                None => "kept answers do not say what they belong to, and are computed again".to_owned(),
            }),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let note = note.map(|note| format!("`{name}`: {note}"));
        Ok((Self { path, start, file: None }, Found { answers, note }))
    }

    /// Adds an answer: no kill loses it from here on.
    ///
    /// # Errors
    /// A full disk or another failure of the file.
    pub(super) fn add(&mut self, example: usize, answer: &Generated) -> anyhow::Result<()> {
        let record = Record { example, tokens: answer.tokens.clone(), stopped: answer.stopped };
        let line = line(&record)?;
        let fail = |error| files::failed(&self.path, Some(line.len() as u64), error);
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                files::write(&self.path, &self.start)?;
                OpenOptions::new().append(true).open(&self.path).map_err(fail)?
            }
        };
        file.write_all(&line).map_err(fail)?;
        self.file = Some(file);
        Ok(())
    }

    /// Flushes what was added to the device: no power cut loses it from here on.
    ///
    /// # Errors
    /// A full disk or another failure of the file.
    pub(super) fn sync(&self) -> Result<(), WriteError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_data().map_err(|error| files::failed(&self.path, None, error))
    }
}

/// Writes a line: a checksum, and what it is of as JSON.
fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let mut line = checksum(&json).into_bytes();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

/// Reads a line; nothing where it is not as it was written.
fn checked<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let (found, json) = line.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    let value = serde_json::from_slice(json).ok()?;
    (checksum(json).as_bytes() == found).then_some(value)
}

fn checksum(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..CHECKSUM].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(token: u32) -> Generated {
        Generated { tokens: vec![token, 7], stopped: StopReason::Eos }
    }

    fn open(folder: &std::path::Path, of: &str) -> (Kept, Found) {
        Kept::open(folder.join("answers-test.jsonl"), of.to_owned(), 4).unwrap()
    }

    fn three(folder: &std::path::Path) -> Vec<u8> {
        let (mut kept, found) = open(folder, "a");
        assert_eq!(found, Found { answers: vec![None; 4], note: None });
        for example in [2, 0, 3] {
            kept.add(example, &answer(example as u32)).unwrap();
        }
        kept.sync().unwrap();
        fs::read(folder.join("answers-test.jsonl")).unwrap()
    }

    #[test]
    fn answers_read_back_and_others_are_added_to_them() {
        let folder = tempfile::tempdir().unwrap();
        three(folder.path());
        let (mut kept, found) = open(folder.path(), "a");
        let all = [Some(answer(0)), None, Some(answer(2)), Some(answer(3))];
        assert_eq!(found, Found { answers: all.to_vec(), note: None });
        kept.add(1, &answer(1)).unwrap();
        let (_, found) = open(folder.path(), "a");
        assert_eq!(found.answers.iter().flatten().count(), 4);
        // Nothing is there before an answer is.
        let other = tempfile::tempdir().unwrap();
        open(other.path(), "a");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_cut_and_any_flipped_byte_cost_the_answers_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let whole = three(folder.path());
        let path = folder.path().join("answers-test.jsonl");
        let ends: Vec<usize> = (1..=whole.len()).filter(|&end| whole[end - 1] == b'\n').collect();
        for length in 0..whole.len() {
            files::write(&path, &whole[..length]).unwrap();
            let (mut kept, found) = open(folder.path(), "a");
            // A line is whole without its end, too.
            let lines = ends.iter().filter(|&&end| end <= length + 1).count();
            assert_eq!(found.answers.iter().flatten().count(), lines.saturating_sub(1), "{length}");
            let is_torn = length > 0 && !ends.contains(&length) && !ends.contains(&(length + 1));
            assert_eq!(found.note.is_some(), is_torn, "{length}: {:?}", found.note);
            kept.add(1, &answer(1)).unwrap();
            let (_, found) = open(folder.path(), "a");
            assert_eq!((found.answers[1].clone(), found.note), (Some(answer(1)), None), "{length}");
        }
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            files::write(&path, &bytes).unwrap();
            let (_, found) = open(folder.path(), "a");
            assert!(found.note.is_some(), "{place}");
            for (example, found) in found.answers.into_iter().enumerate() {
                assert!(found.is_none_or(|found| found == answer(example as u32)), "{place}");
            }
        }
    }

    #[test]
    fn answers_to_other_prompts_are_told_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let whole = three(folder.path());
        let (_, found) = open(folder.path(), "b");
        let told = "`answers-test.jsonl`: kept answers belong to other prompts or settings, and are computed again";
        assert_eq!(found, Found { answers: vec![None; 4], note: Some(told.to_owned()) });
        files::write(&folder.path().join("answers-test.jsonl"), &whole[..whole.len() - 4]).unwrap();
        let told = "`answers-test.jsonl`: 1 of 3 kept answers are damaged, and are computed again";
        assert_eq!(open(folder.path(), "a").1.note.as_deref(), Some(told));
    }

    #[test]
    fn a_full_disk_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (mut kept, _) = open(folder.path(), "a");
        kept.file = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
        let error = kept.add(0, &answer(0)).unwrap_err().to_string();
        assert!(error.starts_with("disk full: cannot write `") && error.contains(" bytes needed, "), "{error}");
    }
}
