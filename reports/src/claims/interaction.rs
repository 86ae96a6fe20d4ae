//! A gain is larger at one level of another factor than at another.

use std::collections::BTreeMap;

use super::{Compared, Ground, Kind, Points, Tested, compare, estimate, measured, scope};
use crate::number;
use crate::pair::pair;
use crate::statistics::Interval;
use crate::statistics::moments::columns;
use crate::study::LevelContrast;
use crate::vocabulary;

/// Claims that the gain of one level over another is larger at level `more` of a second factor than at `less`;
/// two-sided.
///
/// The effect is the difference of the two gains (the interaction contrast of a factorial design). With as many pairs
/// of arms at both levels it is twice the mean difference of the pairs when those at `less` are turned round, so that
/// it has the same units, seeds and test as any other contrast.
pub(super) struct Interaction<'c> {
    pub(super) contrast: &'c LevelContrast,
    pub(super) factor: &'c str,
    pub(super) more: &'c str,
    pub(super) less: &'c str,
}

impl Interaction<'_> {
    /// The levels within one level of the second factor.
    fn at(&self, level: &str) -> LevelContrast {
        let mut contrast = self.contrast.clone();
        contrast.within.insert(self.factor.to_owned(), level.to_owned());
        contrast
    }
}

impl Kind for Interaction<'_> {
    fn symbols(&self) -> String {
        let LevelContrast { factor, better, worse, .. } = self.contrast;
        format!("{factor}: {better} > {worse}, more so at {} = {} than at {}", self.factor, self.more, self.less)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        &self.contrast.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        Some(vec![&self.contrast.factor, self.factor])
    }

    fn test(&self, ground: &Ground<'_>, column: &str) -> Result<Tested, String> {
        let (metric, _) = measured(ground, column)?;
        if self.factor == self.contrast.factor || self.contrast.within.contains_key(self.factor) {
            return Err(format!("`{}` is contrasted or fixed already: its levels cannot be compared", self.factor));
        }
        let of = |level: &str| {
            let problem = |text| format!("at `{}` = `{level}`: {text}", self.factor);
            pair(ground.study, &self.at(level)).map_err(problem)
        };
        let (more, less) = (of(self.more)?, of(self.less)?);
        if more.len() != less.len() {
            return Err(format!(
                "the two gains are over different numbers of pairs of arms: {}, {}",
                more.len(),
                less.len()
            ));
        }
        // A difference per token in one vocabulary compares with none in another.
        let across: Vec<(&str, &str)> = more.iter().zip(&less).map(|(more, less)| (more.0, less.0)).collect();
        vocabulary::check(ground.study, metric, &across)?;
        let turned = less.iter().map(|(better, worse)| (*worse, *better));
        let pairs: Vec<(&str, &str)> = more.iter().copied().chain(turned).collect();
        let paired = ground.scores.pair_in(column, &pairs, ground.stratum)?;
        if paired.seeds.iter().any(|at_seed| at_seed.len() != pairs.len()) {
            return Err("the arms were not all measured at the same seeds".to_owned());
        }
        let Compared { set, contrast, inference, .. } = compare(ground, column, &pairs)?;
        let sums = [&paired.first, &paired.second].map(|rows| columns(rows.iter().map(Vec::as_slice)));
        let half = paired.pairs / 2;
        let gain = |pairs: std::ops::Range<usize>, sign: f64| {
            sign * metric.direction.sign() * paired.difference_over(&pairs.collect::<Vec<_>>(), &sums[0], &sums[1])
        };
        let mut contrast = contrast.scaled(2.0);
        (contrast.first, contrast.second) = (gain(0..half, 1.0), gain(half..paired.pairs, -1.0));
        let estimate = estimate(set, &contrast, contrast.p, contrast.least_p);
        let gains = [contrast.first, contrast.second].map(|gain| number::signed(gain, estimate.decimals));
        Ok(Tested {
            detail: Some(format!(
                "gain {} at {} = {}, {} at {}",
                gains[0], self.factor, self.more, gains[1], self.less
            )),
            estimate,
            points: Points::of(contrast.effect),
            limits: Box::new(move |alpha| {
                let Interval { low, high } = inference.interval(alpha);
                Interval { low: 2.0 * low, high: 2.0 * high }
            }),
            scope: scope(ground, set, &contrast),
            contrast: Some(contrast),
        })
    }

    fn is_of_any_metric(&self) -> bool {
        true
    }

    fn rule(&self, _alpha: f64) -> Option<String> {
        Some("The effect of a claim on two gains is their difference, and its sides are the gains.".to_owned())
    }

    fn sources(&self) -> Vec<[&'static str; 3]> {
        vec![[
            "Interaction contrast",
            "the difference of two gains, tested as any other difference",
            "Fisher 1935, The Design of Experiments, chapter VI",
        ]]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, check_coherence, leaves_zero_out, levels};
    use super::*;
    use crate::study::{Claim, Outcome};

    fn claim(more: &str, less: &str) -> Claim {
        Claim::Interaction {
            contrast: levels("sft", "both", "none"),
            factor: "teacher".into(),
            more: more.into(),
            less: less.into(),
        }
    }

    /// A gain of 0.5 with llama and of 0.2 with mistral, up to what questions and seeds add.
    fn world(seeds: &[u64]) -> World {
        World::crossed(seeds, |sft, teacher, seed, q| {
            let gain = if teacher == "llama" { 0.5 } else { 0.2 };
            let noise = 0.1 * (q * (sft.len() + teacher.len()) % 7) as f64 + 0.01 * (seed % 4) as f64;
            f64::from(sft == "both") * gain + noise + (q % 3) as f64
        })
    }

    #[test]
    fn it_is_the_difference_of_two_gains() {
        for seeds in [&[3][..], &[3, 4, 5]] {
            let world = world(seeds);
            let tested = world.test(&claim("llama", "mistral"), "f1").unwrap();
            let gain = |teacher: &str| {
                let mut contrast = levels("sft", "both", "none");
                contrast.within.insert("teacher".into(), teacher.into());
                world.test(&Claim::Better(contrast), "f1").unwrap().estimate.effect
            };
            let [more, less] = tested.estimate.sides.unwrap();
            assert!((more - gain("llama")).abs() < 1e-12 && (less - gain("mistral")).abs() < 1e-12, "{more} {less}");
            assert!((tested.estimate.effect - (more - less)).abs() < 1e-12);
            assert!(tested.points == Points::For && tested.estimate.p.value < 0.05, "{:?}", tested.estimate);
            check_coherence(&tested, leaves_zero_out);
            let contrast = tested.contrast.as_ref().unwrap();
            let interval = (tested.limits)(0.05);
            assert!((interval.low - contrast.interval.low).abs() < 1e-12);
            let turned = world.test(&claim("mistral", "llama"), "f1").unwrap();
            assert_eq!((turned.points, turned.estimate.p), (Points::Against, tested.estimate.p));
        }
    }

    #[test]
    fn it_is_in_no_gain_by_itself() {
        // Both gain the same.
        let world = World::crossed(&[1], |sft, _, _, q| f64::from(sft == "both") + (q % 3) as f64);
        let tested = world.test(&claim("llama", "mistral"), "f1").unwrap();
        assert_eq!((tested.estimate.effect, tested.estimate.p.value, tested.points), (0.0, 1.0, Points::Neither));
    }

    #[test]
    fn what_is_missing_is_named_with_its_level() {
        let mut world = world(&[3]);
        assert_eq!(
            world.problem(&claim("llama", "phi"), "f1"),
            "at `teacher` = `phi`: no arm has `sft` = `both`; no arm has `sft` = `none`"
        );
        world.study.arms[1].outcome = Outcome::Missing;
        let problem = world.problem(&claim("llama", "mistral"), "f1");
        assert_eq!(problem, "at `teacher` = `mistral`: arm `both/mistral` has not run");
    }

    #[test]
    fn gains_per_token_in_two_vocabularies_do_not_compare() {
        let mut world = world(&[3]);
        world.study.metrics[0].unit = "nats/token".into();
        world.records.iter_mut().for_each(|record| record.unit = "nats/token".into());
        let name = |arm: &crate::study::Arm| arm.name.split('/').nth(1).unwrap_or_default().to_owned();
        world.study.arms.iter_mut().for_each(|arm| arm.model = name(arm));
        let problem = world.problem(&claim("llama", "mistral"), "f1");
        assert!(problem.contains("the vocabularies of `llama` and `mistral` differ"), "{problem}");
    }
}
