//! What a counter counted while nobody read it: it may have turned over meanwhile, how often is estimated.

use super::source::{Joules, Turn};

/// How many times longer than it was read a counter may have been unread, for its mean power to tell how
/// often it turned over meanwhile: an assumption.
const LARGEST_UNREAD: f64 = 10.0;

/// What is known of a time in which a counter was not read, in which it counted `rest` and none or
/// more whole turns.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub(super) seconds: f64,
    pub(super) rest: Joules,
    pub(super) turn: Turn,
}

impl Gap {
    /// Returns the most turns there may have been.
    fn most_turns(&self) -> f64 {
        ((self.turn.highest_watts * self.seconds - self.rest.0) / self.turn.range.0).floor().max(0.0)
    }

    /// Returns what the counter counted, if it turned over that often.
    fn with_turns(&self, turns: f64) -> Joules {
        Joules(self.rest.0 + turns * self.turn.range.0)
    }

    /// Returns what it counted, of all that is possible that which is nearest to `watts`.
    fn at(&self, watts: f64) -> Joules {
        let turns = (watts * self.seconds - self.rest.0) / self.turn.range.0;
        self.with_turns(turns.round().clamp(0.0, self.most_turns()))
    }
}

/// The gaps of one counter.
#[derive(Clone, Default)]
pub(super) struct Gaps(Vec<Gap>);

impl Gaps {
    pub(super) fn add(&mut self, gap: Gap) {
        self.0.push(gap);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to what was `counted` in `seconds`, gaps left out, what the counter may have counted in them;
    /// says how.
    ///
    /// # Errors
    /// Too little was read to tell.
    pub(super) fn estimate(&self, counted: Joules, seconds: f64) -> Result<(Joules, String), String> {
        let unread: f64 = self.0.iter().map(|gap| gap.seconds).sum();
        let read = seconds - unread;
        let turn = self.0.iter().map(|gap| gap.turn.seconds()).fold(f64::INFINITY, f64::min);
        let total = |of: &dyn Fn(&Gap) -> Joules| counted + self.0.iter().map(of).sum();
        let (low, high) = (total(&|gap| gap.rest), total(&|gap| gap.with_turns(gap.most_turns())));
        let reason = format!(
            "not read for {unread:.1} s, as where a process is stopped, and may turn over in {turn:.1} s at the highest \
             power (assumed): {:.0} to {:.0} J",
            low.0, high.0
        );
        if read * LARGEST_UNREAD < unread {
            return Err(format!("the counter was {reason}, and what was read is too little to tell"));
        }
        let watts = counted.0 / read;
        let how = format!("{reason}, estimated as nearest to the mean power of the rest, {watts:.0} W");
        Ok((total(&|gap| gap.at(watts)), how))
    }
}
