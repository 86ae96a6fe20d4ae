//! Faults of structure, all of them: unknown keys, misspelt choices, wrong types, missing keys.
//!
//! serde stops at the first fault. So each round reports one, repairs the tree in the way the user
//! most likely meant (the nearest name), or else puts a hole there that reads as any type, and
//! reads again, until the rest of the experiment is there to be checked for meaning. A hole makes no
//! further fault, so there are as many rounds as faults.

use serde::Deserialize;

use super::check::TARGET_MODULES;
use super::deserialize::{Kind, Problem, Reader};
use super::document::{KeyPath, Node, Place, Step, Value};
use super::faults::{Fault, Faults};
use super::load::{as_list, quoted};
use super::nearest::{listed, nearest, remedy};
use super::settings::Experiment;
use super::syntax::number;

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
        Kind::NoChoice { found, allowed } => no_choice(&path, &found, allowed, faults),
        Kind::ChoiceForm { name, needs_table } => choice_form(&path, &name, needs_table, faults),
        Kind::NoTable { found, keys } => {
            let help = table_help(&path, keys, faults);
            let message = format!("{} should be a table, found {found}", place_words(&path));
            faults.add(Fault::new(&path, message).help(help));
            dig(&path, faults);
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
                _ => dig(&path, faults),
            }
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
    let help = match (meant, advice(name)) {
        (None, _) if is_misplaced => move_up(name),
        (Some(meant), _) if is_misplaced => format!("{}, or did you mean `{meant}`?", move_up(name)),
        (None, Some(advice)) => advice.to_owned(),
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

/// Says where a setting stands, or what stands for it, that users expect elsewhere.
fn advice(key: &str) -> Option<&'static str> {
    match key.to_lowercase().replace('_', "-").as_str() {
        "warmup" | "warmup-ratio" | "warmup-steps" | "floor" | "min-lr" | "lr-scheduler" | "lr-scheduler-type" => {
            Some("write `schedule = { cosine = { warmup = 0.05, floor = 1e-7 } }`")
        }
        "temperature" | "top-p" | "top-k" => Some("write `decoding = { sample = { temperature = 0.7, top-p = 0.9 } }`"),
        "optimizer" | "optimiser" | "optim" => {
            Some("remove it: the optimiser is AdamW; set its `lr` and `weight-decay`")
        }
        _ => None,
    }
}

fn unknown_choice(path: &KeyPath, name: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    let meant = nearest(name, allowed.iter().copied());
    let is_table = matches!(faults.root.get(&path.0), Some(Node { value: Value::Table(_), .. }));
    if is_table && settings_without_choice(path, allowed, faults) {
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
            if let Some(node) = table.remove(name) {
                table.insert(meant.to_owned(), node);
            }
        }
        _ => dig(path, faults),
    }
}

/// Words the remedy for a text that stands where a choice with settings belongs.
fn choice_of_text(path: &KeyPath, text: &str, allowed: &'static [&'static str], faults: &Faults) -> String {
    let is_path = text.contains(['/', '\\']) || text.ends_with(".json");
    let meant = nearest(text, allowed.iter().copied()).filter(|_| !is_path);
    if let Some(meant) = meant {
        return format!("did you mean `{}`?", stated(path, &choice(meant), faults));
    }
    if allowed.contains(&"checkpoint") {
        let is_hub_name =
            text.split('/').count() == 2 && !text.starts_with(['.', '/', '~']) && !text.starts_with("hf:");
        let hub = if is_hub_name { format!(", or of the hub `\"hf:{text}\"`") } else { String::new() };
        return format!("write `{}`{hub}", stated(path, &format!("{{ checkpoint = {text:?} }}"), faults));
    }
    if allowed.contains(&"file") && is_path {
        return format!("write `{}`", stated(path, &format!("{{ file = {{ path = {text:?} }} }}"), faults));
    }
    let choices: Vec<String> = allowed.iter().map(|name| format!("`{}`", choice(name))).collect();
    format!("choose one of {}", choices.join(", "))
}

/// Reports settings of a choice that stand where the choice belongs (`[tuning]` with `rank = 8`), and
/// says whether that was it: whether they can be read inside one of the choices.
fn settings_without_choice(path: &KeyPath, allowed: &'static [&'static str], faults: &mut Faults) -> bool {
    let Some(Node { value: Value::Table(table), .. }) = faults.root.get(&path.0) else {
        return false;
    };
    let is_choice = |name: &String| allowed.contains(&name.as_str());
    let (chosen, mut loose): (Vec<_>, Vec<_>) = table.clone().into_iter().partition(|(name, _)| is_choice(name));
    loose.sort_by_key(|(_, node)| node.key.as_ref().map(|key| key.span.start));
    let reads_inside = |choice: &&&'static str| {
        let mut inside = chosen.iter().find(|(name, _)| name == **choice).map_or_else(Node::empty, |(_, n)| n.clone());
        let loose = Node { value: Value::Table(loose.iter().cloned().collect()), ..Node::empty() };
        inside.merge(loose);
        let mut root = faults.root.clone();
        let Some(node) = root.get_mut(&path.0) else { return false };
        node.value = Value::Table([((**choice).to_owned(), inside)].into());
        match Experiment::deserialize(Reader::new(&root)) {
            Ok(_) => true,
            Err(Problem { path: Some(at), kind: Kind::Missing(_) }) => at == path.key(choice),
            Err(Problem { path: Some(at), .. }) => !at.0.starts_with(&path.0),
            Err(_) => false,
        }
    };
    let candidates =
        allowed.iter().filter(|choice| chosen.is_empty() || chosen.iter().any(|(name, _)| name == *choice));
    let fitting: Vec<&str> = candidates.filter(reads_inside).copied().collect();
    let (Some(first), Some((key, node))) = (fitting.first(), loose.first()) else {
        return false;
    };
    let inside = path.key(first);
    let source = faults.sources.get(node.place.source);
    let in_header = faults.root.get(&path.0).and_then(|n| n.key.as_ref()).is_some_and(|key| is_header(key, faults));
    let help = match source {
        Some(source) if source.is_override => {
            let value = source.text.get(node.place.span.clone()).unwrap_or_default();
            format!("write `--set {}`", quoted(&format!("{}={value}", inside.key(key))))
        }
        _ if in_header => format!("write `[{inside}]`"),
        _ => format!("write `{}`", stated(path, &format!("{{ {first} = {{ ... }} }}"), faults)),
    };
    let choices: Vec<String> = fitting.iter().map(|name| format!("`{name}`")).collect();
    let belong = if loose.len() == 1 { "belongs" } else { "belong" };
    let keys = listed(loose.iter().map(|(name, _)| name.as_str()));
    let message = format!("{keys} {belong} to {} of `{path}`, not to `{path}` itself", choices.join(" or "));
    let mut fault = Fault::new(path, message).help(help);
    fault.place.clone_from(&node.key);
    faults.add(fault);
    dig(path, faults);
    true
}

fn no_choice(path: &KeyPath, found: &str, allowed: &'static [&'static str], faults: &mut Faults) {
    if settings_without_choice(path, allowed, faults) {
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
    dig(path, faults);
}

/// Shows the settings of a choice that has some, as far as they must be given or mostly are; none for a
/// choice that is a word.
fn written(choice: &str) -> Option<&'static str> {
    Some(match choice {
        "checkpoint" => "\"hf:organisation/model\"",
        "scratch" => "{ tokenizer = \"a\", hidden = 128, layers = 2, heads = 4, feed-forward = 384 }",
        "file" => "{ path = \"tokenizer.json\" }",
        "byte-level-bpe" | "unigram" => "{ vocabulary = 4096 }",
        "vanilla" | "dual-space" | "cross-entropy" | "full" | "lora" | "greedy" | "sample" | "constant" | "linear"
        | "cosine" => "{}",
        _ => return None,
    })
}

/// Writes a choice with its settings.
fn choice(name: &str) -> String {
    format!("{{ {name} = {} }}", written(name).unwrap_or("{}"))
}

/// Writes a setting with another value, as where it stands: in a file or on the command line.
fn stated(path: &KeyPath, value: &str, faults: &Faults) -> String {
    let node = faults.root.get(&path.0);
    let source = node.and_then(|node| faults.sources.get(node.place.source));
    match path.0.last() {
        Some(Step::Key(_)) if source.is_some_and(|source| source.is_override) => {
            format!("--set {}", quoted(&format!("{path}={value}")))
        }
        Some(Step::Key(key)) => format!("{} = {value}", KeyPath::default().key(key)),
        _ => value.to_owned(),
    }
}

/// Words the remedy for what stands in place of a table with `keys`.
fn table_help(path: &KeyPath, keys: &[&str], faults: &Faults) -> String {
    let Some(node) = faults.root.get(&path.0) else { return String::new() };
    let number = |node: &Node| match node.value {
        Value::Integer(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    };
    if keys.starts_with(&["train", "dev", "test"]) {
        let shares = match &node.value {
            Value::Array(items) => items.iter().map(number).collect::<Option<Vec<f64>>>().unwrap_or_default(),
            _ => number(node).filter(|train| (0.0..1.0).contains(train)).map_or(vec![], |train| {
                let other = ((1.0 - train) / 2.0 * 1e6).round() / 1e6;
                vec![train, other, other]
            }),
        };
        let [train, dev, test] = shares[..] else {
            return format!("write `{}`", stated(path, "{ train = 0.8, dev = 0.1, test = 0.1 }", faults));
        };
        let value = format!("{{ train = {train}, dev = {dev}, test = {test} }}");
        return format!("write `{}`", stated(path, &value, faults));
    }
    let names = listed(keys.iter().copied());
    if matches!(node.value, Value::Array(_)) && node.key.as_ref().is_some_and(|key| is_header(key, faults)) {
        return format!("write `[{path}]` with one pair of brackets; its keys: {names}");
    }
    let is_override = faults.sources.get(node.place.source).is_some_and(|source| source.is_override);
    match keys.first() {
        Some(first) if is_override => format!("set one of its keys, such as `--set {}=...`: {names}", path.key(first)),
        _ => format!("its keys: {names}"),
    }
}

/// Says whether a key stands in the header of a table: `[key]`.
fn is_header(key: &Place, faults: &Faults) -> bool {
    let text = faults.sources.get(key.source).map_or("", |source| source.text.as_str());
    let before = text.get(..key.span.start).unwrap_or_default();
    before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['))
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
    dig(path, faults);
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
    if expected == "a list" && path.0.last() == Some(&Step::Key("target-modules".to_owned())) {
        return Some(format!("name them: `{}`", stated(path, &target_modules(), faults)));
    }
    if expected == "a list" && matches!(node.value, Value::Table(_)) {
        let is_header = node.key.as_ref().is_some_and(|key| is_header(key, faults));
        return Some(match is_header {
            true => format!("write `[[{path}]]` with two pairs of brackets, once for each element"),
            false => "put it in brackets: `[{ ... }]`".to_owned(),
        });
    }
    if expected == "a table" {
        let entry = path.key("NAME");
        return Some(match source.is_override {
            true => format!("set its entries by name: `--set {entry}=...`"),
            false => format!("give its entries names: `[{entry}]`"),
        });
    }
    let typed = source.text.get(node.place.span.clone()).filter(|text| !text.contains('\n'))?;
    // In `--set` a text may stand without quotes.
    let in_quotes = typed.starts_with(['"', '\'']);
    let write = |value: &str| Some(format!("write `{}`", stated(path, value, faults)));
    let unquoted = |value: &str| match in_quotes {
        true => Some(format!("write it without quotes: `{value}`")),
        false => write(value),
    };
    match (&node.value, expected) {
        (Value::String(text), "a number" | "a whole number (0 or more)") => unquoted(&number(text)?),
        (Value::String(text), "`true` or `false`") => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => unquoted("true"),
            "false" | "no" | "off" => unquoted("false"),
            _ => None,
        },
        (Value::Integer(0 | 1), "`true` or `false`") => write(if typed == "1" { "true" } else { "false" }),
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), "text in quotes" | "a path in quotes") => {
            Some(format!("put it in quotes: `\"{typed}\"`"))
        }
        (Value::Integer(_) | Value::Float(_) | Value::String(_), "a list") if source.is_override => {
            write(&as_list(typed))
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

/// Writes the list of all modules that can carry an adapter.
pub(super) fn target_modules() -> String {
    let modules = TARGET_MODULES.map(|module| format!("{module:?}"));
    format!("[{}]", modules.join(", "))
}

fn key_place(root: &Node, path: &KeyPath) -> Option<Place> {
    root.get(&path.0)?.key.clone()
}

fn place_words(path: &KeyPath) -> String {
    if path.0.is_empty() { "the experiment".to_owned() } else { format!("`{path}`") }
}
