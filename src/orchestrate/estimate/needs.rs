//! Sums of estimates.

use serde::Serialize;

/// Estimates one stage; what cannot be known is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Estimate {
    /// Floating-point operations.
    pub operations: Option<f64>,
    /// Duration.
    pub seconds: Option<f64>,
    /// Memory, at most.
    pub memory_bytes: Option<u64>,
    /// Disk while it runs.
    pub disk_bytes: Option<u64>,
    /// Disk of what it leaves.
    pub kept_bytes: Option<u64>,
    /// Energy.
    pub kilowatt_hours: Option<f64>,
}

/// A stage that does not fit the memory that there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Misfit {
    /// Title of the stage.
    pub stage: String,
    /// Memory that it needs, estimated.
    pub needs_bytes: u64,
    /// Memory of that which no smaller batch saves.
    pub held_bytes: u64,
    /// Memory of the machine.
    pub has_bytes: u64,
    /// What to do about it.
    pub remedy: &'static str,
    /// Settings of training that save memory, each with those before it, up to the first that fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<Way>,
}

/// A setting that saves memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// The setting, as in an experiment file.
    pub setting: String,
    /// Memory that the stage then needs, estimated.
    pub needs_bytes: u64,
}

/// Sums the estimates of several stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Needs {
    /// Stages that were summed.
    pub stages: usize,
    /// Of them, stages whose duration is not known.
    pub unknown: usize,
    /// Duration of the others, one after another.
    pub seconds: f64,
    /// Memory of the largest.
    pub memory_bytes: u64,
    /// Disk of what all leave, and of the largest unfinished work.
    pub disk_bytes: u64,
    /// Energy; none if it is not known for any stage of known duration.
    pub kilowatt_hours: Option<f64>,
}

impl Needs {
    /// Sums estimates.
    pub fn of<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Self {
        let mut needs = Self { kilowatt_hours: Some(0.0), ..Self::default() };
        let mut unfinished = 0;
        for estimate in estimates {
            needs.stages += 1;
            needs.unknown += usize::from(estimate.seconds.is_none());
            needs.seconds += estimate.seconds.unwrap_or_default();
            needs.memory_bytes = needs.memory_bytes.max(estimate.memory_bytes.unwrap_or_default());
            let kept = estimate.kept_bytes.unwrap_or_default();
            needs.disk_bytes += kept;
            unfinished = unfinished.max(estimate.disk_bytes.unwrap_or_default().saturating_sub(kept));
            if estimate.seconds.is_some() {
                needs.kilowatt_hours = needs.kilowatt_hours.zip(estimate.kilowatt_hours).map(|(a, b)| a + b);
            }
        }
        needs.disk_bytes += unfinished;
        needs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_makes_the_sum_unknown() {
        let known = Estimate { seconds: Some(2.0), kilowatt_hours: Some(1.0), ..Estimate::default() };
        let no_power = Estimate { seconds: Some(3.0), ..Estimate::default() };
        let needs = Needs::of([&known, &no_power, &Estimate::default()].into_iter());
        assert_eq!((needs.stages, needs.unknown, needs.seconds), (3, 1, 5.0));
        assert_eq!(needs.kilowatt_hours, None);
    }
}
