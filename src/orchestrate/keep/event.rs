//! What happens while a stage runs, as it is written to `events.jsonl` and shown as progress.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;
use serde::{Deserialize, Serialize};

/// One thing that happened in a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The stage starts from nothing.
    Started,
    /// The stage goes on from a saved state.
    Resumed {
        /// Optimiser steps (or units of work) that the state holds.
        step: u64,
    },
    /// One optimiser step, or one unit of work of another stage.
    Step(Step),
    /// The dev split was measured.
    Validation {
        /// Optimiser steps so far.
        step: u64,
        /// Mean over response tokens, in nats.
        loss: f64,
    },
    /// The state after a step is safe on disk.
    Saved {
        /// Optimiser steps that the state holds.
        step: u64,
    },
    /// The form in which the distillation objective runs, which the vocabularies decided.
    Objective {
        /// The form in words, as [`crate::experiment::Form`] has it.
        form: String,
    },
    /// Something the user should know, such as clipped prompts; repeated in the report.
    Note {
        /// The reservation in words.
        text: String,
    },
    /// The stage ended with all its outputs.
    Finished {
        /// Duration of this run of the stage.
        seconds: f64,
    },
    /// The stage ended without its outputs.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// Measures one step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Loss and its parts by name (`loss`, `ce`, `kd`, ...), token means in nats.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: BTreeMap<String, f64>,
    /// Learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Norm of the gradient before clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Examples of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Tokens of the step, prompts included and padding excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Tokens processed per second, padding excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Main memory that the process holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Time left at the present speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
}

impl Event {
    /// Returns the step that the event belongs to, if it belongs to one.
    #[must_use]
    pub fn step(&self) -> Option<u64> {
        match self {
            Self::Step(step) => Some(step.step),
            Self::Validation { step, .. } | Self::Saved { step } => Some(*step),
            _ => None,
        }
    }
}

/// Reads the events of a stage; none when the file does not exist.
///
/// The last line may be torn (the process was killed while it wrote) and is then left out.
///
/// # Errors
/// A file that cannot be read, or a line before the last that is no event.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (whole, _torn) = text.rsplit_once('\n').unwrap_or_default();
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let message = format!("`{}`, line {}: {error}", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    };
    whole.lines().enumerate().map(parse).collect()
}

/// Writes the events of one attempt at a stage, each line at once.
///
/// The first event decides what becomes of earlier attempts: [`Event::Resumed`] keeps what they
/// told up to its step (the work after it is done again), anything else drops them. Until then the
/// file stays as it is.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: Option<File>,
}

impl EventLog {
    /// Prepares to write to `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Appends one event.
    ///
    /// # Errors
    /// A full disk or another failure of the file.
    pub fn write(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open(event)?,
        };
        let written = file.write_all(&line);
        self.file = Some(file);
        Ok(written.map_err(|error| files::failed(&self.path, Some(line.len() as u64), error))?)
    }

    fn open(&self, first: &Event) -> anyhow::Result<File> {
        let mut kept = Vec::new();
        if let Event::Resumed { step: last } = first {
            // An unreadable log costs its history, not the run.
            let events = read(&self.path).unwrap_or_default();
            let beyond = |event: &Event| event.step().is_some_and(|step| step > *last);
            for event in events.iter().take_while(|event| !beyond(event)) {
                serde_json::to_writer(&mut kept, event)?;
                kept.push(b'\n');
            }
        }
        files::write(&self.path, &kept)?;
        Ok(OpenOptions::new().append(true).open(&self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Event {
        Event::Step(Step { step, steps: 9, losses: BTreeMap::from([("loss".to_owned(), 0.5)]), ..Step::default() })
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::new(path.clone());
        log.write(&Event::Started).unwrap();
        log.write(&step(1)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 5);
        files::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), [Event::Started]);
    }

    #[test]
    fn a_damaged_line_inside_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        files::write(&path, b"{\"event\":\"sta\n{\"event\":\"started\"}\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("line 1"), "{message}");
    }

    #[test]
    fn resuming_drops_what_happened_after_the_saved_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::new(path.clone());
        for event in [Event::Started, step(1), Event::Saved { step: 1 }, step(2)] {
            log.write(&event).unwrap();
        }
        let mut log = EventLog::new(path.clone());
        log.write(&Event::Resumed { step: 1 }).unwrap();
        let saved = Event::Saved { step: 1 };
        let expected = [Event::Started, step(1), saved, Event::Resumed { step: 1 }];
        assert_eq!(read(&path).unwrap(), expected);
        EventLog::new(path.clone()).write(&Event::Started).unwrap();
        assert_eq!(read(&path).unwrap(), [Event::Started]);
    }
}
