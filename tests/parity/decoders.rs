//! Logits equal to transformers' within 1e-4.

use tch::{Device, Kind, Tensor};
use tutelage::models::cache::Place;
use tutelage::models::decoder::Decoder;
use tutelage::models::layers::Mode;
use tutelage::models::packed::{Packed, rounded};
use tutelage::models::weights::Checkpoint;

use crate::fixtures::{gpu, model};

const CHECKPOINTS: [&str; 24] = [
    "gemma",
    "gemma2",
    "gemma3",
    "gpt2",
    "gpt2-inverse",
    "llama",
    "llama-3",
    "llama-bias",
    "llama-dynamic",
    "llama-linear",
    "llama-sharded",
    "llama-tied",
    "llama-yarn",
    "mistral",
    "mistral-mixed",
    "olmo2",
    "phi",
    "phi-norms",
    "phi3",
    "phi3-long",
    "qwen2",
    "qwen2-mixed",
    "qwen3",
    "qwen3-mixed",
];
const TOLERANCE: f64 = 1e-4;

/// Sequences of a fixture and their logits `[batch * sequence, vocab]`.
fn expected(name: &str) -> (Vec<Vec<u32>>, Tensor) {
    let file = Checkpoint::open_file(&model(name).join("expected.safetensors")).unwrap();
    let ids = file.read("input_ids", Kind::Int64, Device::Cpu).unwrap().unwrap();
    let rows: Vec<Vec<i64>> = Vec::try_from(&ids).unwrap();
    let sequences = rows.into_iter().map(|row| row.into_iter().map(|id| id as u32).collect()).collect();
    let logits = file.read("logits", Kind::Float, Device::Cpu).unwrap().unwrap();
    (sequences, logits.flatten(0, 1))
}

/// What a fixture's model says when it decodes step by step: what it says of the whole, but where angles
/// depend on how long a sequence has become.
fn decoded(name: &str, whole: &Tensor) -> Tensor {
    let file = Checkpoint::open_file(&model(name).join("expected.safetensors")).unwrap();
    let decoded = file.read("decoded", Kind::Float, Device::Cpu).unwrap();
    decoded.map_or_else(|| whole.shallow_clone(), |decoded| decoded.flatten(0, 1))
}

fn load(name: &str) -> Decoder {
    Decoder::load(&model(name), Kind::Float, Device::Cpu).unwrap()
}

fn pack(sequences: &[Vec<u32>], device: Device) -> Packed {
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    Packed::new(&sequences, None, device)
}

fn logits(decoder: &Decoder, sequences: &[Vec<u32>]) -> Tensor {
    decoder.logits(&decoder.hidden(&pack(sequences, decoder.device()), Mode::Infer))
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let worst = f64::try_from((found.to_device(Device::Cpu) - expected).abs().max()).unwrap();
    assert!(worst <= TOLERANCE, "{what}: the logits differ by {worst}");
}

#[test]
fn logits_equal_those_of_transformers() {
    for name in CHECKPOINTS {
        let (sequences, expected) = expected(name);
        assert!(f64::try_from(expected.std(false)).unwrap() > 0.1, "{name}: the fixture's logits tell nothing apart");
        assert_near(&logits(&load(name), &sequences), &expected, name);
    }
}

#[test]
fn a_saved_decoder_computes_the_same() {
    for name in CHECKPOINTS {
        let (sequences, expected) = expected(name);
        let folder = tempfile::tempdir().unwrap();
        let original = load(name);
        original.save(folder.path()).unwrap();
        let copy = Decoder::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
        assert_eq!(copy.config, original.config, "{name}");
        assert_near(&logits(&copy, &sequences), &expected, name);
    }
}

#[test]
fn parameters_are_counted_as_they_are() {
    for name in CHECKPOINTS {
        let decoder = load(name);
        let counted: usize = decoder.parameters().iter().map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(decoder.config.parameters(), counted as u64, "{name}");
    }
}

/// Decodes as answers are generated: a prompt of four tokens in each row, in two blocks filled to rounded lengths,
/// then one token at a time. The last row is not used.
#[track_caller]
fn assert_decodes(decoder: &Decoder, sequences: &[Vec<u32>], expected: &Tensor, what: &str) {
    let device = decoder.device();
    let length = sequences[0].len();
    let expected = expected.view([sequences.len() as i64, length as i64, -1]);
    let rows = sequences.len() + 1;
    let mut cache = decoder.tile(rows as i64, 3 + rounded(length) as i64);
    for (row, tokens) in (0..).zip(sequences) {
        for (start, end) in [(0, 3), (3, 4)] {
            let block = Packed::filled(&[&tokens[start..end]], Some(&[start as i64]), device);
            let place = Place { row, start: start as i64 };
            let found = decoder.hidden_block(&block, &block.tails(&block.lengths), 4, &mut cache, place);
            let (start, count) = (start as i64, (end - start) as i64);
            let found = decoder.head().of_few(&found.narrow(0, 0, count));
            assert_near(&found, &expected.get(row).narrow(0, start, count), what);
        }
    }
    for at in 4..length {
        let (mut ids, mut positions) = (vec![0; rows], vec![None; rows]);
        for (row, tokens) in sequences.iter().enumerate() {
            (ids[row], positions[row]) = (i64::from(tokens[at]), Some(at as i64));
        }
        let found = decoder.head().of_few(&decoder.hidden_tile(&ids, &positions, &mut cache));
        let wanted = expected.select(1, at as i64);
        assert_near(&found.narrow(0, 0, sequences.len() as i64), &wanted, what);
    }
}

#[test]
fn decoding_step_by_step_computes_the_same() {
    for name in CHECKPOINTS {
        let (sequences, expected) = expected(name);
        assert_decodes(&load(name), &sequences, &decoded(name, &expected), name);
    }
}

/// Checks logits computed in bf16. The fixtures' weights are wide, so that an error shows: what rounding
/// makes of them is a share of how far logits spread.
#[track_caller]
fn assert_rounded(found: &Tensor, expected: &Tensor, what: &str) {
    let error = (found.to_device(Device::Cpu).to_kind(Kind::Float) - expected).abs().mean(Kind::Float);
    let share = f64::try_from(error / expected.std(false)).unwrap();
    assert!(share < 3e-2, "{what}: in bf16 the logits differ by {share} of their spread");
}

#[test]
fn bf16_computes_the_same_but_for_rounding() {
    for name in CHECKPOINTS {
        let (sequences, expected) = expected(name);
        let decoder = Decoder::load(&model(name), Kind::BFloat16, Device::Cpu).unwrap();
        assert_rounded(&logits(&decoder, &sequences), &expected, name);
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_computes_the_same() {
    for name in CHECKPOINTS {
        let (sequences, expected) = expected(name);
        let load = |kind| Decoder::load(&model(name), kind, gpu()).unwrap();
        let decoder = load(Kind::Float);
        assert_near(&logits(&decoder, &sequences), &expected, name);
        assert_decodes(&decoder, &sequences, &decoded(name, &expected), name);
        assert_rounded(&logits(&load(Kind::BFloat16), &sequences), &expected, name);
    }
}
