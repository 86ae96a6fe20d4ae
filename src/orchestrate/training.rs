//! The stages `pretrain`, `sft` and `distill`: from a job to a trained model on disk.

use std::collections::BTreeMap;

use anyhow::bail;

use super::event::{Event, Step};
use super::execute::Inputs;
use super::job::{DistillJob, PretrainJob, SftJob};
use super::stop::{StopFlag, Stopped};
use super::store::StageFolder;
use super::{model, prepare};
use crate::data::encode::{Limits, Misfits, Sequence, encode_all, pretraining_sequences};
use crate::data::{Example, SplitName, Tokenizer};
use crate::device::{self, Compute, Precision, Seed};
use crate::distill::capture::{self, Capture};
use crate::distill::projectors::Widths;
use crate::distill::{self, Vocabularies};
use crate::experiment::settings::{Algorithm, Training, Tuning};
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::train::Objective;
use crate::train::distillation::Distillation;
use crate::train::event::TrainEvent;
use crate::train::run::{Finished, Job, Order, TrainError, train};
use crate::train::student::Student;
use crate::train::supervised::Supervised;
use crate::tuning::peft;

/// What a training stage is given beside its job.
pub struct Surroundings<'a> {
    /// Device; the number format is the job's.
    pub compute: Compute,
    /// Folders that the stage reads.
    pub inputs: &'a Inputs,
    /// Folder of the stage.
    pub folder: &'a StageFolder,
    /// Hears what happens.
    pub events: &'a mut dyn FnMut(Event),
    /// Raised when the user wants to stop.
    pub stop: &'a StopFlag,
}

/// Trains a scratch model on the corpus.
///
/// # Errors
/// When an input cannot be read, an output not written, or training fails.
pub fn pretrain(job: &PretrainJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let tokenizer = model::tokenizer(around.inputs.get("tokenizer")?)?;
    let texts = prepare::read_corpus(around.inputs.get("data")?)?;
    let length = job.training.max_length.min(job.model.positions);
    let sequences = pretraining_sequences(&tokenizer, &texts, length);
    let config = Config::scratch(&job.model, tokenizer.len(), tokenizer.eos());
    let decoder = Decoder::initialise(config, Seed(job.seed), compute.device);
    let student = Student::new(decoder, &Tuning::Full {}, job.training.weight_decay, compute, Seed(job.seed));
    let mut objective = Supervised::new(student, sequences, vec![]);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep_model(objective.student, &finished, &tokenizer)
}

/// Fine-tunes a model on questions and answers.
///
/// # Errors
/// As for [`pretrain`].
pub fn sft(job: &SftJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let (decoder, tokenizer) = model::load_to_train(around.inputs, "model", "adapter", &job.tuning, compute)?;
    let train = around.sequences(&tokenizer, SplitName::Train, &job.training, job.closed_book)?;
    let dev = around.sequences(&tokenizer, SplitName::Dev, &job.training, job.closed_book)?;
    let student = Student::new(decoder, &job.tuning, job.training.weight_decay, compute, Seed(job.seed));
    let mut objective = Supervised::new(student, train, dev);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep(objective.student, &finished, &tokenizer, &job.tuning, "model")
}

/// Trains a student with a teacher's captured signal.
///
/// # Errors
/// As for [`pretrain`], and when student, teacher and algorithm do not fit together.
pub fn distill(job: &DistillJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let (decoder, tokenizer) = model::load_to_train(around.inputs, "student", "student-adapter", &job.tuning, compute)?;
    let teacher_tokenizer = model::tokenizer(around.inputs.get("teacher")?)?;
    let capture = Capture::open(around.inputs.get("capture")?, compute.kind(), compute.device)?;
    let vocabularies =
        if tokenizer.same_vocabulary(&teacher_tokenizer) { Vocabularies::Same } else { Vocabularies::Different };

    let mine = around.sequences(&tokenizer, SplitName::Train, &job.training, job.closed_book)?;
    let theirs = around.sequences(&teacher_tokenizer, SplitName::Train, &job.training, job.closed_book)?;
    // Examples are told apart by their place alone: the capture must be of these very sequences.
    let read: Vec<capture::Sequence<'_>> = theirs.iter().map(Into::into).collect();
    if capture.vocabulary() != teacher_tokenizer.fingerprint() || !capture.is_of(&read) {
        bail!(
            "the capture ({} sequences) is not of what the teacher reads here ({} sequences)\n\
             hint: remove the folder of its `capture` stage and run again",
            capture.examples(),
            theirs.len(),
        );
    }
    let (train, captured) = in_both(mine, &theirs);
    let dev = around.sequences(&tokenizer, SplitName::Dev, &job.training, job.closed_book)?;

    let widths = Widths { student: decoder.config.hidden_size, teacher: capture.width() };
    let projectors = Seed(job.seed).stream("projectors", 0);
    let objective = distill::Objective::new(&job.algorithm, vocabularies, widths, projectors, compute.device)?;
    let lr_factor = match job.algorithm {
        Algorithm::DualSpace { projector_lr, .. } => projector_lr / job.training.lr,
        Algorithm::Vanilla { .. } | Algorithm::CrossEntropy {} => 1.0,
    };
    let student = Student::new(decoder, &job.tuning, job.training.weight_decay, compute, Seed(job.seed));
    let mut objective = Distillation::new(student, objective, lr_factor, capture, train, captured, dev);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep(objective.student, &finished, &tokenizer, &job.tuning, "student")
}

/// Keeps the examples that fit both models; returns the student's sequences and the place of each
/// among the teacher's.
fn in_both(mine: Vec<Sequence>, theirs: &[Sequence]) -> (Vec<Sequence>, Vec<usize>) {
    let places: BTreeMap<usize, usize> =
        theirs.iter().enumerate().map(|(place, sequence)| (sequence.example, place)).collect();
    mine.into_iter().filter_map(|sequence| places.get(&sequence.example).map(|&place| (sequence, place))).unzip()
}

impl Surroundings<'_> {
    fn compute_in(&self, precision: Precision) -> Compute {
        Compute { precision, ..self.compute }
    }

    /// Encodes a split and notes what did not fit.
    fn sequences(
        &mut self,
        tokenizer: &Tokenizer,
        split: SplitName,
        training: &Training,
        closed_book: bool,
    ) -> anyhow::Result<Vec<Sequence>> {
        let examples: Vec<Example> = prepare::read_split(self.inputs.get("data")?, split)?;
        let limits = Limits { max_length: training.max_length, max_prompt: training.max_prompt };
        let (sequences, Misfits { clipped_prompts, rejected_responses }) =
            encode_all(tokenizer, &examples, closed_book, limits);
        for (count, what) in [
            (clipped_prompts, "prompts lost their left end"),
            (rejected_responses, "examples were left out because their response is too long"),
        ] {
            if count > 0 {
                let text =
                    format!("{split}: {count} of {} {what} (`max-length` {})", examples.len(), limits.max_length);
                (self.events)(Event::Note { text });
            }
        }
        Ok(sequences)
    }

    fn train(&mut self, objective: &mut dyn Objective, training: &Training, seed: u64) -> anyhow::Result<Finished> {
        let checkpoints = self.folder.checkpoint();
        std::fs::create_dir_all(&checkpoints)?;
        let job = Job {
            training,
            order: Order::Shuffled,
            seed: Seed(seed),
            folder: Some(&checkpoints),
            stop: self.stop.flag(),
        };
        let mut clock = Clock::default();
        let events = &mut *self.events;
        train(objective, &job, &mut |event| events(clock.translate(event))).map_err(|error| match error {
            TrainError::Stopped { .. } => Stopped.into(),
            other => other.into(),
        })
    }

    /// Writes what fine-tuning left: a model, or adapters for the model of input `base`. The saved
    /// state stays until the stage is sealed: killed before that, it need not be trained again.
    fn keep(
        &self,
        mut student: Student,
        finished: &Finished,
        tokenizer: &Tokenizer,
        tuning: &Tuning,
        base: &str,
    ) -> anyhow::Result<()> {
        match tuning {
            Tuning::Full {} => self.keep_model(student, finished, tokenizer),
            Tuning::Lora(settings) => {
                student.adopt(&finished.flat);
                let base = self.inputs.get(base)?.display().to_string();
                Ok(peft::save(&mut student.decoder, settings, &base, &self.folder.output())?)
            }
        }
    }

    fn keep_model(&self, mut student: Student, finished: &Finished, tokenizer: &Tokenizer) -> anyhow::Result<()> {
        let output = self.folder.output();
        student.adopt(&finished.flat);
        student.decoder.save(&output)?;
        Ok(tokenizer.save(&output)?)
    }
}

/// Turns the loop's events into the stage's, with speed and time left.
#[derive(Default)]
struct Clock {
    seconds: f64,
    steps: u64,
}

impl Clock {
    fn translate(&mut self, event: TrainEvent) -> Event {
        match event {
            TrainEvent::Step { step, steps, parts, grad_norm, lr, examples, tokens, seconds } => {
                self.seconds += seconds;
                self.steps += 1;
                let mean = self.seconds / self.steps as f64;
                Event::Step(Step {
                    step,
                    steps,
                    losses: parts,
                    lr: Some(lr),
                    grad_norm: Some(grad_norm),
                    examples: Some(examples),
                    tokens: Some(tokens),
                    tokens_per_second: Some(tokens as f64 / seconds),
                    memory_bytes: device::resident_memory_bytes(),
                    eta_seconds: Some(mean * (steps - step) as f64),
                })
            }
            TrainEvent::Validation { step, loss, .. } => Event::Validation { step, loss },
            TrainEvent::Checkpoint { step } => Event::Saved { step },
            TrainEvent::Resumed { step } => Event::Resumed { step },
            TrainEvent::Note { text } => Event::Note { text },
        }
    }
}
