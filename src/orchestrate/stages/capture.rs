//! The stage `capture`: the teacher's signal on disk, so that no distillation runs the teacher.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::stop::Stopped;
use super::{Text, Work, model};

use crate::data::SplitName;
use crate::data::encode::Limits;
use crate::device::{self, Precision};
use crate::distill::capture::{CaptureError, Outcome, Progress, Sequence, capture};
use crate::experiment::settings::Template;
use crate::files;
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::kind::StageKind;

/// Stores the teacher's last hidden states on response positions of the training split. Inputs:
/// `data`, `teacher`, and `teacher-adapter` if it was tuned by adapters. Output: the capture's own files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaptureJob {
    /// Longest sequence, in tokens of the teacher.
    pub max_length: usize,
    /// Longest prompt, in tokens of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<usize>,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Sequences of `max_length` that one forward pass has room for.
    pub batch: usize,
}

impl Work for CaptureJob {
    fn kind(&self) -> StageKind {
        StageKind::Capture
    }

    fn version(&self) -> u32 {
        // 2: lengths are rounded up to 16 tokens, which changes rounding. 3: tokenizers, windows by layer.
        3
    }

    fn texts(&self) -> &'static [Text] {
        Text::ALL
    }

    fn precision(&self) -> Option<Precision> {
        Some(self.precision)
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn reset(&mut self) {
        self.batch = 0;
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let Some(teacher) = (scene.model)("teacher") else { return Cost::default() };
        let train = scene.sizes.map(|sizes| sizes.train);
        let weight = scene.bytes_per_weight();
        let states = train.map(|train| train.responses * teacher.hidden * weight + scene.head_bytes(teacher));
        let tokens = (self.batch * self.max_length) as f64;
        Cost { kept: states, disk: states, ..scene.forward(Some(teacher), train, tokens) }
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        run(self, around)
    }
}

/// Captures the teacher's hidden states on the training split.
///
/// The files grow in the folder of saved states, where a stopped or killed stage goes on from them.
/// Once they are whole the output links to them; they stay saved until the stage is sealed, which
/// reads all of them: killed before that, no pass is made again.
///
/// # Errors
/// When the teacher or the data cannot be read, or the disk cannot hold the signal.
fn run(job: &CaptureJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (decoder, tokenizer) = model::load(around.inputs, "teacher", "teacher-adapter", job.precision.kind(), device)?;
    let limits = Limits { max_length: job.max_length, max_prompt: job.max_prompt };
    let encoded = around.sequences(&tokenizer, "data", SplitName::Train, limits, (&job.template, job.closed_book))?;
    let sequences: Vec<Sequence<'_>> = encoded.iter().map(Into::into).collect();
    let saved = around.folder.checkpoint().join("capture");
    if saved.exists() {
        // Or a file that a killed attempt was writing would become part of the output.
        files::sweep(&saved)?;
    }
    let vocabulary = tokenizer.fingerprint();
    let attempt = |events: &mut dyn FnMut(Event)| {
        let mut watch = |progress: Progress| {
            let step = progress.examples as u64;
            if progress.positions == 0 {
                events(Event::Resumed { step });
            } else {
                let (steps, memory_bytes) = (progress.total as u64, device::resident_memory_bytes());
                events(Event::Step(Step { step, steps, memory_bytes, ..Step::default() }));
                events(Event::Saved { step });
            }
            if around.stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        capture(&decoder, &vocabulary, &sequences, &saved, job.batch * job.max_length, &mut watch)
    };
    let outcome = match attempt(around.events) {
        // Begun with passes of another size, which one key may have, or damaged.
        Err(error @ (CaptureError::Another { .. } | CaptureError::Foreign { .. })) => {
            let text = format!("what an earlier attempt captured is not used: {error}; the stage starts over");
            (around.events)(Event::Note { text });
            fs::remove_dir_all(&saved).map_err(|source| files::failed(&saved, None, source))?;
            attempt(around.events)?
        }
        outcome => outcome?,
    };
    if outcome == Outcome::Stopped {
        return Err(Stopped.into());
    }
    Ok(put_out(&saved, &around.folder.output())?)
}

/// Gives every saved file its name in the output, too. A file system without hard links has the folder
/// moved, in one piece: part of a capture must not be taken for the whole.
fn put_out(saved: &Path, output: &Path) -> Result<(), files::WriteError> {
    let link = || -> io::Result<()> {
        for entry in fs::read_dir(saved)? {
            let entry = entry?;
            fs::hard_link(entry.path(), output.join(entry.file_name()))?;
        }
        Ok(())
    };
    let moved = |_| fs::remove_dir_all(output).and_then(|()| fs::rename(saved, output));
    link().or_else(moved).map_err(|source| files::failed(output, None, source))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::device::Compute;
    use crate::experiment::identity;
    use crate::orchestrate::keep::store::{StageFolder, Store};
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::stage::{Input, Source, Stage};
    use crate::orchestrate::stages::Job;
    use crate::orchestrate::stages::data::split_file;
    use crate::orchestrate::stages::rows;
    use crate::orchestrate::stages::small;
    use crate::orchestrate::stages::stop::StopFlag;

    /// Writes a teacher and its data into `folder` and returns the stage that reads them.
    fn stage(folder: &Path) -> Stage {
        let (data, teacher) = (folder.join("data"), folder.join("teacher"));
        for folder in [&data, &teacher] {
            std::fs::create_dir(folder).unwrap();
        }
        rows::write(&split_file(&data, SplitName::Train), &small::examples(12)).unwrap();
        let tokenizer = small::tokenizer();
        tokenizer.save(&teacher).unwrap();
        small::decoder(&tokenizer).save(&teacher).unwrap();
        let key = identity("capture", 1, &0, &[]).unwrap();
        let input = |name: &str, path: &Path| Input {
            name: name.to_owned(),
            source: Source::External {
                origin: String::new(),
                commit: None,
                path: Some(path.to_owned()),
                key: key.clone(),
            },
        };
        Stage {
            kind: StageKind::Capture,
            label: "teacher".to_owned(),
            versions: BTreeMap::new(),
            inputs: vec![input("data", &data), input("teacher", &teacher)],
            key: key.clone(),
            job: Job::Capture(small::capture_job(1)),
            seed: None,
            users: vec![],
        }
    }

    /// Runs the stage as an execution would and returns what it told; stops after `passes`.
    fn attempt(
        stage: &Stage,
        store: &Store,
        batch: usize,
        passes: usize,
    ) -> (anyhow::Result<()>, Vec<Event>, StageFolder) {
        let folder = stage.folder(store);
        let (stop, mut told) = (StopFlag::default(), Vec::new());
        let lock = folder.try_lock().unwrap().unwrap();
        folder.begin(&lock).unwrap();
        let mut events = |event: Event| {
            told.push(event);
            if told.iter().filter(|event| matches!(event, Event::Step(_))).count() == passes {
                stop.raise();
            }
        };
        let around = Surroundings {
            compute: Compute::reference(),
            inputs: &stage.read_from(store).unwrap(),
            folder: &folder,
            events: &mut events,
            stop: &stop,
        };
        let result = run(&small::capture_job(batch), around);
        (result, told, folder)
    }

    fn output(folder: &StageFolder) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let entries = std::fs::read_dir(folder.output()).unwrap().map(|entry| entry.unwrap());
        let mut all: Vec<_> = entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn a_stopped_stage_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let stage = stage(folder.path());
        let [whole, store] = ["whole", "store"].map(|name| Store::open(&folder.path().join(name)).unwrap());
        let (result, _, finished) = attempt(&stage, &whole, 2, usize::MAX);
        result.unwrap();
        let expected = output(&finished);
        assert_eq!(expected.len(), 5);

        let (result, told, stopped) = attempt(&stage, &store, 2, 2);
        assert!(result.unwrap_err().is::<Stopped>());
        assert!(matches!(told.last(), Some(Event::Saved { .. })), "{told:?}");
        assert!(output(&stopped).is_empty());
        // Killed while it wrote, it would have left this beside.
        files::write(&stopped.checkpoint().join("capture").join(".writing-killed"), b"half").unwrap();
        let (result, resumed, finished) = attempt(&stage, &store, 2, usize::MAX);
        result.unwrap();
        assert_eq!(resumed[0], Event::Resumed { step: told.last().and_then(Event::step).unwrap() });
        assert_eq!(output(&finished), expected);
    }

    #[test]
    fn a_capture_that_was_not_sealed_any_more_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let stage = stage(folder.path());
        let store = Store::open(&folder.path().join("store")).unwrap();
        let (result, _, finished) = attempt(&stage, &store, 2, usize::MAX);
        result.unwrap();
        let expected = output(&finished);
        // Killed while the checksums of its output were computed.
        let (result, told, finished) = attempt(&stage, &store, 2, usize::MAX);
        result.unwrap();
        assert_eq!(told, [Event::Resumed { step: 12 }]);
        assert_eq!(output(&finished), expected);
        let lock = finished.try_lock().unwrap().unwrap();
        finished.finish(&lock).unwrap();
        assert!(!finished.checkpoint().exists());
        assert_eq!(output(&finished), expected);
    }

    #[test]
    fn what_cannot_be_linked_is_moved_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let [saved, output] = ["saved", "output"].map(|name| folder.path().join(name));
        for folder in [&saved, &output] {
            fs::create_dir(folder).unwrap();
        }
        files::write(&saved.join("states.bin"), b"1").unwrap();
        // No link can be made of a folder, as none of any file where there are no hard links.
        fs::create_dir(saved.join("folder")).unwrap();
        put_out(&saved, &output).unwrap();
        assert!(!saved.exists() && output.join("folder").is_dir());
        assert_eq!(fs::read(output.join("states.bin")).unwrap(), b"1");
    }

    #[test]
    fn passes_of_another_size_start_over_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let stage = stage(folder.path());
        let store = Store::open(&folder.path().join("store")).unwrap();
        assert!(attempt(&stage, &store, 1, 2).0.is_err());
        let (result, told, finished) = attempt(&stage, &store, 3, usize::MAX);
        result.unwrap();
        assert!(matches!(&told[0], Event::Note { text } if text.contains("tokens of a batch differ")), "{told:?}");
        assert!(matches!(told[1], Event::Step(_)), "{told:?}");
        assert_eq!(output(&finished).len(), 5);
    }
}
