//! The experiment files of this repository.

use std::fs;
use std::path::{Path, PathBuf};

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
    assert_eq!(checked.arms[15].levels()["student"], "student");
    assert_eq!(checked.references.len(), 6);
    assert_eq!(checked.notes, Vec::<String>::new());
}

#[test]
fn the_paper_setting_names_what_is_not_downloaded() {
    let path = study("kd-telecom-qa.toml");
    let checked = checked(&path, &["data.telequad.path=Cargo.toml"]).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(checked.notes.len(), 3, "{:?}", checked.notes);
    assert!(checked.notes.iter().all(|note| note.contains("not downloaded")));
}
