use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use tch::{Device, Kind, no_grad};

use super::*;
use crate::device::Seed;
use crate::distill::statistics::Moments;
use crate::experiment::settings::{Architecture, Scratch};
use crate::files;
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::layers::Mode;
use crate::models::packed::Packed;

fn decoder(tied: bool) -> Decoder {
    let scratch = Scratch {
        data: None,
        architecture: Architecture::Llama,
        tokenizer: "t".to_owned(),
        hidden: 8,
        layers: 2,
        heads: 2,
        kv_heads: None,
        feed_forward: 16,
        tied,
        positions: 64,
    };
    Decoder::initialise(Config::scratch(&scratch, 30, 0), Seed(1), Device::Cpu)
}

const TOKENS: [&[u32]; 5] = [&[5, 6, 7, 8, 9, 0], &[3, 4, 0], &[9, 8, 7, 6, 5, 4, 3, 0], &[1, 0], &[2, 3, 4, 5, 0]];
const STARTS: [usize; 5] = [3, 1, 7, 1, 2];

fn sequences() -> Vec<Sequence<'static>> {
    TOKENS.into_iter().zip(STARTS).map(|(tokens, response_start)| Sequence { tokens, response_start }).collect()
}

fn run(decoder: &Decoder, folder: &Path, batches: usize) -> Result<Outcome, CaptureError> {
    let mut left = batches;
    capture(decoder, "v", &sequences(), folder, 9, &mut |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Captures to the end and returns what was told on the way.
fn watched(decoder: &Decoder, folder: &Path) -> Vec<Progress> {
    let mut told = Vec::new();
    let outcome = capture(decoder, "v", &sequences(), folder, 9, &mut |progress| {
        told.push(progress);
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    told
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

fn open(folder: &Path) -> Result<Capture, CaptureError> {
    Capture::open(folder, Kind::Float, Device::Cpu)
}

#[test]
fn returns_the_teacher_itself_in_any_order() {
    for tied in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let decoder = decoder(tied);
        assert_eq!(run(&decoder, folder.path(), 100).unwrap(), Outcome::Complete);
        let capture = open(folder.path()).unwrap();
        assert_eq!((capture.vocabulary(), capture.examples(), capture.width()), ("v", 5, 8));
        let mut others = sequences();
        assert!(capture.is_of(&others));
        others.swap(0, 2);
        assert!(!capture.is_of(&others));
        assert!(capture.head.equal(decoder.head().weight) && capture.embedding.equal(&decoder.embed_tokens));
        let order = [2, 0, 4];
        let signal = capture.states(&order).unwrap();
        let mut start = 0;
        let mut moments = Moments::default();
        for (&example, &length) in order.iter().zip(&signal.lengths) {
            let (tokens, first) = (TOKENS[example], STARTS[example]);
            let inputs = &tokens[..tokens.len() - 1];
            let hidden = no_grad(|| decoder.hidden(&Packed::new(&[inputs], None, Device::Cpu), Mode::Infer));
            moments = moments.with(Moments::of(&hidden));
            assert_eq!(length as usize, tokens.len() - first);
            let response = hidden.narrow(0, first as i64 - 1, length);
            assert!(signal.hidden.narrow(0, start, length).allclose(&response, 1e-5, 1e-6, false));
            let ids = |tensor: &tch::Tensor| Vec::<i64>::try_from(tensor.narrow(0, start, length)).unwrap();
            let wide = |tokens: &[u32]| tokens.iter().map(|&id| i64::from(id)).collect::<Vec<_>>();
            assert_eq!(ids(&signal.labels), wide(&tokens[first..]));
            assert_eq!(ids(&signal.inputs), wide(&tokens[first - 1..tokens.len() - 1]));
            start += length;
        }
        let deviation = capture.statistics(&order).unwrap().hidden;
        assert!((deviation - moments.deviation()).abs() < 1e-6);
    }
}

#[test]
fn stopped_killed_and_uninterrupted_runs_end_with_the_same_bytes() {
    let decoder = decoder(true);
    let whole = tempfile::tempdir().unwrap();
    run(&decoder, whole.path(), 100).unwrap();
    let expected = files(whole.path());
    for torn in [0, 1, 17] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(&decoder, folder.path(), 2).unwrap(), Outcome::Stopped);
        assert!(matches!(open(folder.path()), Err(CaptureError::Unfinished { .. })));
        // A kill leaves a torn record and a torn line; or loses the end of the states.
        for name in ["states.bin", "index.jsonl"] {
            let path = folder.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            if torn == 17 {
                bytes.truncate(bytes.len() - torn);
            } else {
                bytes.extend(vec![b'{'; torn]);
            }
            files::write(&path, &bytes).unwrap();
        }
        let told = watched(&decoder, folder.path());
        // What is kept comes first; a lost end is computed again.
        assert_eq!(told[0].positions, 0);
        assert!(told[1..].iter().all(|progress| progress.positions > 0), "{told:?}");
        assert_eq!(told[0].examples, if torn == 17 { 2 } else { 3 });
        assert_eq!(told.last().unwrap().examples, 5);
        assert_eq!(files(folder.path()), expected, "{torn}");
    }
    // Once more changes nothing and computes nothing.
    assert_eq!(watched(&decoder, whole.path()), [Progress { examples: 5, total: 5, positions: 0 }]);
    assert_eq!(files(whole.path()), expected);
}

#[test]
fn other_data_and_another_teacher_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = decoder(true);
    run(&teacher, folder.path(), 1).unwrap();
    let error = run(&decoder(false), folder.path(), 100).unwrap_err();
    assert!(error.to_string().ends_with("was begun for another capture: head differ"), "{error}");
    let fewer = &sequences()[1..];
    let error = capture(&teacher, "w", fewer, folder.path(), 9, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().ends_with("vocabulary, sequences differ"), "{error}");
}

#[test]
fn damage_is_told_with_the_file() {
    let decoder = decoder(true);
    for name in ["states.bin", "index.jsonl", "head.safetensors", "capture.json"] {
        for truncate in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            run(&decoder, folder.path(), 100).unwrap();
            let path = folder.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            if truncate {
                bytes.pop();
                bytes.pop();
            } else {
                bytes[9] ^= 1;
            }
            files::write(&path, &bytes).unwrap();
            let told = match open(folder.path()) {
                Ok(capture) => capture.states(&[0, 1, 2, 3, 4]).unwrap_err(),
                Err(error) => error,
            };
            assert!(told.to_string().contains(name), "{name}: {told}");
        }
    }
}

#[test]
fn a_teacher_whose_states_are_no_numbers_is_refused_before_anything_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = decoder(true);
    broken.norm.weight = &broken.norm.weight * f64::NAN;
    let error = run(&broken, folder.path(), 100).unwrap_err();
    assert!(matches!(error, CaptureError::NotFinite { .. }), "{error}");
    assert!(!folder.path().join("capture.json").exists());
}

#[test]
fn another_version_and_missing_examples_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(&decoder(true), folder.path(), 100).unwrap();
    let error = open(folder.path()).unwrap().states(&[7]).unwrap_err();
    assert_eq!(error.to_string(), "example 7 was asked for, the capture holds 5");
    let path = folder.path().join("capture.json");
    let mut seal: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    seal["plan"]["version"] = json!(2);
    files::write(&path, seal.to_string().as_bytes()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("expected `tutelage-capture` version 1, found `tutelage-capture` version 2"));
}

#[test]
fn sequences_without_prompt_or_response_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for response_start in [0, 2] {
        let bad = [Sequence { tokens: &[1, 2], response_start }];
        let outcome = capture(&decoder(true), "v", &bad, folder.path(), 9, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(outcome, Err(CaptureError::Sequence { example: 0, .. })));
    }
}
