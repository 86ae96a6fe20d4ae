//! Faults of structure, all of them: unknown keys, misspelt choices, wrong types, missing keys.
//!
//! serde stops at the first fault. So each round reports one, repairs the tree in the way the user
//! most likely meant (the nearest name), or else puts a hole there that reads as any type, and
//! reads again, until the rest of the experiment is there to be checked for meaning. A hole makes no
//! further fault, so there are as many rounds as faults.

use serde::Deserialize;

use super::deserialize::{Kind, Problem, Reader};
use super::document::{KeyPath, Node, Place, Step, Value};
use super::factors::LISTED;
use super::faults::{Fault, Faults};
use super::misplaced::{Keys, below_missing_header, beside_their_key, keys_of_experiment, without_name};
use super::nearest::{listed, nearest, remedy};
use super::remedy::{advice, choice, choice_of_text, conversion, example, move_up, stated, table_help, written};
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
    if without_name(&path, faults) {
        return;
    }
    match problem.kind {
        Kind::UnknownKey { name, allowed } => unknown_key(&path, &name, allowed, faults),
        Kind::UnknownChoice { name, allowed } => unknown_choice(&path, &name, allowed, faults),
        Kind::Missing(name) => missing(&path, name, faults),
        Kind::NoChoice { found, allowed } => no_choice(&path, &found, allowed, faults),
        Kind::ChoiceForm { name, needs_table } => choice_form(&path, &name, needs_table, faults),
        Kind::NoTable { found, keys } => {
            let help = table_help(&path, keys, faults);
            let message = format!("{} should be a table, found {found}", place_words(&path));
            faults.add(Fault::new(&path, message).help(help));
            faults.make_hole(&path);
        }
        Kind::Type { found, expected } => {
            let message = format!("{} should be {expected}, found {found}", place_words(&path));
            let mut fault = Fault::new(&path, message);
            fault.help = conversion(&path, &expected, faults);
            let is_single = is_single_table(&path, &expected, faults);
            faults.add(fault);
            match faults.root.get_mut(&path.0) {
                // Read on as if the second pair of brackets were there.
                Some(node) if is_single => node.value = Value::Array(vec![node.clone()]),
                _ => faults.make_hole(&path),
            }
        }
        Kind::Other(message) => {
            faults.add(Fault::new(&path, message));
            faults.make_hole(&path);
        }
    }
}

fn unknown_key(path: &KeyPath, name: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    let inside = place_words(path);
    let place = key_place(&faults.root, &path.key(name));
    let meant = nearest(name, allowed.iter().copied());
    let in_file = place.as_ref().is_some_and(|place| !faults.sources[place.source].is_override);
    let is_misplaced = in_file && !path.0.is_empty() && keys_of_experiment().contains(&name);
    if meant.is_none() && !is_misplaced {
        let is_told = !path.0.is_empty() && beside_their_key(path, allowed, Keys::Settings, faults)
            || in_file && below_missing_header(path, faults);
        if is_told {
            return;
        }
    }
    let help = match (advice(name, allowed), meant) {
        (Some(advice), _) => advice.to_owned(),
        (None, None) if allowed == LISTED => {
            format!(
                "only {} may be lists of names: write `[factors.{name}]` with a table of settings for each level",
                listed(LISTED)
            )
        }
        (None, None) if is_misplaced => move_up(name),
        (None, Some(meant)) if is_misplaced => format!("{}, or did you mean `{meant}`?", move_up(name)),
        _ => remedy(name, "keys here", allowed.iter().copied()),
    };
    let mut fault = Fault::new(path.key(name), format!("unknown key `{name}` in {inside}")).help(help);
    fault.place = place;
    rename(path, name, meant, is_misplaced, faults);
    if let Some(meant) = meant {
        also_of_another_kind(&path.key(meant), &mut fault, faults);
    }
    faults.add(fault);
    if allowed == LISTED
        && meant.is_none()
        && let Some(node) = faults.root.get_mut(&path.0)
    {
        // What names the factor elsewhere is not at fault.
        node.unsound = true;
    }
}

/// Adds to the fault of a misspelt key how its value is written, if that is of another kind, too: one slip
/// (`seed = 10` for `seeds = [10]`) is one fault.
fn also_of_another_kind(path: &KeyPath, fault: &mut Fault, faults: &mut Faults) {
    let Err(Problem { path: Some(at), kind: Kind::Type { expected, .. } }) =
        Experiment::deserialize(Reader::new(&faults.root))
    else {
        return;
    };
    if at == *path {
        let how = conversion(path, &expected, faults).unwrap_or_else(|| format!("it should be {expected}"));
        fault.help = fault.help.take().map(|help| format!("{help}; {how}"));
        faults.make_hole(path);
    }
}

/// Reads on as if the nearest key had been written, or this one where it belongs, so that what is under it
/// is checked too.
fn rename(path: &KeyPath, name: &str, meant: Option<&str>, is_misplaced: bool, faults: &mut Faults) {
    let Some(Node { value: Value::Table(table), .. }) = faults.root.get_mut(&path.0) else {
        return;
    };
    let Some(mut node) = table.remove(name) else {
        return;
    };
    if let Some(meant) = meant.filter(|meant| !is_misplaced || !table.contains_key(*meant)) {
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

fn unknown_choice(path: &KeyPath, name: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    let meant = nearest(name, allowed.iter().copied());
    let is_table = matches!(faults.root.get(&path.0), Some(Node { value: Value::Table(_), .. }));
    if is_table && beside_their_key(path, allowed, Keys::Choices, faults) {
        return;
    }
    if meant.is_none() && below_missing_header(&above(path), faults) {
        return;
    }
    let mut fault = if !is_table && allowed.iter().any(|choice| written(choice).is_some()) {
        let choices = listed(allowed.iter().copied());
        let message = format!("`{path}` should be a table with one of {choices}, found the text {name:?}");
        Fault::new(path, message).help(choice_of_text(path, name, allowed, faults))
    } else {
        let message = format!("`{path}` has no choice `{name}`");
        Fault::new(path, message).help(remedy(name, "choices", allowed.iter().copied()))
    };
    if is_table {
        fault.place = key_place(&faults.root, &path.key(name));
    }
    let is_word = fault.message.ends_with('`');
    faults.add(fault);
    match (faults.root.get_mut(&path.0).map(|node| &mut node.value), meant) {
        (Some(Value::String(text)), Some(meant)) if is_word => *text = meant.to_owned(),
        (Some(Value::Table(table)), Some(meant)) if !table.contains_key(meant) => {
            if let Some(mut node) = table.remove(name) {
                // A text is checked once it stands below the right name.
                node.unsound |= matches!(node.value, Value::String(_));
                table.insert(meant.to_owned(), node);
            }
        }
        _ => faults.make_hole(path),
    }
}

fn no_choice(path: &KeyPath, found: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    if beside_their_key(path, allowed, Keys::Choices, faults) || below_missing_header(&above(path), faults) {
        return;
    }
    let names = listed(allowed.iter().copied());
    // A number is most likely that of the tokens.
    let example = allowed.iter().find(|name| **name == "byte-level-bpe").or(allowed.first());
    let (message, help) = match (faults.root.get(&path.0).map(|node| &node.value), example) {
        (Some(Value::Table(_)), _) | (_, None) => {
            (format!("`{path}` needs one choice, found {found}"), format!("choose one of {names}"))
        }
        (_, Some(example)) if written(example).is_some() => (
            format!("`{path}` should be a table with one of {names}, found {found}"),
            format!("write it as in `{}`", stated(path, &choice(example), faults)),
        ),
        _ => (format!("`{path}` should be one of {names}, found {found}"), "write its name in quotes".to_owned()),
    };
    faults.at(path, message, help);
    faults.make_hole(path);
}

/// Says whether one table stands where a list of tables belongs.
fn is_single_table(path: &KeyPath, expected: &str, faults: &Faults) -> bool {
    let is_element = |node: &Node| match &node.value {
        Value::Table(table) => !table.is_empty() && !table.values().all(|node| matches!(node.value, Value::Table(_))),
        _ => false,
    };
    expected == "a list" && path.0.len() == 1 && faults.root.get(&path.0).is_some_and(is_element)
}

/// Reports all keys that a table lacks as one fault, and puts holes there.
fn missing(path: &KeyPath, name: &'static str, faults: &mut Faults) {
    let mut names = vec![name];
    let mut lacking = Some(name);
    while let (Some(name), Some(node)) = (lacking, faults.root.get_mut(&path.0)) {
        let hole = Node { value: Value::Hole, unsound: true, ..node.clone() };
        if let Value::Table(table) = &mut node.value {
            table.insert(name.to_owned(), hole);
        }
        lacking = match Experiment::deserialize(Reader::new(&faults.root)) {
            Err(Problem { path: at, kind: Kind::Missing(next) }) if at.as_ref() == Some(path) => Some(next),
            _ => None,
        };
        names.extend(lacking);
    }
    let plural = if names.len() == 1 { "" } else { "s" };
    let message = format!("missing key{plural} {} in {}", listed(names.iter().copied()), place_words(path));
    let examples: Vec<String> = names.iter().map(|name| format!("`{}`", example(name))).collect();
    let mut fault = Fault::new(path, message).help(format!("add {}", examples.join(", ")));
    fault.place = faults.root.get(&path.0).filter(|_| !path.0.is_empty()).map(|n| n.shown_at().clone());
    faults.add(fault);
}

fn choice_form(path: &KeyPath, name: &str, needs_table: bool, faults: &mut Faults) {
    let place = match path.0.last() {
        // Inside the choice, if that is a table.
        Some(Step::Key(key)) if key == name && !needs_table => KeyPath(path.0[..path.0.len() - 1].to_vec()),
        _ => path.clone(),
    };
    let (message, help) = if needs_table {
        let between = if written(name) == Some("{}") { ", with its settings between the inner braces" } else { "" };
        let help = format!("write `{}`{between}", stated(path, &choice(name), faults));
        (format!("the choice `{name}` is a table of settings, found a word"), help)
    } else {
        let help = format!("write `{}`", stated(&place, &format!("{name:?}"), faults));
        (format!("the choice `{name}` has no settings, found a table"), help)
    };
    faults.at(path, message, help);
    faults.make_hole(path);
}

fn key_place(root: &Node, path: &KeyPath) -> Option<Place> {
    root.get(&path.0)?.key.clone()
}

fn place_words(path: &KeyPath) -> String {
    if path.0.is_empty() { "the experiment".to_owned() } else { format!("`{path}`") }
}

/// Returns the path of the table around a setting.
fn above(path: &KeyPath) -> KeyPath {
    KeyPath(path.0[..path.0.len().saturating_sub(1)].to_vec())
}
