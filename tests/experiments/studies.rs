//! The experiment files of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tutelage::experiment::{load, resolve};

use super::checked;

fn study(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(name)
}

/// Every experiment, with the overrides it needs; any existing file serves as data here.
fn studies() -> Vec<(PathBuf, Vec<&'static str>)> {
    let data = "data.telequad.path=Cargo.toml";
    let mut studies = Vec::new();
    for entry in fs::read_dir(study("")).expect("the folder of experiments") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let telequad = fs::read_to_string(&path).expect("text").contains("[data.telequad]");
            studies.push((path, if telequad { vec![data] } else { vec![] }));
        }
    }
    assert!(studies.len() >= 3, "found {studies:?}");
    studies
}

#[test]
fn every_experiment_is_sound() {
    for (path, overrides) in studies() {
        if let Err(faults) = checked(&path, &overrides) {
            panic!("{}\n{faults}", path.display());
        }
    }
}

/// The example of the README, where its data and checkpoint would be.
#[test]
fn the_example_of_the_readme_lacks_only_its_files() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, example).expect("a file");
    let faults = checked(&path, &[]).expect_err("no files").to_string();
    assert!(faults.contains("no file at") && faults.contains("no checkpoint folder at"), "{faults}");
    assert!(faults.contains("2 faults in"), "{faults}");
    let present = ["data.tickets.path=Cargo.toml", "models.student.checkpoint=hf:a/b"];
    checked(&path, &present).unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn every_resolved_copy_reads_back_equal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, overrides) in studies() {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let original = load(&path, &overrides).experiment.expect("a sound experiment");
        let text = resolve(&original).expect("TOML");
        let copy = folder.path().join("resolved.toml");
        fs::write(&copy, &text).expect("a file");
        let loaded = load(&copy, &[]);
        assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        assert_eq!(loaded.experiment.as_ref(), Some(&original));
        assert_eq!(resolve(&original).expect("TOML"), text);
    }
}

#[test]
fn the_study_has_sixteen_arms() {
    let checked = checked(&study("quickstart.toml"), &[]).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(checked.arms.len(), 16);
    assert_eq!(checked.arms[0].name, "same/none/kd");
    assert_eq!(checked.arms[15].name, "other/both/dskd");
    assert_eq!(checked.arms[15].levels["student"], "student");
    assert_eq!(checked.references.len(), 6);
    assert_eq!(checked.notes, Vec::<String>::new());
}

#[test]
fn the_paper_setting_names_what_is_not_downloaded() {
    let path = study("kd-telecom-qa.toml");
    let checked = checked(&path, &["data.telequad.path=Cargo.toml"]).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(checked.notes.len(), 3, "{:?}", checked.notes);
    assert!(checked.notes.iter().all(|note| note.contains("is not on this machine: `tutelage run` downloads it")));
}

/// Questions on ten documents, as TeleQuAD divides them: enough for a batch of the largest study.
fn telequad() -> Value {
    let question = |document: usize, number: usize| {
        json!({
            "id": format!("{document}-{number}"),
            "question": format!("What does rule {number} of document {document} say?"),
            "answers": [{ "text": format!("wait {number} slots"), "answer_start": 27 * number + 13 }],
            "is_impossible": false,
        })
    };
    let document = |document: usize| {
        let sentences: Vec<String> = (0..6).map(|number| format!("Terminals do wait {number} slots")).collect();
        let questions: Vec<Value> = (0..6).map(|number| question(document, number)).collect();
        json!({
            "title": "Rules", "docid": document,
            "paragraphs": [{ "context": sentences.join(". "), "qas": questions }],
        })
    };
    json!({ "version": "v2.0", "data": (0..10).map(document).collect::<Vec<_>>() })
}

/// Plans an experiment in a folder where nothing is downloaded.
fn planned(experiment: &Path, folder: &Path) -> Value {
    let encoder = folder.join("encoder");
    fs::create_dir_all(&encoder).expect("a folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(encoder.join(name), "").expect("a file");
    }
    let data = folder.join("telequad.json");
    fs::write(&data, telequad().to_string()).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutelage"));
    command.args(["plan", "--format", "json", "--set", "compute.device=cpu"]).arg(experiment).current_dir(folder);
    if fs::read_to_string(experiment).expect("text").contains("[data.telequad]") {
        command.arg("--set").arg(format!("data.telequad.path={}", data.display()));
    }
    command.env("HF_HOME", folder.join("hub")).env_remove("HF_HUB_CACHE").env("TUTELAGE_EMBEDDING_MODEL", encoder);
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_experiment_is_planned_with_its_cost_where_nothing_is_downloaded() {
    for (path, _) in studies() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = planned(&path, folder.path());
        let stages = plan["stages"].as_array().expect("a list");
        let remaining = &plan["remaining"];
        assert_eq!(remaining["stages"], stages.len(), "{}", path.display());
        assert_eq!(remaining["unknown"], 0, "{}: {remaining}", path.display());
        for stage in stages {
            assert_eq!(stage["state"], "missing", "{stage}");
            for key in ["seconds", "memory_bytes", "disk_bytes", "kilowatt_hours"] {
                assert!(stage["estimate"][key].is_number(), "{}: {key} of {stage}", path.display());
            }
        }
        for key in ["seconds", "memory_bytes", "disk_bytes", "kilowatt_hours"] {
            assert!(remaining[key].as_f64() > Some(0.0), "{}: {remaining}", path.display());
        }
    }
}
