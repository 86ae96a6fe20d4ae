//! Two levels differ by less than a margin.

use std::collections::BTreeMap;

use super::{Ground, Kind, Points, Tested, compare, estimate, limits, one_sided, scope};
use crate::pair::pair;
use crate::statistics::Interval;
use crate::study::LevelContrast;

/// Claims that the difference of two levels lies within a margin on both sides of zero.
///
/// Two one-sided tests, of `effect <= -margin` and of `effect >= margin`, each at alpha; p is the larger one.
/// Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach for assessing the
/// equivalence of average bioavailability". Where the effect lies beyond a margin, p is of the one-sided test of that
/// margin in the other direction. Both directions together err with more than alpha only where the margin is too
/// narrow to show equivalence at all.
pub(super) struct Equivalent<'c> {
    pub(super) contrast: &'c LevelContrast,
    pub(super) margin: f64,
}

impl Kind for Equivalent<'_> {
    fn symbols(&self) -> String {
        let LevelContrast { factor, better, worse, .. } = self.contrast;
        format!("{factor}: {better} within {} of {worse}", self.margin)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        &self.contrast.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        Some(vec![&self.contrast.factor])
    }

    fn test(&self, ground: &Ground<'_>, column: &str) -> Result<Tested, String> {
        if !(self.margin > 0.0 && self.margin.is_finite()) {
            return Err(format!("the margin is {}: expected a positive number", self.margin));
        }
        let compared = compare(ground, column, &pair(ground.study, self.contrast)?)?;
        let (mut contrast, set, inference) = (compared.contrast, compared.set, compared.inference);
        // These look at zero, which the claim is not about.
        (contrast.checks, contrast.detectable) = (Vec::new(), None);
        let inside = self.margin - contrast.effect.abs();
        let p = if inside >= 0.0 {
            let [low, high] = [-self.margin, self.margin].map(|margin| inference.one_sided(margin));
            if low.value > high.value { low } else { high }
        } else {
            inference.one_sided(self.margin.copysign(contrast.effect))
        };
        Ok(Tested {
            estimate: estimate(set, &contrast, p, contrast.least_p / 2.0),
            points: Points::of(inside),
            limits: limits(inference, 2.0),
            scope: scope(ground, set, &contrast),
            contrast: Some(contrast),
            detail: None,
        })
    }

    fn margin(&self) -> Option<Interval> {
        Some(Interval { low: -self.margin, high: self.margin })
    }

    fn rule(&self, alpha: f64) -> Option<String> {
        let holds = "the effect lies within the margin on both sides (two one-sided tests)";
        Some(one_sided("A claim of \u{201c}equivalent\u{201d}", alpha, holds, "it lies beyond"))
    }

    fn sources(&self) -> Vec<[&'static str; 3]> {
        vec![[
            "Two one-sided tests",
            "equivalence: the effect lies within the margin on both sides",
            "Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach",
        ]]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, check_coherence, levels};
    use super::*;
    use crate::study::Claim;

    fn world(gain: f64, seeds: &[u64]) -> World {
        World::crossed(seeds, move |sft, _, seed, q| {
            let both = f64::from(sft == "both");
            (q % 5) as f64 + both * (gain + 0.1 * (q % 7) as f64 - 0.3 + 0.05 * (seed % 3) as f64)
        })
    }

    fn test(gain: f64, margin: f64, seeds: &[u64]) -> Tested {
        world(gain, seeds).test(&Claim::Equivalent { contrast: levels("sft", "both", "none"), margin }, "f1").unwrap()
    }

    #[test]
    fn p_is_the_larger_of_two() {
        // As two t tests, of 40 differences and 0.1 on either side, but for flips of signs.
        let tested = test(0.02, 0.1, &[3]);
        let contrast = tested.contrast.as_ref().unwrap();
        let student = statrs::distribution::StudentsT::new(0.0, 1.0, 39.0).unwrap();
        let tail = |distance: f64| statrs::distribution::ContinuousCDF::cdf(&student, -distance / contrast.error);
        let wanted = tail(0.1 - contrast.effect).max(tail(contrast.effect + 0.1));
        assert!((tested.estimate.p.value - wanted).abs() < 0.01, "{:?} {wanted}", tested.estimate);
        assert!(tested.points == Points::For && tested.estimate.p.value < 0.05);
    }

    #[test]
    fn no_difference_found_is_not_equivalence_shown() {
        // The effect is next to nothing, and 40 questions cannot tell it from half of its error.
        let tested = test(0.0, 0.015, &[3]);
        assert!(tested.estimate.p.value > 0.2 && tested.contrast.as_ref().unwrap().p.value > 0.05);
    }

    #[test]
    fn the_interval_lies_on_one_side_of_the_margins_where_p_says_so() {
        for (gain, margin) in [(0.0, 0.1), (0.05, 0.1), (-0.06, 0.1), (0.2, 0.1), (-0.5, 0.3), (0.1, 0.1), (0.01, 0.02)]
        {
            for seeds in [&[3][..], &[3, 4, 5]] {
                let tested = test(gain, margin, seeds);
                let inside = |interval: Interval| interval.low > -margin && interval.high < margin;
                let beyond = |interval: Interval| interval.low > margin || interval.high < -margin;
                check_coherence(&tested, |interval| match tested.points {
                    Points::For => inside(interval),
                    _ => beyond(interval),
                });
            }
        }
    }

    #[test]
    fn nothing_is_within_nothing() {
        let claim = Claim::Equivalent { contrast: levels("sft", "both", "none"), margin: 0.0 };
        assert!(world(0.0, &[3]).problem(&claim, "f1").contains("expected a positive number"));
    }
}
