//! The energy account of a stage: what `energy.json` holds.

use super::source::{Component, Joules, State};
use serde::{Deserialize, Serialize};

/// Holds what one device consumed, its idle share included.
///
/// Unknown fields are passed over: accounts in older stores hold an idle power that was never
/// measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Part of the machine.
    pub component: Component,
    /// Device (`package-0`, `gpu 0`).
    pub name: String,
    /// How the amount is known.
    pub state: State,
    /// Energy from start to finish; `None` exactly if unavailable.
    pub joules: Option<Joules>,
    /// How the amount came about, or why there is none.
    pub method: String,
    /// Seconds from start to finish.
    pub seconds: f64,
    /// Energy by integrating sampled power, where a counter gave `joules`.
    pub cross_check_joules: Option<Joules>,
}

/// Holds what every device consumed from start to finish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// One entry for each source, in the order given.
    pub components: Vec<Measured>,
}

impl Account {
    /// Returns the energy of one component, its devices summed, and the weaker of their states.
    ///
    /// `None` if it has no device in the account, or one of them is unavailable: part of a sum is
    /// no sum.
    pub fn of(&self, component: Component) -> Option<(Joules, State)> {
        sum(self.components.iter().filter(|measured| measured.component == component))
    }

    /// Returns the energy of everything that is known, with the weaker of the states; what is
    /// unavailable is missing from it, and listed by [`Account::missing`].
    ///
    /// `None` if nothing is known.
    pub fn known(&self) -> Option<(Joules, State)> {
        sum(self.components.iter().filter(|measured| measured.joules.is_some()))
    }

    /// Returns the entries without an amount.
    pub fn missing(&self) -> impl Iterator<Item = &Measured> {
        self.components.iter().filter(|measured| measured.joules.is_none())
    }

    /// Adds the account of a later attempt at the same stage, device by device.
    ///
    /// A device that only one attempt has, or that one could not read, becomes unavailable: its
    /// total is not known. The time of both attempts is known whatever their devices: every entry
    /// gets it.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let seconds = self.seconds() + later.seconds();
        let mut rest = later.components;
        for earlier in &mut self.components {
            let same = |measured: &Measured| (measured.component, &measured.name) == (earlier.component, &earlier.name);
            match rest.iter().position(same) {
                Some(index) => earlier.add(&rest.remove(index)),
                None => earlier.lose("read in an earlier attempt only"),
            }
        }
        for mut later in rest {
            later.lose("read in a later attempt only");
            self.components.push(later);
        }
        self.components.iter_mut().for_each(|measured| measured.seconds = seconds);
        self
    }

    /// All entries run from the same start to the same finish.
    fn seconds(&self) -> f64 {
        self.components.iter().map(|measured| measured.seconds).fold(0.0, f64::max)
    }
}

impl Measured {
    fn add(&mut self, later: &Self) {
        self.joules = self.joules.zip(later.joules).map(|(a, b)| a + b);
        self.cross_check_joules = self.cross_check_joules.zip(later.cross_check_joules).map(|(a, b)| a + b);
        self.state = self.state.max(later.state);
        if self.method != later.method {
            self.method = format!("{}; then {}", self.method, later.method);
        }
    }

    fn lose(&mut self, reason: &str) {
        self.state = State::Unavailable;
        self.joules = None;
        self.cross_check_joules = None;
        self.method = format!("{reason}: {}", self.method);
    }
}

fn sum<'a>(devices: impl Iterator<Item = &'a Measured>) -> Option<(Joules, State)> {
    devices.map(|measured| Some((measured.joules?, measured.state))).reduce(|total, next| {
        let ((a, a_state), (b, b_state)) = (total?, next?);
        Some((a + b, a_state.max(b_state)))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(component: Component, name: &str, state: State, joules: Option<f64>) -> Measured {
        Measured {
            component,
            name: name.to_owned(),
            state,
            joules: joules.map(Joules),
            method: "test".to_owned(),
            seconds: 2.0,
            cross_check_joules: None,
        }
    }

    fn account(components: Vec<Measured>) -> Account {
        Account { components }
    }

    #[test]
    fn part_of_a_sum_is_no_sum() {
        let account = account(vec![
            measured(Component::Cpu, "package-0", State::Measured, Some(3.0)),
            measured(Component::Cpu, "package-1", State::Estimated, Some(4.0)),
            measured(Component::Gpu, "gpu 0", State::Measured, Some(5.0)),
            measured(Component::Gpu, "gpu 1", State::Unavailable, None),
        ]);
        assert_eq!(account.of(Component::Cpu), Some((Joules(7.0), State::Estimated)));
        assert_eq!(account.of(Component::Gpu), None);
        assert_eq!(account.of(Component::Dram), None);
        assert_eq!(account.known(), Some((Joules(12.0), State::Estimated)));
        assert_eq!(account.missing().map(|measured| measured.name.as_str()).collect::<Vec<_>>(), ["gpu 1"]);
    }

    #[test]
    fn attempts_add_up_device_by_device() {
        let first = account(vec![
            measured(Component::Cpu, "package-0", State::Measured, Some(3.0)),
            measured(Component::Gpu, "gpu 0", State::Measured, Some(5.0)),
        ]);
        let second = account(vec![
            measured(Component::Cpu, "package-0", State::Estimated, Some(4.0)),
            measured(Component::Gpu, "gpu 1", State::Measured, Some(6.0)),
        ]);
        let both = first.then(second);
        assert_eq!(both.of(Component::Cpu), Some((Joules(7.0), State::Estimated)));
        assert_eq!(both.missing().count(), 2);
        // Two attempts of two seconds, also for a card that only one of them had.
        assert!(both.components.iter().all(|measured| measured.seconds == 4.0));
        let unknown = account(Vec::new()).then(both);
        assert!(unknown.components.iter().all(|measured| measured.seconds == 4.0 && measured.joules.is_none()));
    }

    #[test]
    fn the_file_is_plain_and_reads_back() {
        let account = account(vec![measured(Component::Dram, "dram", State::Unavailable, None)]);
        let json = serde_json::to_value(&account).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"components": [{
                "component": "dram", "name": "dram", "state": "unavailable", "joules": null, "method": "test",
                "seconds": 2.0, "cross_check_joules": null
            }]})
        );
        assert_eq!(serde_json::from_value::<Account>(json.clone()).unwrap(), account);
        let mut older = json;
        older["components"][0]["idle_watts"] = serde_json::Value::Null;
        assert_eq!(serde_json::from_value::<Account>(older).unwrap(), account);
    }
}
