//! Tables: a plain type, what goes into them, and the formats they are printed in.

mod arms;
mod csv;
mod design;
mod energy;
mod hypotheses;
mod latex;
mod legend;
mod markdown;
mod scores;
mod strata;

pub use arms::{overviews, per_metric};
pub use design::{arms, checks, data, metrics, models, sets};
pub use energy::{by_arm, by_stage};
pub use hypotheses::hypotheses;
pub use markdown::escape as markdown_escape;
pub use scores::records_csv;
pub(crate) use strata::claims_name;
pub use strata::{by_stratum, claims_by_stratum};

use serde::Serialize;

use crate::number;
use crate::plots::file_stem;
use crate::statistics::P;
use crate::study::{Metric, Study};

/// What stands for a value beyond all numbers, such as the perplexity of a model that diverged.
pub(crate) const DIVERGED: &str = "diverged";

/// Name of the files of a metric, by its column; numbered where two columns would have the same.
pub(crate) fn stem(study: &Study, metric: &Metric) -> String {
    let stem = file_stem(metric.key());
    let before = study.metrics.iter().take_while(|other| other.key() != metric.key());
    match before.filter(|other| file_stem(other.key()) == stem).count() {
        0 => stem,
        more => format!("{stem}-{}", more + 1),
    }
}

/// Name of the files of a set; numbered where two sets would have the same.
pub(crate) fn set_stem(study: &Study, name: Option<&str>) -> String {
    let of = |name: Option<&str>| file_stem(name.unwrap_or("unnamed"));
    let before = study.sets.iter().map(|set| set.name.as_deref()).take_while(|other| *other != name);
    match before.filter(|other| of(*other) == of(name)).count() {
        0 => of(name),
        more => format!("{}-{}", of(name), more + 1),
    }
}

/// Holds a table, independent of any format.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Name of its files.
    pub name: String,
    /// Caption: what the rows are and what the numbers mean.
    pub caption: String,
    /// Heads of the columns.
    pub columns: Vec<Column>,
    /// Number of first columns that name a row: they are repeated where a table is divided.
    pub stub: usize,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Row>,
    /// Explanations of marks, below the table.
    pub notes: Vec<String>,
    /// The same numbers in the room of a page, where the table is too wide for one.
    #[serde(skip)]
    pub paper: Option<Box<Table>>,
}

/// Heads a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// What the column holds, with its unit.
    pub head: String,
    /// Where its cells stand.
    pub align: Align,
    /// Whether its texts are long and few: people read them below the table, programs in it.
    pub legend: bool,
}

/// Says where the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// Text.
    Left,
    /// Numbers with the same decimals, so that points stand above each other.
    Right,
}

/// Holds a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// Whether a rule divides it from the row above.
    pub divided: bool,
}

/// Holds a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// What it says.
    pub value: Value,
    /// Whether it is the best of its column.
    pub best: bool,
    /// Mark behind the value, explained in the notes.
    pub mark: &'static str,
}

/// What a cell says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// Text, never interpreted.
    Text(String),
    /// A number and its decimals.
    Number(f64, usize),
    /// A number, the significant digits that it has, and whether it is an estimate.
    Approximate(f64, usize, bool),
    /// A difference: printed with its sign.
    Signed(f64, usize),
    /// A p value.
    P(P),
    /// A confidence interval: low, high, decimals.
    Interval(f64, f64, usize),
    /// Nothing to say: not measured, not defined.
    Absent,
}

impl Table {
    /// Starts a table.
    pub fn new(name: impl Into<String>, caption: impl Into<String>, columns: Vec<Column>) -> Self {
        Self {
            name: name.into(),
            caption: caption.into(),
            columns,
            stub: 1,
            rows: Vec::new(),
            notes: Vec::new(),
            paper: None,
        }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(Row { cells, divided: false });
    }

    /// Position of the column under a head.
    fn column(&self, head: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.head == head)
    }

    /// Removes a column.
    fn remove_column(&mut self, column: usize) {
        self.columns.remove(column);
        self.stub -= usize::from(column < self.stub);
        self.rows.iter_mut().for_each(|row| drop(row.cells.remove(column)));
    }

    /// Prints the table as CSV: numbers in full precision, an interval as two columns.
    pub fn to_csv(&self) -> String {
        csv::print(self)
    }

    /// Prints the table for LaTeX with the package booktabs, legends below.
    pub fn to_latex(&self) -> String {
        latex::print(&self.on_paper().for_people())
    }

    /// Prints the table as Markdown, legends below.
    pub fn to_markdown(&self) -> String {
        markdown::print(&self.for_people())
    }

    /// The table in the room of a page.
    pub(crate) fn on_paper(&self) -> &Self {
        self.paper.as_deref().unwrap_or(self)
    }

    /// Moves the texts of legend columns into the notes.
    pub fn for_people(&self) -> Self {
        legend::fold(self)
    }
}

impl Column {
    /// Heads a column of text.
    pub fn left(head: impl Into<String>) -> Self {
        Self { head: head.into(), align: Align::Left, legend: false }
    }

    /// Heads a column of long texts of which many rows share one.
    pub fn legend(head: impl Into<String>) -> Self {
        Self { legend: true, ..Self::left(head) }
    }

    /// Heads a column of numbers.
    pub fn right(head: impl Into<String>) -> Self {
        Self { head: head.into(), align: Align::Right, legend: false }
    }
}

impl Cell {
    /// Makes a plain cell.
    pub fn new(value: Value) -> Self {
        Self { value, best: false, mark: "" }
    }

    /// Makes a cell of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Value::Text(text.into()))
    }

    /// Makes a cell of a number, or an absent one.
    pub fn number(value: Option<f64>, digits: usize) -> Self {
        Self::new(value.map_or(Value::Absent, |value| Value::Number(value, digits)))
    }
}

impl Value {
    /// Prints the value for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, _) | Self::Signed(value, _) if !value.is_finite() => DIVERGED.to_owned(),
            Self::Number(value, digits) => number::fixed(*value, *digits),
            Self::Approximate(value, digits, estimated) => number::approximate(*value, *digits, *estimated),
            Self::Signed(value, digits) => number::signed(*value, *digits),
            Self::P(p) => number::p_value(*p),
            Self::Interval(low, high, digits) => {
                format!("[{}, {}]", number::fixed(*low, *digits), number::fixed(*high, *digits))
            }
            Self::Absent => "\u{2013}".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::{empty, metric, set};

    #[test]
    fn no_two_metrics_or_sets_share_a_file() {
        let of =
            |set: &str, name: &str| Metric { set: Some(set.into()), column: format!("{set}/{name}"), ..metric(name) };
        let study = Study {
            sets: vec![
                set(Some("a/b"), "group"),
                set(Some("a"), "group"),
                set(Some("a-b"), "group"),
                set(None, "group"),
            ],
            metrics: vec![of("a", "b-c"), of("a/b", "c"), of("a-b", "c"), of("a", "d")],
            ..empty()
        };
        let stems: Vec<String> = study.metrics.iter().map(|metric| stem(&study, metric)).collect();
        assert_eq!(stems, ["a-b-c", "a-b-c-2", "a-b-c-3", "a-d"]);
        let stems: Vec<String> = study.sets.iter().map(|set| set_stem(&study, set.name.as_deref())).collect();
        assert_eq!(stems, ["a-b", "a", "a-b-2", "unnamed"]);
    }
}
