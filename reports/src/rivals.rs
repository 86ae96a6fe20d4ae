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
/// Pairs that cannot be compared count in their family with p = 1.
pub fn rivals(study: &Study, scores: &Scores, metric: &Metric, resampling: Resampling) -> Rivals {
    let done: Vec<&Arm> = study.trained().filter(|arm| arm.outcome == Outcome::Done).collect();
    let names: Vec<&str> = done.iter().map(|arm| arm.name.as_str()).collect();
    let every = (0..names.len()).flat_map(|a| (a + 1..names.len()).map(move |b| (a, b)));
    let pairs: Vec<(&str, &str)> = every.map(|(a, b)| (names[a], names[b])).collect();
    let controlled: Vec<(&str, &str)> =
        done.iter().filter_map(|arm| Some((arm.name.as_str(), arm.control.as_deref()?))).collect();
    let owned = |((first, second), rival): ((&str, &str), Rival)| ((first.to_owned(), second.to_owned()), rival);
    let family = |pairs: &[(&str, &str)]| compare(study, scores, metric, pairs, resampling);
    Rivals {
        pairs: pairs
            .iter()
            .copied()
            .zip(family(&pairs))
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

/// Compares the pairs of a family.
fn compare(
    study: &Study,
    scores: &Scores,
    metric: &Metric,
    pairs: &[(&str, &str)],
    resampling: Resampling,
) -> Vec<Option<Rival>> {
    let contrasts: Vec<Option<Contrast>> = pairs
        .par_iter()
        .map(|pair| {
            let paired = scores.pair(&metric.name, &[*pair]).ok()?;
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
        let Contrast { first, second, effect, interval, .. } = &mut self.contrast;
        std::mem::swap(first, second);
        *effect = -*effect;
        (interval.low, interval.high) = (-interval.high, -interval.low);
        self
    }
}
