//! What a step learns of other data beside its own.

use super::around::Surroundings;
use crate::data::order::drawn;
use crate::orchestrate::keep::event::Event;

/// The shares of other data among all that a step learns.
pub(super) struct Shares {
    others: Vec<f64>,
    /// What is counted, in the plural.
    unit: &'static str,
}

impl Shares {
    pub(super) fn new(others: impl IntoIterator<Item = f64>, unit: &'static str) -> Self {
        Self { others: others.into_iter().collect(), unit }
    }

    /// Returns the share of the step's own data.
    pub(super) fn own(&self) -> f64 {
        1.0 - self.others.iter().sum::<f64>()
    }

    /// Tells the shares in the table of training.
    pub(super) fn in_words(&self) -> impl Iterator<Item = (String, String)> {
        self.others.iter().map(|share| ("replay".to_owned(), format!("{} % of {}", 100.0 * share, self.unit)))
    }

    /// Draws from `0..there`, the other data at `place` (from 0), as many as its share asks for beside `own`
    /// units of the step's own; notes where some come more than once.
    pub(super) fn draw(
        &self,
        place: usize,
        own: usize,
        there: usize,
        seed: u64,
        around: &mut Surroundings<'_>,
    ) -> Vec<usize> {
        let count = (self.others[place] / self.own() * own as f64).round() as usize;
        if count > there {
            let unit = self.unit;
            let text = format!("replay: {count} {unit} of a data set that has {there}: some come more than once");
            (around.events)(Event::Note { text });
        }
        drawn(there, count, seed, place as u64 + 1)
    }
}

/// Names the input of the other data at `place` (from 0).
pub fn input(place: usize) -> String {
    format!("replay-{}", place + 1)
}
