//! From Tutelage's records to verdicts, tables, figures and a PDF.
//!
//! Takes what a run left behind and never runs anything. The phases, in order:
//!
//! 1. [`record::Record`]s and a [`study::Study`] come from whoever ran the experiment.
//! 2. [`scores`]: records are arranged by metric, arm, seed and example; [`aggregate`] says how
//!    examples become one value.
//! 3. [`contrast`] compares two sides pairwise with [`statistics`]; `claims` says what each kind of claim makes of
//!    it and [`hypotheses`] answers them all; [`standings`] does so for the arms and `strata` for parts of a set;
//!    [`energy`] shares out the cost.
//! 4. [`tables`], [`plots`] and [`document`] print; [`report::render`] writes all of it.
//!
//! [`compare`] serves two plain lists of scores without a study.

pub mod aggregate;
mod claims;
pub mod compare;
pub mod contrast;
pub mod document;
pub mod energy;
pub mod error;
pub mod hypotheses;
pub mod number;
mod pair;
pub mod plots;
pub mod record;
pub mod report;
pub mod rivals;
pub mod scores;
mod seeds;
pub mod standings;
pub mod statistics;
pub mod strata;
pub mod study;
pub mod summary;
pub mod tables;
pub mod vocabulary;
mod write;

pub use error::Error;

pub use report::{Options, Rendered, render};
pub use summary::Summary;

/// Version of a report's results and look: raise it when the same study and records would give another
/// report than before.
// 2: one statistic per claim, over units and seeds; values per token are compared within one vocabulary only.
// 3: exploratory metrics of claims that are not rejected; Wilson's interval of shares; a Pareto front of point
// estimates; more draws for pairs of arms.
// 4: evaluation sets and strata; claims of other kinds than "better".
pub const VERSION: u32 = 4;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
