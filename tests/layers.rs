//! The arrows between the parts of the program point one way.

use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src` may use besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("hub", &["files"]),
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
        &[
            "train",
            "distill",
            "generate",
            "evaluate",
            "tuning",
            "models",
            "data",
            "device",
            "experiment",
            "hub",
            "files",
        ],
    ),
    ("export", &["orchestrate", "tuning", "models", "data", "device", "experiment", "hub", "files"]),
];

/// What each room of `src/orchestrate` may use besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("kind", &[]),
    ("keep", &["kind"]),
    ("stages", &["keep", "kind"]),
    ("plan", &["stages", "keep", "kind"]),
    ("estimate", &["plan", "stages", "keep", "kind"]),
    ("execute", &["plan", "stages", "keep", "kind"]),
    ("gather", &["execute", "plan", "stages", "keep", "kind"]),
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

/// Returns the parts of the program that a source names below `path`, such as `crate::`.
///
/// Modules of tests are left out: they are no part of the program, and a test may need a fixture from
/// the other side of an arrow.
fn used(text: &str, path: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let name = |rest: &str| -> String {
        rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
    };
    code.join("\n").split(path).skip(1).map(name).collect()
}

#[test]
fn every_use_is_seen() {
    let text = "use crate::data::{Example, split};\n// crate::cli\nlet x = crate::device::cpu();\nuse crate::train;";
    assert_eq!(used(text, "crate::"), ["data", "device", "train"]);
    assert_eq!(used("use crate::orchestrate::plan::Plan;", "crate::orchestrate::"), ["plan"]);
}

/// Checks that no source of a part names another part than it may.
fn check(source: &Path, path: &str, arrows: &[(&str, &[&str])]) {
    for (part, allowed) in arrows {
        let mut files = Vec::new();
        match source.join(part) {
            folder if folder.is_dir() => sources(&folder, &mut files),
            file => files.push(file.with_extension("rs")),
        }
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).unwrap();
            // One part to a line, as everywhere: what a file needs is seen at a glance, and here.
            assert!(!text.contains(&format!("{path}{{")), "`{}` imports several parts at once", file.display());
            for name in used(&text, path) {
                let known = arrows.iter().any(|(other, _)| *other == name) || name == "cli";
                let may = name == *part || allowed.contains(&name.as_str());
                assert!(may || !known, "`{}` uses `{name}`, expected one of {allowed:?}", file.display());
            }
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    check(&source, "crate::", ARROWS);
    check(&source.join("orchestrate"), "crate::orchestrate::", ROOMS);
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
