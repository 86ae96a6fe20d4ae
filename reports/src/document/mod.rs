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
use crate::standings::Standings;
use crate::statistics::Resampling;
use crate::study::Study;
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
    /// Number of test questions.
    pub questions: usize,
    /// Number of units that they belong to.
    pub units: usize,
    /// How intervals and p values were resampled.
    pub resampling: Resampling,
    /// Reservations of the run and of the report.
    pub warnings: Vec<String>,
    /// All tables, by [`Table::name`].
    pub tables: Vec<Table>,
    /// All figures, by [`Figure::name`].
    pub figures: Vec<Figure>,
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
    fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    fn figures_with<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = &'f Figure> {
        self.figures.iter().filter(move |figure| figure.name.starts_with(prefix))
    }
}
