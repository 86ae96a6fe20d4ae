//! The stage `capture`: the teacher's signal on disk, so that no distillation runs the teacher.

use std::ops::ControlFlow;

use super::event::{Event, Step};
use super::job::CaptureJob;
use super::model;
use super::prepare;
use super::stop::Stopped;
use super::training::Surroundings;
use crate::data::SplitName;
use crate::data::encode::{Limits, encode_all};
use crate::device;
use crate::distill::capture::{Outcome, Sequence, capture};

/// Captures the teacher's hidden states on the training split.
///
/// # Errors
/// When the teacher or the data cannot be read, or the disk cannot hold the signal.
pub fn run(job: &CaptureJob, around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (decoder, tokenizer) = model::load(around.inputs, "teacher", "teacher-adapter", job.precision.kind(), device)?;
    let examples = prepare::read_split(around.inputs.get("data")?, SplitName::Train)?;
    let limits = Limits { max_length: job.max_length, max_prompt: job.max_prompt };
    let (encoded, _) = encode_all(&tokenizer, &examples, job.closed_book, limits);
    let sequences: Vec<Sequence<'_>> = encoded
        .iter()
        .map(|sequence| Sequence { tokens: &sequence.tokens, response_start: sequence.response_start })
        .collect();
    let (events, stop) = (around.events, around.stop);
    let mut watch = |progress: crate::distill::capture::Progress| {
        events(Event::Step(Step {
            step: progress.examples as u64,
            steps: progress.total as u64,
            memory_bytes: device::resident_memory_bytes(),
            ..Step::default()
        }));
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let budget = job.batch * job.max_length;
    let output = around.folder.output();
    match capture(&decoder, &tokenizer.fingerprint(), &sequences, &output, budget, &mut watch)? {
        Outcome::Complete => Ok(()),
        Outcome::Stopped => Err(Stopped.into()),
    }
}
