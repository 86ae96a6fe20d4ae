//! What was typed, with the place of every key and value: files, `extends` bases and `--set`
//! merged into one tree.
//!
//! Knows TOML and nothing of what an experiment means.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::syntax::{SyntaxFault, syntax_faults};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Holds one text that values were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How the user named it: a path, or `--set key=value`.
    pub name: String,
    /// The text that spans point into.
    pub text: String,
    /// Folder that relative paths in the text start from.
    pub folder: PathBuf,
    /// Whether it came from the command line rather than from a file.
    pub is_override: bool,
}

/// Points at a stretch of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of the source, in the order of reading: the experiment file, its bases, overrides.
    pub source: usize,
    /// Byte range in its text.
    pub span: Range<usize>,
}

/// One step of a key path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// A position in a list.
    Index(usize),
}

/// Names a place in the tree, written like `hypotheses[0].contrast.better`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPath(pub Vec<Step>);

impl KeyPath {
    /// Returns the path of a key of this table.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// Returns the path of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl From<&str> for KeyPath {
    /// Reads a path of bare keys and indices; a key with other characters is appended with
    /// [`KeyPath::key`].
    fn from(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            let key = pieces.next().unwrap_or_default();
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            }
            for index in pieces {
                if let Ok(index) = index.trim_end_matches(']').parse() {
                    steps.push(Step::Index(index));
                }
            }
        }
        Self(steps)
    }
}

impl From<String> for KeyPath {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&KeyPath> for KeyPath {
    fn from(path: &KeyPath) -> Self {
        path.clone()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                    if !key.is_empty() && key.chars().all(bare) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// Place of the key, for values in tables.
    pub(crate) key: Option<Place>,
    /// Rank of what last stated this value or something below it: `-depth` for files along the
    /// chain of `extends`, from 1 for overrides.
    pub(crate) layer: isize,
    /// Whether a reported fault was papered over here, so that nothing is concluded from it.
    pub(crate) unsound: bool,
}

/// Content of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    String(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    /// Stands for a value that could not be read: it deserialises as any type.
    Hole,
}

impl Node {
    /// Makes a node that says nothing, to be merged into.
    pub(crate) fn empty() -> Self {
        Self {
            value: Value::Table(BTreeMap::new()),
            place: Place { source: 0, span: 0..0 },
            key: None,
            layer: isize::MIN,
            unsound: false,
        }
    }

    /// Parses a whole file; the error lists every fault of syntax.
    pub(crate) fn parse(text: &str, source: usize, layer: isize) -> Result<Self, Vec<SyntaxFault>> {
        let table = DeTable::parse(text).map_err(|_| syntax_faults(text))?;
        let span = table.span();
        let table = Spanned::new(span, DeValue::Table(table.into_inner()));
        Ok(Self::convert(table, source, layer))
    }

    /// Converts the parser's tree.
    pub(crate) fn convert(value: Spanned<DeValue<'_>>, source: usize, layer: isize) -> Self {
        let place = Place { source, span: value.span() };
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => {
                // Saturates: no setting reaches this far, and the fault is then one of range.
                let parsed = i128::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.unwrap_or(i128::MAX))
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(value) => Value::Datetime(value.to_string()),
            DeValue::Array(items) => {
                Value::Array(items.into_iter().map(|item| Self::convert(item, source, layer)).collect())
            }
            DeValue::Table(table) => Value::Table(
                table
                    .into_iter()
                    .map(|(key, value)| {
                        let mut node = Self::convert(value, source, layer);
                        node.key = Some(Place { source, span: key.span() });
                        (key.into_inner().into_owned(), node)
                    })
                    .collect(),
            ),
        };
        Self { value, place, key: None, layer, unsound: false }
    }

    /// Lets `other` win: tables merge key by key, everything else is replaced. An override states
    /// single keys, so that a table keeps its place in the file.
    pub(crate) fn merge(&mut self, other: Self) {
        match (&mut self.value, other) {
            (Value::Table(mine), Self { value: Value::Table(theirs), place, key, layer, .. }) => {
                for (name, node) in theirs {
                    match mine.get_mut(&name) {
                        Some(old) => old.merge(node),
                        None => {
                            mine.insert(name, node);
                        }
                    }
                }
                if layer <= 0 {
                    self.place = place;
                    self.key = key;
                }
                self.layer = layer;
            }
            (_, other) => *self = other,
        }
    }

    /// Returns the node at a path below this one.
    pub(crate) fn get(&self, steps: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(self);
        };
        match (&self.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get(key)?.get(rest),
            (Value::Array(items), Step::Index(index)) => items.get(*index)?.get(rest),
            _ => None,
        }
    }

    /// Returns the node at a path below this one.
    pub(crate) fn get_mut(&mut self, steps: &[Step]) -> Option<&mut Self> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(self);
        };
        match (&mut self.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get_mut(key)?.get_mut(rest),
            (Value::Array(items), Step::Index(index)) => items.get_mut(*index)?.get_mut(rest),
            _ => None,
        }
    }

    /// Says whether a fault was papered over here or below.
    pub(crate) fn has_unsound(&self) -> bool {
        self.unsound
            || match &self.value {
                Value::Table(table) => table.values().any(Self::has_unsound),
                Value::Array(items) => items.iter().any(Self::has_unsound),
                _ => false,
            }
    }

    /// Returns where the value stands; for a table its key, since its span may be many lines.
    pub(crate) fn shown_at(&self) -> &Place {
        match (&self.value, &self.key) {
            (Value::Table(_) | Value::Hole, Some(key)) => key,
            _ => &self.place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, source: usize) -> Node {
        Node::parse(text, source, source as isize).expect("valid TOML")
    }

    fn integer(node: &Node, path: &str) -> i128 {
        match node.get(&KeyPath::from(path).0).map(|node| &node.value) {
            Some(Value::Integer(number)) => *number,
            other => panic!("no integer at {path}: {other:?}"),
        }
    }

    #[test]
    fn the_later_document_wins_key_by_key_and_replaces_lists() {
        let mut tree = parse("a = { x = 1, y = 2 }\nlist = [1, 2, 3]", 0);
        tree.merge(parse("list = [9]\n[a]\ny = 5", 1));
        assert_eq!(integer(&tree, "a.x"), 1);
        assert_eq!(integer(&tree, "a.y"), 5);
        assert_eq!(integer(&tree, "list[0]"), 9);
        assert!(tree.get(&KeyPath::from("list[1]").0).is_none());
        assert_eq!(tree.get(&KeyPath::from("a.x").0).map(|n| n.place.source), Some(0));
        assert_eq!(tree.get(&KeyPath::from("a.y").0).map(|n| n.place.source), Some(1));
    }

    #[test]
    fn every_fault_of_syntax_is_kept() {
        let faults = Node::parse("a = \nb = 1\nc = [1,,2]\n", 0, 0).expect_err("two faults");
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn a_path_reads_back_as_it_is_written() {
        let text = "hypotheses[0].contrast.better";
        assert_eq!(KeyPath::from(text).to_string(), text);
        let quoted = KeyPath::from("models").key("llama 2.7");
        assert_eq!(quoted.to_string(), "models.\"llama 2.7\"");
    }
}
