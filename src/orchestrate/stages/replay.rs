//! What a step learns of other data beside its own.

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
        // Without what binary fractions add: 0.07 is 7 %, not 7.000000000000001 %.
        let percent = |share: &f64| (1e11 * share).round() / 1e9;
        self.others.iter().map(move |share| ("replay".to_owned(), format!("{} % of {}", percent(share), self.unit)))
    }

    /// Draws from `0..there`, the other data at `place` (from 0), as many as its share asks for beside `own`
    /// units of the step's own; notes where some come more than once.
    ///
    /// # Errors
    /// When there is nothing to draw from.
    pub(super) fn draw(
        &self,
        place: usize,
        own: usize,
        there: usize,
        seed: u64,
        events: &mut dyn FnMut(Event),
    ) -> anyhow::Result<Vec<usize>> {
        let count = (self.others[place] / self.own() * own as f64).round() as usize;
        let unit = self.unit;
        if count > 0 && there == 0 {
            anyhow::bail!(
                "replay: the other data set {} has no {unit} to learn: look at its train split and at `max-length`, or \
                 take it out of `replay`",
                place + 1
            );
        }
        if count > there {
            let text = format!("replay: {count} {unit} of a data set that has {there}: some come more than once");
            events(Event::Note { text });
        }
        Ok(drawn(there, count, seed, place as u64 + 1))
    }
}

/// Names the input of the other data at `place` (from 0).
pub fn input(place: usize) -> String {
    format!("replay-{}", place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws beside 60 of the step's own; returns what was drawn and what was noted.
    fn drawn(share: f64, there: usize) -> anyhow::Result<(Vec<usize>, Vec<String>)> {
        let mut notes = Vec::new();
        let mut take = |event| match event {
            Event::Note { text } => notes.push(text),
            other => panic!("{other:?}"),
        };
        let places = Shares::new([share, 0.2], "examples").draw(0, 60, there, 1, &mut take)?;
        Ok((places, notes))
    }

    #[test]
    fn a_share_is_among_all_that_is_learned() {
        // 20 of 100, beside 60 of the step's own and 20 of the other set.
        let (places, notes) = drawn(0.2, 30).unwrap();
        assert_eq!((places.len(), notes.len()), (20, 0));
        assert!(places.iter().all(|&place| place < 30));
    }

    #[test]
    fn what_comes_twice_is_noted_and_what_is_not_there_refused() {
        let (places, notes) = drawn(0.2, 15).unwrap();
        assert_eq!(places.len(), 20);
        assert_eq!(notes, ["replay: 20 examples of a data set that has 15: some come more than once"]);
        let error = drawn(0.2, 0).unwrap_err().to_string();
        assert!(error.starts_with("replay: the other data set 1 has no examples to learn"), "{error}");
    }

    #[test]
    fn shares_are_told_in_percent() {
        let told: Vec<String> = Shares::new([0.07, 0.125], "blocks").in_words().map(|(_, words)| words).collect();
        assert_eq!(told, ["7 % of blocks", "12.5 % of blocks"]);
    }
}
