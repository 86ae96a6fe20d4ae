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
