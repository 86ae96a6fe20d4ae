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

/// Says what the keys of a table are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// Choices, of which one is made.
    Choices,
    /// Settings side by side.
    Settings,
}

/// Reports settings that stand beside the key that they belong to (`[tuning]` with `rank = 8`,
/// `[training]` with `lr = 1e-4`), and says whether that was it: whether they read well inside one of
/// the keys that the table at `path` may have.
pub(super) fn beside_their_key(
    path: &KeyPath,
    allowed: &'static [&'static str],
    keys: Keys,
    faults: &mut Faults,
) -> bool {
    let Some(Node { value: Value::Table(table), .. }) = faults.root.get(&path.0) else {
        return false;
    };
    let is_allowed = |name: &String| allowed.contains(&name.as_str());
    let (stated_keys, mut loose): (Vec<_>, Vec<_>) = table.clone().into_iter().partition(|(name, _)| is_allowed(name));
    loose.sort_by_key(|(_, node)| node.key.as_ref().map(|key| key.span.start));
    let is_stated = |key: &str| stated_keys.iter().any(|(name, _)| name == key);
    let reads_inside = |key: &&&'static str| {
        let inside = stated_keys.iter().find(|(name, _)| name == **key);
        let mut inside = inside.map_or_else(Node::empty, |(_, node)| node.clone());
        inside.merge(Node { value: Value::Table(loose.iter().cloned().collect()), ..Node::empty() });
        let mut tables: BTreeMap<String, Node> = match keys {
            Keys::Choices => BTreeMap::new(),
            Keys::Settings => stated_keys.iter().cloned().collect(),
        };
        tables.insert((**key).to_owned(), inside);
        let mut root = faults.root.clone();
        let Some(node) = root.get_mut(&path.0) else { return false };
        node.value = Value::Table(tables);
        match Experiment::deserialize(Reader::new(&root)) {
            Ok(_) => true,
            Err(Problem { path: Some(at), kind: Kind::Missing(_) }) => at == path.key(key),
            Err(Problem { path: Some(at), .. }) => !at.0.starts_with(&path.0),
            Err(_) => false,
        }
    };
    let may_hold = |key: &&&str| keys == Keys::Settings || stated_keys.is_empty() || is_stated(key);
    let fitting: Vec<&str> = allowed.iter().filter(may_hold).filter(reads_inside).copied().collect();
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
        _ if keys == Keys::Settings => format!("write `{first} = {{ {key} = ... }}`"),
        _ if in_header => format!("write `[{inside}]`"),
        _ => format!("write `{}`", stated(path, &format!("{{ {first} = {{ ... }} }}"), faults)),
    };
    let holders: Vec<String> = fitting.iter().map(|name| format!("`{name}`")).collect();
    let what = format!("to {} of `{path}`, not to `{path}` itself", holders.join(" or "));
    report(&loose, path, &what, help, faults);
    faults.make_hole(path);
    true
}

/// Tables whose entries have names of the user's choice.
const NAMED: [&str; 4] = ["data", "tokenizers", "models", "algorithms"];

/// Reports settings of an entry that has no name (`[data]` with `importer = "glossary"`), and says whether
/// that was it: whether the table that `path` lies in reads well as one entry.
pub(super) fn without_name(path: &KeyPath, faults: &mut Faults) -> bool {
    let Some(Step::Key(table)) = path.0.first().filter(|step| NAMED.iter().any(|name| is_key(step, name))) else {
        return false;
    };
    let at = KeyPath::default().key(table);
    let Some(node @ Node { value: Value::Table(settings), .. }) = faults.root.get(&at.0) else {
        return false;
    };
    let named = Node { value: Value::Table([("NAME".to_owned(), node.clone())].into()), ..node.clone() };
    let mut settings: Vec<(String, Node)> = settings.clone().into_iter().collect();
    settings.sort_by_key(|(_, node)| node.key.as_ref().map(|key| key.span.start));
    let alone = [(table.clone(), named)].into();
    let is_hole = |node: &Node| node.value == Value::Hole;
    if settings.is_empty() || settings.iter().any(|(_, node)| is_hole(node)) || !reads_alone(alone) {
        return false;
    }
    let help = match faults.sources.get(node.place.source) {
        Some(source) if source.is_override => format!("give the entry a name: `--set {}=...`", at.key("NAME")),
        _ => format!("give the entry a name: `[{}]`", at.key("NAME")),
    };
    report(&settings, &at, &format!("to an entry of `{table}`, not to `{table}` itself"), help, faults);
    faults.make_hole(&at);
    true
}

fn is_key(step: &Step, name: &str) -> bool {
    matches!(step, Step::Key(key) if key == name)
}

/// Says whether tables of the experiment can be read, whatever the others say.
fn reads_alone(mut tables: BTreeMap<String, Node>) -> bool {
    for key in keys_of_experiment() {
        tables.entry((*key).to_owned()).or_insert_with(|| Node { value: Value::Hole, ..Node::empty() });
    }
    let read = Experiment::deserialize(Reader::new(&Node { value: Value::Table(tables), ..Node::empty() }));
    // Any tables would do as levels of a factor.
    read.is_ok_and(|experiment| experiment.factors.free.is_empty())
}

/// Reports that settings belong elsewhere, at the first of them.
fn report(settings: &[(String, Node)], path: &KeyPath, to: &str, help: String, faults: &mut Faults) {
    let Some((first, node)) = settings.first() else { return };
    let keys = listed(settings.iter().map(|(name, _)| name.as_str()));
    let belong = if settings.len() == 1 { "belongs" } else { "belong" };
    let mut fault = Fault::new(path.key(first), format!("{keys} {belong} {to}")).help(help);
    fault.place.clone_from(&node.key);
    faults.add(fault);
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
                let to = match path.0.is_empty() {
                    true => "below the header of a table".to_owned(),
                    false => format!("to another table than `{path}`"),
                };
                let above = format!("write `{header}` above `{}`", entries[cut].0);
                report(moved, path, &to, above, faults);
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
    let settings = Node { value: Value::Table(moved.iter().cloned().collect()), ..first.clone() };
    let forms = [
        (format!("[{table}]"), settings.value.clone()),
        (format!("[[{table}]]"), Value::Array(vec![settings.clone()])),
        (format!("[{table}.NAME]"), Value::Table([("NAME".to_owned(), settings)].into())),
    ];
    for (header, value) in forms {
        let node = Node { value, ..first.clone() };
        let mut alone: BTreeMap<String, Node> = [(table.to_owned(), node.clone())].into();
        if let Some(Step::Key(key)) = path.0.first() {
            alone.extend(tables.get(key).map(|rest| (key.clone(), rest.clone())));
        }
        if reads_alone(alone) {
            tables.insert(table.to_owned(), node);
            return Some((header, root));
        }
    }
    None
}
