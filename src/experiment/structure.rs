//! Faults of structure, all of them: unknown keys, misspelt choices, wrong types, missing keys.
//!
//! serde stops at the first fault. So each round reports one, repairs the tree in the way the user
//! most likely meant (the nearest name), or else puts a hole there that reads as any type, and
//! reads again, until the rest of the experiment is there to be checked for meaning.

use serde::Deserialize;

use super::deserialize::{Kind, Problem, Reader};
use super::document::{KeyPath, Node, Place, Step, Value};
use super::faults::{Fault, Faults};
use super::nearest::{nearest, remedy};
use super::settings::Experiment;

/// Faults of structure that are reported at most.
const LIMIT: usize = 500;

/// Reads the experiment from the tree in `faults`, reporting every fault of structure.
///
/// What is returned may stem from repairs; it is only good for finding further faults unless
/// nothing was reported.
pub(crate) fn structure(faults: &mut Faults) -> Option<Experiment> {
    for _ in 0..LIMIT {
        match Experiment::deserialize(Reader::new(&faults.root)) {
            Ok(experiment) => return Some(experiment),
            Err(problem) => recover(problem, faults),
        }
    }
    faults.at("", "too many faults to list them all", "repair these first");
    None
}

fn recover(problem: Problem, faults: &mut Faults) {
    let path = problem.path.unwrap_or_default();
    match problem.kind {
        Kind::UnknownKey { name, allowed } => unknown_key(&path, &name, allowed, faults),
        Kind::UnknownChoice { name, allowed } => unknown_choice(&path, &name, allowed, faults),
        Kind::Missing(name) => missing(&path, name, faults),
        Kind::NoChoice { found, allowed } => {
            let message = format!("`{path}` needs one choice, found {found}");
            faults.at(&path, message, format!("choose one of {}", super::nearest::listed(allowed.iter().copied())));
            dig(&path, faults);
        }
        Kind::ChoiceForm { name, needs_table } => choice_form(&path, &name, needs_table, faults),
        Kind::Type { found, expected } => {
            let message = format!("`{path}` should be {expected}, found {found}");
            let mut fault = Fault::new(&path, message);
            if let Some(help) = conversion(&path, &expected, faults) {
                fault = fault.help(help);
            }
            faults.add(fault);
            dig(&path, faults);
        }
        Kind::Other(message) => {
            faults.add(Fault::new(&path, message));
            dig(&path, faults);
        }
    }
}

fn unknown_key(path: &KeyPath, name: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    let inside = place_words(path);
    let place = key_place(&faults.root, &path.key(name));
    let meant = nearest(name, allowed.iter().copied());
    let in_file = place.as_ref().is_some_and(|place| !faults.sources[place.source].is_override);
    let is_misplaced = in_file && !path.0.is_empty() && keys_of_experiment().contains(&name);
    let of_a_claim = matches!(path.0.first(), Some(Step::Key(table)) if table == "hypotheses");
    let help = match meant {
        _ if name == "alpha" && of_a_claim => {
            "one significance level holds for all claims of an experiment: write `alpha = 0.05` above the first `[table]`".to_owned()
        }
        None if is_misplaced => move_up(name),
        Some(meant) if is_misplaced => format!("{}, or did you mean `{meant}`?", move_up(name)),
        _ => remedy(name, "keys here", allowed.iter().copied()),
    };
    let mut fault = Fault::new(path.key(name), format!("unknown key `{name}` in {inside}")).help(help);
    fault.place = place;
    faults.add(fault);
    let Some(Node { value: Value::Table(table), .. }) = faults.root.get_mut(&path.0) else {
        return;
    };
    let Some(mut node) = table.remove(name) else {
        return;
    };
    // Read on as if the nearest key had been written, or this one where it belongs, so that what is
    // under it is checked too.
    if let Some(meant) = meant {
        match table.remove(meant) {
            None => drop(table.insert(meant.to_owned(), node)),
            Some(stated) if matches!((&node.value, &stated.value), (Value::Table(_), Value::Table(_))) => {
                node.merge(stated);
                table.insert(meant.to_owned(), node);
            }
            Some(stated) => drop(table.insert(meant.to_owned(), stated)),
        }
    } else if let (true, Value::Table(root)) = (is_misplaced, &mut faults.root.value) {
        root.entry(name.to_owned()).or_insert(node);
    }
}

/// Words the remedy for a key of the experiment that stands below the header of a table.
pub(super) fn move_up(name: &str) -> String {
    format!("move `{name}` above the first `[table]`")
}

/// Lists the keys of the experiment itself: what serde allows instead of a nameless one.
fn keys_of_experiment() -> &'static [&'static str] {
    let nameless = Node { value: Value::Table([(String::new(), Node::empty())].into()), ..Node::empty() };
    match Experiment::deserialize(Reader::new(&nameless)).map_err(|problem| problem.kind) {
        Err(Kind::UnknownKey { allowed, .. }) => allowed,
        _ => &[],
    }
}

fn unknown_choice(path: &KeyPath, name: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    let message = format!("`{path}` has no choice `{name}`");
    let help = remedy(name, "choices", allowed.iter().copied());
    let mut fault = Fault::new(path, message).help(help);
    let meant = nearest(name, allowed.iter().copied());
    let is_table = matches!(faults.root.get(&path.0), Some(Node { value: Value::Table(_), .. }));
    if is_table {
        fault.place = key_place(&faults.root, &path.key(name));
    }
    faults.add(fault);
    match (faults.root.get_mut(&path.0).map(|node| &mut node.value), meant) {
        (Some(Value::String(text)), Some(meant)) => *text = meant.to_owned(),
        (Some(Value::Table(table)), Some(meant)) if !table.contains_key(meant) => {
            if let Some(node) = table.remove(name) {
                table.insert(meant.to_owned(), node);
            }
        }
        _ => dig(path, faults),
    }
}

fn missing(path: &KeyPath, name: &'static str, faults: &mut Faults) {
    let message = format!("missing key `{name}` in {}", place_words(path));
    let mut fault = Fault::new(path, message).help(format!("add `{}`", example(name)));
    fault.place = faults.root.get(&path.0).filter(|_| !path.0.is_empty()).map(|n| n.shown_at().clone());
    faults.add(fault);
    let Some(node) = faults.root.get_mut(&path.0) else {
        return;
    };
    let hole = Node { value: Value::Hole, unsound: true, ..node.clone() };
    match &mut node.value {
        Value::Table(table) => {
            table.insert(name.to_owned(), hole);
        }
        // A hole that turns out to be a table with required keys.
        _ => node.value = Value::Table([(name.to_owned(), hole)].into()),
    }
}

fn choice_form(path: &KeyPath, name: &str, needs_table: bool, faults: &mut Faults) {
    let key = path.0.iter().rev().find_map(|step| match step {
        Step::Key(key) if key != name => Some(key.as_str()),
        _ => None,
    });
    let key = key.unwrap_or("choice");
    if needs_table {
        let message = format!("the choice `{name}` is a table of settings, found a word");
        faults.at(
            path,
            message,
            format!("write `{key} = {{ {name} = {{}} }}`, with its settings between the inner braces"),
        );
    } else {
        let message = format!("the choice `{name}` has no settings, found a table");
        faults.at(path, message, format!("write `{key} = \"{name}\"`"));
    }
    let Some(node) = faults.root.get_mut(&path.0) else {
        return;
    };
    if needs_table && node.value == Value::String(name.to_owned()) {
        let inner = Node { value: Value::Table([].into()), unsound: true, ..node.clone() };
        node.value = Value::Table([(name.to_owned(), inner)].into());
    } else {
        dig(path, faults);
    }
}

/// Shows how a required key is written.
fn example(key: &str) -> String {
    let value = match key {
        "version" | "layers" => "1",
        "seeds" => "[10, 20, 30]",
        "data" => return "[data.glossary]".to_owned(),
        "models" | "factors" => return format!("[{key}]"),
        "importer" => "\"glossary\"",
        "student" | "teacher" | "algorithm" => "[\"name\"]",
        "contrast" => "{ factor = \"sft\", better = \"both\", worse = \"none\" }",
        "metrics" => "[\"rouge-l\"]",
        "vocabulary" => "4096",
        "hidden" => "128",
        "heads" => "4",
        "feed-forward" => "384",
        _ => "\"...\"",
    };
    format!("{key} = {value}")
}

/// Puts a hole at a path: nothing more is concluded from what stands there.
fn dig(path: &KeyPath, faults: &mut Faults) {
    if let Some(node) = faults.root.get_mut(&path.0) {
        node.value = Value::Hole;
        node.unsound = true;
    }
}

/// Suggests how a value of the wrong type may be meant.
fn conversion(path: &KeyPath, expected: &str, faults: &Faults) -> Option<String> {
    let node = faults.root.get(&path.0)?;
    let source = faults.sources.get(node.place.source)?;
    let typed = source.text.get(node.place.span.clone()).filter(|text| !text.contains('\n'))?;
    match (&node.value, expected) {
        (Value::String(text), "a number" | "a whole number (0 or more)") if text.parse::<f64>().is_ok() => {
            Some(format!("write it without quotes: `{text}`"))
        }
        (Value::String(text), "`true` or `false`") if text == "true" || text == "false" => {
            Some(format!("write it without quotes: `{text}`"))
        }
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), "text in quotes" | "a path in quotes") => {
            Some(format!("put it in quotes: `\"{typed}\"`"))
        }
        // In `--set` a text may stand without quotes.
        (Value::String(text), "a list") if !typed.starts_with(['"', '\'']) => {
            Some(format!("put it in brackets: `[{text:?}]`"))
        }
        (Value::Integer(_) | Value::Float(_) | Value::String(_), "a list") => {
            Some(format!("put it in brackets: `[{typed}]`"))
        }
        (Value::Float(number), "a whole number (0 or more)") if number.fract() == 0.0 && *number >= 0.0 => {
            Some(format!("write it without a decimal point: `{number:.0}`"))
        }
        _ => None,
    }
}

fn key_place(root: &Node, path: &KeyPath) -> Option<Place> {
    root.get(&path.0)?.key.clone()
}

fn place_words(path: &KeyPath) -> String {
    if path.0.is_empty() { "the experiment".to_owned() } else { format!("`{path}`") }
}
