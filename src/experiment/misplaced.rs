//! Settings that stand where they do not belong, and read well elsewhere: below a header that was left
//! out, or inside the choice that they stand beside.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::deserialize::{Kind, Problem, Reader};
use super::document::{KeyPath, Node, Step, Value};
use super::faults::{Fault, Faults};
use super::load::quoted;
use super::nearest::listed;
use super::remedy::{is_header, stated};
use super::settings::Experiment;

/// Reports settings of a choice that stand where the choice belongs (`[tuning]` with `rank = 8`), and
/// says whether that was it: whether they can be read inside one of the choices.
pub(super) fn settings_without_choice(path: &KeyPath, allowed: &'static [&'static str], faults: &mut Faults) -> bool {
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
    faults.make_hole(path);
    true
}

/// Lists the keys of the experiment itself: what serde allows instead of a nameless one.
pub(super) fn keys_of_experiment() -> &'static [&'static str] {
    let nameless = Node { value: Value::Table([(String::new(), Node::empty())].into()), ..Node::empty() };
    match Experiment::deserialize(Reader::new(&nameless)).map_err(|problem| problem.kind) {
        Err(Kind::UnknownKey { allowed, .. }) => allowed,
        _ => &[],
    }
}

/// Tables whose header may be missing. The baseline would take any text.
const TABLES: [&str; 9] =
    ["data", "tokenizers", "models", "factors", "algorithms", "training", "evaluation", "compute", "hypotheses"];

/// Reports settings that read well below the header of another table, from some key on down to the next
/// header, and says whether there are any. `path` is the table that they stand in.
pub(super) fn below_missing_header(path: &KeyPath, faults: &mut Faults) -> bool {
    let Some(Node { value: Value::Table(table), .. }) = faults.root.get(&path.0) else {
        return false;
    };
    let mut entries: Vec<(String, Node)> = table.clone().into_iter().collect();
    entries.sort_by_key(|(_, node)| node.key.as_ref().map(|key| (key.source, key.span.start)));
    if path.0.is_empty() {
        // Above the first header, what belongs to the experiment itself stays.
        entries.retain(|(name, _)| !keys_of_experiment().contains(&name.as_str()));
    }
    for cut in 0..entries.len() {
        let moved = &entries[cut..];
        for table in TABLES {
            if let Some((header, root)) = reads_in(table, moved, path, &faults.root) {
                report_below(&header, moved, path, faults);
                *faults.root = root;
                return true;
            }
        }
    }
    false
}

/// Tries settings in a table that the experiment lacks; returns its header and the tree with them there.
fn reads_in(table: &str, moved: &[(String, Node)], path: &KeyPath, root: &Node) -> Option<(String, Node)> {
    let first = &moved.first()?.1;
    let mut root = root.clone();
    let Value::Table(from) = &mut root.get_mut(&path.0)?.value else { return None };
    from.retain(|name, _| !moved.iter().any(|(other, _)| other == name));
    let Value::Table(tables) = &mut root.value else { return None };
    if tables.contains_key(table) {
        return None;
    }
    let holes =
        keys_of_experiment().iter().map(|key| ((*key).to_owned(), Node { value: Value::Hole, ..first.clone() }));
    let settings = Node { value: Value::Table(moved.iter().cloned().collect()), ..first.clone() };
    let forms = [
        (format!("[{table}]"), settings.value.clone()),
        (format!("[[{table}]]"), Value::Array(vec![settings.clone()])),
        (format!("[{table}.NAME]"), Value::Table([("NAME".to_owned(), settings)].into())),
    ];
    for (header, value) in forms {
        let node = Node { value, ..first.clone() };
        // Other tables may have faults of their own, and say nothing about these settings.
        let mut alone: BTreeMap<String, Node> = holes.clone().collect();
        if let Some(Step::Key(key)) = path.0.first() {
            alone.extend(tables.get(key).map(|rest| (key.clone(), rest.clone())));
        }
        alone.insert(table.to_owned(), node.clone());
        let alone = Node { value: Value::Table(alone), ..Node::empty() };
        if Experiment::deserialize(Reader::new(&alone)).is_ok() {
            tables.insert(table.to_owned(), node);
            return Some((header, root));
        }
    }
    None
}

fn report_below(header: &str, moved: &[(String, Node)], path: &KeyPath, faults: &mut Faults) {
    let Some((first, node)) = moved.first() else { return };
    let keys = listed(moved.iter().map(|(name, _)| name.as_str()));
    let belong = if moved.len() == 1 { "belongs" } else { "belong" };
    let message = match path.0.is_empty() {
        true => format!("{keys} {belong} below the header of a table"),
        false => format!("{keys} {belong} to another table than `{path}`"),
    };
    let mut fault = Fault::new(path.key(first), message).help(format!("write `{header}` above `{first}`"));
    fault.place.clone_from(&node.key);
    faults.add(fault);
}
