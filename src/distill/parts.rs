//! The losses of a step, by the names under which they are logged.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_token_means_and_absent_ones_stay_absent() {
        // (0.75 * 3 + 0.25 * 1) / 2 = 1.25.
        let parts = Parts::weighted(3.0, 1.0, 0.25, 2.0);
        assert_eq!(parts.entries(), [("ce", 1.5), ("kd", 0.5), ("loss", 1.25)]);
        let all = Parts { t2s_ce: Some(0.0), t2s_kd: Some(0.0), s2t_kd: Some(0.0), ..parts };
        let names: Vec<_> = all.entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ce", "kd", "t2s_ce", "t2s_kd", "s2t_kd", "loss"]);
    }
}
