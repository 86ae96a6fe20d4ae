//! Data sets: their importers, columns and divisions.

use std::fs;

use insta::assert_snapshot;

use super::{SOUND, checked, one_fault};

/// The data set of `SOUND`.
const GLOSSARY: &str = "[data.glossary]\nimporter = \"glossary\"\nsplit = { group-by = \"given\" }";

/// Shows the one fault of a data set that replaces that of `SOUND`.
fn fault(settings: &str) -> String {
    one_fault(&[(GLOSSARY, &format!("[data.own]\n{settings}"))], &[])
}

/// Checks an experiment with these data sets, whose files `Cargo.toml` and folders `tests` are there.
fn is_sound(sets: &str) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("texts")).expect("a folder");
    fs::write(folder.path().join("rows.csv"), "").expect("a file");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND.replace(GLOSSARY, sets)).expect("a file");
    checked(&path, &[]).map_err(|faults| eprintln!("{faults}")).is_ok()
}

#[test]
fn an_experiment_may_have_several_data_sets() {
    let rows = "[data.a]\nimporter = \"qa\"\npath = \"rows.csv\"";
    assert!(is_sound(rows));
    assert!(is_sound(&format!("{rows}\n{}\n[data.c]\nimporter = \"text\"\npath = \"texts\"", GLOSSARY)));
    assert_snapshot!(one_fault(&[(GLOSSARY, "[data]")], &[]), @"");
}

#[test]
fn a_division_may_leave_splits_out() {
    let set = |importer: &str, split: &str| {
        is_sound(&format!("[data.a]\nimporter = {importer:?}\npath = \"rows.csv\"\nsplit = {{ {split} }}"))
    };
    for split in [
        "train = 0.8, dev = 0.0, test = 0.2",
        "train = 0.0, dev = 0.0, test = 1.0",
        "all = \"test\"",
        "all = \"train\", group-by = \"example\"",
    ] {
        assert!(set("squad", split), "{split}");
    }
    for importer in ["qa", "jsonl", "messages", "sharegpt", "text", "choice"] {
        assert!(set(importer, "group-by = \"given\""), "{importer}");
    }
    assert_snapshot!(fault("importer = \"teleqna\"\npath = \"study.toml\"\nsplit.group-by = \"given\""), @"");
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nsplit = { group-by = \"given\", all = \"dev\" }"), @"");
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nsplit = { train = 0, dev = 0, test = 0 }"), @"");
}

#[test]
fn only_texts_may_be_a_folder() {
    assert!(is_sound("[data.a]\nimporter = \"text\"\npath = \"texts\""));
    assert_snapshot!(fault("importer = \"qa\"\npath = \".\""), @"");
    assert_snapshot!(fault("importer = \"text\"\npath = \"nowhere\""), @"");
}

#[test]
fn columns_are_those_of_the_importer() {
    assert!(is_sound(
        "[data.a]\nimporter = \"choice\"\npath = \"rows.csv\"\nfields = [\"use-case\"]\n\
         columns = { question = \"Q\", options = [\"A\", \"B\"], group = \"G\" }"
    ));
    let with = |importer: &str, columns: &str| {
        fault(&format!("importer = {importer:?}\npath = \"study.toml\"\ncolumns = {{ {columns} }}"))
    };
    assert_snapshot!(with("qa", "qestion = \"Question\""), @"");
    assert_snapshot!(with("qa", "answers = [\"A\", \"B\"]"), @"");
    assert_snapshot!(with("choice", "options = [\"A\"]"), @"");
    assert_snapshot!(with("qa", "question = \"\""), @"");
    assert_snapshot!(with("qa", "question = \"Q\", answer = \"Q\""), @"");
    assert_snapshot!(with("qa", "question = 3"), @"");
    assert_snapshot!(with("teleqna", "question = \"Q\""), @"");
}

#[test]
fn fields_and_passwords_are_there() {
    assert!(is_sound(&format!("{GLOSSARY}\nfields = [\"fact\"]")));
    assert!(is_sound("[data.a]\nimporter = \"teleqna\"\npath = \"rows.csv\"\npassword = \"x\""));
    assert_snapshot!(one_fault(&[(GLOSSARY, &format!("{GLOSSARY}\nfields = [\"term\"]"))], &[]), @"");
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nfields = [\"a\", \"a\"]"), @"");
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\npassword = \"x\""), @"");
    assert_snapshot!(fault("importer = \"mmlu\"\npath = \"study.toml\""), @"");
}
