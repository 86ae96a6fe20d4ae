//! Training on the CPU with a tiny model: losses fall, and what must not change a result does not.

mod adapters;
mod distillation;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};
use tutelage::data::encode::Sequence;
use tutelage::data::tokens::{TokenWriter, Tokens};
use tutelage::device::{Compute, Precision, Seed};
use tutelage::experiment::settings::{
    Architecture, BaseFormat, Lora, OptimizerStates, Schedule, Scratch, SplitName, Training, Tuning, Validate,
};
use tutelage::models::adapter::Adapter;
use tutelage::models::block::Layer;
use tutelage::models::config::Config;
use tutelage::models::decoder::Decoder;
use tutelage::models::layers::{Mode, Weight};
use tutelage::models::packed::Packed;
use tutelage::models::quantised::quantisation;
use tutelage::models::weights::Checkpoint;
use tutelage::train::event::TrainEvent;
use tutelage::train::run::{Finished, Job, Order, TrainError, train};
use tutelage::train::student::Student;
use tutelage::train::supervised::Supervised;
use tutelage::train::texts::Texts;
use tutelage::train::{Objective, Parts};
use tutelage::tuning::flat::Parameter;
use tutelage::tuning::{lora, peft};

use crate::fixtures::{gpu, model};

const VOCABULARY: usize = 50;

fn decoder(seed: u64) -> Decoder {
    decoder_on(seed, Device::Cpu)
}

fn decoder_on(seed: u64, device: Device) -> Decoder {
    let scratch = Scratch {
        data: None,
        architecture: Architecture::Llama,
        tokenizer: String::new(),
        hidden: 32,
        layers: 2,
        heads: 4,
        kv_heads: Some(2),
        feed_forward: 64,
        tied: true,
        positions: 64,
    };
    Decoder::initialise(Config::scratch(&scratch, VOCABULARY, 2), Seed(seed), device)
}

/// The first GPU in a number format.
fn gpu_in(precision: Precision) -> Compute {
    Compute { device: gpu(), precision, ..Compute::reference() }
}

/// Prompts of random tokens; the response repeats the prompt's first two and ends.
fn sequences(count: usize) -> Vec<Sequence> {
    (0..count)
        .map(|example| {
            let token = |position: usize| (3 + (example * 7 + position * position * 3) % (VOCABULARY - 3)) as u32;
            let length = 2 + example % 5;
            let mut tokens: Vec<u32> = (0..length).map(token).collect();
            tokens.extend([token(0), token(1), 2]);
            Sequence { example, tokens, response_start: length }
        })
        .collect()
}

fn training() -> Training {
    Training {
        epochs: 2.0,
        batch: 8,
        lr: 3e-3,
        schedule: Schedule::Cosine { warmup: 0.1, floor: 0.0 },
        checkpoint_every: 3,
        validate: Validate::Epoch,
        ..Training::default()
    }
}

/// Of the 40 sequences, 13 steps of two micro-batches and one of a single one in every epoch.
fn mixed() -> Training {
    Training { batch: 3, accumulation: 2, ..training() }
}

fn objective(tuning: &Tuning, precision: Precision) -> Supervised {
    objective_on(tuning, Compute { precision, ..Compute::reference() })
}

fn objective_on(tuning: &Tuning, compute: Compute) -> Supervised {
    objective_that(tuning, compute, false)
}

fn objective_that(tuning: &Tuning, compute: Compute, recomputes: bool) -> Supervised {
    let student = Student::new(decoder_on(1, compute.device), tuning, 0.01, compute, Seed(1)).recomputing(recomputes);
    let mut train = sequences(48);
    let dev = train.split_off(40);
    Supervised::new(student, train, dev)
}

fn adapters(dropout: f64) -> Tuning {
    let target_modules = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
    Tuning::Lora(Lora { rank: 4, alpha: 8.0, dropout, target_modules, ..Lora::default() })
}

/// Dropout draws from libtorch's one generator, which tests share and every step seeds: one at a time.
static DROPOUT: Mutex<()> = Mutex::new(());

/// What one step tells: its loss parts and the norm of its gradient.
type Told = (BTreeMap<String, f64>, f64);

/// Trains and returns the result with what every step told.
fn steps(objective: &mut dyn Objective, training: &Training) -> (Finished, Vec<Told>) {
    let _alone = DROPOUT.lock();
    let mut told = Vec::new();
    let stop = AtomicBool::new(false);
    let job = Job { training, order: Order::Shuffled, seed: Seed(7), folder: None, stop: &stop };
    let finished = train(objective, &job, &mut |event| {
        if let TrainEvent::Step { parts, grad_norm, .. } = event {
            told.push((parts, grad_norm));
        }
    });
    (finished.unwrap(), told)
}

/// Trains and returns the result with the loss of every step.
fn run(objective: &mut dyn Objective, training: &Training) -> (Finished, Vec<f64>) {
    let (finished, told) = steps(objective, training);
    (finished, told.into_iter().map(|(parts, _)| parts["loss"]).collect())
}

#[test]
fn loss_falls_for_every_tuning_and_precision() {
    for tuning in [Tuning::Full {}, adapters(0.1)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let lr = if tuning == (Tuning::Full {}) { 3e-3 } else { 3e-2 };
            let training = Training { epochs: 12.0, lr, ..training() };
            let (_, losses) = run(&mut objective(&tuning, precision), &training);
            let (first, last) = (losses[0], losses[losses.len() - 1]);
            // Uniform over the vocabulary is ln 50 = 3.9.
            assert!((first - 3.9).abs() < 0.2, "{tuning:?} {precision:?}: {first}");
            assert!(last < first - 0.2, "{tuning:?} {precision:?}: {first} to {last}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_trains_as_the_cpu_does() {
    for tuning in [Tuning::Full {}, adapters(0.0)] {
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.05)] {
            let expected = steps(&mut objective(&tuning, Precision::F32), &mixed()).1;
            let found = steps(&mut objective_on(&tuning, gpu_in(precision)), &mixed()).1;
            assert_alike(&found, &expected, tolerance, &format!("{tuning:?} {precision:?}"));
        }
        let fresh = || -> Box<dyn Objective> { Box::new(objective_on(&tuning, gpu_in(Precision::Bf16))) };
        let (_, events) = interrupted(&fresh, &mixed(), &[2, 13], false);
        assert_eq!(resumptions(&events), [2, 13]);
    }
}

#[test]
fn activations_computed_again_are_those_that_were_kept() {
    for tuning in [Tuning::Full {}, adapters(0.0)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let compute = Compute { precision, ..Compute::reference() };
            let run = |recomputes| steps(&mut objective_that(&tuning, compute, recomputes), &mixed());
            let ((kept, told), (again, told_again)) = (run(false), run(true));
            assert!(kept.flat.master.equal(&again.flat.master), "{tuning:?} {precision:?}");
            assert_eq!(told, told_again);
        }
    }
    // Dropout draws other masks, in both passes the same: what was learned is the same after a stop.
    let fresh = || -> Box<dyn Objective> { Box::new(objective_that(&adapters(0.2), Compute::reference(), true)) };
    let (whole, _) = interrupted(&fresh, &mixed(), &[], false);
    assert!(interrupted(&fresh, &mixed(), &[2, 13], false).0.equal(&whole));
    let training = Training { epochs: 12.0, lr: 3e-2, ..training() };
    let (_, losses) = run(&mut objective_that(&adapters(0.2), Compute::reference(), true), &training);
    assert!(losses[losses.len() - 1] < losses[0] - 0.2, "{losses:?}");
}

/// A model whose matrices are in few bits.
fn quantised(name: &str, base: BaseFormat) -> Decoder {
    Decoder::load_as(&model(name), Kind::Float, Device::Cpu, quantisation(base, true)).unwrap()
}

#[test]
fn adapters_on_few_bits_learn_what_they_learn_on_the_numbers_that_these_stand_for() {
    for (name, base) in [
        ("llama", BaseFormat::Nf4),
        ("phi3-long", BaseFormat::Fp4),
        ("gpt2", BaseFormat::Nf4),
        ("qwen2", BaseFormat::Int8),
    ] {
        let settings = Lora { rank: 4, target_modules: vec!["all-linear".to_owned()], base, ..Lora::default() };
        let train = |decoder: Decoder, recomputes: bool| {
            let is_quantised = decoder.is_quantised();
            let tuning = Tuning::Lora(settings.clone());
            let student = Student::new(decoder, &tuning, 0.01, Compute::reference(), Seed(1)).recomputing(recomputes);
            let mut objective = Supervised::new(student, sequences(40), vec![]);
            let (finished, losses) = run(&mut objective, &Training { epochs: 6.0, lr: 1e-2, ..training() });
            assert_eq!(objective.student.decoder.is_quantised(), is_quantised);
            (finished, losses, objective.student.decoder)
        };
        let mut dense = quantised(name, base);
        for linear in dense.layers.iter_mut().flat_map(Layer::linears_mut) {
            linear.weight = Weight::Dense(linear.weight.dense(Kind::Float));
        }
        let ((four, losses, mut trained), (full, ..)) = (train(quantised(name, base), false), train(dense, true));
        assert!(four.flat.master.equal(&full.flat.master), "{name}");
        assert!(train(quantised(name, base), true).0.flat.master.equal(&four.flat.master), "{name}");
        assert!(losses[losses.len() - 1] < losses[0] - 0.2, "{name}: {losses:?}");

        // The adapters keep what they lie on, are read onto the same, and are merged into what it stands for.
        let batch = Packed::new(&[&[3, 4, 5, 6]], None, Device::Cpu);
        let expected = trained.hidden(&batch, Mode::Infer);
        let folder = tempfile::tempdir().unwrap();
        peft::save(&mut trained, &settings, "base", folder.path()).unwrap();
        assert_eq!(peft::quantisation(folder.path()).unwrap(), quantisation(base, true));
        let mut loaded = quantised(name, base);
        // PEFT knows none of the words for several projections: their names are written.
        let stored = peft::load(&mut loaded, Kind::Float, folder.path()).unwrap();
        let mut spelled: Vec<String> =
            loaded.config.projections().iter().map(|projection| projection.name.to_owned()).collect();
        spelled.sort();
        assert_eq!(stored, Lora { target_modules: spelled, ..settings.clone() });
        assert!(loaded.hidden(&batch, Mode::Infer).allclose(&expected, 1e-5, 1e-6, false), "{name}");
        lora::merge(&mut loaded);
        assert!(!loaded.is_quantised());
        assert!(loaded.hidden(&batch, Mode::Infer).allclose(&expected, 1e-3, 1e-4, false), "{name}");
        loaded.save(folder.path()).unwrap();
    }
}

#[test]
fn numbers_lent_to_autograd_teach_what_numbers_computed_again_do() {
    // Rows of learned lengths read a weight twice where inputs drop out; masks are drawn for each layer.
    let plain = Lora { rank: 4, target_modules: vec!["all-linear".to_owned()], dropout: 0.2, ..Lora::default() };
    for (settings, precision) in [
        (plain.clone(), Precision::F32),
        (plain.clone(), Precision::Bf16),
        (Lora { dora: true, ..plain.clone() }, Precision::F32),
        (Lora { modules_to_save: vec!["embed_tokens".to_owned()], ..plain }, Precision::F32),
    ] {
        let compute = Compute { precision, ..Compute::reference() };
        let tuning = Tuning::Lora(Lora { base: BaseFormat::Nf4, ..settings });
        let learned = |recomputes: bool| {
            let folder = model("llama");
            let asked = quantisation(BaseFormat::Nf4, true);
            let decoder = Decoder::load_as(&folder, compute.kind(), Device::Cpu, asked).unwrap();
            let student = Student::new(decoder, &tuning, 0.01, compute, Seed(1)).recomputing(recomputes);
            run(&mut Supervised::new(student, sequences(24), vec![]), &training()).0.flat.master
        };
        assert!(learned(false).equal(&learned(true)), "{tuning:?} {precision:?}");
    }
}

/// Every family learns, all weights or adapters; what is computed again on the way back is what was kept.
#[test]
fn every_family_learns() {
    for name in ["gemma", "gemma2", "gemma3", "gpt2", "olmo2", "phi-norms", "phi3-long", "qwen3", "llama-bias"] {
        let all = Lora { rank: 4, alpha: 8.0, target_modules: vec!["all-linear".to_owned()], ..Lora::default() };
        for (tuning, lr) in [(Tuning::Full {}, 1e-3), (Tuning::Lora(all), 1e-2)] {
            let objective = |recomputes: bool| {
                let decoder = Decoder::load(&model(name), Kind::Float, Device::Cpu).unwrap();
                let student = Student::new(decoder, &tuning, 0.01, Compute::reference(), Seed(1));
                Supervised::new(student.recomputing(recomputes), sequences(40), vec![])
            };
            let training = Training { epochs: 6.0, lr, ..training() };
            let ((kept, losses), (again, _)) =
                (run(&mut objective(false), &training), run(&mut objective(true), &training));
            assert!(losses[losses.len() - 1] < losses[0] - 0.2, "{name} {tuning:?}: {losses:?}");
            assert!(kept.flat.master.equal(&again.flat.master), "{name} {tuning:?}");
        }
    }
}

/// Compares what every step told: loss parts by their difference, the gradient's norm by its ratio.
#[track_caller]
fn assert_alike(found: &[Told], expected: &[Told], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, ((found, norm), (expected, expected_norm))) in found.iter().zip(expected).enumerate() {
        assert!(found.keys().eq(expected.keys()), "{what} {step}: {found:?}");
        for (name, value) in expected {
            assert!((value - found[name]).abs() < tolerance, "{what} {step} {name}: {} {value}", found[name]);
        }
        assert!((norm / expected_norm - 1.0).abs() < 10.0 * tolerance, "{what} {step}: {norm} {expected_norm}");
    }
}

#[test]
fn splitting_a_step_changes_nothing_but_rounding() {
    let whole = run(&mut objective(&Tuning::Full {}, Precision::F32), &training()).1;
    let split = Training { accumulation: 4, ..training() };
    let parts = run(&mut objective(&Tuning::Full {}, Precision::F32), &split).1;
    assert_eq!(whole.len(), parts.len());
    for (whole, parts) in whole.iter().zip(&parts) {
        assert!((whole - parts).abs() < 1e-5, "{whole} {parts}");
    }
}

/// Whether sequences share a pass or have one each, loss and gradient are the same: none sees another, and positions
/// begin anew with each. So they do for the pieces of texts within a block.
#[test]
fn what_is_packed_is_learned_as_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TokenWriter::new(folder.path(), SplitName::Train).unwrap();
    sequences(40).iter().for_each(|sequence| writer.push(&sequence.tokens).unwrap());
    writer.finish().unwrap();
    let texts = |length: usize| -> Box<dyn Objective> {
        let tokens = Tokens::open(folder.path(), SplitName::Train).unwrap();
        let blocks = tokens.blocks(length).into_iter().map(|block| (0, block)).collect();
        let student = Student::new(decoder(1), &Tuning::Full {}, 0.01, Compute::reference(), Seed(1));
        Box::new(Texts::new(student, vec![tokens], blocks, None))
    };
    let answers = || -> Box<dyn Objective> { Box::new(objective(&Tuning::Full {}, Precision::F32)) };
    for [mut together, mut apart] in [[answers(), answers()], [texts(16), texts(16)]] {
        let packed = steps(&mut *together, &training()).1;
        let alone = steps(&mut *apart, &Training { accumulation: 8, ..training() }).1;
        assert_alike(&alone, &packed, 1e-5, "packed");
    }
    // A block of all pieces gives the mean over all tokens, as the pieces each in a pass of its own do.
    let student = Student::new(decoder(1), &Tuning::Full {}, 0.01, Compute::reference(), Seed(1));
    let tokens = Tokens::open(folder.path(), SplitName::Train).unwrap();
    let block = tokens.blocks(1 << 20).remove(0);
    let pieces = tokens.sequences(&block).unwrap();
    assert_eq!(pieces.len(), 40);
    let sum: f64 = pieces.iter().map(|piece| student.nats(std::slice::from_ref(piece)).0).sum();
    let once = Training { batch: 1, epochs: 1.0, ..training() };
    let (_, told) = steps(&mut *texts(1 << 20), &once);
    assert!((told[0].0["loss"] - sum / block.predicted() as f64).abs() < 1e-5);
}

#[test]
fn steps_in_one_piece_and_in_several_take_turns() {
    // bf16 has 8 bits, and its gradients are added up in f32.
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.05)] {
        let whole = Training { accumulation: 1, ..mixed() };
        let whole = steps(&mut objective(&Tuning::Full {}, precision), &whole).1;
        let parts = steps(&mut objective(&Tuning::Full {}, precision), &mixed()).1;
        assert_eq!((whole.len(), parts.len()), (28, 28));
        for (step, ((whole, whole_norm), (parts, norm))) in whole.iter().zip(&parts).enumerate() {
            let (whole, parts) = (whole["loss"], parts["loss"]);
            assert!((whole - parts).abs() < tolerance, "{precision:?} {step}: {whole} {parts}");
            assert!((norm / whole_norm - 1.0).abs() < 2.0 * tolerance, "{precision:?} {step}: {whole_norm} {norm}");
        }
    }
}

#[test]
fn only_adapters_move_and_the_model_starts_as_it_was() {
    let before = decoder(1);
    let mut objective = objective(&adapters(0.0), Precision::F32);
    let batch = Packed::new(&[&[3, 4, 5, 6]], None, Device::Cpu);
    let untouched = objective.student.decoder.hidden(&batch, Mode::Infer);
    assert!(untouched.allclose(&before.hidden(&batch, Mode::Infer), 1e-5, 1e-6, false));
    run(&mut objective, &training());
    for ((name, old), (_, new)) in before.parameters().iter().zip(objective.student.decoder.parameters()) {
        assert!(old.equal(new), "{name}");
    }
    assert!(!objective.student.decoder.hidden(&batch, Mode::Infer).allclose(&untouched, 1e-5, 1e-6, false));
}

#[test]
fn adapters_survive_their_files_and_merging() {
    let mut objective = objective(&adapters(0.0), Precision::F32);
    run(&mut objective, &Training { lr: 3e-2, ..training() });
    let mut trained = objective.student.decoder;
    let batch = Packed::new(&[&[3, 4, 5, 6]], None, Device::Cpu);
    let expected = trained.hidden(&batch, Mode::Infer);
    let folder = tempfile::tempdir().unwrap();
    let Tuning::Lora(settings) = adapters(0.0) else { unreachable!() };
    peft::save(&mut trained, &settings, "base", folder.path()).unwrap();

    let mut loaded = decoder(1);
    let mut stored = peft::load(&mut loaded, Kind::Float, folder.path()).unwrap();
    stored.target_modules.sort();
    let mut wanted = settings.clone();
    wanted.target_modules.sort();
    assert_eq!(stored, wanted);
    assert!(loaded.hidden(&batch, Mode::Infer).allclose(&expected, 1e-6, 1e-7, false));
    lora::merge(&mut loaded);
    assert!(loaded.layers.iter().flat_map(Layer::linears).all(|linear| linear.adapter.is_none()));
    assert!(loaded.hidden(&batch, Mode::Infer).allclose(&expected, 1e-4, 1e-5, false));
}

#[test]
fn merging_loses_no_update_of_bf16_weights() {
    let mut decoder = decoder(1);
    for parameter in decoder.parameters_mut() {
        *parameter.tensor = parameter.tensor.to_kind(Kind::BFloat16);
    }
    let layer = |decoder: &Decoder| {
        let ones = Tensor::ones([1, 32], (Kind::BFloat16, Device::Cpu));
        let query = decoder.layers[0].linear("self_attn.q_proj").unwrap();
        query.forward(&ones, Mode::Infer).to_kind(Kind::Float)
    };
    // Neighbours of 0.02 are 1.2e-4 apart: by itself an update of 5e-5 rounds away in each weight. Over
    // inputs of one it adds up, where the weights cancel.
    let signs = Tensor::from_slice(&[0.02f32, -0.02]).repeat([32, 16]).to_kind(Kind::BFloat16);
    let rounded = (signs.to_kind(Kind::Float) + 5e-5).to_kind(Kind::BFloat16);
    assert!(rounded.equal(&signs));
    let all = |shape: [i64; 2], value: f64| Tensor::full(shape, value, (Kind::BFloat16, Device::Cpu));
    let (down, up) = (all([1, 32], 1.0), all([32, 1], 5e-5));
    let query = decoder.layers[0].linears_mut().swap_remove(0);
    query.weight = Weight::Dense(signs);
    query.adapter = Some(Adapter::new(down, up, 1.0, 0.0));
    lora::merge(&mut decoder);
    let expected = Tensor::full([1, 32], 32.0 * 5e-5, (Kind::Float, Device::Cpu));
    assert!(layer(&decoder).allclose(&expected, 1e-2, 0.0, false));
}

/// Runs with checkpoints, stopping after each of `stops` steps and starting again with a `fresh`
/// objective.
fn interrupted(
    fresh: &dyn Fn() -> Box<dyn Objective>,
    training: &Training,
    stops: &[u64],
    damage: bool,
) -> (Tensor, Vec<TrainEvent>) {
    let _alone = DROPOUT.lock();
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for round in 0..=stops.len() {
        let stop = AtomicBool::new(false);
        let job = Job { training, order: Order::Shuffled, seed: Seed(7), folder: Some(folder.path()), stop: &stop };
        let result = train(&mut *fresh(), &job, &mut |event| {
            if let TrainEvent::Step { step, .. } = &event {
                stop.store(stops.get(round) == Some(step), Ordering::Relaxed);
            }
            seen.push(event);
        });
        match result {
            Ok(finished) => return (finished.flat.master, seen),
            Err(TrainError::Stopped { step, .. }) => assert_eq!(stops[round], step),
            Err(other) => panic!("{other}"),
        }
        if damage {
            let state = folder.path().join(format!("checkpoint-{}.safetensors", stops[round]));
            let mut bytes = std::fs::read(&state).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            tutelage::files::write(&state, &bytes).unwrap();
        }
    }
    panic!("never finished");
}

/// Says after which steps a run went on.
fn resumptions(events: &[TrainEvent]) -> Vec<u64> {
    let resumed = |event: &TrainEvent| if let TrainEvent::Resumed { step } = event { Some(*step) } else { None };
    events.iter().filter_map(resumed).collect()
}

#[test]
fn a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one() {
    for tuning in [Tuning::Full {}, adapters(0.2)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let fresh = || -> Box<dyn Objective> { Box::new(objective(&tuning, precision)) };
            let (whole, _) = interrupted(&fresh, &mixed(), &[], false);
            // Step 14 is the one in one piece.
            let (resumed, events) = interrupted(&fresh, &mixed(), &[2, 13], false);
            assert!(resumed.equal(&whole), "{tuning:?} {precision:?}");
            assert_eq!(resumptions(&events), [2, 13]);
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_told_and_not_used() {
    let fresh = || -> Box<dyn Objective> { Box::new(objective(&Tuning::Full {}, Precision::F32)) };
    let (whole, _) = interrupted(&fresh, &training(), &[], false);
    let (redone, events) = interrupted(&fresh, &training(), &[4], true);
    assert!(redone.equal(&whole));
    let told = |event: &TrainEvent| matches!(event, TrainEvent::Note { text } if text.contains("checksum"));
    assert!(events.iter().any(told));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_stage_and_leaves_the_saved_state() {
    let _alone = DROPOUT.lock();
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let train = |training: &Training, stop_after: u64| {
        let job = Job { training, order: Order::Shuffled, seed: Seed(7), folder: Some(folder.path()), stop: &stop };
        stop.store(false, Ordering::Relaxed);
        train(&mut objective(&Tuning::Full {}, Precision::F32), &job, &mut |event| {
            if matches!(event, TrainEvent::Step { step, .. } if step == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    // A learning rate that no model survives.
    let ruinous = Training { lr: 1e30, clip: None, schedule: Schedule::Constant { warmup: 0.0 }, ..training() };
    let ruinous = Training { checkpoint_every: 1000, ..ruinous };
    let error = train(&ruinous, u64::MAX).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { saved: None, .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    assert!(matches!(train(&training(), 4), Err(TrainError::Stopped { step: 4, .. })));
    let state = || std::fs::read(folder.path().join("checkpoint-4.safetensors")).unwrap();
    let before = state();
    let error = train(&ruinous, u64::MAX).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 5.., saved: Some(4), .. }), "{error}");
    assert!(error.to_string().contains("the state saved after step 4 is kept"), "{error}");
    assert_eq!(state(), before);
    // It is one to go on from.
    assert_eq!(train(&training(), u64::MAX).unwrap().steps, 10);
}

/// Supervised training whose dev losses are given.
struct Scripted<'a>(Supervised, &'a RefCell<Vec<f64>>);

impl Objective for Scripted<'_> {
    fn response_tokens(&self) -> &[usize] {
        self.0.response_tokens()
    }
    fn tokens(&self, examples: &[usize]) -> u64 {
        self.0.tokens(examples)
    }
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        self.0.parameters()
    }
    fn kind(&self) -> Kind {
        self.0.kind()
    }
    fn backward(&mut self, examples: &[usize], tokens: f64) -> anyhow::Result<Parts> {
        self.0.backward(examples, tokens)
    }
    fn dev_loss(&mut self) -> anyhow::Result<Option<f64>> {
        Ok(Some(self.1.borrow_mut().remove(0)))
    }
}

#[test]
fn a_dev_loss_that_is_not_finite_is_no_best_one() {
    let _alone = DROPOUT.lock();
    let (training, stop, losses) = (training(), AtomicBool::new(false), RefCell::new(vec![f64::NAN]));
    let job = Job { training: &training, order: Order::Shuffled, seed: Seed(7), folder: None, stop: &stop };
    let mut objective = Scripted(objective(&Tuning::Full {}, Precision::F32), &losses);
    let error = train(&mut objective, &job, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { what: "dev loss", step: 5, saved: None, .. }), "{error}");
}

#[test]
fn the_weights_of_the_lowest_dev_loss_are_the_result() {
    let _alone = DROPOUT.lock();
    let (folder, training) = (tempfile::tempdir().unwrap(), Training { epochs: 3.0, ..training() });
    let losses = RefCell::new(vec![]);
    let train = |folder: Option<&Path>, stop_after: u64| {
        let stop = AtomicBool::new(false);
        let job = Job { training: &training, order: Order::Shuffled, seed: Seed(7), folder, stop: &stop };
        train(&mut Scripted(objective(&Tuning::Full {}, Precision::F32), &losses), &job, &mut |event| {
            if matches!(event, TrainEvent::Step { step, .. } if step == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    *losses.borrow_mut() = vec![2.0, 1.0, 3.0];
    let whole = train(None, u64::MAX).unwrap();
    assert_eq!((whole.steps, whole.best), (15, Some((10, 1.0))));

    *losses.borrow_mut() = vec![2.0, 1.0, 3.0];
    assert!(matches!(train(Some(folder.path()), 10), Err(TrainError::Stopped { step: 10, .. })));
    let state = Checkpoint::open_file(&folder.path().join("checkpoint-10.safetensors")).unwrap();
    let lowest = state.read("master", Kind::Float, Device::Cpu).unwrap().unwrap();
    assert!(whole.flat.master.equal(&lowest));
    // What was best before a stop is so after it, also when the stage had come to its end.
    for _ in 0..2 {
        let resumed = train(Some(folder.path()), u64::MAX).unwrap();
        assert_eq!(resumed.best, Some((10, 1.0)));
        assert!(resumed.flat.master.equal(&lowest));
    }
    assert!(losses.borrow().is_empty());
}

#[test]
fn the_states_of_the_lowest_dev_losses_are_kept() {
    let _alone = DROPOUT.lock();
    let folder = tempfile::tempdir().unwrap();
    let training = Training { epochs: 5.0, keep_best: 3, ..training() };
    let losses = RefCell::new(vec![]);
    let train = |training: &Training, folder: Option<&Path>, stop_after: u64| {
        let stop = AtomicBool::new(false);
        let job = Job { training, order: Order::Shuffled, seed: Seed(7), folder, stop: &stop };
        train(&mut Scripted(objective(&Tuning::Full {}, Precision::F32), &losses), &job, &mut |event| {
            if matches!(event, TrainEvent::Step { step, .. } if step == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    // Each epoch by itself the only one: the weights that the whole run has after it.
    let after = |epoch: usize| {
        *losses.borrow_mut() = (0..5).map(|other| if other == epoch { 1.0 } else { 2.0 }).collect();
        train(&Training { keep_best: 1, ..training.clone() }, None, u64::MAX).unwrap().flat.master
    };
    let expected = [after(3), after(0), after(4)];
    *losses.borrow_mut() = vec![2.0, 5.0, 4.0, 1.0, 2.0];
    assert!(matches!(train(&training, Some(folder.path()), 17), Err(TrainError::Stopped { step: 17, .. })));
    // What was kept before a stop is kept after it; of equal ones the earlier comes first.
    for _ in 0..2 {
        let finished = train(&training, Some(folder.path()), u64::MAX).unwrap();
        assert_eq!(finished.best, Some((20, 1.0)));
        let (states, weights): (Vec<_>, Vec<_>) = finished.others.into_iter().unzip();
        assert_eq!(states, [(5, 2.0), (25, 2.0)]);
        let found = std::iter::once(&finished.flat.master).chain(&weights);
        assert!(found.zip(&expected).all(|(found, expected)| found.equal(expected)));
    }
    assert!(losses.borrow().is_empty());
}

#[test]
fn states_in_eight_bits_learn_and_go_on_as_they_were() {
    let eight = |training: Training| Training { optimizer_states: OptimizerStates::EightBits, ..training };
    // Matrices of 64 x 64 and 64 x 128 are large enough; the embedding and norms are not taken.
    let wide = |device| {
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Llama,
            tokenizer: String::new(),
            hidden: 64,
            layers: 2,
            heads: 4,
            kv_heads: Some(2),
            feed_forward: 128,
            tied: true,
            positions: 64,
        };
        Decoder::initialise(Config::scratch(&scratch, VOCABULARY, 2), Seed(1), device)
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let fresh = || -> Box<dyn Objective> {
            let compute = Compute { precision, ..Compute::reference() };
            let student = Student::new(wide(Device::Cpu), &Tuning::Full {}, 0.01, compute, Seed(1));
            Box::new(Supervised::new(student, sequences(40), vec![]))
        };
        let (whole, _) = interrupted(&fresh, &eight(mixed()), &[], false);
        let (resumed, events) = interrupted(&fresh, &eight(mixed()), &[2, 13], false);
        assert!(resumed.equal(&whole), "{precision:?}");
        assert_eq!(resumptions(&events), [2, 13]);
        let long = Training { epochs: 12.0, ..training() };
        let (losses, expected) = (run(&mut *fresh(), &eight(long.clone())).1, run(&mut *fresh(), &long).1);
        let (last, expected) = (losses[losses.len() - 1], expected[losses.len() - 1]);
        assert!(last < losses[0] - 0.2 && last != expected, "{losses:?}");
        assert!((last / expected - 1.0).abs() < 0.05, "{precision:?}: {last} {expected}");
    }
}

/// Stored once: a change here changes published results and raises the stage's version.
#[test]
fn first_losses_are_as_stored() {
    let losses = run(&mut objective(&Tuning::Full {}, Precision::F32), &training()).1;
    let stored = [3.968_872, 3.899_977, 3.947_020, 3.826_471, 3.887_064];
    for (loss, stored) in losses.iter().zip(stored) {
        assert!((loss - stored).abs() < 1e-4, "{:?}", &losses[..5]);
    }
}

#[test]
fn weights_keep_their_kind() {
    let objective = objective(&adapters(0.0), Precision::Bf16);
    assert_eq!(objective.student.decoder.kind(), Kind::BFloat16);
}

#[test]
fn training_ends_where_dev_gets_no_better() {
    let tuning = Tuning::Full {};
    let patient = Training { epochs: 60.0, lr: 2e-2, patience: Some(2), ..training() };
    let fresh = || -> Box<dyn Objective> { Box::new(objective(&tuning, Precision::F32)) };
    let (finished, told) = steps(&mut *fresh(), &patient);
    // 40 sequences, 8 in a step. What is kept is the best; after it come two epochs without a better one.
    let (best, _) = finished.best.unwrap();
    assert_eq!((finished.steps, told.len() as u64), (best + 2 * 5, best + 2 * 5));
    assert!(finished.steps < 60 * 5, "{}", finished.steps);
    // With all epochs, the same ones come first.
    let (whole, all) = steps(&mut *fresh(), &Training { patience: None, ..patient.clone() });
    assert_eq!((whole.steps, &all[..told.len()]), (60 * 5, &told[..]));
    // A run that was interrupted ends there, too.
    let (resumed, events) = interrupted(&fresh, &patient, &[best + 1, best + 6], false);
    assert!(resumed.equal(&finished.flat.master));
    let note = format!("ended after step {} of 300: no lower dev loss for 2 epochs", finished.steps);
    assert!(events.contains(&TrainEvent::Note { text: note }));
    // Killed before its result was kept, it is not trained on.
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let job =
        Job { training: &patient, order: Order::Shuffled, seed: Seed(7), folder: Some(folder.path()), stop: &stop };
    for round in 0..2 {
        let mut events = Vec::new();
        let again = train(&mut *fresh(), &job, &mut |event| events.push(event)).unwrap();
        assert!(again.flat.master.equal(&finished.flat.master) && again.steps == finished.steps);
        assert_eq!(events.iter().any(|event| matches!(event, TrainEvent::Step { .. })), round == 0);
    }
}
