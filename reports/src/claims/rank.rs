//! Two columns rank the arms alike.

use std::collections::BTreeMap;

use super::column::{self, Column};
use super::{Estimate, Ground, Kind, Points, Tested, measured};
use crate::number;
use crate::statistics::kendall::{self, Undefined, kendall};
use crate::study::{Hypothesis, Study};

/// Claims that arms which are better by one column are better by another: that Kendall's tau-b of their means over
/// seeds is positive; two-sided, over arms. See [`kendall()`].
pub(super) struct Rank<'c> {
    pub(super) of: &'c str,
    pub(super) with: &'c str,
    pub(super) within: &'c BTreeMap<String, String>,
}

impl Kind for Rank<'_> {
    fn symbols(&self) -> String {
        format!("{} and {} rank arms alike", self.of, self.with)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        self.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        None
    }

    fn columns(&self, _hypothesis: &Hypothesis) -> Vec<String> {
        vec![format!("{}, {}", self.of, self.with)]
    }

    fn label(&self, study: &Study, _column: &str) -> String {
        format!("{} with {}", column::label(study, self.of), column::label(study, self.with))
    }

    fn test(&self, ground: &Ground<'_>, _column: &str) -> Result<Tested, String> {
        let study = ground.study;
        let columns = [Column::find(ground, self.of)?, Column::find(ground, self.with)?];
        column::check_stratum(ground, &columns)?;
        let arms = column::arms(study, self.within)?;
        if arms.len() < kendall::FEWEST {
            let arms = number::counted(arms.len(), "arm");
            return Err(format!("{arms} are too few to rank: expected at least {}", kendall::FEWEST));
        }
        let oriented = |column: Column<'_>| -> Result<Vec<f64>, String> {
            Ok(column.values(ground, &arms)?.into_iter().map(|value| column.direction().sign() * value).collect())
        };
        let [first, second] = [oriented(columns[0])?, oriented(columns[1])?];
        let found = kendall(&first, &second, ground.resampling).map_err(|undefined| match undefined {
            Undefined::Few => "too few arms to rank".to_owned(),
            Undefined::FirstConstant => format!("all arms have the same {}", columns[0].label(study)),
            Undefined::SecondConstant => format!("all arms have the same {}", columns[1].label(study)),
        })?;
        let interval = found.interval(1.0 - ground.resampling.level);
        let examples = columns.iter().filter_map(|column| match column {
            Column::Metric(metric) => {
                measured(ground, metric.key()).ok().map(|(_, set)| format!("{}s", set.task.example()))
            }
            Column::Quantity(_) => None,
        });
        let mut examples: Vec<String> = examples.collect();
        examples.dedup();
        let of = ground.stratum.map_or(String::new(), |stratum| format!(" of {stratum}"));
        let on = match examples.as_slice() {
            [] => String::new(),
            some => format!(", measured on these {}{of}", some.join(" and ")),
        };
        Ok(Tested {
            estimate: Estimate {
                effect: found.tau,
                sides: None,
                p: found.p,
                least_p: found.least_p,
                n: arms.len(),
                units: arms.len(),
                unit: "arm".to_owned(),
                decimals: number::decimals([found.tau], [interval]).min(3),
            },
            contrast: None,
            points: Points::of(found.tau),
            limits: Box::new(move |alpha| found.interval(alpha)),
            scope: format!("other configurations like these {} arms{on}", arms.len()),
            detail: Some("the effect is Kendall's tau-b of arms".to_owned()),
        })
    }

    fn is_of_examples(&self) -> bool {
        false
    }

    fn rule(&self, _alpha: f64) -> Option<String> {
        Some(
            "The effect of a claim on ranks is Kendall's tau-b over arms, 1 where both columns put the best first and \
             rank all alike, \u{2212}1 where they rank them the other way round."
                .to_owned(),
        )
    }

    fn sources(&self) -> Vec<[&'static str; 3]> {
        vec![
            [
                "Kendall's tau-b",
                "whether two columns rank arms alike; p over permutations of arms",
                "Kendall 1938, A new measure of rank correlation; 1945, The treatment of ties in ranking problems",
            ],
            [
                "Interval of tau",
                "Fisher's z of tau; on the side of zero with the error that gives the p value of the permutations",
                "Fieller, Hartley and Pearson 1957, Tests for rank correlation coefficients; Miettinen 1976, Estimability \
                 and estimation in case-referent studies",
            ],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, check_coherence, leaves_zero_out};
    use super::*;
    use crate::study::{Claim, Outcome};

    fn claim() -> Claim {
        Claim::Rank { of: "dev-loss".into(), with: "f1".into(), within: BTreeMap::new() }
    }

    #[test]
    fn lower_loss_and_higher_score_rank_alike() {
        let world = World::of_arms(&[1.0, 2.0, 3.0, 5.0, 4.0]).with_quantity(|place, _| 9.0 - place as f64);
        let tested = world.test(&claim(), "").unwrap();
        // One of ten pairs is out of order: (9 - 1) / 10, and 2 (1 + 4) / 120.
        assert!((tested.estimate.effect - 0.8).abs() < 1e-12 && tested.points == Points::For);
        assert!((tested.estimate.p.value - 10.0 / 120.0).abs() < 1e-12);
        assert_eq!((tested.estimate.units, tested.estimate.sides), (5, None));
        assert_eq!(tested.scope, "other configurations like these 5 arms, measured on these questions");
        check_coherence(&tested, leaves_zero_out);
        let turned = World::of_arms(&[1.0, 2.0, 3.0, 5.0, 4.0]).with_quantity(|place, _| place as f64);
        assert_eq!(turned.test(&claim(), "").unwrap().points, Points::Against);
    }

    #[test]
    fn what_cannot_be_ranked_says_why() {
        let few = World::of_arms(&[1.0, 2.0, 3.0]).with_quantity(|place, _| place as f64);
        assert_eq!(few.problem(&claim(), ""), "3 arms are too few to rank: expected at least 4");
        let flat = World::of_arms(&[1.0, 2.0, 3.0, 4.0]).with_quantity(|_, _| 1.0);
        assert_eq!(flat.problem(&claim(), ""), "all arms have the same Dev loss");
        let mut world = World::of_arms(&[1.0, 2.0, 3.0, 4.0]).with_quantity(|place, _| place as f64);
        world.study.arms[2].outcome = Outcome::Failed { reason: "no memory".into() };
        assert_eq!(world.problem(&claim(), ""), "arm `a2` failed: no memory");
        world.study.arms[2].outcome = Outcome::Done;
        world.study.quantities[0].values[1].value = f64::NAN;
        assert!(world.problem(&claim(), "").contains("`dev-loss` of arm `a1` at seed 1 is not a finite number"));
        world.study.quantities[0].values.remove(1);
        assert_eq!(world.problem(&claim(), ""), "arm `a1` has no value of `dev-loss`");
        world.study.quantities.clear();
        assert_eq!(world.problem(&claim(), ""), "the study has no metric and no quantity `dev-loss`");
    }

    #[test]
    fn quantities_have_no_strata() {
        let mut world = World::of_arms(&[1.0, 2.0, 3.0, 4.0]).with_quantity(|place, _| place as f64);
        world.stratum = Some("billing".into());
        let claim = Claim::Rank { of: "dev-loss".into(), with: "dev-loss".into(), within: BTreeMap::new() };
        assert!(world.problem(&claim, "").contains("none of the columns is measured on examples"));
    }

    #[test]
    fn losses_per_token_rank_within_one_vocabulary() {
        let mut world = World::of_arms(&[1.0, 2.0, 3.0, 4.0]).with_quantity(|place, _| place as f64);
        world.study.quantities[0].unit = "nats/token".into();
        world.study.arms[3].model = "other".into();
        let problem = world.problem(&claim(), "");
        assert!(
            problem.starts_with("Dev loss is per token and the vocabularies of `m` and `other` differ"),
            "{problem}"
        );
    }
}
