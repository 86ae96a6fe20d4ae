//! Distillation through the training loop, the teacher's signal read from its capture.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use tch::Device;
use tutelage::data::encode::Sequence;
use tutelage::device::{Compute, Precision, Seed};
use tutelage::distill::capture::{self, Capture};
use tutelage::distill::projectors::Widths;
use tutelage::distill::{Objective, Vocabularies};
use tutelage::experiment::settings::{Algorithm, Alignment, Architecture, Divergence, Scratch, Training, Tuning};
use tutelage::models::config::Config;
use tutelage::models::decoder::Decoder;
use tutelage::train;
use tutelage::train::distillation::Distillation;
use tutelage::train::student::Student;

use super::{adapters, assert_alike, decoder, decoder_on, gpu_in, interrupted, mixed, resumptions, sequences, steps};
use crate::fixtures::gpu;

/// A teacher of the same vocabulary, and one of another that splits each response differently.
#[derive(Clone, Copy, PartialEq)]
enum Teacher {
    Same,
    Other,
}

impl Teacher {
    fn sequences(self) -> Vec<Sequence> {
        let mut all = sequences(19);
        if self == Self::Other {
            for sequence in &mut all {
                let first = sequence.tokens[sequence.response_start];
                sequence.tokens.insert(sequence.response_start, 50 + first % 9);
            }
        }
        all
    }

    /// Captures the teacher's signal in `folder`.
    fn capture(self, folder: &Path) {
        self.capture_on(folder, Device::Cpu);
    }

    fn capture_on(self, folder: &Path, device: Device) {
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Llama,
            tokenizer: String::new(),
            hidden: 48,
            layers: 1,
            heads: 4,
            kv_heads: None,
            feed_forward: 64,
            tied: false,
            positions: 64,
        };
        let vocabulary = if self == Self::Same { 50 } else { 60 };
        let teacher = Decoder::initialise(Config::scratch(&scratch, vocabulary, 2), Seed(3), device);
        let sequences = self.sequences();
        let sequences: Vec<capture::Sequence<'_>> = sequences.iter().map(Into::into).collect();
        capture::capture(&teacher, "v", &sequences, folder, 64, &mut |_| ControlFlow::Continue(())).unwrap();
    }
}

fn vanilla(alignment: Option<Alignment>) -> Algorithm {
    Algorithm::Vanilla { divergence: Divergence::ForwardKl, temperature: 2.0, rate: 0.5, alignment }
}

/// Every objective with its teacher and the parts that it must tell.
fn objectives() -> [(Algorithm, Teacher, &'static [&'static str]); 5] {
    let dual_space =
        Algorithm::DualSpace { divergence: Divergence::ForwardKl, temperature: 2.0, rate: 0.5, projector_lr: 1e-3 };
    let two: &[&str] = &["ce", "kd", "loss"];
    let all: &[&str] = &["ce", "kd", "loss", "s2t_kd", "t2s_ce", "t2s_kd"];
    [
        (vanilla(None), Teacher::Same, two),
        (vanilla(Some(Alignment::Naive)), Teacher::Other, two),
        (vanilla(Some(Alignment::Uld)), Teacher::Other, two),
        (dual_space.clone(), Teacher::Same, all),
        (dual_space, Teacher::Other, all),
    ]
}

/// What is trained, and in which number format: also what a GPU takes by default.
fn ways() -> [(Tuning, Compute); 3] {
    let bf16 = Compute { precision: Precision::Bf16, ..Compute::reference() };
    [(Tuning::Full {}, Compute::reference()), (Tuning::Full {}, bf16), (adapters(0.2), bf16)]
}

/// A student in f32 with all its weights trained.
fn plain(algorithm: &Algorithm, teacher: Teacher, folder: &Path) -> Distillation {
    distillation(algorithm, teacher, folder, &Tuning::Full {}, Compute::reference())
}

/// A student that learns from the capture in `folder`; its projectors learn twice as fast.
fn distillation(
    algorithm: &Algorithm,
    teacher: Teacher,
    folder: &Path,
    tuning: &Tuning,
    compute: Compute,
) -> Distillation {
    let capture = Capture::open(folder, compute.kind(), compute.device).unwrap();
    let student = Student::new(decoder_on(1, compute.device), tuning, 0.01, compute, Seed(1));
    let widths = Widths { student: student.decoder.config.hidden_size, teacher: capture.width() };
    let vocabularies = if teacher == Teacher::Same { Vocabularies::Same } else { Vocabularies::Different };
    let objective = Objective::new(algorithm, vocabularies, widths, Seed(1), compute.device).unwrap();
    let train = sequences(19);
    let captured = (0..train.len()).collect();
    Distillation::new(student, objective, 2.0, capture, train, captured, sequences(4))
}

#[test]
fn every_part_is_told_and_splitting_a_step_changes_nothing_but_rounding() {
    for (algorithm, teacher, names) in objectives() {
        let folder = tempfile::tempdir().unwrap();
        teacher.capture(folder.path());
        let run = |accumulation| {
            let training = Training { accumulation, ..mixed() };
            steps(&mut plain(&algorithm, teacher, folder.path()), &training).1
        };
        let (whole, parts) = (run(1), run(2));
        assert_eq!((whole.len(), parts.len()), (14, 14));
        for ((whole, whole_norm), (parts, norm)) in whole.iter().zip(&parts) {
            assert!(whole.keys().eq(names), "{algorithm:?}: {whole:?}");
            for (name, value) in whole {
                assert!((value - parts[name]).abs() < 1e-4, "{algorithm:?} {name}: {value} {}", parts[name]);
            }
            assert!((norm / whole_norm - 1.0).abs() < 1e-3, "{algorithm:?}: {whole_norm} {norm}");
            adds_up(whole);
        }
    }
}

/// The total is half of both losses, the distillation loss the sum of its own parts.
fn adds_up(parts: &BTreeMap<String, f64>) {
    assert!((parts["loss"] - (parts["ce"] + parts["kd"]) / 2.0).abs() < 1e-9, "{parts:?}");
    if parts.len() > 3 {
        let sum = parts["t2s_ce"] + parts["t2s_kd"] + parts["s2t_kd"];
        assert!((parts["kd"] - sum).abs() < 1e-9, "{parts:?}");
    }
}

#[test]
fn the_loss_falls_for_every_objective_tuning_and_precision() {
    for (algorithm, teacher, _) in objectives() {
        let folder = tempfile::tempdir().unwrap();
        teacher.capture(folder.path());
        for (tuning, compute) in ways() {
            let lr = if tuning == (Tuning::Full {}) { 3e-3 } else { 3e-2 };
            let training = Training { epochs: 12.0, batch: 4, accumulation: 1, lr, ..mixed() };
            let mut objective = distillation(&algorithm, teacher, folder.path(), &tuning, compute);
            let told = steps(&mut objective, &training).1;
            let (first, last) = (told[0].0["loss"], told[told.len() - 1].0["loss"]);
            assert!(last < first - 0.1, "{algorithm:?} {tuning:?} {compute:?}: {first} to {last}");
        }
    }
}

#[test]
fn a_resumed_distillation_ends_bit_for_bit_as_an_uninterrupted_one() {
    for (algorithm, teacher, names) in objectives() {
        let folder = tempfile::tempdir().unwrap();
        teacher.capture(folder.path());
        for (tuning, compute) in ways() {
            let fresh = || -> Box<dyn train::Objective> {
                Box::new(distillation(&algorithm, teacher, folder.path(), &tuning, compute))
            };
            let (whole, _) = interrupted(&fresh, &mixed(), &[], false);
            let (resumed, events) = interrupted(&fresh, &mixed(), &[2, 6], false);
            assert!(resumed.equal(&whole), "{algorithm:?} {tuning:?} {compute:?}");
            assert_eq!(resumptions(&events), [2, 6]);
            // Projectors are part of the state.
            let mut student = Student::new(decoder(1), &tuning, 0.01, Compute::reference(), Seed(1));
            let own: usize = student.parameters().iter().map(|parameter| parameter.tensor.numel()).sum();
            assert_eq!(whole.numel() > own, names.len() > 3, "{algorithm:?} {tuning:?}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_distils_as_the_cpu_does() {
    for (algorithm, teacher, _) in objectives() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        teacher.capture(here.path());
        teacher.capture_on(there.path(), gpu());
        let expected = steps(&mut plain(&algorithm, teacher, here.path()), &mixed()).1;
        for (precision, tolerance) in [(Precision::F32, 1e-3), (Precision::Bf16, 0.1)] {
            let compute = gpu_in(precision);
            let mut objective = distillation(&algorithm, teacher, there.path(), &Tuning::Full {}, compute);
            let found = steps(&mut objective, &mixed()).1;
            assert_alike(&found, &expected, tolerance, &format!("{algorithm:?} {precision:?}"));
        }
    }
}
