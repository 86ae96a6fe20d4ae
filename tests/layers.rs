//! The arrows between the parts of the program point one way.

use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src` may use besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("experiment", &[]),
    ("device", &["experiment"]),
    ("data", &["device", "experiment", "files"]),
    ("models", &["device", "experiment", "files"]),
    ("tuning", &["models", "device", "experiment", "files"]),
    ("distill", &["tuning", "models", "data", "device", "experiment", "files"]),
    ("train", &["distill", "tuning", "models", "data", "device", "experiment", "files"]),
    ("generate", &["tuning", "models", "data", "device", "experiment", "files"]),
    ("evaluate", &["train", "tuning", "models", "data", "device", "experiment", "files"]),
    (
        "orchestrate",
        &["train", "distill", "generate", "evaluate", "tuning", "models", "data", "device", "experiment", "files"],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Returns the parts of the program that a source names.
///
/// Modules of tests are left out: they are no part of the program, and a test may need a fixture from
/// the other side of an arrow.
fn used(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n").split("crate::").skip(1).flat_map(first_names).collect()
}

/// Returns the name that follows `crate::`, or the first name of each path in its braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
    };
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth) = (Vec::new(), 1);
    let mut start = 0;
    for (position, letter) in list.char_indices() {
        depth += match letter {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 || (depth == 1 && letter == ',') {
            names.push(name(list[start..position].trim_start()));
            start = position + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

#[test]
fn every_form_of_use_is_seen() {
    let text =
        "use crate::{\n    data::{Example, split},\n    train,\n};\n// crate::cli\nlet x = crate::device::cpu();";
    assert_eq!(used(text), ["data", "train", "", "device"]);
    assert_eq!(used("pub(crate) use crate::{Error, models};"), ["", "models"]);
}

#[test]
fn arrows_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (part, allowed) in ARROWS {
        let mut files = Vec::new();
        match source.join(part) {
            folder if folder.is_dir() => sources(&folder, &mut files),
            file => files.push(file.with_extension("rs")),
        }
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).unwrap();
            // One part to a line, as everywhere: the parts that a file needs are then seen at a glance.
            assert!(!text.contains("crate::{"), "`{}` imports several parts at once", file.display());
            for name in used(&text) {
                let known = ARROWS.iter().any(|(other, _)| *other == name) || name == "cli";
                let may = name == *part || allowed.contains(&name.as_str());
                assert!(may || !known, "`{}` uses `{name}`, expected one of {allowed:?}", file.display());
            }
        }
    }
}

#[test]
fn metrics_and_reports_know_nothing_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for member in ["metrics", "reports"] {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
        let names = manifest.lines().filter_map(|line| line.split([' ', '.', '=']).next());
        for name in names {
            assert!(!["tutelage", "tch"].contains(&name), "`{member}` depends on `{name}`");
        }
    }
}
