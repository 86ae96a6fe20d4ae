//! The losses of a step, by the names under which they are logged.

use std::ops::AddAssign;

/// Holds the losses of an objective, each a token sum divided by the step's normaliser.
///
/// Parts that an objective does not have are `None`, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parts {
    /// Cross-entropy of the student on the data.
    pub ce: Option<f64>,
    /// Distillation loss; in dual space the sum of the three losses below.
    pub kd: Option<f64>,
    /// Cross-entropy of the teacher's states in the student's space (L1).
    pub t2s_ce: Option<f64>,
    /// Divergence of the student from the projected teacher (L2).
    pub t2s_kd: Option<f64>,
    /// Divergence of the projected student from the teacher (L3).
    pub s2t_kd: Option<f64>,
    /// The total that the gradient belongs to.
    pub loss: f64,
}

impl Parts {
    /// Lists the parts that exist, by name, the total last.
    pub fn entries(&self) -> Vec<(&'static str, f64)> {
        let optional = [
            ("ce", self.ce),
            ("kd", self.kd),
            ("t2s_ce", self.t2s_ce),
            ("t2s_kd", self.t2s_kd),
            ("s2t_kd", self.s2t_kd),
            ("loss", Some(self.loss)),
        ];
        optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Returns the loss `(1 - rate) ce + rate kd` of token sums divided by `normaliser`.
    pub(super) fn weighted(ce: f64, kd: f64, rate: f64, normaliser: f64) -> Self {
        Self {
            ce: Some(ce / normaliser),
            kd: Some(kd / normaliser),
            loss: ((1.0 - rate) * ce + rate * kd) / normaliser,
            ..Self::default()
        }
    }
}

/// Adds the parts of another micro-batch of the same step and objective.
impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        let add = |mine: &mut Option<f64>, theirs: Option<f64>| {
            if let Some(theirs) = theirs {
                *mine = Some(mine.unwrap_or(0.0) + theirs);
            }
        };
        add(&mut self.ce, other.ce);
        add(&mut self.kd, other.kd);
        add(&mut self.t2s_ce, other.t2s_ce);
        add(&mut self.t2s_kd, other.t2s_kd);
        add(&mut self.s2t_kd, other.s2t_kd);
        self.loss += other.loss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_add_up_and_absent_parts_stay_absent() {
        let mut total = Parts::default();
        total += Parts::weighted(3.0, 1.0, 0.25, 2.0);
        total += Parts::weighted(1.0, 3.0, 0.25, 2.0);
        // ce 2, kd 2, loss 2 at any rate.
        assert_eq!(total.entries(), [("ce", 2.0), ("kd", 2.0), ("loss", 2.0)]);
    }
}
