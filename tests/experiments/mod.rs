//! The experiment file, as a user meets it.

mod choices;
mod data;
mod factors;
mod files;
mod forms;
mod meaning;
mod numbers;
mod reading;
mod robustness;
mod sets;
mod structure;
mod studies;
mod surroundings;
mod tuning;

use std::fs;
use std::path::Path;

use tutelage::experiment::settings::Task;
use tutelage::experiment::{Checked, Faults, Sought, Surroundings, check, load};
use tutelage::hub::Name;

/// Metrics that these tests know, of answers.
const METRICS: [&str; 11] = [
    "bleu",
    "chrf",
    "rouge-1",
    "rouge-2",
    "rouge-l",
    "exact-match",
    "token-f1",
    "cosine",
    "nll",
    "perplexity",
    "bits-per-byte",
];

fn metrics(task: Task) -> Vec<&'static str> {
    match task {
        Task::Answer => METRICS.to_vec(),
        Task::Choice => vec!["acc", "acc-norm"],
        Task::Perplexity => vec!["nll", "perplexity", "bits-per-byte"],
    }
}

/// Reads the name of a hub model, which is not downloaded.
fn in_cache(name: &str, _: Sought) -> Result<bool, (String, String)> {
    Name::parse(name).map(|_| false).map_err(|error| (error.to_string(), error.hint().to_owned()))
}

/// Checks a file where every tokenizer is readable, hub models are not downloaded and the training
/// split has 2,000 examples.
fn checked(path: &Path, overrides: &[&str]) -> Result<Checked, Faults> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let around = Surroundings {
        metrics: &metrics,
        per_token: &["nll", "perplexity"],
        vocabularies: &|_, _| None,
        in_cache: &in_cache,
        positions: &|_| None,
        width: &|_| None,
        adapters: &|_, _| None,
        quantised: &|_| None,
        train_examples: Some(2000),
        default_embedding_model: Ok(()),
    };
    check(load(path, &overrides), &around)
}

/// A small experiment in which nothing is wrong.
const SOUND: &str = r#"version = 1
question = "Does distillation help?"
seeds = [10]

[data.glossary]
importer = "glossary"
split = { group-by = "given" }

[tokenizers]
a = { byte-level-bpe = { vocabulary = 512 } }
b = { unigram = { vocabulary = 512 } }

[models]
small.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }
large.scratch = { tokenizer = "a", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }
foreign.scratch = { tokenizer = "b", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }

[factors]
student = ["small"]
teacher = ["large"]
sft = ["none", "both"]
algorithm = ["kd"]

[algorithms.kd.vanilla]
temperature = 2.0

[[hypotheses]]
name = "fine-tuning helps"
contrast = { factor = "sft", better = "both", worse = "none" }
metrics = ["rouge-l"]
"#;

/// The student of `SOUND`.
const SMALL: &str = "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }";

/// Shows the faults of `SOUND` after replacing each `(from, to)`.
fn faults(edits: &[(&str, &str)], overrides: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut text = SOUND.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
    }
    let path = folder.path().join("study.toml");
    fs::write(&path, text).expect("a file");
    let faults = checked(&path, overrides).expect_err("at least one fault");
    let root = format!("{}/", folder.path().display());
    faults.render(false).replace(&root, "")
}

/// Writes several files and shows the faults of `study.toml` among them.
fn faults_of_files(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let faults = checked(&folder.path().join("study.toml"), &[]).expect_err("at least one fault");
    let root = format!("{}/", folder.path().display());
    faults.render(false).replace(&root, "")
}

/// Shows the one fault of `SOUND` after edits that make one mistake.
fn one_fault(edits: &[(&str, &str)], overrides: &[&str]) -> String {
    let shown = faults(edits, overrides);
    shown.strip_suffix("\n1 fault in `study.toml`\n").unwrap_or_else(|| panic!("not one fault:\n{shown}")).to_owned()
}
