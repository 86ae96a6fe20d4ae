//! `check`, `plan`, `status`, `report` and `doctor` on a small experiment.

use insta::{assert_snapshot, with_settings};

use super::{tutelage, write};

const STUDY: &str = r#"version = 1
question = "Does it run?"
seeds = [10]

[data.glossary]
importer = "glossary"
split = { group-by = "given" }

[tokenizers.bpe.byte-level-bpe]
vocabulary = 600

[models.small.scratch]
tokenizer = "bpe"
hidden = 16
layers = 1
heads = 2
feed-forward = 32

[models.big.scratch]
tokenizer = "bpe"
hidden = 32
layers = 1
heads = 2
feed-forward = 64

[factors]
student = ["small"]
teacher = ["big"]
sft = ["none", "both"]
algorithm = ["kd"]

[algorithms.kd.vanilla]

[evaluation]
metrics = ["rouge-l", "token-f1", "nll"]

[compute]
device = "cpu"
precision = "f32"
"#;

fn study(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "study.toml", text);
    folder
}

fn json(folder: &tempfile::TempDir, arguments: &[&str]) -> serde_json::Value {
    let text = tutelage(folder.path(), &[arguments, &["--format", "json"]].concat());
    let (_, rest) = text.split_once("--- stdout\n").unwrap();
    let (stdout, _) = rest.split_once("--- stderr\n").unwrap();
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_sound_study_has_no_faults() {
    assert_snapshot!(tutelage(study(STUDY).path(), &["check", "study.toml"]), @r"
    exit 0
    --- stdout
    study: no faults; arms: 2, seeds: 1
    --- stderr
    ");
}

#[test]
fn every_fault_is_shown_at_once() {
    let text = STUDY.replace("layers = 1\nheads = 2\nfeed-forward = 64", "layer = 1\nheads = 2\nfeed-forward = 64");
    let text = text.replace("teacher = [\"big\"]", "teacher = [\"huge\"]");
    let shown = tutelage(study(&text).path(), &["check", "study.toml"]);
    assert!(shown.starts_with("exit 1\n--- stdout\n--- stderr\n"), "{shown}");
    assert!(shown.contains("`layer`") && shown.contains("`huge`"), "{shown}");
    assert!(shown.contains("study.toml:22:1"), "{shown}");
}

#[test]
fn faults_are_json_for_programs() {
    let folder = study(&STUDY.replace("teacher = [\"big\"]", "teacher = [\"huge\"]"));
    let faults = json(&folder, &["run", "study.toml"]);
    assert_eq!(faults["faults"].as_array().map(Vec::len), Some(1));
    assert!(!folder.path().join("runs").exists(), "nothing was written");
}

#[test]
fn a_damaged_data_file_is_a_fault_before_anything_runs() {
    let text = STUDY.replace(
        "importer = \"glossary\"\nsplit = { group-by = \"given\" }",
        "importer = \"jsonl\"\npath = \"qa.jsonl\"",
    );
    let folder = study(&text);
    write(
        folder.path(),
        "qa.jsonl",
        "{\"id\": \"1\", \"question\": \"q?\", \"answer\": \"a\"}\n{\"id\": \"2\", \"quest\n",
    );
    let shown = tutelage(folder.path(), &["check", "study.toml"]);
    assert!(shown.starts_with("exit 1\n") && shown.contains("qa.jsonl"), "{shown}");
}

#[test]
fn a_plan_lists_every_stage_with_its_cost() {
    let plan = json(&study(STUDY), &["plan", "study.toml"]);
    let stages = plan["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 22);
    for stage in stages {
        assert_eq!(stage["state"], "missing");
        assert!(stage["estimate"]["seconds"].is_number(), "{stage}");
    }
    assert_eq!(plan["remaining"]["stages"], 22);
    assert_eq!(plan["remaining"]["unknown"], 0);
}

#[test]
fn a_checkpoint_that_is_not_here_can_be_planned() {
    let text = STUDY.replace(
        "[models.big.scratch]\ntokenizer = \"bpe\"\nhidden = 32\nlayers = 1\nheads = 2\nfeed-forward = 64",
        "[models.big]\ncheckpoint = \"hf:nobody/nothing\"",
    );
    let text = text.replace("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\"");
    let folder = study(&text);
    let plan = json(&folder, &["plan", "study.toml"]);
    assert_eq!(plan["remaining"]["stages"], 21);
    assert!(plan["remaining"]["unknown"].as_u64() > Some(0), "{plan}");
}

#[test]
fn status_and_report_say_what_is_missing() {
    let folder = study(STUDY);
    assert_snapshot!(tutelage(folder.path(), &["status", "study.toml"]), @r"
    exit 1
    --- stdout
    study: 0 of 22 stages done
    prepare   2 missing
    pretrain  2 missing
    sft       2 missing
    capture   2 missing
    distill   2 missing
    generate  6 missing
    score     6 missing
    --- stderr
    ");
    assert_snapshot!(tutelage(folder.path(), &["report", "study.toml"]), @r"
    exit 1
    --- stdout
    --- stderr
    error: nothing of `study` is scored yet
    hint: `tutelage run` computes what is missing
    ");
}

#[test]
fn a_store_that_cannot_be_made_is_an_error() {
    let folder = study(STUDY);
    write(folder.path(), "file", "");
    let shown = tutelage(folder.path(), &["run", "study.toml", "--store", "file/runs"]);
    with_settings!({filters => vec![(r"\(os error \d+\)", "(os error N)")]}, {
        assert_snapshot!(shown, @r"
        exit 2
        --- stdout
        --- stderr
        error: cannot open the store `file/runs`
          caused by: cannot write `file/runs/stages`
          caused by: Not a directory (os error N)
        ");
    });
}

#[test]
fn the_doctor_has_a_remedy_for_everything_that_is_missing() {
    let findings = json(&study(STUDY), &["doctor"]);
    let findings = findings.as_array().unwrap();
    let names: Vec<&str> = findings.iter().filter_map(|finding| finding["what"].as_str()).collect();
    for name in
        ["libtorch", "CUDA", "threads", "waiting threads", "NVML", "WordNet", "embedding model", "Slurm", "disk"]
    {
        assert!(names.contains(&name), "{name} is not examined: {names:?}");
    }
    for finding in findings.iter().filter(|finding| finding["state"] != "ok") {
        assert!(finding["remedy"].is_string(), "{finding}");
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    let shown = tutelage(study(STUDY).path(), &["rum"]);
    assert!(shown.starts_with("exit 2\n--- stdout\n--- stderr\n"), "{shown}");
}
