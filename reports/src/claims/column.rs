//! Columns of a study, metrics and quantities, as values of whole arms.

use std::collections::BTreeMap;

use super::{Ground, measured};
use crate::pair;
use crate::record::Direction;
use crate::statistics::moments;
use crate::study::{Arm, Metric, Quantity, Role, Study};
use crate::vocabulary;

/// What arms are ranked by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column<'s> {
    Metric(&'s Metric),
    Quantity(&'s Quantity),
}

/// Name of a column in tables; its own where the study does not know it.
pub(super) fn label(study: &Study, column: &str) -> String {
    let quantity = || study.quantities.iter().find(|quantity| quantity.name == column);
    let known = study.metric(column).map(|metric| study.label(metric));
    known.or_else(|| quantity().map(|quantity| quantity.label.clone())).unwrap_or_else(|| column.to_owned())
}

/// Selects the cells at the levels that a claim fixes.
///
/// # Errors
/// Which of them are not done: what is best of some arms is not best of all.
pub(super) fn arms<'s>(study: &'s Study, within: &BTreeMap<String, String>) -> Result<Vec<&'s Arm>, String> {
    let fixed = |arm: &Arm| within.iter().all(|(factor, level)| arm.levels.get(factor) == Some(level));
    let arms: Vec<&Arm> = study.arms.iter().filter(|arm| arm.role == Role::Cell && fixed(arm)).collect();
    let gaps = pair::gaps(&arms);
    if gaps.is_empty() { Ok(arms) } else { Err(gaps.join("; ")) }
}

/// Checks that a stratum, if any, leaves some examples out.
///
/// # Errors
/// That the columns are quantities, which have no examples.
pub(super) fn check_stratum(ground: &Ground<'_>, columns: &[Column<'_>]) -> Result<(), String> {
    let has_examples = columns.iter().any(|column| matches!(column, Column::Metric(_)));
    match ground.stratum {
        Some(stratum) if !has_examples => {
            Err(format!("stratum `{stratum}` is named, and none of the columns is measured on examples"))
        }
        _ => Ok(()),
    }
}

impl<'s> Column<'s> {
    /// Finds a metric or a quantity.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn find(ground: &Ground<'s>, name: &str) -> Result<Self, String> {
        let study = ground.study;
        if let Some(quantity) = study.quantities.iter().find(|quantity| quantity.name == name) {
            return Ok(Self::Quantity(quantity));
        }
        if study.metric(name).is_none() {
            return Err(format!("the study has no metric and no quantity `{name}`"));
        }
        measured(ground, name).map(|(metric, _)| Self::Metric(metric))
    }

    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Metric(metric) => metric.direction,
            Self::Quantity(quantity) => quantity.direction,
        }
    }

    /// Name in tables.
    pub(super) fn label(self, study: &Study) -> String {
        match self {
            Self::Metric(metric) => study.label(metric),
            Self::Quantity(quantity) => quantity.label.clone(),
        }
    }

    /// Value of each arm, mean over seeds.
    ///
    /// # Errors
    /// Why the arms cannot be ranked: a value that is missing or no number, other questions, seeds or vocabularies.
    pub(super) fn values(self, ground: &Ground<'s>, arms: &[&Arm]) -> Result<Vec<f64>, String> {
        let study = ground.study;
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        let (label, unit) = match self {
            Self::Metric(metric) => (study.label(metric), &metric.unit),
            Self::Quantity(quantity) => (quantity.label.clone(), &quantity.unit),
        };
        let others: Vec<(&str, &str)> = names.iter().skip(1).map(|name| (names[0], *name)).collect();
        vocabulary::check_unit(study, &label, unit, &others)?;
        match self {
            Self::Metric(metric) => {
                if let Some(name) = names.iter().find(|name| ground.scores.seeds(metric.key(), name).is_empty()) {
                    return Err(ground.scores.absent(name, metric.key()));
                }
                if !ground.scores.are_alike(metric.key(), &names) {
                    return Err(format!("the arms were not measured at the same seeds on the same examples: {label}"));
                }
                let of_arm = |name: &&str| {
                    let by_seed = ground.scores.by_seed_in(metric.key(), name, ground.stratum);
                    let values: Vec<f64> = by_seed.into_iter().map(|(_, value)| value).collect();
                    let nothing = || format!("metric `{}` has no example in the stratum", metric.key());
                    (!values.is_empty()).then(|| moments::mean(&values)).ok_or_else(nothing)
                };
                names.iter().map(of_arm).collect()
            }
            Self::Quantity(quantity) => {
                let by_seed: Vec<BTreeMap<u64, f64>> =
                    names.iter().map(|name| at_seeds(quantity, name)).collect::<Result<_, _>>()?;
                if by_seed.windows(2).any(|pair| !pair[0].keys().eq(pair[1].keys())) {
                    return Err(format!("the arms have values of {label} at different seeds"));
                }
                Ok(by_seed.iter().map(|values| moments::mean(&values.values().copied().collect::<Vec<_>>())).collect())
            }
        }
    }
}

/// Values of a quantity of one arm by seed.
///
/// # Errors
/// That there is none, or that one is no number or given twice.
pub(super) fn at_seeds(quantity: &Quantity, arm: &str) -> Result<BTreeMap<u64, f64>, String> {
    let mut values = BTreeMap::new();
    for value in quantity.values.iter().filter(|value| value.arm == arm) {
        if !value.value.is_finite() {
            return Err(format!("`{}` of arm `{arm}` at seed {} is not a finite number", quantity.name, value.seed));
        }
        if values.insert(value.seed, value.value).is_some() {
            return Err(format!("`{}` of arm `{arm}` is given twice at seed {}", quantity.name, value.seed));
        }
    }
    if values.is_empty() { Err(format!("arm `{arm}` has no value of `{}`", quantity.name)) } else { Ok(values) }
}
