//! What a source of energy readings is.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, Sub};

/// An amount of energy in joules.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Joules(pub f64);

impl Joules {
    /// Returns the amount in kilowatt-hours.
    pub fn kilowatt_hours(self) -> f64 {
        self.0 / 3.6e6
    }
}

impl Add for Joules {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Joules {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Joules {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// Names a part of the machine that consumes energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Processor packages.
    Cpu,
    /// Main memory.
    Dram,
    /// Accelerators.
    Gpu,
}

/// Says how an amount of energy is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Read from a counter or a sensor.
    Measured,
    /// Computed by a declared model.
    Estimated,
    /// Not known; the method says why.
    Unavailable,
}

/// Holds what one reading of a source tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// A counter: energy since some fixed moment, never falling unless it turns over ([`Turn`]).
    Energy(Joules),
    /// A sensor: power now, in watts; whoever reads it integrates over time.
    Power(f64),
    /// Both; the counter counts, the power is a cross-check.
    EnergyAndPower(Joules, f64),
}

/// Says when a counter starts again at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// What it counts up to.
    pub range: Joules,
    /// Power that what it covers never exceeds, in watts.
    pub highest_watts: f64,
}

impl Turn {
    /// Returns the shortest time in which the counter may turn over, in seconds: read less often than
    /// that, it tells nothing for certain.
    pub fn seconds(&self) -> f64 {
        self.range.0 / self.highest_watts
    }
}

/// Says why a source cannot be read, and what to do about it where something can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// What was found.
    pub reason: String,
    /// What the user can do.
    pub remedy: Option<String>,
}

impl Unavailable {
    /// Says that a source cannot be read, for a reason that nothing here can change.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Returns reason and remedy in one line.
    pub fn text(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{} (hint: {remedy})", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// Reads the energy or power of one device.
///
/// A source that can never be read still stands in the list, so that the account says so.
pub trait PowerSource: Send {
    /// Returns the part of the machine this is.
    fn component(&self) -> Component;

    /// Names the device, unique among the sources of a meter (`package-0`, `gpu 0`).
    fn name(&self) -> String;

    /// Says how what [`PowerSource::read`] returns is known; a source that never returns anything
    /// is [`State::Unavailable`].
    fn state(&self) -> State;

    /// Says in a sentence how the value comes about, with the constants of a model.
    fn method(&self) -> String;

    /// Says when its counter turns over; none if it has no counter, or one that never does.
    fn turn(&self) -> Option<Turn> {
        None
    }

    /// Reads the source now.
    ///
    /// # Errors
    /// If it cannot be read, now or ever.
    fn read(&mut self) -> Result<Reading, Unavailable>;
}

/// Stands in for a source that this machine does not offer.
#[derive(Debug, Clone)]
pub struct Missing {
    component: Component,
    name: String,
    reason: Unavailable,
}

impl Missing {
    /// Returns a source whose every reading fails with `reason`.
    pub fn new(component: Component, name: impl Into<String>, reason: Unavailable) -> Self {
        Self { component, name: name.into(), reason }
    }
}

impl PowerSource for Missing {
    fn component(&self) -> Component {
        self.component
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> State {
        State::Unavailable
    }

    fn method(&self) -> String {
        self.reason.text()
    }

    fn read(&mut self) -> Result<Reading, Unavailable> {
        Err(self.reason.clone())
    }
}
