//! The stage `distill`: a student learns from a teacher's captured signal.

use std::collections::BTreeMap;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Read, Scene};
use super::{Leaves, Text, Work, model, training, with_hint};
use crate::data::encode::Sequence;
use crate::data::{SplitName, Tokenizer};
use crate::device::{Precision, Seed};
use crate::distill::capture::{self, Capture};
use crate::distill::projectors::Widths;
use crate::distill::{self, Vocabularies};
use crate::experiment::settings::{Algorithm, Template, Training, Tuning};
use crate::models::quantised::Quantisation;
use crate::orchestrate::keep::event::Event;
use crate::orchestrate::kind::StageKind;
use crate::train::distillation::Distillation;
use crate::train::student::Student;
use crate::tuning::lora;

/// Trains a student with a teacher. Inputs: `data`, `student`, `student-adapter` if it was tuned by
/// adapters, `teacher`, `teacher-adapter` likewise, `capture`. Output: a model folder, with
/// adapters an adapter folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DistillJob {
    /// Objective with its settings.
    pub algorithm: Algorithm,
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation.
    pub training: Training,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Adds adapters on top of those that are there, which stay as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stack: bool,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of adapters, projectors, dropout and order.
    pub seed: u64,
}

impl Work for DistillJob {
    fn kind(&self) -> StageKind {
        StageKind::Distill
    }

    fn version(&self) -> u32 {
        // 3: tokenizers; vocabularies are compared by the tokens of text, heads cut to the smaller width,
        // ends exchanged.
        training::version(3, self.precision, &self.tuning)
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
        training::reset(&mut self.training);
    }

    fn optimisation(&mut self) -> Option<(&mut Training, Option<&mut Tuning>)> {
        Some((&mut self.training, Some(&mut self.tuning)))
    }

    fn leaves(&self) -> Leaves<'_> {
        Leaves::Like("student")
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let (student, teacher) = ((scene.model)("student"), (scene.model)("teacher"));
        let cost = scene.training(student, &self.tuning, &self.training, Read::of(scene.sizes));
        // The captured hidden states pass the teacher's head again, and the projectors.
        let head = student.zip(teacher).zip(scene.sizes).map(|((student, teacher), sizes)| {
            let widths = match self.algorithm {
                Algorithm::Vanilla { .. } => teacher.hidden,
                Algorithm::DualSpace { .. } => teacher.hidden + student.hidden,
                Algorithm::CrossEntropy {} => 0.0,
            };
            2.0 * widths * scene.vocabulary * sizes.train.responses * self.training.epochs
        });
        // Held beside the student: the teacher's head and embedding, the projectors with their gradients and
        // moments (two, and a third where the vocabularies differ, which is not known here); and one more
        // chunk of logits.
        let beside = student.zip(teacher).map(|(student, teacher)| {
            let (s, t) = (student.hidden, teacher.hidden);
            let projectors = match self.algorithm {
                Algorithm::DualSpace { .. } => 2.0 * s * t + 2.0 * s * 2.0 * t,
                Algorithm::Vanilla { .. } | Algorithm::CrossEntropy {} => 0.0,
            };
            scene.head_bytes(teacher) + 16.0 * projectors
        });
        let logits = scene.engine().logits(scene.vocabulary, f64::INFINITY);
        Cost {
            operations: cost.operations.zip(head).map(|(operations, head)| operations + head),
            memory: cost.memory.zip(beside).map(|(memory, beside)| memory + beside + logits),
            held: cost.held.zip(beside).map(|(held, beside)| held + beside),
            ..cost
        }
    }

    fn trains(&self) -> Option<Vec<(String, String)>> {
        Some(training::in_words(&self.training, &self.tuning, true))
    }

    fn base(&self) -> Quantisation {
        lora::quantisation(&self.tuning)
    }

    fn stacks(&self) -> bool {
        self.stack
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        distil(self, around)
    }
}

/// Trains a student with a teacher's captured signal.
///
/// # Errors
/// When an input cannot be read, an output not written, or training fails, and when student, teacher and algorithm do not fit together.
fn distil(job: &DistillJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let (mut decoder, tokenizer) =
        model::load_to_train(around.inputs, "student", "student-adapter", &job.tuning, compute)?;
    if job.stack {
        lora::stack(&mut decoder);
    }
    let teacher_tokenizer = model::tokenizer(around.inputs.get("teacher")?)?;
    let capture = Capture::open(around.inputs.get("capture")?, compute.kind(), compute.device)?;
    let vocabularies =
        if tokenizer.same_vocabulary(&teacher_tokenizer) { Vocabularies::Same } else { Vocabularies::Different };

    let limits = training::limits(&job.training);
    let mine = around.sequences(&tokenizer, "data", SplitName::Train, limits, (&job.template, job.closed_book))?;
    let theirs =
        around.sequences(&teacher_tokenizer, "data", SplitName::Train, limits, (&job.template, job.closed_book))?;
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
        Vocabularies::Same => with_ends(&mut around, capture, &teacher_tokenizer, &tokenizer)?,
        Vocabularies::Different => capture,
    };
    let (train, captured) = in_both(mine, &theirs);
    let dev = around.sequences(&tokenizer, "data", SplitName::Dev, limits, (&job.template, job.closed_book))?;

    around.tell_of_dev(!dev.is_empty(), &job.training);
    let widths = Widths { student: decoder.config.hidden_size, teacher: capture.width() };
    let projectors = Seed(job.seed).stream("projectors", 0);
    let objective = distill::Objective::new(&job.algorithm, vocabularies, widths, projectors, compute.device)?;
    (around.events)(Event::Objective { form: objective.form().to_string() });
    let lr_factor = match job.algorithm {
        Algorithm::DualSpace { projector_lr, .. } => projector_lr / job.training.lr,
        Algorithm::Vanilla { .. } | Algorithm::CrossEntropy {} => 1.0,
    };
    let student = Student::new(decoder, &job.tuning, job.training.weight_decay, compute, Seed(job.seed))
        .recomputing(job.training.gradient_checkpointing);
    let mut objective = Distillation::new(student, objective, lr_factor, capture, train, captured, dev);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep(objective.student, finished, &tokenizer, &job.tuning, "student")
}

/// Keeps the examples that fit both models; returns the student's sequences and the place of each
/// among the teacher's.
fn in_both(mine: Vec<Sequence>, theirs: &[Sequence]) -> (Vec<Sequence>, Vec<usize>) {
    let places: BTreeMap<usize, usize> =
        theirs.iter().enumerate().map(|(place, sequence)| (sequence.example, place)).collect();
    mine.into_iter().filter_map(|sequence| places.get(&sequence.example).map(|&place| (sequence, place))).unzip()
}

/// Lets a teacher's end of an answer be the student's, where they share a vocabulary and not the end.
fn with_ends(
    around: &mut Surroundings<'_>,
    capture: Capture,
    teacher: &Tokenizer,
    student: &Tokenizer,
) -> anyhow::Result<Capture> {
    let rows = usize::try_from(capture.head.size()[0])?;
    let exchanged = teacher.exchanged_ends(student, rows).map_err(|error| with_hint(error.hint(), error))?;
    let Some([theirs, ours]) = exchanged else { return Ok(capture) };
    let (end, own) = (teacher.end().unwrap_or_default(), student.end().unwrap_or_default());
    let text =
        format!("the teacher ends answers with `{end}`, the student with `{own}`: the one is taken for the other");
    (around.events)(Event::Note { text });
    Ok(capture.exchanging(theirs, ours))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};
    use tch::{Kind, Tensor};

    use super::*;
    use crate::device::Compute;
    use crate::experiment::identity;
    use crate::experiment::settings::Divergence;
    use crate::files;
    use crate::models::decoder::Decoder;
    use crate::orchestrate::keep::store::Store;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::stage::{Input, Source, Stage};
    use crate::orchestrate::stages::stop::StopFlag;
    use crate::orchestrate::stages::{Job, data, rows, small};

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
                rows::write(&data::split_file(&laid.path("data"), split), &small::examples(4)).unwrap();
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
                source: Source::External {
                    origin: String::new(),
                    commit: None,
                    path: Some(self.path(name)),
                    key: key.clone(),
                },
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
            let folder = stage.folder(&store);
            let lock = folder.try_lock().unwrap().unwrap();
            folder.begin(&lock).unwrap();
            let mut told = Vec::new();
            let around = Surroundings {
                compute: Compute::reference(),
                inputs: &stage.read_from(&store).unwrap(),
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
            self.run(&["data", "teacher"], "capture", |around| small::capture_job(4).run(around))?;
            let training = Training { batch: 4, max_length: 64, ..Training::default() };
            let job = DistillJob {
                algorithm,
                tuning: Tuning::Full {},
                training,
                closed_book: true,
                template: Template::Plain,
                stack: false,
                precision: Precision::F32,
                threads: None,
                seed: 1,
            };
            self.run(&["data", "student", "teacher", "capture"], "distilled", |around| job.run(around))
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
