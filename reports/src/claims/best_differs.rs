//! The best arm by one column is not the best by another.

use std::collections::BTreeMap;

use super::column::{self, Column, at_seeds};
use super::{Compared, Estimate, Ground, Kind, Limits, Points, Tested, compare, limits, scope, unit};
use crate::contrast::Contrast;
use crate::number;
use crate::statistics::paired_t::paired_t;
use crate::statistics::{Interval, P, moments};
use crate::study::{Arm, Hypothesis, Quantity, Study};

/// Claims that the arm which is best by `of` is beaten by another one on `by`.
///
/// The best arm by `of` is taken as it was observed, and each of the other K - 1 compared with it on `by`. Where any
/// is better, p is K - 1 times the least of theirs (Bonferroni: Dunn 1961, "Multiple comparisons among means"). Where
/// none is, the claim points the other way, which needs all comparisons: p is the largest (an intersection-union
/// test). Effect and interval are those of the arm that p belongs to.
pub(super) struct BestDiffers<'c> {
    pub(super) of: &'c str,
    pub(super) by: &'c str,
    pub(super) within: &'c BTreeMap<String, String>,
}

/// Another arm against the one that is best.
struct Rival<'s> {
    arm: &'s str,
    effect: f64,
    sides: [f64; 2],
    p: P,
    least_p: f64,
    n: usize,
    units: usize,
    unit: String,
    decimals: usize,
    limits: Limits,
    scope: String,
    contrast: Option<Contrast>,
}

impl Kind for BestDiffers<'_> {
    fn symbols(&self) -> String {
        format!("the best arm by {} is not the best by {}", self.of, self.by)
    }

    fn within(&self) -> &BTreeMap<String, String> {
        self.within
    }

    fn factors(&self) -> Option<Vec<&str>> {
        None
    }

    fn columns(&self, _hypothesis: &Hypothesis) -> Vec<String> {
        vec![format!("{}, {}", self.of, self.by)]
    }

    fn label(&self, study: &Study, _column: &str) -> String {
        column::label(study, self.by)
    }

    fn test(&self, ground: &Ground<'_>, _column: &str) -> Result<Tested, String> {
        let study = ground.study;
        let (of, by) = (Column::find(ground, self.of)?, Column::find(ground, self.by)?);
        column::check_stratum(ground, &[of, by])?;
        let arms = column::arms(study, self.within)?;
        if arms.len() < 2 {
            return Err(format!("{} selected: expected at least two", number::counted(arms.len(), "arm")));
        }
        let (of_values, by_values) = (of.values(ground, &arms)?, by.values(ground, &arms)?);
        let best = best(of, &of_values, &arms).map_err(|tied| {
            format!("{} are equally good by {}: none is the best", tied.join(" and "), of.label(study))
        })?;
        let words = best_words(study, (of, &of_values), (by, &by_values), &arms, best);
        let others = arms.iter().map(|arm| arm.name.as_str()).filter(|name| *name != arms[best].name);
        let against = |rival| match by {
            Column::Metric(metric) => by_examples(ground, metric.key(), rival, &arms[best].name),
            Column::Quantity(quantity) => {
                by_seeds(ground, quantity, rival, &arms[best].name).map_err(|why| format!("{words}; {why}"))
            }
        };
        let rivals: Vec<Rival<'_>> = others.map(against).collect::<Result<_, _>>()?;
        Ok(tested(rivals, words, &arms[best].name))
    }

    fn is_of_examples(&self) -> bool {
        false
    }

    fn rule(&self, _alpha: f64) -> Option<String> {
        Some(
            "A claim that the best arm differs takes the best arm by one column as it was observed, and compares every \
             other with it on the second column: p is that of the surest one that is better, times their number, with \
             the interval at that level; reversed only when all of them are worse, each at the level of the claim."
                .to_owned(),
        )
    }

    fn sources(&self) -> Vec<[&'static str; 3]> {
        vec![[
            "Comparisons with the best",
            "whether any arm beats the one that is best by another column; Bonferroni over arms",
            "Dunn 1961, Multiple comparisons among means; where none does, Berger 1982",
        ]]
    }
}

/// Joins the comparisons with the best arm.
fn tested(rivals: Vec<Rival<'_>>, words: String, best: &str) -> Tested {
    let count = rivals.len() as f64;
    let is_beaten = rivals.iter().any(|rival| rival.effect > 0.0);
    let order = |a: &Rival<'_>, b: &Rival<'_>| a.p.value.total_cmp(&b.p.value).then(b.effect.total_cmp(&a.effect));
    let chosen = if is_beaten {
        rivals.into_iter().filter(|rival| rival.effect > 0.0).min_by(order)
    } else {
        // Of equal ones the closest.
        rivals.into_iter().min_by(|a, b| b.p.value.total_cmp(&a.p.value).then(b.effect.total_cmp(&a.effect)))
    };
    let rival = chosen.expect("there are at least two arms");
    let factor = if is_beaten { count } else { 1.0 };
    let limits = rival.limits;
    Tested {
        estimate: Estimate {
            effect: rival.effect,
            sides: Some(rival.sides),
            p: rival.p.times(factor),
            least_p: (rival.least_p * factor).min(1.0),
            n: rival.n,
            units: rival.units,
            unit: rival.unit,
            decimals: rival.decimals,
        },
        contrast: rival.contrast,
        points: Points::of(rival.effect),
        limits: Box::new(move |alpha| limits(alpha / factor)),
        scope: rival.scope,
        detail: Some(format!("{words}; the effect is of {} over {best}", rival.arm)),
    }
}

/// Place of the best arm by a column.
///
/// # Errors
/// Names of the arms that share the best value.
fn best(column: Column<'_>, values: &[f64], arms: &[&Arm]) -> Result<usize, Vec<String>> {
    let oriented = |place: usize| column.direction().sign() * values[place];
    let top = (0..values.len()).map(oriented).fold(f64::NEG_INFINITY, f64::max);
    // Sums in another order differ by their rounding.
    let is_top = |place: &usize| (oriented(*place) - top).abs() <= 1e-12 * top.abs();
    match (0..values.len()).filter(is_top).collect::<Vec<_>>().as_slice() {
        [one] => Ok(*one),
        tied => Err(tied.iter().map(|place| format!("`{}`", arms[*place].name)).collect()),
    }
}

/// Says which arm is best by what.
fn best_words(
    study: &Study,
    (of, of_values): (Column<'_>, &[f64]),
    (by, by_values): (Column<'_>, &[f64]),
    arms: &[&Arm],
    place: usize,
) -> String {
    let value = |values: &[f64], place: usize| number::fixed(values[place], number::digits(values.iter().copied()));
    let first = format!("best by {} is {} ({})", of.label(study), arms[place].name, value(of_values, place));
    let second = match best(by, by_values, arms) {
        Ok(other) if other == place => format!("so it is by {} ({})", by.label(study), value(by_values, place)),
        Ok(other) => format!("by {} it is {} ({})", by.label(study), arms[other].name, value(by_values, other)),
        Err(tied) => format!("by {} {} are equal", by.label(study), tied.join(" and ")),
    };
    format!("{first}, {second}")
}

/// Compares two arms by the examples of a metric.
fn by_examples<'s>(ground: &Ground<'_>, column: &str, rival: &'s str, best: &str) -> Result<Rival<'s>, String> {
    let Compared { set, contrast, inference, .. } = compare(ground, column, &[(rival, best)])?;
    Ok(Rival {
        arm: rival,
        effect: contrast.effect,
        sides: [contrast.first, contrast.second],
        p: contrast.p,
        least_p: contrast.least_p,
        n: contrast.n,
        units: contrast.units,
        unit: unit(set, &contrast).to_owned(),
        decimals: contrast.decimals(),
        limits: limits(inference, 1.0),
        scope: scope(ground, set, &contrast),
        contrast: Some(contrast),
    })
}

/// Compares two arms by a quantity: Student's t test of the differences at each seed.
fn by_seeds<'s>(ground: &Ground<'_>, quantity: &Quantity, rival: &'s str, best: &str) -> Result<Rival<'s>, String> {
    let [first, second] = [at_seeds(quantity, rival)?, at_seeds(quantity, best)?];
    let values = |side: &BTreeMap<u64, f64>| side.values().copied().collect::<Vec<f64>>();
    let sides = [moments::mean(&values(&first)), moments::mean(&values(&second))];
    let sign = quantity.direction.sign();
    // Both have the same seeds.
    let differences: Vec<f64> = first.values().zip(second.values()).map(|(a, b)| sign * (a - b)).collect();
    if differences.len() < 2 {
        return Err("one seed says nothing of the spread".to_owned());
    }
    let level = ground.resampling.level;
    // What rounding alone leaves of a difference that never varies is no spread.
    let rounding = 1e-12 * sides[0].abs().max(sides[1].abs());
    let found = paired_t(&differences, level).filter(|_| moments::deviation(&differences) > rounding);
    let Some(found) = found else {
        return Err(format!("{rival} and the best differ by the same at every seed: nothing says how they would vary"));
    };
    let seeds = differences.len();
    Ok(Rival {
        arm: rival,
        effect: moments::mean(&differences),
        sides,
        p: P::exact(found.p),
        least_p: 0.0,
        n: seeds,
        units: seeds,
        unit: "seed".to_owned(),
        decimals: number::decimals(sides, [found.interval]),
        limits: Box::new(move |alpha| {
            let unbounded = Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
            paired_t(&differences, 1.0 - alpha).map_or(unbounded, |found| found.interval)
        }),
        scope: format!("retrained {} ({seeds} seeds)", ground.study.retrained),
        contrast: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, check_coherence, leaves_zero_out};
    use super::*;
    use crate::study::Claim;

    fn claim(of: &str, by: &str) -> Claim {
        Claim::BestDiffers { of: of.into(), by: by.into(), within: BTreeMap::new() }
    }

    /// Five arms, of which the third is best by loss.
    fn world(values: &[f64]) -> World {
        World::of_arms(values).with_quantity(|place, _| (place as f64 - 2.0).abs())
    }

    #[test]
    fn an_arm_that_is_beaten_is_found_with_bonferroni_over_the_others() {
        let world = world(&[1.0, 2.0, 1.5, 6.0, 3.2]);
        let tested = world.test(&claim("dev-loss", "f1"), "").unwrap();
        let pair = world.test(&claim("f1", "f1"), "").unwrap();
        assert!(tested.points == Points::For && tested.estimate.p.value < 0.05, "{:?}", tested.estimate);
        let contrast = tested.contrast.as_ref().unwrap();
        assert!((tested.estimate.p.value - 4.0 * contrast.p.value).abs() < 1e-12);
        assert!(tested.detail.as_ref().unwrap().starts_with("best by Dev loss is a2 (0.00), by F1 it is a3 ("));
        assert!(tested.detail.as_ref().unwrap().ends_with("the effect is of a3 over a2"), "{:?}", tested.detail);
        check_coherence(&tested, leaves_zero_out);
        // By one and the same column the best is the best.
        assert_eq!(pair.points, Points::Against);
        assert!(pair.detail.unwrap().contains("so it is by F1"));
    }

    #[test]
    fn to_be_the_best_by_both_needs_all_comparisons() {
        let tested = world(&[1.0, 2.0, 9.0, 4.0, 8.3]).test(&claim("dev-loss", "f1"), "").unwrap();
        assert_eq!(tested.points, Points::Against);
        assert!(tested.detail.as_ref().unwrap().ends_with("the effect is of a4 over a2"), "{:?}", tested.detail);
        assert_eq!(tested.estimate.p, tested.contrast.as_ref().unwrap().p);
        assert!(tested.estimate.p.value > 0.005);
        check_coherence(&tested, leaves_zero_out);
    }

    #[test]
    fn quantities_are_compared_by_seeds() {
        let mut world = World::crossed(&[1, 2, 3], |sft, teacher, _, q| {
            f64::from(sft == "none") + 0.3 * f64::from(teacher == "llama") + (q * sft.len() % 5) as f64
        });
        let at = |place: usize, seed: u64| place as f64 + [0.0, 0.1, -0.05][seed as usize - 1] * (1.0 + place as f64);
        world = world.with_quantity(at);
        let tested = world.test(&claim("f1", "dev-loss"), "").unwrap();
        // Best by score is the third arm; the first has the least loss, by 2 and twice the noise.
        assert!(
            tested.detail.as_ref().unwrap().ends_with("the effect is of both/llama over none/llama"),
            "{:?}",
            tested.detail
        );
        let differences: Vec<f64> = [1, 2, 3].map(|seed| at(2, seed) - at(0, seed)).to_vec();
        let t = paired_t(&differences, 0.95).unwrap();
        assert!((tested.estimate.p.value - 3.0 * t.p).abs() < 1e-12 && tested.estimate.unit == "seed");
        assert_eq!(tested.scope, "retrained students (3 seeds)");
        check_coherence(&tested, leaves_zero_out);
    }

    #[test]
    fn what_is_known_of_one_seed_is_said_and_not_tested() {
        let problem = world(&[1.0, 2.0, 3.0, 5.0, 4.0]).problem(&claim("f1", "dev-loss"), "");
        assert!(problem.starts_with("best by F1 is a3 ("), "{problem}");
        assert!(problem.ends_with("by Dev loss it is a2 (0.00); one seed says nothing of the spread"), "{problem}");
        let mut tie = world(&[1.0, 2.0, 3.0, 5.0, 4.0]);
        tie.study.quantities[0].values[1].value = 0.0;
        let problem = tie.problem(&claim("dev-loss", "f1"), "");
        assert_eq!(problem, "`a1` and `a2` are equally good by Dev loss: none is the best");
    }
}
