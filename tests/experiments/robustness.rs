//! Whatever is in the file: faults, never a panic.

use std::fs;

use proptest::prelude::*;

use super::{SOUND, checked};

/// Pieces that break files in interesting ways.
const PIECES: [&str; 22] = [
    "",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "\n",
    "[[",
    "#",
    ".",
    ",",
    "-1",
    "1e999",
    "inf",
    "99999999999999999999999999",
    "é",
    "\r\n",
    "\t",
    "\u{202e}",
    "\"\"\"",
    "[tuning.lora]\n",
];

/// Every setting that a file can state, with a choice that has settings of its own wherever there is one.
const EVERYTHING: &str = r#"
baseline = { sft = "none" }
reproduces = "arXiv:2504.20000"
assumptions = ["none"]

[tuning.lora]
rank = 8

[training.pretrain]
schedule = { linear = { warmup = 0.1 } }

[training.sft]
max-prompt = 100

[evaluation]
decoding = { sample = { top-k = 50 } }
limit = 10

[compute]
threads = 2

[energy]
cpu-tdp-watts = 65
dram-watts-per-gib = 0.3
grid-kg-co2e-per-kwh = 0.4
pue = 1.2
"#;

/// Lists `path=value` with a value of another kind for every setting at or below one.
fn of_another_kind(path: &str, value: &toml::Value, overrides: &mut Vec<String>) {
    let wrong = match value {
        toml::Value::String(_) => ["3", "[1]", "{ a = 1 }"],
        toml::Value::Array(_) | toml::Value::Table(_) => ["3", "true", "text"],
        _ => ["text", "[1]", "{ a = 1 }"],
    };
    if !path.is_empty() {
        overrides.extend(wrong.map(|wrong| format!("{path}={wrong}")));
    }
    for (key, value) in value.as_table().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        of_another_kind(&path, value, overrides);
    }
}

#[test]
fn a_value_of_another_kind_is_one_fault_wherever_it_stands() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    let (root, tables) = EVERYTHING.split_once("\n\n").expect("keys before tables");
    fs::write(&path, format!("{root}\n{SOUND}\n{tables}")).expect("a file");
    let experiment = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}")).experiment;
    let resolved = toml::Value::try_from(experiment).expect("TOML");
    let mut overrides = Vec::new();
    of_another_kind("", &resolved, &mut overrides);
    assert!(overrides.len() > 200, "{}", overrides.len());
    for argument in &overrides {
        let faults = checked(&path, &[argument]).expect_err(argument);
        assert_eq!(faults.len(), 1, "{argument}\n{faults}");
    }
}

#[test]
fn a_slip_of_the_pen_is_one_fault_at_most() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    let count = |text: String| {
        fs::write(&path, text).expect("a file");
        checked(&path, &[]).map_or_else(|faults| (faults.len(), faults.to_string()), |_| (0, String::new()))
    };
    let is_word = |c: char| c.is_ascii_alphabetic() || c == '-';
    let mut faulty = 0;
    for (start, word) in SOUND.match_indices(|c: char| !is_word(c)).map(|(at, sign)| at + sign.len()).filter_map(|at| {
        let rest = &SOUND[at..];
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        (end > 2).then(|| (at, &rest[..end]))
    }) {
        let (first, rest) = word.split_at(1);
        let (second, rest) = rest.split_at(1);
        let last = &word[word.len() - 1..];
        for slip in [format!("{second}{first}{rest}"), word[..word.len() - 1].to_owned(), format!("{word}{last}")] {
            let (faults, shown) = count(format!("{}{slip}{}", &SOUND[..start], &SOUND[start + word.len()..]));
            assert!(faults <= 1, "{word} -> {slip}\n{shown}");
            faulty += faults;
        }
    }
    assert!(faulty > 100, "{faulty}");
    // Settings whose header is missing could be those of any algorithm.
    for line in SOUND.lines().filter(|line| !line.is_empty() && *line != "[algorithms.kd.vanilla]") {
        let (faults, shown) = count(SOUND.replacen(&format!("{line}\n"), "", 1));
        assert!(faults <= 1, "without {line}\n{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_files_never_panic(
        edits in prop::collection::vec((0..SOUND.len(), 0..12_usize, 0..PIECES.len()), 1..5),
    ) {
        let mut text = SOUND.to_owned();
        for (start, length, piece) in edits {
            let start = start.min(text.len());
            let end = (start + length).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, PIECES[piece]);
            }
        }
        try_text(&text);
    }

    #[test]
    fn values_of_any_type_anywhere_never_panic(
        line in 0..SOUND.lines().count(),
        value in prop::sample::select(vec![
            "0", "-1", "1.5", "nan", "true", "\"\"", "\"x\"", "[]", "[[]]", "{}", "{ a = 1 }",
            "1979-05-27", "[1, \"a\", {}]", "{ vanilla = {}, dual-space = {} }",
        ]),
    ) {
        let edit = |(index, text): (usize, &str)| match text.split_once(" = ") {
            Some((key, _)) if index == line => format!("{key} = {value}\n"),
            _ => format!("{text}\n"),
        };
        let text: String = SOUND.lines().enumerate().map(edit).collect();
        try_text(&text);
    }

    #[test]
    fn any_override_never_panics(argument in ".{0,30}") {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("study.toml");
        fs::write(&path, SOUND).expect("a file");
        if let Err(faults) = checked(&path, &[&argument]) {
            prop_assert!(!faults.render(true).is_empty());
        }
    }
}

fn try_text(text: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, text).expect("a file");
    if let Err(faults) = checked(&path, &[]) {
        assert!(!faults.render(false).is_empty());
        assert!(!faults.to_json()["faults"].as_array().expect("a list").is_empty());
    }
}
