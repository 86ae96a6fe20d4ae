//! One level is better than another.

use std::collections::BTreeMap;

use super::{Ground, Kind, Tested, compare, plain, scope};
use crate::pair::pair;
use crate::study::LevelContrast;

/// Claims that the difference of two levels is positive; two-sided.
pub(super) struct Better<'c> {
    pub(super) contrast: &'c LevelContrast,
}

impl Kind for Better<'_> {
    fn symbols(&self) -> String {
        format!("{}: {} > {}", self.contrast.factor, self.contrast.better, self.contrast.worse)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        &self.contrast.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        Some(vec![&self.contrast.factor])
    }

    fn test(&self, ground: &Ground<'_>, column: &str) -> Result<Tested, String> {
        super::measured(ground, column)?;
        let compared = compare(ground, column, &pair(ground.study, self.contrast)?)?;
        let scope = scope(ground, compared.set, &compared.contrast);
        Ok(plain(compared.set, compared.contrast, compared.inference, scope))
    }

    fn is_of_any_metric(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Points;
    use super::super::tests::{World, check_coherence, leaves_zero_out, levels};
    use crate::study::Claim;

    #[test]
    fn the_mean_difference_decides() {
        let world = World::crossed(&[1], |sft, _, _, q| f64::from(sft == "both") + (q * (3 + sft.len()) % 5) as f64);
        let tested = world.test(&Claim::Better(levels("sft", "both", "none")), "f1").unwrap();
        let contrast = tested.contrast.as_ref().unwrap();
        assert_eq!(
            (tested.estimate.effect, tested.estimate.p, tested.points),
            (contrast.effect, contrast.p, Points::For)
        );
        assert_eq!(tested.estimate.sides, Some([contrast.first, contrast.second]));
        check_coherence(&tested, leaves_zero_out);
        let reversed = world.test(&Claim::Better(levels("sft", "none", "both")), "f1").unwrap();
        assert_eq!((reversed.points, reversed.estimate.p), (Points::Against, tested.estimate.p));
    }

    #[test]
    fn what_is_missing_is_named() {
        let world = World::crossed(&[1], |_, _, _, q| q as f64);
        let claim = Claim::Better(levels("sft", "both", "teacher"));
        assert_eq!(world.problem(&claim, "f1"), "no arm has `sft` = `teacher`");
        assert_eq!(world.problem(&claim, "bleu"), "the study has no metric `bleu`");
    }
}
