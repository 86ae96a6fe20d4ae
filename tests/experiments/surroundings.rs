//! What a user reads about tokenizers and checkpoints that are on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tutelage::cli::study::StudyArgs;
use tutelage::experiment::{Checked, Faults};

use super::SOUND;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
    }
}

/// Writes `SOUND` after replacing each `(from, to)` as `study.toml`; metrics need no embedding model.
fn study(edits: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut text = format!("{SOUND}\n[evaluation]\nmetrics = [\"rouge-l\"]\n");
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
    }
    fs::write(folder.path().join("study.toml"), text).expect("a file");
    folder
}

/// Checks `study.toml` as the commands do.
fn checked(folder: &Path) -> Result<Checked, Faults> {
    StudyArgs { experiment: folder.join("study.toml"), set: Vec::new() }.check()
}

fn faults(folder: &Path) -> String {
    let faults = checked(folder).expect_err("at least one fault");
    faults.render(false).replace(&format!("{}/", folder.display()), "")
}

#[test]
fn tokenizers_in_files_are_compared_by_their_tokens() {
    let folder = study(&[
        ("a = { byte-level-bpe = { vocabulary = 512 } }", "a = { file = { path = \"a\" } }"),
        ("b = { unigram = { vocabulary = 512 } }", "b = { file = { path = \"b/tokenizer.json\" } }"),
        ("teacher = [\"large\"]", "teacher = [\"foreign\"]"),
    ]);
    copy(&fixture("data/byte-level-bpe"), &folder.path().join("a"));
    copy(&fixture("data/byte-level-bpe"), &folder.path().join("b"));
    checked(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    copy(&fixture("data/unigram"), &folder.path().join("b"));
    let shown = faults(folder.path());
    assert!(shown.contains("the vocabularies of `small` and `foreign` differ"), "{shown}");
}

/// Shows the faults of `study.toml` that the program finds with an environment variable set.
fn faults_with(folder: &Path, name: &str, value: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tutelage"))
        .args(["check", "study.toml"])
        .current_dir(folder)
        .env(name, value)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8").replace(&format!("{}/", folder.display()), "")
}

#[test]
fn an_embedding_model_that_is_named_wrongly() {
    let folder = study(&[("[\"rouge-l\"]\n\n[evaluation]\nmetrics = [\"rouge-l\"]", "[\"cosine\"]")]);
    let shown = faults_with(folder.path(), "TUTELAGE_EMBEDDING_MODEL", &folder.path().join("nowhere"));
    assert!(shown.contains("`nowhere` (TUTELAGE_EMBEDDING_MODEL) holds no embedding model"), "{shown}");
    assert!(shown.contains("help: correct or unset $TUTELAGE_EMBEDDING_MODEL"), "{shown}");
    assert!(!shown.contains("make setup"), "{shown}");
}
