//! The report as a document: `outline` draws it up once, as typed blocks, and a printer each sets
//! them as PDF and as Markdown.

pub mod block;
mod content;
#[cfg(feature = "pdf")]
mod glyphs;
mod limitations;
pub mod markdown;
mod outline;
#[cfg(feature = "pdf")]
mod page;
#[cfg(feature = "pdf")]
pub mod pdf;
mod setting;
#[cfg(feature = "pdf")]
mod soft;
mod sources;
mod words;

pub use outline::outline;

use crate::energy::Account;
use crate::hypotheses::Answer;
use crate::plots::Figure;
use crate::rivals::Rivals;
use crate::scores::Counts;
use crate::standings::Standings;
use crate::statistics::Resampling;
use crate::strata::Division;
use crate::study::{EvaluationSet, Study};
use crate::tables::Table;

/// Holds everything that was found out, ready to be printed.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The study.
    pub study: &'a Study,
    /// Answers to its hypotheses.
    pub answers: Vec<Answer>,
    /// Arms on metrics.
    pub standings: Vec<Standings>,
    /// The energy account.
    pub account: Account,
    /// Trained arms against each other on the metric that figures show.
    pub rivals: Rivals,
    /// Parts of the sets that are divided.
    pub divisions: Vec<Division>,
    /// What each set of the study holds.
    pub counts: Vec<Counts>,
    /// How intervals and p values were resampled.
    pub resampling: Resampling,
    /// Reservations of the run and of the report.
    pub warnings: Vec<String>,
    /// All tables, by [`Table::name`].
    pub tables: Vec<Table>,
    /// All figures, by [`Figure::name`].
    pub figures: Vec<Figure>,
}

/// What one unit of a set is called: its examples where each is one of its own.
fn unit(set: &EvaluationSet, counts: Counts) -> &str {
    if counts.units == counts.examples { set.task.example() } else { &set.unit.name }
}

/// Holds a finished PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdf {
    /// The file.
    pub bytes: Vec<u8>,
    /// Number of its pages.
    pub pages: usize,
}

impl Findings<'_> {
    /// The sets with what each holds.
    fn sets(&self) -> impl Iterator<Item = (&EvaluationSet, Counts)> {
        self.study.sets.iter().zip(self.counts.iter().copied())
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    fn tables_with<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = &'f Table> {
        self.tables.iter().filter(move |table| table.name.starts_with(prefix))
    }

    fn figures_with<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = &'f Figure> {
        self.figures.iter().filter(move |figure| figure.name.starts_with(prefix))
    }
}
