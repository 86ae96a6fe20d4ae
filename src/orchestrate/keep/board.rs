//! The curves of a stage for TensorBoard: files of events beside `events.jsonl`.
//!
//! A file is a row of records (TensorFlow's `TFRecord`: length, its checksum, content, its checksum), each an
//! `Event` of `tensorflow/core/util/event.proto`. Every attempt at a stage writes one; one that goes on from a
//! saved state says so, and TensorBoard forgets what earlier files have of later steps. The files are for
//! looking at: nothing reads them here, and a stage goes on where they cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::orchestrate::keep::event::Event;

/// Starts the name of every file: TensorBoard looks for it. None is among the files that make a stage done: a torn
/// one costs no result.
pub(super) const PREFIX: &str = "events.out.tfevents.";

/// Says how the records are to be read; the second version may forget steps.
const VERSION: &str = "brain.Event:2";

/// Writes the events of one attempt at a stage.
#[derive(Debug)]
pub struct Board {
    folder: PathBuf,
    /// Seconds since 1970 at a moment; tests have time of their own.
    clock: fn() -> f64,
    file: Option<File>,
}

impl Board {
    /// Prepares to write into `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), clock: now, file: None }
    }

    /// Appends what an event has to show; the first one decides what becomes of the files of earlier attempts.
    ///
    /// # Errors
    /// A full disk or another failure of the file.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let time = (self.clock)();
        let shown = match event {
            Event::Step(step) => {
                let mut shown: Vec<(String, f64)> =
                    step.losses.iter().map(|(name, loss)| (format!("loss/{name}"), *loss)).collect();
                let others = [
                    ("gradient-norm", step.grad_norm),
                    ("learning-rate", step.lr),
                    ("tokens-per-second", step.tokens_per_second),
                ];
                shown.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
                Some((step.step, shown))
            }
            Event::Validation { step, loss } => Some((*step, vec![("loss/dev".to_owned(), *loss)])),
            _ => None,
        };
        let mut bytes = Vec::new();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let resumed = if let Event::Resumed { step } = event { Some(*step) } else { None };
                record(&mut bytes, &message(time, 0, |event| text(event, 3, VERSION.as_bytes())));
                // A session starts here. Where it is not the first, TensorBoard forgets this step and later ones.
                let first = resumed.map_or(0, |last| last + 1);
                record(&mut bytes, &message(time, first, |event| text(event, 7, &[1 << 3, 1])));
                self.open(time, resumed.is_some())?
            }
        };
        if let Some((step, shown)) = shown {
            let mut summary = Vec::new();
            for (tag, value) in shown {
                let mut entry = Vec::new();
                text(&mut entry, 1, tag.as_bytes());
                entry.push(2 << 3 | 5);
                entry.extend((value as f32).to_le_bytes());
                text(&mut summary, 1, &entry);
            }
            record(&mut bytes, &message(time, step, |event| text(event, 5, &summary)));
        }
        file.write_all(&bytes)?;
        self.file = Some(file);
        Ok(())
    }

    /// Creates the next file; those before it go unless their attempts are gone on from.
    fn open(&self, time: f64, goes_on: bool) -> io::Result<File> {
        let mut earlier = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            if goes_on {
                earlier += 1;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        // TensorBoard reads them in the order of their names.
        let path = self.folder.join(format!("{PREFIX}{time:010.0}.{earlier:03}"));
        OpenOptions::new().create(true).append(true).open(path)
    }
}

#[expect(clippy::disallowed_methods, reason = "TensorBoard shows when a step was; nothing else reads it")]
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Puts a record around its content.
fn record(bytes: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(masked(content).to_le_bytes());
}

/// The checksum of a record: CRC-32C, turned and moved so that a checksum of checksums is none by chance.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An `Event` at a time and a step, with what `fill` adds.
fn message(time: f64, step: u64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(time.to_le_bytes());
    if step > 0 {
        event.push(2 << 3);
        number(&mut event, step);
    }
    fill(&mut event);
    event
}

/// Adds a field of bytes.
fn text(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    number(message, bytes.len() as u64);
    message.extend(bytes);
}

/// Adds a whole number, seven bits to a byte.
fn number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::orchestrate::keep::event::Step;

    fn board(folder: &Path) -> Board {
        Board { clock: || 1_700_000_000.25, ..Board::new(folder) }
    }

    fn step(step: u64) -> Event {
        Event::Step(Step {
            step,
            steps: 900,
            losses: BTreeMap::from([("ce".to_owned(), 0.5), ("loss".to_owned(), 1.0 / 3.0)]),
            lr: Some(1e-3),
            grad_norm: Some(2.5),
            tokens_per_second: Some(12_345.678),
            ..Step::default()
        })
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// `tests/fixtures/board.py` writes the same with TensorBoard's own package.
    #[test]
    fn files_are_those_of_tensorboard_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = board(folder.path());
        for event in [Event::Started, step(1), step(300), Event::Validation { step: 300, loss: 0.25 }] {
            first.write(&event).unwrap();
        }
        let mut second = board(folder.path());
        second.write(&Event::Resumed { step: 200 }).unwrap();
        second.write(&step(201)).unwrap();
        assert_eq!(names(folder.path()), [0, 1].map(|file| format!("events.out.tfevents.1700000000.{file:03}")));
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for (name, expected) in names(folder.path()).iter().zip(["board-first.bin", "board-resumed.bin"]) {
            let found = fs::read(folder.path().join(name)).unwrap();
            assert_eq!(found, fs::read(fixtures.join(expected)).unwrap(), "{expected}");
        }
    }

    #[test]
    fn a_stage_that_starts_over_drops_the_files_before_it_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        crate::files::write(&folder.path().join("events.jsonl"), b"").unwrap();
        board(folder.path()).write(&Event::Resumed { step: 3 }).unwrap();
        board(folder.path()).write(&Event::Resumed { step: 3 }).unwrap();
        board(folder.path()).write(&Event::Started).unwrap();
        assert_eq!(names(folder.path()), ["events.jsonl", "events.out.tfevents.1700000000.000"]);
    }
}
