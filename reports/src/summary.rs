//! The report in a few lines, for programs.

use serde::Serialize;

use crate::energy::Account;
use crate::hypotheses::Answer;
use crate::scores::Counts;
use crate::standings::Standings;
use crate::statistics::Resampling;
use crate::strata::Division;
use crate::study::{Check, EvaluationSet, Outcome, Study, Unit};

/// Version of this format.
pub const SUMMARY_FORMAT: u32 = 3;

/// Holds the findings of a study: what `--format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Version of this format.
    pub format: u32,
    /// Name of the experiment.
    pub name: String,
    /// Its question.
    pub question: String,
    /// Significance level of the hypotheses, all together.
    pub alpha: f64,
    /// The evaluation sets, with what counts as independent in each.
    pub sets: Vec<SetSummary>,
    /// Answers to its hypotheses.
    pub hypotheses: Vec<Answer>,
    /// Arms on metrics.
    pub standings: Vec<Standings>,
    /// Parts of the sets that are divided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strata: Vec<Division>,
    /// What was verified along the way.
    pub checks: Vec<Check>,
    /// What it consumed.
    pub energy: Account,
    /// Number of arms that are done, failed and missing.
    pub arms: Outcomes,
    /// How intervals and p values were resampled.
    pub resampling: Resampling,
    /// Reservations of the run and of the report.
    pub warnings: Vec<String>,
}

/// Says what one evaluation set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetSummary {
    /// Its name; none for the only set of an experiment that names none.
    pub name: Option<String>,
    /// What counts as independent.
    pub unit: Unit,
    /// Number of examples.
    pub examples: usize,
    /// Number of units that they belong to.
    pub units: usize,
}

impl SetSummary {
    /// Takes a set with what was counted in it.
    pub fn new(set: &EvaluationSet, counts: Counts) -> Self {
        let Counts { examples, units } = counts;
        Self { name: set.name.clone(), unit: set.unit.clone(), examples, units }
    }
}

/// Counts arms by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All seeds have records.
    pub done: usize,
    /// At least one seed failed.
    pub failed: usize,
    /// Not run yet.
    pub missing: usize,
}

impl Outcomes {
    /// Counts the arms of a study.
    pub fn of(study: &Study) -> Self {
        let mut outcomes = Self::default();
        for arm in &study.arms {
            match arm.outcome {
                Outcome::Done => outcomes.done += 1,
                Outcome::Failed { .. } => outcomes.failed += 1,
                Outcome::Missing => outcomes.missing += 1,
            }
        }
        outcomes
    }
}
