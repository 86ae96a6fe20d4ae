//! What can be wrong with a report's input, and what can fail while it is written.

use std::path::PathBuf;

use thiserror::Error;

/// Names a fault in the input or in writing a report.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder could not be written.
    #[error("cannot {action} `{path}`")]
    File {
        /// `write` or `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// One value is given twice.
    #[error("two records for arm `{arm}`, seed {seed}, example `{example}`, metric `{metric}`")]
    Duplicate {
        /// Name of the arm.
        arm: String,
        /// Seed of the trial.
        seed: u64,
        /// Identifier of the example.
        example: String,
        /// Name of the metric.
        metric: String,
    },
    /// An example belongs to two groups.
    #[error("example `{example}` is in group `{first}` and in group `{second}`: expected one group in all records")]
    Group {
        /// Identifier of the example.
        example: String,
        /// One group.
        first: String,
        /// The other.
        second: String,
    },
    /// An example belongs to two strata.
    #[error("example `{example}` is in stratum {first} and in stratum {second}: expected one stratum in all records")]
    Stratum {
        /// Identifier of the example.
        example: String,
        /// One stratum, quoted, or `none`.
        first: String,
        /// The other.
        second: String,
    },
    /// The study contradicts itself.
    #[error("the study cannot be reported on: {0}")]
    Study(String),
    /// A record lacks what its metric is computed from.
    #[error("arm `{arm}`, example `{example}`, metric `{metric}`: {needs}")]
    Counts {
        /// Name of the arm.
        arm: String,
        /// Identifier of the example.
        example: String,
        /// Name of the metric.
        metric: String,
        /// What is expected.
        needs: &'static str,
    },
    /// Records and study disagree on a metric.
    #[error("metric `{metric}`: {what} in the study and in the records differ: {study}, {records}")]
    Metric {
        /// Name of the metric.
        metric: String,
        /// `unit` or `direction`.
        what: &'static str,
        /// As in the study.
        study: String,
        /// As in the records.
        records: String,
    },
    /// Two files to compare have no identifier in common, or one is given twice.
    #[error("{0}")]
    Comparison(String),
    /// A figure could not be drawn.
    #[error("cannot draw figure `{figure}`: {reason}")]
    Figure {
        /// Name of the figure.
        figure: String,
        /// What failed.
        reason: String,
    },
    /// The PDF could not be set.
    #[error("cannot set the PDF: {0}")]
    Document(String),
}
