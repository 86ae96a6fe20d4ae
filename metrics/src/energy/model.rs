//! The constants an experiment declares: power model, grid, data centre. Whoever reads them from
//! the experiment checks their ranges, where a fault can be shown in its line.

use super::source::Joules;
use serde::{Deserialize, Serialize};

/// Power of one logical CPU at full load where no TDP is declared, in watts.
///
/// An assumption: the order of a desktop processor's TDP divided by its threads; of a server's it
/// is 2 to 4 W, so declare the TDP there. Wherever the assumption is used, the method text says so.
pub const ASSUMED_WATTS_PER_CPU: f64 = 10.0;

/// Declares what turns use into energy and energy into carbon dioxide; `None` is "not declared".
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnergyModel {
    /// Thermal design power of all CPUs this machine shows, in watts.
    pub cpu_tdp_watts: Option<f64>,
    /// Power of resident memory, in watts per GiB.
    pub dram_watts_per_gib: Option<f64>,
    /// Emissions of the grid, in kilograms of CO2 equivalent per kilowatt-hour.
    pub grid_kg_co2e_per_kwh: Option<f64>,
    /// Power usage effectiveness of the data centre: its energy over that of its computers.
    pub pue: Option<f64>,
}

/// Holds emissions and what they rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Emissions {
    /// Kilograms of CO2 equivalent.
    pub kg_co2e: f64,
    /// The factors, declared or assumed.
    pub method: String,
}

impl EnergyModel {
    /// Returns the emissions of `energy`: kWh × PUE × grid factor.
    ///
    /// `None` where no grid factor is declared. An undeclared PUE counts as 1, and the method says
    /// that this is assumed.
    pub fn emissions(&self, energy: Joules) -> Option<Emissions> {
        let grid = self.grid_kg_co2e_per_kwh?;
        let (pue, origin) = match self.pue {
            Some(pue) => (pue, "declared"),
            None => (1.0, "assumed: none declared"),
        };
        Some(Emissions {
            kg_co2e: energy.kilowatt_hours() * pue * grid,
            method: format!("grid {grid} kg CO2e/kWh (declared), PUE {pue} ({origin})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emissions_by_hand() {
        let model = EnergyModel { grid_kg_co2e_per_kwh: Some(0.4), pue: Some(1.5), ..EnergyModel::default() };
        let emissions = model.emissions(Joules(7.2e6)).unwrap();
        assert!((emissions.kg_co2e - 1.2).abs() < 1e-12);
        let unknown_pue = EnergyModel { pue: None, ..model }.emissions(Joules(7.2e6)).unwrap();
        assert!((unknown_pue.kg_co2e - 0.8).abs() < 1e-12);
        assert_eq!(unknown_pue.method, "grid 0.4 kg CO2e/kWh (declared), PUE 1 (assumed: none declared)");
        assert_eq!(EnergyModel::default().emissions(Joules(1.0)), None);
    }

    #[test]
    fn keys_are_kebab_case_and_unknown_ones_refused() {
        let model: EnergyModel = serde_json::from_str(r#"{"cpu-tdp-watts": 65.0}"#).unwrap();
        assert_eq!(model.cpu_tdp_watts, Some(65.0));
        assert!(serde_json::from_str::<EnergyModel>(r#"{"cpu-tdp": 65.0}"#).is_err());
    }
}
