//! Arms against each other on one metric: who is better than whom beyond chance.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::contrast::{Contrast, contrast};
use crate::scores::Scores;
use crate::statistics::{P, Resampling, holm::multipliers};
use crate::study::{Arm, Metric, Outcome, Study};

/// Holds comparisons of finished arms that are trained in this study, on one metric: of every two of them,
/// and of every cell with its control.
///
/// Exploratory: two families by themselves, apart from the declared hypotheses.
#[derive(Debug, Default)]
pub struct Rivals {
    pairs: BTreeMap<(String, String), Rival>,
    controls: BTreeMap<String, Rival>,
    can_tell: bool,
}

/// One arm against another.
#[derive(Debug, Clone)]
pub struct Rival {
    /// The comparison: a positive effect favours the first.
    pub contrast: Contrast,
    /// p value after Holm over the family.
    pub p_adjusted: P,
    /// Whether that is below the level of the study.
    pub significant: bool,
}

/// Compares every two arms that are no references, and every cell with its control.
///
/// Pairs that cannot be compared count in their family with p = 1. Where a family is so large that the usual
/// number of random draws could make none of it significant, there are more.
pub fn rivals(study: &Study, scores: &Scores, metric: &Metric, resampling: Resampling) -> Rivals {
    let done: Vec<&Arm> = study.trained().filter(|arm| arm.outcome == Outcome::Done).collect();
    let names: Vec<&str> = done.iter().map(|arm| arm.name.as_str()).collect();
    let every = (0..names.len()).flat_map(|a| (a + 1..names.len()).map(move |b| (a, b)));
    let pairs: Vec<(&str, &str)> = every.map(|(a, b)| (names[a], names[b])).collect();
    let controlled: Vec<(&str, &str)> =
        done.iter().filter_map(|arm| Some((arm.name.as_str(), arm.control.as_deref()?))).collect();
    let owned = |((first, second), rival): ((&str, &str), Rival)| ((first.to_owned(), second.to_owned()), rival);
    let family = |pairs: &[(&str, &str)]| compare(study, scores, metric, pairs, resampling);
    let compared = family(&pairs);
    let is_open = |rival: &Rival| rival.contrast.least_p * (pairs.len() as f64) < study.alpha;
    Rivals {
        can_tell: compared.iter().flatten().any(is_open),
        pairs: pairs
            .iter()
            .copied()
            .zip(compared)
            .filter_map(|(pair, rival)| Some((pair, rival?)))
            .map(owned)
            .collect(),
        controls: controlled
            .iter()
            .zip(family(&controlled))
            .filter_map(|((arm, _), rival)| Some(((*arm).to_owned(), rival?)))
            .collect(),
    }
}

/// How far below the level of a study the smallest p value that random draws give must lie after Holm.
const ROOM: f64 = 5.0;

/// Raises the number of random draws until the smallest p value that they give, times the number of tests of a
/// family, is well below `alpha`.
fn enough(resampling: Resampling, family: usize, alpha: f64) -> Resampling {
    let needed = (ROOM * family as f64 / alpha).ceil() as usize;
    Resampling { resamples: resampling.resamples.max(needed), ..resampling }
}

/// Compares the pairs of a family.
fn compare(
    study: &Study,
    scores: &Scores,
    metric: &Metric,
    pairs: &[(&str, &str)],
    resampling: Resampling,
) -> Vec<Option<Rival>> {
    let resampling = enough(resampling, pairs.len(), study.alpha);
    let contrasts: Vec<Option<Contrast>> = pairs
        .par_iter()
        .map(|pair| {
            let paired = scores.pair(metric.key(), &[*pair]).ok()?;
            contrast(&paired, metric.direction, study.alpha, resampling).ok().map(|(contrast, _)| contrast)
        })
        .collect();
    let raw: Vec<f64> =
        contrasts.iter().map(|contrast| contrast.as_ref().map_or(1.0, |contrast| contrast.p.value)).collect();
    let adjusted = |(contrast, multiplier): (Option<Contrast>, f64)| {
        let contrast = contrast?;
        let p_adjusted = contrast.p.times(multiplier);
        Some(Rival { significant: p_adjusted.value < study.alpha, contrast, p_adjusted })
    };
    contrasts.into_iter().zip(multipliers(&raw)).map(adjusted).collect()
}

impl Rivals {
    /// Compares `first` with `second`; the effect's sign is that of `first`. Absent where they could not
    /// be compared.
    pub fn between(&self, first: &str, second: &str) -> Option<Rival> {
        let of = |a: &str, b: &str| self.pairs.get(&(a.to_owned(), b.to_owned())).cloned();
        of(first, second).or_else(|| of(second, first).map(Rival::turned))
    }

    /// Whether any two arms could be told apart at all: after Holm over all pairs, few units may leave no
    /// difference significant, however large it is.
    pub fn can_tell(&self) -> bool {
        self.can_tell
    }

    /// Compares a cell with its control; absent where it has none or they could not be compared.
    pub fn with_control(&self, arm: &str) -> Option<&Rival> {
        self.controls.get(arm)
    }

    /// Whether `first` is better than `second` beyond chance.
    pub fn is_better(&self, first: &str, second: &str) -> bool {
        self.between(first, second).is_some_and(|rival| rival.significant && rival.contrast.effect > 0.0)
    }
}

impl Rival {
    /// The same comparison from the other side.
    fn turned(mut self) -> Self {
        let Contrast { first, second, effect, standardised, interval, .. } = &mut self.contrast;
        std::mem::swap(first, second);
        *effect = -*effect;
        *standardised = standardised.map(|value| -value);
        (interval.low, interval.high) = (-interval.high, -interval.low);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Direction, Record};
    use crate::study::Role;
    use crate::study::tests::{arm, empty, metric};

    /// Arms whose values on so many questions are apart by their place.
    fn compared(arms: &[&str], questions: u32, resamples: usize) -> Rivals {
        let mut study = empty();
        study.arms = arms.iter().map(|name| arm(name, Role::Cell)).collect();
        study.metrics = vec![metric("m")];
        let mut records = Vec::new();
        for (place, name) in arms.iter().enumerate() {
            for question in 0..questions {
                let ease = f64::from(question * (place as u32 + 3) % 7);
                records.push(Record {
                    arm: (*name).into(),
                    seed: 1,
                    set: None,
                    example: format!("q{question}"),
                    group: format!("q{question}"),
                    stratum: None,
                    metric: "m".into(),
                    value: 20.0 * place as f64 + ease,
                    unit: "points".into(),
                    direction: Direction::Higher,
                    counts: Vec::new(),
                });
            }
        }
        let scores = Scores::new(&study, &records).unwrap();
        rivals(&study, &scores, &study.metrics[0], Resampling { resamples, ..Resampling::default() })
    }

    #[test]
    fn a_comparison_is_the_same_from_both_sides() {
        let found = compared(&["a", "b"], 30, 1_000);
        let (one, other) = (found.between("a", "b").unwrap(), found.between("b", "a").unwrap());
        let (a, b) = (&one.contrast, &other.contrast);
        assert_eq!((a.first, a.second, a.effect, a.p), (b.second, b.first, -b.effect, b.p));
        assert_eq!((a.interval.low, a.interval.high), (-b.interval.high, -b.interval.low));
        assert!(a.standardised.is_some_and(|value| value < 0.0));
        assert_eq!(a.standardised, b.standardised.map(|value| -value));
        assert!(found.is_better("b", "a") && !found.is_better("a", "b"));
    }

    #[test]
    fn many_pairs_do_not_make_significance_impossible() {
        let arms = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        // 66 pairs: of 200 draws the least p value would be 66 / 201 after Holm.
        let found = compared(&arms, 30, 200);
        assert!(found.can_tell() && found.is_better("l", "a"));
        // Of nine units all 256 patterns are tried, and 66 / 256 is not below 0.05.
        let few = compared(&arms, 9, 10_000);
        assert!(!few.can_tell() && !few.is_better("l", "a"));
    }
}
