//! One level is not worse than another by more than a margin.

use std::collections::BTreeMap;

use super::{Ground, Kind, Points, Tested, compare, estimate, limits, one_sided, scope};
use crate::pair::pair;
use crate::statistics::Interval;
use crate::study::LevelContrast;

/// Claims non-inferiority: that the difference of two levels is above minus a margin.
///
/// p is one-sided at the margin, in the direction that was observed: of `effect <= -margin` where the effect lies
/// above, of `effect >= -margin` where it lies below. Of these two hypotheses just one is true, so that testing both
/// needs no adjustment (Stefansson, Kim and Hsu 1988, "On confidence sets in multiple comparisons").
pub(super) struct NotWorse<'c> {
    pub(super) contrast: &'c LevelContrast,
    pub(super) margin: f64,
}

impl Kind for NotWorse<'_> {
    fn symbols(&self) -> String {
        let LevelContrast { factor, better, worse, .. } = self.contrast;
        format!("{factor}: {better} not worse than {worse} by more than {}", self.margin)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        &self.contrast.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        Some(vec![&self.contrast.factor])
    }

    fn test(&self, ground: &Ground<'_>, column: &str) -> Result<Tested, String> {
        if !(self.margin >= 0.0 && self.margin.is_finite()) {
            return Err(format!("the margin is {}: expected a number that is not negative", self.margin));
        }
        let compared = compare(ground, column, &pair(ground.study, self.contrast)?)?;
        let (mut contrast, set, inference) = (compared.contrast, compared.set, compared.inference);
        // These look at zero, which the claim is not about.
        (contrast.checks, contrast.detectable) = (Vec::new(), None);
        let p = inference.one_sided(-self.margin);
        Ok(Tested {
            estimate: estimate(set, &contrast, p, contrast.least_p / 2.0),
            points: Points::of(contrast.effect + self.margin),
            limits: limits(inference, 2.0),
            scope: scope(ground, set, &contrast),
            contrast: Some(contrast),
            detail: None,
        })
    }

    fn margin(&self) -> Option<Interval> {
        Some(Interval { low: -self.margin, high: f64::INFINITY })
    }

    fn rule(&self, alpha: f64) -> Option<String> {
        let holds = "the effect lies above minus the margin";
        Some(one_sided("A claim of \u{201c}not worse\u{201d}", alpha, holds, "it lies below"))
    }

    fn sources(&self) -> Vec<[&'static str; 3]> {
        vec![[
            "Non-inferiority test",
            "one-sided test of a loss as large as the margin",
            "Blackwelder 1982, \u{201c}Proving the null hypothesis\u{201d} in clinical trials; in both directions after \
             Stefansson, Kim and Hsu 1988, On confidence sets in multiple comparisons",
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
        world(gain, seeds).test(&Claim::NotWorse { contrast: levels("sft", "both", "none"), margin }, "f1").unwrap()
    }

    #[test]
    fn a_small_loss_is_not_worse_and_a_large_one_is() {
        let (small, large) = (test(-0.05, 0.3, &[3]), test(-0.6, 0.3, &[3]));
        assert!(small.points == Points::For && small.estimate.effect < 0.0 && small.estimate.p.value < 0.01);
        assert!(large.points == Points::Against && large.estimate.p.value < 0.01, "{:?}", large.estimate);
        // Of a claim that is not worse by anything, the test is the one-sided one of zero.
        let none = test(-0.05, 0.0, &[3]);
        assert_eq!(none.estimate.p.value, none.contrast.as_ref().unwrap().p.value / 2.0);
        assert!(none.contrast.unwrap().checks.is_empty());
    }

    #[test]
    fn many_units_come_to_the_t_test() {
        let tested = test(-0.05, 0.1, &[3]);
        let contrast = tested.contrast.as_ref().unwrap();
        let t = (contrast.effect + 0.1) / contrast.error;
        let student = statrs::distribution::StudentsT::new(0.0, 1.0, 39.0).unwrap();
        let wanted = statrs::distribution::ContinuousCDF::cdf(&student, -t);
        assert!((tested.estimate.p.value - wanted).abs() < 0.01, "{:?} {wanted}", tested.estimate);
    }

    #[test]
    fn the_interval_leaves_the_margin_out_where_p_says_so() {
        for (gain, margin) in [(-0.05, 0.1), (-0.1, 0.08), (-0.2, 0.1), (0.0, 0.0), (-0.35, 0.3)] {
            for seeds in [&[3][..], &[3, 4, 5]] {
                let tested = test(gain, margin, seeds);
                check_coherence(&tested, |interval| interval.low > -margin || interval.high < -margin);
            }
        }
    }

    #[test]
    fn a_margin_is_no_negative_number() {
        let claim = Claim::NotWorse { contrast: levels("sft", "both", "none"), margin: -0.1 };
        assert!(world(0.0, &[3]).problem(&claim, "f1").contains("the margin is -0.1"));
    }
}
