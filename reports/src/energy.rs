//! The energy account: what each kind of stage and each arm consumed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tutelage_metrics::energy::Joules;
use tutelage_metrics::energy::model::Emissions;

use crate::number;
use crate::study::{Outcome, Role, StageEnergy, Study};

/// Kinds of stages in the order in which their work is done; others come after them.
const PIPELINE: [&str; 9] =
    ["prepare", "pretrain", "sft", "capture", "distill", "generate", "score", "judge", "report"];

/// Joules in a watt-hour.
pub const JOULES_PER_WATT_HOUR: f64 = 3600.0;

/// Smallest difference that estimates can tell, as a share of the energy: an assumption. CPU time times
/// a declared power takes one power for every kind of work, clock and temperature, which change the
/// power of a busy core by about this much.
pub const ESTIMATED_RESOLUTION: f64 = 0.25;

/// Smallest difference that counters can tell, as a share of the energy: an assumption. NVML's documentation
/// states 5 % for the power of Fermi and Kepler GPUs; for later ones and for RAPL no figure is stated.
pub const MEASURED_RESOLUTION: f64 = 0.05;

/// Prints an energy given in joules in a unit that suits it: kWh, Wh down to their hundredths, or J.
pub(crate) fn in_units(joules: f64, digits: usize, estimated: bool) -> String {
    let (unit, name) = match joules / JOULES_PER_WATT_HOUR {
        hours if hours >= 1000.0 => (1e3 * JOULES_PER_WATT_HOUR, "kWh"),
        hours if hours >= 0.01 => (JOULES_PER_WATT_HOUR, "Wh"),
        _ => (1.0, "J"),
    };
    format!("{} {name}", number::approximate(joules / unit, digits, estimated))
}

/// Says how much of an amount is known, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Amount {
    /// Measured joules.
    pub measured: f64,
    /// Estimated joules.
    pub estimated: f64,
    /// Components without a value in at least one stage; the sums leave them out.
    pub unavailable: BTreeSet<String>,
    /// Whether anything was measured, be it 0 J.
    #[serde(skip)]
    has_measured: bool,
    /// Whether anything was estimated, be it 0 J.
    #[serde(skip)]
    has_estimated: bool,
}

impl Amount {
    /// Sum of what is known, in joules; absent when nothing is.
    pub fn joules(&self) -> Option<f64> {
        (self.has_measured || self.has_estimated).then_some(self.measured + self.estimated)
    }

    /// Share of [`Amount::joules`] that is estimated, 0 to 1; absent when nothing is known.
    pub fn estimated_share(&self) -> Option<f64> {
        match (self.has_measured, self.has_estimated) {
            (false, false) => None,
            (true, false) => Some(0.0),
            (false, true) => Some(1.0),
            // Nothing at all, part of it estimated: no share is true, and none matters.
            (true, true) if self.measured + self.estimated == 0.0 => Some(0.0),
            (true, true) => Some(self.estimated / (self.measured + self.estimated)),
        }
    }

    /// Smallest difference from another amount that can be told, as a share of this one: that of counters
    /// and that of estimates, by their shares. Absent when nothing is known.
    pub fn resolution(&self) -> Option<f64> {
        let share = self.estimated_share()?;
        Some(share * ESTIMATED_RESOLUTION + (1.0 - share) * MEASURED_RESOLUTION)
    }

    /// Significant digits that the amount is printed with: three of what counters read, two of the rest.
    pub(crate) fn digits(&self) -> usize {
        if self.resolution().is_some_and(|resolution| resolution <= MEASURED_RESOLUTION) { 3 } else { 2 }
    }

    /// Whether any part of it is an estimate.
    pub(crate) fn is_estimate(&self) -> bool {
        self.estimated_share().is_some_and(|share| share > 0.0)
    }

    /// The amount in a unit that suits it, with the digits that it has: `~0.23 Wh`, `13.4 Wh`; absent
    /// when nothing is known.
    pub(crate) fn shown(&self) -> Option<String> {
        Some(in_units(self.joules()?, self.digits(), self.is_estimate()))
    }

    /// A mass of emissions that follows from the amount, given in kilograms.
    pub(crate) fn mass(&self, kilograms: f64) -> String {
        const UNITS: [(f64, &str); 3] = [(1.0, "kg"), (1e-3, "g"), (1e-6, "mg")];
        let (unit, name) = UNITS.into_iter().find(|(unit, _)| kilograms >= *unit).unwrap_or(UNITS[2]);
        format!("{} {name}", number::approximate(kilograms / unit, self.digits(), self.is_estimate()))
    }

    /// Says in words how the amount is known, with the share that is estimated.
    pub fn state(&self) -> String {
        match self.estimated_share() {
            Some(share) if self.has_measured && self.has_estimated => {
                self.described(&format!("measured, {:.0} % estimated", 100.0 * share))
            }
            _ => self.state_without_share(),
        }
    }

    /// Says in words how the amount is known.
    pub fn state_without_share(&self) -> String {
        self.described(match (self.has_measured, self.has_estimated) {
            (true, true) => "measured and estimated",
            (true, false) => "measured",
            (false, true) => "estimated",
            (false, false) if self.unavailable.is_empty() => "none recorded",
            (false, false) => "",
        })
    }

    /// Adds what is unavailable to what is known.
    fn described(&self, known: &str) -> String {
        let mut state = known.to_owned();
        if !self.unavailable.is_empty() {
            if !state.is_empty() {
                state.push_str("; ");
            }
            let names: Vec<&str> = self.unavailable.iter().map(String::as_str).collect();
            state.push_str(&format!("{} unavailable", names.join(", ")));
        }
        state
    }

    /// Adds another amount.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.measured += other.measured;
        self.estimated += other.estimated;
        self.unavailable.extend(other.unavailable.iter().cloned());
        self.has_measured |= other.has_measured;
        self.has_estimated |= other.has_estimated;
    }

    fn add(&mut self, stage: &StageEnergy, share: f64) {
        match stage.joules {
            Some(joules) if stage.state == "measured" => {
                self.measured += joules * share;
                self.has_measured = true;
            }
            Some(joules) => {
                self.estimated += joules * share;
                self.has_estimated = true;
            }
            None => {
                self.unavailable.insert(stage.component.clone());
            }
        }
    }
}

/// Sums up one kind of stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageAccount {
    /// Stage kind.
    pub stage: String,
    /// Number of distinct stages.
    pub count: usize,
    /// Summed duration in seconds.
    pub seconds: f64,
    /// Amount per component.
    pub components: BTreeMap<String, Amount>,
    /// Amount over components.
    pub total: Amount,
}

/// Sums up one arm: each stage's cost is shared equally between the arms that use it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmAccount {
    /// Name of the arm.
    pub arm: String,
    /// What it is for. A reference pays only for stages that no arm of the design uses: answering.
    pub role: Role,
    /// How it ended; of an arm that is not done, what its finished stages used is here.
    pub outcome: Outcome,
    /// Share of the durations in seconds.
    pub seconds: f64,
    /// Share per stage kind.
    pub stages: BTreeMap<String, Amount>,
    /// Share over all stages.
    pub total: Amount,
}

/// Holds the whole account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// By stage kind, in the order of the pipeline, unknown ones after them as the study lists them.
    pub stages: Vec<StageAccount>,
    /// By arm, in the order of the study; arms without stages are left out.
    pub arms: Vec<ArmAccount>,
    /// Components in alphabetical order.
    pub components: Vec<String>,
    /// Everything.
    pub total: Amount,
    /// Summed duration in seconds.
    pub seconds: f64,
    /// How each component was measured or estimated, or why it could not be.
    pub methods: BTreeMap<String, BTreeSet<String>>,
    /// Counters against sampled power, by component; none where no stage has both.
    pub cross_checks: BTreeMap<String, CrossCheck>,
    /// Emissions of the energy that is known; absent where none is, or no grid factor is declared.
    pub emissions: Option<Emissions>,
}

/// Compares a counter with the power that was sampled beside it, over the stages that have both.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CrossCheck {
    /// Joules by the counter.
    pub counted: f64,
    /// Joules by integrating the power.
    pub integrated: f64,
}

impl Account {
    /// Says which differences of this account can be told; nothing where no energy is known.
    pub(crate) fn precision(&self) -> Option<String> {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let estimated = format!(
            "~ marks estimates, which are taken to tell energies apart that differ by {}",
            percent(ESTIMATED_RESOLUTION)
        );
        let measured = format!("counters are taken to tell {} apart", percent(MEASURED_RESOLUTION));
        Some(match self.total.estimated_share()? {
            0.0 => format!("Energy: {measured}, an assumption."),
            1.0 => format!("{estimated}, an assumption."),
            _ => format!("{estimated}, {measured}, mixtures what their shares give: assumptions."),
        })
    }
}

/// Draws up the account of a study.
pub fn account(study: &Study) -> Account {
    let mut account = Account {
        stages: Vec::new(),
        arms: study
            .arms
            .iter()
            .map(|arm| ArmAccount {
                arm: arm.name.clone(),
                role: arm.role,
                outcome: arm.outcome.clone(),
                seconds: 0.0,
                stages: BTreeMap::new(),
                total: Amount::default(),
            })
            .collect(),
        components: Vec::new(),
        total: Amount::default(),
        seconds: 0.0,
        methods: BTreeMap::new(),
        cross_checks: BTreeMap::new(),
        emissions: None,
    };
    let mut timed = BTreeSet::new();
    for row in &study.energy {
        // A stage has one row per component; its duration counts once.
        let first = timed.insert((row.stage.as_str(), row.key.as_str()));
        let seconds = if first { row.seconds } else { 0.0 };
        account.seconds += seconds;
        account.total.add(row, 1.0);
        let methods = account.methods.entry(row.component.clone()).or_default();
        methods.insert(format!("{}: {}", row.state, row.method));
        if let (Some(counted), Some(integrated)) = (row.joules, row.cross_check_joules) {
            let check = account.cross_checks.entry(row.component.clone()).or_default();
            check.counted += counted;
            check.integrated += integrated;
        }
        add_stage(&mut account.stages, row, first, seconds);
        let share = 1.0 / row.arms.len().max(1) as f64;
        for arm in account.arms.iter_mut().filter(|arm| row.arms.contains(&arm.arm)) {
            arm.seconds += seconds * share;
            arm.stages.entry(row.stage.clone()).or_default().add(row, share);
            arm.total.add(row, share);
        }
    }
    let place = |kind: &str| PIPELINE.iter().position(|known| *known == kind).unwrap_or(PIPELINE.len());
    account.stages.sort_by_key(|stage| place(&stage.stage));
    account.arms.retain(|arm| !arm.stages.is_empty());
    account.components = account.methods.keys().cloned().collect();
    account.emissions = account.total.joules().and_then(|joules| study.energy_model.emissions(Joules(joules)));
    account
}

fn add_stage(stages: &mut Vec<StageAccount>, row: &StageEnergy, first: bool, seconds: f64) {
    let position = stages.iter().position(|stage| stage.stage == row.stage);
    let position = position.unwrap_or_else(|| {
        stages.push(StageAccount {
            stage: row.stage.clone(),
            count: 0,
            seconds: 0.0,
            components: BTreeMap::new(),
            total: Amount::default(),
        });
        stages.len() - 1
    });
    let stage = &mut stages[position];
    stage.count += usize::from(first);
    stage.seconds += seconds;
    stage.total.add(row, 1.0);
    stage.components.entry(row.component.clone()).or_default().add(row, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::{empty, energy};

    #[test]
    fn an_amount_has_the_digits_that_its_method_can_tell() {
        let of = |states: &[(&str, f64)]| {
            let mut study = empty();
            let rows = states.iter().enumerate();
            study.energy = rows.map(|(i, (state, j))| energy(&i.to_string(), "a", "cpu", state, Some(*j))).collect();
            account(&study).total
        };
        let estimated = of(&[("estimated", 812.4)]);
        assert_eq!((estimated.resolution(), estimated.shown().unwrap()), (Some(0.25), "~0.23 Wh".into()));
        let measured = of(&[("measured", 48_234.0)]);
        assert_eq!((measured.resolution(), measured.shown().unwrap()), (Some(0.05), "13.4 Wh".into()));
        // Half of either: 15 %.
        let mixed = of(&[("measured", 5.0), ("estimated", 5.0)]);
        assert!((mixed.resolution().unwrap() - 0.15).abs() < 1e-12);
        assert_eq!((mixed.shown().unwrap(), mixed.mass(5.37e-3)), ("~10 J".into(), "~5.4 g".into()));
        assert_eq!(of(&[("measured", 4.32e6)]).shown().unwrap(), "1.20 kWh");
        assert_eq!((Amount::default().resolution(), Amount::default().shown()), (None, None));
    }

    #[test]
    fn emissions_are_those_of_what_is_known_and_never_zero_by_default() {
        let mut study = empty();
        study.energy =
            vec![energy("1", "a", "cpu", "measured", Some(7.2e6)), energy("1", "a", "gpu", "unavailable", None)];
        assert_eq!(account(&study).emissions, None);
        study.energy_model.grid_kg_co2e_per_kwh = Some(0.4);
        study.energy_model.pue = Some(1.5);
        // 2 kWh, half as much again for the site, 0.4 kg each.
        assert!((account(&study).emissions.unwrap().kg_co2e - 1.2).abs() < 1e-12);
        study.energy.remove(0);
        assert_eq!(account(&study).emissions, None);
    }

    #[test]
    fn counters_are_checked_over_the_stages_that_have_both() {
        let mut study = empty();
        study.energy = vec![
            energy("1", "a", "gpu", "measured", Some(100.0)),
            energy("2", "a", "gpu", "measured", Some(50.0)),
            energy("3", "a", "gpu", "measured", Some(30.0)),
        ];
        assert!(account(&study).cross_checks.is_empty());
        study.energy[0].cross_check_joules = Some(97.0);
        study.energy[2].cross_check_joules = Some(31.0);
        assert_eq!(account(&study).cross_checks["gpu"], CrossCheck { counted: 130.0, integrated: 128.0 });
    }
}
