//! No output is an input, and nothing is overwritten that the command did not write.

use std::fs;
use std::path::Path;

use insta::{assert_snapshot, with_settings};

use super::{checkpoint, tutelage, tutelage_reading, write};
use crate::fixtures::{self, copy};

const ROW: &str = "{\"id\": 1, \"prediction\": \"a\", \"reference\": \"a\"}\n";

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn score_overwrites_neither_what_it_reads_nor_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "p.jsonl", ROW);
    write(at, "r.jsonl", "{\"id\": 1, \"reference\": \"a\"}\n");
    write(at, "notes.txt", "mine");
    fs::hard_link(at.join("p.jsonl"), at.join("again.jsonl")).unwrap();
    let base =
        ["score", "--predictions", "p.jsonl", "--references", "r.jsonl", "--metrics", "exact-match", "--per-example"];
    let score = |more: &[&str]| tutelage(at, &[&base[..], more].concat());
    assert_snapshot!(score(&["p.jsonl"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `p.jsonl` is read as `--predictions` and is not overwritten
    hint: give `--per-example` a file of its own
    ");
    for input in ["./p.jsonl", "again.jsonl", "r.jsonl"] {
        for force in [&[input][..], &[input, "--force"]] {
            let told = score(force);
            assert!(told.starts_with("exit 2\n") && told.contains("is not overwritten\n"), "{told}");
        }
    }
    let piped = ["score", "--predictions", "-", "--metrics", "exact-match", "--per-example", "p.jsonl", "--force"];
    assert!(tutelage_reading(at, &piped, "p.jsonl").starts_with("exit 2\n"));
    assert_eq!(read(at, "p.jsonl"), ROW.as_bytes());
    assert_snapshot!(score(&["notes.txt"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `notes.txt` exists and is not of this command's making
    hint: give `--per-example` another name, or `--force` to replace the file
    ");
    assert_eq!(read(at, "notes.txt"), b"mine");
    // Its own file is replaced without asking, one of others when told to.
    for arguments in [&["v.jsonl"][..], &["v.jsonl"], &["notes.txt", "--force"], &["notes.txt"]] {
        assert!(score(arguments).starts_with("exit 0\n"), "{arguments:?}");
    }
    assert_eq!(read(at, "v.jsonl"), read(at, "notes.txt"));
}

#[test]
fn logits_overwrites_neither_the_checkpoint_nor_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    copy(&fixtures::model("llama"), &at.join("model"));
    // The input holds `logits` as well, computed by another program.
    fs::copy(at.join("model/expected.safetensors"), at.join("ids.safetensors")).unwrap();
    fs::copy(at.join("model/expected.safetensors"), at.join("theirs.safetensors")).unwrap();
    let weights = read(at, "model/model.safetensors");
    let logits = |output: &str, more: &[&str]| {
        let base = ["logits", "--model", "model", "--input", "ids.safetensors", "--output", output];
        tutelage(at, &[&base[..], more].concat())
    };
    for input in ["model/model.safetensors", "ids.safetensors"] {
        let told = logits(input, &["--force"]);
        assert!(told.starts_with("exit 2\n") && told.contains("is not overwritten\n"), "{told}");
    }
    assert_eq!(read(at, "model/model.safetensors"), weights);
    let told = logits("theirs.safetensors", &[]);
    assert!(told.contains("error: `theirs.safetensors` exists and is not of this command's making\nhint: "), "{told}");
    for (output, more) in [("l.safetensors", &[][..]), ("l.safetensors", &[]), ("theirs.safetensors", &["--force"])] {
        assert!(logits(output, more).starts_with("exit 0\n"), "{output}");
    }
    assert_eq!(read(at, "l.safetensors"), read(at, "theirs.safetensors"), "metadata come in one order");
}

#[test]
fn bench_overwrites_neither_its_data_nor_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "d.jsonl", "{\"id\": 1, \"question\": \"q\", \"answer\": \"a\"}\n");
    write(at, "losses.json", "[{\"loss\": 1, \"grad_norm\": 1.0}]");
    checkpoint(&at.join("model"));
    let bench = |losses: &str| {
        let base = ["bench", "sft", "--model", "model", "--importer", "jsonl", "--data", "d.jsonl", "--losses", losses];
        tutelage(at, &[&base[..], &["--examples", "1", "--max-length", "64", "--threads", "1"]].concat())
    };
    assert_snapshot!(bench("d.jsonl"), @r"
    exit 2
    --- stdout
    --- stderr
    error: `d.jsonl` is read as `--data` and is not overwritten
    hint: give `--losses` a file of its own
    ");
    // Not in the form that the command writes.
    let told = bench("losses.json");
    assert!(told.contains("error: `losses.json` exists and is not of this command's making\nhint: "), "{told}");
    // Its own file is replaced without asking.
    assert!(bench("own.json").starts_with("exit 0\n"));
    let written = read(at, "own.json");
    assert!(!written.is_empty());
    let told = bench("own.json");
    assert!(told.starts_with("exit 0\n"), "{told}");
    assert_eq!(read(at, "own.json"), written);
}

#[test]
fn bench_of_answers_tells_what_was_written_and_how_fast() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let row = |id: usize| format!("{{\"id\": {id}, \"question\": \"q {id}\", \"answer\": \"a\"}}\n");
    write(at, "d.jsonl", &(0..3).map(row).collect::<String>());
    checkpoint(&at.join("model"));
    let bench = |more: &[&str]| {
        let base = ["bench", "generate", "--model", "model", "--importer", "jsonl", "--data", "d.jsonl"];
        tutelage(at, &[&base[..], &["--max-new-tokens", "5", "--endless", "--threads", "1"], more].concat())
    };
    let shown = bench(&["--examples", "3", "--batch", "2", "--format", "json"]);
    let (status, rest) = shown.split_once("\n--- stdout\n").unwrap();
    assert_eq!(status, "exit 0", "{rest}");
    let timing: serde_json::Value = serde_json::from_str(rest.split_once("--- stderr").unwrap().0).unwrap();
    assert_eq!((timing["answers"].as_u64(), timing["tokens"].as_u64()), (Some(3), Some(15)));
    let number = |name: &str| timing[name].as_f64().unwrap();
    assert!((number("tokens_per_second") * number("seconds") - 15.0).abs() < 1e-6, "{timing}");
    assert!((number("answers_per_second") * number("seconds") - 3.0).abs() < 1e-6, "{timing}");
    assert!(number("prompt_seconds") > 0.0 && number("prompt_tokens") > 3.0 && number("peak_memory_bytes") > 1e6);
    let filters = vec![(r"\d+\.\d+", "N"), (r"\d+ tokens/s", "N tokens/s"), (r"s: \d+ tokens", "s: N tokens")];
    with_settings!({ filters => filters }, {
        assert_snapshot!(bench(&["--examples", "2"]), @r"
        exit 0
        --- stdout
        speed        N answers/s, N tokens/s
        answering    N s: 2 answers, 10 tokens
        prompts      N s: N tokens
        peak memory  N GB
        --- stderr
        ");
    });
    assert_snapshot!(bench(&["--examples", "4"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `d.jsonl` has 3 usable rows, expected at least 4
    hint: `--examples 3` takes them all
    ");
}

#[test]
fn bench_of_a_gpu_runs_every_case_on_tiny_shapes_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "cases.json", "[{\"model\": \"mine\"}]");
    let sizes = ["--length", "48", "--batch-size", "2", "--steps", "2", "--smoke", "--output", "cases.json"];
    let bench = |more: &[&str]| tutelage(at, &[&["bench", "gpu", "--format", "json"][..], &sizes, more].concat());
    let shown = bench(&[]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("cases.json"), "{shown}");
    let shown = bench(&["--force"]);
    let (status, rest) = shown.split_once("\n--- stdout\n").unwrap();
    assert_eq!(status, "exit 0", "{rest}");
    let cases: Vec<serde_json::Value> = serde_json::from_str(rest.split_once("--- stderr").unwrap().0).unwrap();
    assert_eq!(cases, serde_json::from_slice::<Vec<serde_json::Value>>(&read(at, "cases.json")).unwrap());
    let told: Vec<&str> = cases.iter().filter_map(|case| case["case"].as_str()).collect();
    assert_eq!(told, ["lora", "qlora", "full", "answers"].repeat(3));
    for case in cases {
        let speed = case["tokens_per_second"].as_f64().unwrap();
        assert!(speed > 0.0 && case["error"].is_null() && case["gpu_memory_bytes"].is_null(), "{case}");
    }
}
