//! Reads an experiment file with its bases and overrides.
//!
//! - `extends = "base/x.toml"` reads another file first, relative to the one that says so; tables
//!   merge key by key, the extending file wins, lists are replaced whole. Where the base made a
//!   choice (`[tuning.lora]`) and the extending file makes another (`[tuning.full]`), the latter
//!   counts.
//! - `--set a.b=value` comes last. The value is TOML; anything else is text, so that paths need no
//!   quotes.
//! - A relative path in a file starts at that file's folder; in `--set` at the current folder, as
//!   in the shell.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf, absolute};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::design::Design;
use super::document::{KeyPath, Node, Place, Source, Value};
use super::faults::{Fault, Faults};
use super::lay::{Overlaid, designed};
use super::nearest::nearest;
use super::remedy::move_up;
use super::settings::{Experiment, Model, TokenizerSource};
use super::structure::structure;
use super::syntax::SyntaxFault;

/// Holds what was read, faults included.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Name of the experiment: its file name without the ending.
    pub name: String,
    /// The settings, as far as they could be read; none when a file is not TOML. With faults it is
    /// only good for finding more of them.
    pub experiment: Option<Experiment>,
    /// What is trained and scored, as far as that could be built.
    pub design: Design,
    /// The experiment with each level and step of settings laid over it.
    pub(super) overlaid: Vec<Overlaid>,
    /// Faults found so far and the places of all values.
    pub faults: Faults,
}

/// Reads the experiment file at `path`, then applies `overrides` (`key=value`).
///
/// Never fails: what is wrong is in [`Loaded::faults`].
#[must_use]
pub fn load(path: &Path, overrides: &[String]) -> Loaded {
    let stem = path.file_stem().unwrap_or_default();
    let name = stem.to_string_lossy().into_owned();
    let mut reading = Reading::default();
    let root = reading.file(path, None);
    // Without the file or one of its bases nearly every key would be missing.
    let readable = root.is_some();
    // `..toml` and `...toml`: results would be written over those of other experiments.
    if readable && matches!(name.as_str(), "" | "." | "..") {
        let message = format!("`{}` gives the experiment no name", path.display());
        let help = "results are kept under the file's name: call it `study.toml` or alike";
        reading.faults.push(Fault::new("", message).help(help));
    }
    let mut root = root.unwrap_or_else(Node::empty);
    for argument in overrides {
        reading.set(argument, &mut root);
    }
    let mut faults = Faults::new(reading.sources, root);
    for fault in reading.faults {
        faults.add(fault);
    }
    let experiment = if readable { structure(&mut faults) } else { None };
    let experiment = experiment.map(|experiment| anchored(experiment, &faults));
    let (design, overlaid) =
        experiment.as_ref().map(|experiment| designed(experiment, &mut faults)).unwrap_or_default();
    Loaded { name, experiment, design, overlaid, faults }
}

#[derive(Default)]
struct Reading {
    sources: Vec<Source>,
    /// Files that are being read, outermost first.
    open: Vec<PathBuf>,
    faults: Vec<Fault>,
}

impl Reading {
    /// Reads a file and what it extends. `asked` is the place of the `extends` that named it.
    fn file(&mut self, path: &Path, asked: Option<Place>) -> Option<Node> {
        let shown = path.display();
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let text = if self.open.contains(&identity) {
            let message = format!("`{shown}` extends itself");
            Err(Unread::new(message, "remove one `extends` of the circle"))
        } else {
            read_text(path)
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let source = self.sources.len();
        self.sources.push(Source {
            name: shown.to_string(),
            text: text.as_ref().unwrap_or_else(|unread| &unread.text).clone(),
            folder: absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            is_override: false,
        });
        match text {
            Ok(text) => {
                self.open.push(identity);
                let node = self.parsed(path, &text, source);
                self.open.pop();
                node
            }
            Err(Unread { message, help, span, .. }) => {
                let mut fault = Fault::new("", message).help(help);
                if asked.is_some() {
                    fault.path = KeyPath::from("extends");
                }
                fault.place = span.map(|span| Place { source, span }).or(asked);
                self.faults.push(fault);
                None
            }
        }
    }

    fn parsed(&mut self, path: &Path, text: &str, source: usize) -> Option<Node> {
        let layer = 1 - self.open.len().cast_signed();
        let mut node = match Node::parse(text, source, layer) {
            Ok(node) => node,
            Err(errors) => {
                for SyntaxFault { message, span, help } in errors {
                    let mut fault = Fault::new("", format!("invalid TOML: {message}"));
                    fault.place = Some(Place { source, span });
                    fault.help = help;
                    self.faults.push(fault);
                }
                return None;
            }
        };
        let Value::Table(table) = &mut node.value else {
            return Some(node);
        };
        let base = table.remove("extends").or_else(|| self.misspelt_extends(table));
        let base = base.or_else(|| self.misplaced_extends(table));
        match base {
            None => Some(node),
            Some(Node { value: Value::String(base), place, .. }) => {
                let mut merged = self.file(&path.with_file_name(base), Some(place))?;
                merged.merge(node);
                Some(merged)
            }
            Some(other) => {
                let message = "`extends` should be a path in quotes";
                let mut fault = Fault::new("extends", message).help("write `extends = \"base/study.toml\"`");
                fault.place = Some(other.place);
                self.faults.push(fault);
                None
            }
        }
    }

    /// Takes a misspelt `extends` and reports it: unread, it would make nearly every key missing.
    fn misspelt_extends(&mut self, table: &mut BTreeMap<String, Node>) -> Option<Node> {
        let is_text = |node: &Node| matches!(node.value, Value::String(_));
        let (name, _) = table.iter().find(|(key, node)| is_text(node) && nearest(key, ["extends"]).is_some())?;
        let name = name.clone();
        let node = table.remove(&name)?;
        let message = format!("unknown key `{name}` in the experiment");
        let mut fault = Fault::new(KeyPath::default().key(&name), message).help("did you mean `extends`?");
        fault.place.clone_from(&node.key);
        self.faults.push(fault);
        Some(node)
    }

    /// Takes an `extends` that stands below the header of a table and reports it: unread, it would
    /// make nearly every key missing.
    fn misplaced_extends(&mut self, table: &mut BTreeMap<String, Node>) -> Option<Node> {
        let take = |(key, node): (&String, &mut Node)| take_extends(node, &KeyPath::default().key(key));
        let (path, node) = table.iter_mut().find_map(take)?;
        let message = format!("unknown key `extends` in `{path}`");
        let mut fault = Fault::new(path.key("extends"), message).help(move_up("extends"));
        fault.place.clone_from(&node.key);
        self.faults.push(fault);
        Some(node)
    }

    /// Applies one `key=value`.
    fn set(&mut self, argument: &str, root: &mut Node) {
        let source = self.sources.len();
        self.sources.push(Source {
            name: format!("--set {argument}"),
            text: argument.to_owned(),
            folder: std::env::current_dir().unwrap_or_default(),
            is_override: true,
        });
        match override_tree(argument, source) {
            Ok(tree) => root.merge(tree),
            Err((message, help)) => {
                let mut fault = Fault::new("", message).help(help);
                let span = 0..argument.len();
                fault.place = Some(Place { source, span });
                self.faults.push(fault);
            }
        }
    }
}

/// Takes the first `extends = "..."` of a node or below it, with the path of its table.
fn take_extends(node: &mut Node, path: &KeyPath) -> Option<(KeyPath, Node)> {
    match &mut node.value {
        Value::Table(table) => match table.get("extends").map(|node| &node.value) {
            Some(Value::String(_)) => Some((path.clone(), table.remove("extends")?)),
            _ => table.iter_mut().find_map(|(key, node)| take_extends(node, &path.key(key))),
        },
        Value::Array(items) => {
            items.iter_mut().enumerate().find_map(|(index, node)| take_extends(node, &path.index(index)))
        }
        _ => None,
    }
}

/// Says why a file could not be read.
struct Unread {
    message: String,
    help: String,
    /// What can be shown of it, and where it goes wrong.
    text: String,
    span: Option<Range<usize>>,
}

impl Unread {
    fn new(message: String, help: impl Into<String>) -> Self {
        Self { message, help: help.into(), text: String::new(), span: None }
    }
}

fn read_text(path: &Path) -> Result<String, Unread> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        let help = "name an experiment file, such as `experiments/quickstart.toml`; `extends` is \
                    relative to the file that states it";
        Unread::new(format!("cannot read `{shown}`: {error}"), help)
    })?;
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        let message = format!("`{shown}` is text in UTF-16, expected UTF-8");
        return Err(Unread::new(message, "save it as UTF-8: an experiment file is TOML in UTF-8"));
    }
    match String::from_utf8(bytes) {
        // Some editors on Windows start a file with a byte order mark.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            // Up to here the lossy text is the same, and then comes one sign in place of the byte.
            let start = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[start];
            let message = format!("`{shown}` is not UTF-8: byte {} of the file is 0x{byte:02X}", start + 1);
            let latin = char::from(byte);
            let help = match latin.is_alphanumeric() {
                true => {
                    format!("save it as UTF-8: an experiment file is TOML in UTF-8; in Latin-1 the byte is `{latin}`")
                }
                false => "save it as UTF-8: an experiment file is TOML in UTF-8".to_owned(),
            };
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let span = Some(start..start + char::REPLACEMENT_CHARACTER.len_utf8());
            Err(Unread { text, span, ..Unread::new(message, help) })
        }
    }
}

/// Quotes an argument for a POSIX shell where it needs it.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Writes what was typed as several values (`10,20`, `[bleu, chrf]`) as a list of TOML.
pub(super) fn as_list(typed: &str) -> String {
    let inner = typed.trim().trim_start_matches('[').trim_end_matches(']');
    let item = |text: &str| {
        let text = text.trim_matches(|c: char| c.is_whitespace() || "\"'“”‘’".contains(c));
        match DeValue::parse(text) {
            Ok(value) if matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_)) => text.to_owned(),
            _ => format!("{text:?}"),
        }
    };
    let are_numbers = inner.split_whitespace().all(|word| word.parse::<f64>().is_ok());
    let between = |c: char| c == ',' || c == ';' || are_numbers && c.is_whitespace();
    let items: Vec<String> = inner.split(between).filter(|text| !text.trim().is_empty()).map(item).collect();
    format!("[{}]", items.join(", "))
}

/// Makes the tree that `a.b=value` stands for.
fn override_tree(argument: &str, source: usize) -> Result<Node, (String, String)> {
    let layer = source.cast_signed() + 1;
    let help = "write `--set training.distill.lr=1e-4`".to_owned();
    let Some((key, typed)) = argument.split_once('=') else {
        return Err((format!("`{argument}` has no `=`"), help));
    };
    let no_key = || {
        let help =
            if key.contains('[') { "lists are set whole: `--set seeds=[10, 20]`".to_owned() } else { help.clone() };
        (format!("`{key}` is not a key path"), help)
    };
    if key.contains(char::is_control) {
        return Err(no_key());
    }
    let keys = format!("{key} = 0");
    let mut tree = match DeTable::parse(&keys) {
        Ok(table) => {
            let span = table.span();
            let table = Spanned::new(span, DeValue::Table(table.into_inner()));
            Node::convert(table, source, layer)
        }
        Err(_) => return Err(no_key()),
    };
    let text = typed.trim();
    let value = match DeValue::parse(text) {
        Ok(value) => Node::convert(value, source, layer).value,
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            let message = format!("`{text}` is not TOML: {}", error.message());
            // Without inner brackets it is clear what was meant.
            let help = match text.strip_prefix('[').map(|rest| rest.trim_end_matches(']')) {
                Some(items) if !items.contains(['[', ']', '{', '}']) => {
                    format!("write `--set {}`", quoted(&format!("{}={}", key.trim(), as_list(items))))
                }
                _ => "quote the whole argument against the shell".to_owned(),
            };
            return Err((message, help));
        }
        Err(_) => Value::String(text.to_owned()),
    };
    let start = key.len() + 1;
    let mut node = &mut tree;
    loop {
        node.place = Place { source, span: start..argument.len() };
        node.key = node.key.as_ref().map(|_| Place { source, span: 0..key.len() });
        if matches!(node.value, Value::Integer(_)) {
            break;
        }
        let Value::Table(table) = &mut node.value else {
            return Err(no_key());
        };
        node = table.values_mut().next().ok_or_else(no_key)?;
    }
    node.value = place_all(value, &node.place);
    Ok(tree)
}

/// Gives every value below the same place: `--set` is shown whole.
fn place_all(value: Value, place: &Place) -> Value {
    let placed = |node: Node| Node {
        value: place_all(node.value, place),
        place: place.clone(),
        key: node.key.map(|_| place.clone()),
        ..node
    };
    match value {
        Value::Table(table) => Value::Table(table.into_iter().map(|(key, node)| (key, placed(node))).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(placed).collect()),
        other => other,
    }
}

/// Makes paths absolute, each from the folder of the source that states it.
pub(super) fn anchored(mut experiment: Experiment, faults: &Faults) -> Experiment {
    let anchor = |path: &mut PathBuf, key: KeyPath| {
        if let (Some(folder), false) = (faults.folder_of(key), path.as_os_str().is_empty()) {
            *path = folder.join(&*path);
        }
    };
    for (name, data) in &mut experiment.data {
        if let Some(path) = &mut data.path {
            anchor(path, KeyPath::from("data").key(name).key("path"));
        }
    }
    for (name, tokenizer) in &mut experiment.tokenizers {
        if let TokenizerSource::File { path } = tokenizer
            && !path.to_string_lossy().starts_with("hf:")
        {
            anchor(path, KeyPath::from("tokenizers").key(name).key("file").key("path"));
        }
    }
    for (name, model) in &mut experiment.models {
        if let Model::Checkpoint(checkpoint) = model
            && !checkpoint.starts_with("hf:")
        {
            let mut path = PathBuf::from(&*checkpoint);
            anchor(&mut path, KeyPath::from("models").key(name).key("checkpoint"));
            *checkpoint = path.display().to_string();
        }
    }
    if let Some(path) = &mut experiment.evaluation.embedding_model {
        anchor(path, KeyPath::from("evaluation.embedding-model"));
    }
    experiment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(quoted("training.sft.lr=1e-4"), "training.sft.lr=1e-4");
        assert_eq!(quoted("seeds=[1, 2]"), "'seeds=[1, 2]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn values_without_brackets_become_a_list() {
        assert_eq!(as_list("10,20"), "[10, 20]");
        assert_eq!(as_list("[bleu, “chrf”,"), "[\"bleu\", \"chrf\"]");
        assert_eq!(as_list("10 20"), "[10, 20]");
        assert_eq!(as_list("1e-4"), "[1e-4]");
    }
}
