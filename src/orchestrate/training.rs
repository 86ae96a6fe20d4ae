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
    let capture = match vocabularies {
        Vocabularies::Same => around.with_ends(capture, &teacher_tokenizer, &tokenizer)?,
        Vocabularies::Different => capture,
    };
    let (train, captured) = in_both(mine, &theirs);
    let dev = around.sequences(&tokenizer, SplitName::Dev, &job.training, job.closed_book)?;

    let widths = Widths { student: decoder.config.hidden_size, teacher: capture.width() };
    let projectors = Seed(job.seed).stream("projectors", 0);
    let objective = distill::Objective::new(&job.algorithm, vocabularies, widths, projectors, compute.device)?;
    (around.events)(Event::Objective { form: objective.form().to_string() });
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

    /// Lets a teacher's end of an answer be the student's, where they share a vocabulary and not the end.
    fn with_ends(&mut self, capture: Capture, teacher: &Tokenizer, student: &Tokenizer) -> anyhow::Result<Capture> {
        let (theirs, ours) = (teacher.eos(), student.eos());
        if theirs == ours {
            return Ok(capture);
        }
        let name = |tokenizer: &Tokenizer, id| tokenizer.token(id).unwrap_or_default().to_owned();
        let (end, own) = (name(teacher, theirs), name(student, ours));
        if name(teacher, ours) != own || i64::from(theirs.max(ours)) >= capture.head.size()[0] {
            bail!(
                "the student ends answers with `{own}`, which the teacher does not have: it ends them with `{end}`\n\
                 hint: name one `eos_token` in `tokenizer_config.json` of both models"
            );
        }
        let text =
            format!("the teacher ends answers with `{end}`, the student with `{own}`: the one is taken for the other");
        (self.events)(Event::Note { text });
        Ok(capture.exchanging(theirs, ours))
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};
    use tch::{Kind, Tensor};

    use super::*;
    use crate::experiment::identity;
    use crate::experiment::settings::Divergence;
    use crate::files;
    use crate::orchestrate::capture;
    use crate::orchestrate::job::Job;
    use crate::orchestrate::stage::{Input, Source, Stage, StageKind};
    use crate::orchestrate::store::Store;
    use crate::orchestrate::{rows, small};

    /// What a study's folder holds: data, a student, a teacher.
    struct Laid {
        folder: tempfile::TempDir,
    }

    impl Laid {
        /// Lays out data and models; `change` edits the teacher and its `tokenizer_config.json`.
        fn new(change: impl Fn(&mut Decoder, &mut Value)) -> Self {
            let laid = Self { folder: tempfile::tempdir().unwrap() };
            for name in ["data", "student", "teacher"] {
                std::fs::create_dir(laid.path(name)).unwrap();
            }
            for split in [SplitName::Train, SplitName::Dev] {
                rows::write(&prepare::split_file(&laid.path("data"), split), &small::examples(4)).unwrap();
            }
            let tokenizer = small::tokenizer();
            let mut decoder = small::decoder(&tokenizer);
            for name in ["student", "teacher"] {
                tokenizer.save(&laid.path(name)).unwrap();
                let path = laid.path(name).join("tokenizer_config.json");
                let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                if name == "teacher" {
                    decoder.embed_tokens = &decoder.embed_tokens * 20.0;
                    change(&mut decoder, &mut config);
                }
                files::write_json(&path, &config).unwrap();
                decoder.save(&laid.path(name)).unwrap();
            }
            laid
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Runs a stage on the named folders, its output in the folder `output`; returns what it told.
        fn run(
            &self,
            names: &[&str],
            output: &str,
            run: impl FnOnce(Surroundings<'_>) -> anyhow::Result<()>,
        ) -> anyhow::Result<Vec<Event>> {
            let key = identity(output, 1, &0, &[]).unwrap();
            let input = |name: &&str| Input {
                name: (*name).to_owned(),
                source: Source::External { origin: String::new(), path: Some(self.path(name)), key: key.clone() },
            };
            let stage = Stage {
                kind: StageKind::Capture,
                label: output.to_owned(),
                inputs: names.iter().map(input).collect(),
                key: key.clone(),
                job: Job::Capture(small::capture_job(4)),
                versions: BTreeMap::new(),
                seed: None,
                users: vec![],
            };
            let store = Store::open(&self.path("store")).unwrap();
            let folder = store.folder_of(&stage);
            let lock = folder.try_lock().unwrap().unwrap();
            folder.begin(&lock).unwrap();
            let mut told = Vec::new();
            let around = Surroundings {
                compute: Compute::reference(),
                inputs: &Inputs::of(&stage, &store).unwrap(),
                folder: &folder,
                events: &mut |event| told.push(event),
                stop: &StopFlag::default(),
            };
            run(around)?;
            copy(&folder.output(), &self.path(output));
            Ok(told)
        }

        /// Captures the teacher and distils one step; returns what the latter told.
        fn distil(&self, algorithm: Algorithm) -> anyhow::Result<Vec<Event>> {
            self.run(&["data", "teacher"], "capture", |around| capture::run(&small::capture_job(4), around))?;
            let training = Training { batch: 4, max_length: 32, ..Training::default() };
            let job = DistillJob {
                algorithm,
                tuning: Tuning::Full {},
                training,
                closed_book: true,
                precision: Precision::F32,
                threads: None,
                seed: 1,
            };
            self.run(&["data", "student", "teacher", "capture"], "distilled", |around| distill(&job, around))
        }
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    fn algorithms() -> [Algorithm; 2] {
        let (divergence, temperature, rate) = (Divergence::ForwardKl, 2.0, 0.5);
        [
            Algorithm::Vanilla { divergence, temperature, rate, alignment: None },
            Algorithm::DualSpace { divergence, temperature, rate, projector_lr: 1e-3 },
        ]
    }

    /// The form that ran and the losses of the first step.
    fn first(told: &[Event]) -> (String, BTreeMap<String, f64>) {
        let form = told.iter().find_map(|event| match event {
            Event::Objective { form } => Some(form.clone()),
            _ => None,
        });
        let losses = told.iter().find_map(|event| match event {
            Event::Step(step) => Some(step.losses.clone()),
            _ => None,
        });
        (form.unwrap(), losses.unwrap())
    }

    fn assert_same(found: &[Event], expected: &[Event]) {
        let ((form, losses), (expected_form, expected)) = (first(found), first(expected));
        assert_eq!(form, expected_form);
        for (name, loss) in expected {
            assert!((losses[&name] - loss).abs() < 1e-5, "{form} {name}: {} {loss}", losses[&name]);
        }
    }

    #[test]
    fn a_token_for_padding_changes_neither_objective_nor_loss() {
        let plain = |_: &mut Decoder, _: &mut Value| ();
        let padded = |teacher: &mut Decoder, config: &mut Value| {
            let row = Tensor::ones([1, teacher.config.hidden_size], (Kind::Float, tch::Device::Cpu));
            teacher.embed_tokens = Tensor::cat(&[&teacher.embed_tokens, &row], 0);
            config["added_tokens_decoder"] =
                json!({teacher.config.vocab_size.to_string(): {"content": "[PAD]", "special": true}});
            teacher.config.vocab_size += 1;
        };
        for (algorithm, form) in algorithms().into_iter().zip(["vanilla KD, one vocabulary", "DSKD, one vocabulary"]) {
            let expected = Laid::new(plain).distil(algorithm.clone()).unwrap();
            assert_eq!(first(&expected).0, form);
            assert_same(&Laid::new(padded).distil(algorithm).unwrap(), &expected);
        }
    }

    #[test]
    fn a_teachers_end_is_taken_for_the_students() {
        // A teacher that ends answers with `<s>` where the plain one has `</s>`.
        let other = |teacher: &mut Decoder, config: &mut Value| {
            config["eos_token"] = json!("<s>");
            let mut order: Vec<i64> = (0..teacher.config.vocab_size).collect();
            order.swap(0, 1);
            teacher.embed_tokens = teacher.embed_tokens.index_select(0, &Tensor::from_slice(&order));
        };
        for algorithm in algorithms() {
            let expected = Laid::new(|_, _| ()).distil(algorithm.clone()).unwrap();
            let told = Laid::new(other).distil(algorithm).unwrap();
            assert_same(&told, &expected);
            let note = "the teacher ends answers with `<s>`, the student with `</s>`: the one is taken for the other";
            assert!(told.contains(&Event::Note { text: note.to_owned() }), "{told:?}");
        }
    }
}
