//! Faults of an experiment file: collected, then shown all at once, each at its place.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::document::{KeyPath, Node, Place, Source, Value};

/// Describes one fault: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting at fault; empty for the experiment as a whole.
    pub path: KeyPath,
    /// What is wrong: found and expected, names in backticks.
    pub message: String,
    /// Remedy.
    pub help: Option<String>,
    /// Where it is underlined; none when nothing was typed, as for a missing file.
    pub place: Option<Place>,
    /// Words under the line.
    pub label: Option<String>,
    /// Other places that belong to the fault, with a word on each.
    pub context: Vec<(Place, String)>,
}

impl Fault {
    /// States a fault at a setting.
    pub fn new(path: impl Into<KeyPath>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None, place: None, label: None, context: Vec::new() }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds words under the underlined part.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

/// Collects faults of one experiment, together with the texts that they point into.
#[derive(Debug, Clone)]
pub struct Faults {
    pub(crate) sources: Vec<Source>,
    // Boxed to keep results that carry faults small.
    pub(crate) root: Box<Node>,
    list: Vec<Fault>,
}

impl Faults {
    /// Starts without faults over a tree that was read from `sources`.
    pub(crate) fn new(sources: Vec<Source>, root: Node) -> Self {
        Self { sources, root: Box::new(root), list: Vec::new() }
    }

    /// Starts without faults over another tree of the same texts.
    pub(crate) fn over(&self, root: Node) -> Self {
        Self::new(self.sources.clone(), root)
    }

    /// Takes the faults that were found in another tree of the same texts.
    pub(crate) fn take(&mut self, other: &Self) {
        for fault in &other.list {
            // One that stands in the file was found there, too.
            let is_known = |known: &Fault| known.message == fault.message && known.place == fault.place;
            if !self.list.iter().any(is_known) {
                self.list.push(fault.clone());
            }
        }
    }

    /// Adds a fault at the place of a key path: `hypotheses[0].contrast.better`.
    ///
    /// A setting that nobody typed (a default) is shown at the nearest table around it. Nothing is
    /// added where a fault of structure was already reported: what stands there is not what the
    /// user meant.
    pub fn at(&mut self, path: impl Into<KeyPath>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Fault::new(path, message).help(help));
    }

    /// Adds a fault; see [`Faults::at`].
    pub fn add(&mut self, mut fault: Fault) {
        if self.lies_in_unsound(&fault.path) {
            return;
        }
        if fault.place.is_none() {
            let (place, stated) = self.locate(&fault.path);
            if !stated && fault.label.is_none() && place.is_some() {
                fault.label = Some(format!("`{}` is a default or missing here", fault.path));
            }
            fault.place = place;
        }
        if !self.list.contains(&fault) {
            self.list.push(fault);
        }
    }

    /// Adds a fault with further places: each path is shown with its words.
    pub fn add_with(&mut self, mut fault: Fault, context: &[(KeyPath, &str)]) {
        for (path, words) in context {
            if let (Some(place), true) = self.locate(path) {
                fault.context.push((place, (*words).to_owned()));
            }
        }
        self.add(fault);
    }

    /// Puts a hole at a path: nothing more is concluded from what stands there.
    pub(crate) fn make_hole(&mut self, path: &KeyPath) {
        if let Some(node) = self.root.get_mut(&path.0) {
            node.value = Value::Hole;
            node.unsound = true;
        }
    }

    /// Says whether a setting was read as typed: no fault of structure at, above or below it.
    pub(crate) fn is_sound(&self, path: impl Into<KeyPath>) -> bool {
        let path = path.into();
        !self.lies_in_unsound(&path) && !self.root.get(&path.0).is_some_and(Node::has_unsound)
    }

    /// Says whether nothing names `key` in the table at `table`, whose keys are known even where values
    /// below could not be read.
    pub(crate) fn lacks(&self, table: impl Into<KeyPath>, key: &str) -> bool {
        let table = table.into();
        !self.lies_in_unsound(&table) && self.root.get(&table.key(key).0).is_none()
    }

    fn lies_in_unsound(&self, path: &KeyPath) -> bool {
        (0..=path.0.len()).any(|end| self.root.get(&path.0[..end]).is_some_and(|n| n.unsound))
    }

    /// Finds where a setting, or the nearest table around it, was typed, and whether it was itself.
    fn locate(&self, path: &KeyPath) -> (Option<Place>, bool) {
        for end in (1..=path.0.len()).rev() {
            if let Some(node) = self.root.get(&path.0[..end]) {
                return (Some(node.shown_at().clone()), end == path.0.len());
            }
        }
        (None, false)
    }

    /// Returns the folder that a relative path at this setting starts from.
    pub(crate) fn folder_of(&self, path: impl Into<KeyPath>) -> Option<&std::path::Path> {
        let node = self.root.get(&path.into().0)?;
        Some(&self.sources.get(node.place.source)?.folder)
    }

    /// Returns text as it was typed at a path, before paths were made absolute.
    pub(crate) fn typed(&self, path: impl Into<KeyPath>) -> Option<&str> {
        match &self.root.get(&path.into().0)?.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Says whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Counts the faults.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the faults in the order of the text.
    #[must_use]
    pub fn list(&self) -> Vec<&Fault> {
        let mut list: Vec<&Fault> = self.list.iter().collect();
        // Faults of the file before those of its bases; without a place first.
        list.sort_by_key(|fault| {
            let place = fault.place.as_ref();
            place.map(|place| (place.source, place.span.start))
        });
        list
    }

    /// Shows every fault with file, line, column, the underlined text and the remedy.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for fault in self.list() {
            text += &renderer.render(&[self.group(fault)]);
            text += "\n\n";
        }
        let count = self.len();
        let plural = if count == 1 { "" } else { "s" };
        let file = self.sources.first().map_or("", |source| source.name.as_str());
        text + &format!("{count} fault{plural} in `{file}`\n")
    }

    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&fault.message));
        match &fault.place {
            Some(place) if !self.sources[place.source].is_override => {
                let mut snippet = self
                    .snippet(place.source)
                    .annotation(AnnotationKind::Primary.span(self.visible(place)).label(fault.label.as_deref()));
                let same = |(other, _): &&(Place, String)| other.source == place.source;
                for (other, words) in fault.context.iter().filter(same) {
                    snippet =
                        snippet.annotation(AnnotationKind::Context.span(self.visible(other)).label(words.as_str()));
                }
                group = group.element(snippet);
            }
            Some(place) => {
                group = group.element(Origin::path(self.sources[place.source].name.as_str()));
            }
            None => {
                // The experiment as a whole: its own file is read first.
                if let Some(file) = self.sources.first().filter(|s| !s.is_override) {
                    group = group.element(Origin::path(file.name.as_str()));
                }
            }
        }
        if let Some(help) = &fault.help {
            let help = annotate_snippets::normalize_untrusted_str(help);
            group = group.element(Level::HELP.message(help));
        }
        group
    }

    fn snippet(&self, source: usize) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let source = &self.sources[source];
        Snippet::source(source.text.as_str()).path(source.name.as_str())
    }

    /// Cuts a span to its first line, so that a long list or text is not printed whole.
    fn visible(&self, place: &Place) -> Range<usize> {
        let text = &self.sources[place.source].text;
        let part = text.get(place.span.clone()).unwrap_or_default();
        let length = part.find(['\r', '\n']).unwrap_or(part.len());
        place.span.start..place.span.start + length
    }

    /// Lists the faults as JSON: `message`, `key`, `help`, and `file`, `line`, `column` (from 1,
    /// in characters) or `set` where they are known.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let rows: Vec<Row<'_>> = self.list().into_iter().map(|f| self.row(f)).collect();
        serde_json::json!({ "faults": rows })
    }

    fn row<'a>(&'a self, fault: &'a Fault) -> Row<'a> {
        let mut row = Row {
            message: &fault.message,
            key: fault.path.to_string(),
            help: fault.help.as_deref(),
            file: None,
            line: None,
            column: None,
            set: None,
        };
        if let Some(place) = &fault.place {
            let source = &self.sources[place.source];
            if source.is_override {
                row.set = Some(&source.text);
            } else {
                let before = source.text.get(..place.span.start).unwrap_or_default();
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                row.file = Some(&source.name);
                row.line = Some(before.matches('\n').count() + 1);
                row.column = Some(before[line_start..].chars().count() + 1);
            }
        }
        row
    }

    /// Says whether the tree holds a value at a path, as opposed to a default.
    #[must_use]
    pub fn is_stated(&self, path: impl Into<KeyPath>) -> bool {
        let node = self.root.get(&path.into().0);
        node.is_some_and(|node| node.value != Value::Hole)
    }
}

/// Shows the faults without colour.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

#[derive(Serialize)]
struct Row<'a> {
    message: &'a str,
    key: String,
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<&'a str>,
}
