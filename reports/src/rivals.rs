//! Arms against each other on one metric: who is better than whom beyond chance.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::contrast::{Contrast, contrast};
use crate::scores::Scores;
use crate::statistics::{P, Resampling, holm::multipliers};
use crate::study::{Metric, Outcome, Role, Study};

/// Holds the comparison of every two finished arms that are trained in this study, on one metric.
///
/// Exploratory: their family is kept apart from the declared hypotheses.
#[derive(Debug, Default)]
pub struct Rivals {
    pairs: BTreeMap<(String, String), Rival>,
}

/// One arm against another.
#[derive(Debug, Clone)]
pub struct Rival {
    /// The comparison: a positive effect favours the first.
    pub contrast: Contrast,
    /// p value after Holm over all pairs.
    pub p_adjusted: P,
    /// Whether that is below the level of the study.
    pub significant: bool,
}

/// Compares every two arms that are no references.
///
/// Pairs that cannot be compared count in the family with p = 1.
pub fn rivals(study: &Study, scores: &Scores, metric: &Metric, resampling: Resampling) -> Rivals {
    let done = |arm: &&crate::study::Arm| arm.role != Role::Reference && arm.outcome == Outcome::Done;
    let names: Vec<&str> = study.arms.iter().filter(done).map(|arm| arm.name.as_str()).collect();
    let pairs: Vec<(&str, &str)> = (0..names.len())
        .flat_map(|a| (a + 1..names.len()).map(move |b| (a, b)))
        .map(|(a, b)| (names[a], names[b]))
        .collect();
    let contrasts: Vec<Option<Contrast>> = pairs
        .par_iter()
        .map(|pair| {
            let paired = scores.pair(&metric.name, &[*pair]).ok()?;
            contrast(&paired, metric.direction, study.alpha, resampling).ok().map(|(contrast, _)| contrast)
        })
        .collect();
    let raw: Vec<f64> =
        contrasts.iter().map(|contrast| contrast.as_ref().map_or(1.0, |contrast| contrast.p.value)).collect();
    let compared = pairs.into_iter().zip(contrasts).zip(multipliers(&raw));
    let pairs = compared.filter_map(|(((first, second), contrast), multiplier)| {
        let contrast = contrast?;
        let p_adjusted = contrast.p.times(multiplier);
        let rival = Rival { significant: p_adjusted.value < study.alpha, contrast, p_adjusted };
        Some(((first.to_owned(), second.to_owned()), rival))
    });
    Rivals { pairs: pairs.collect() }
}

impl Rivals {
    /// Compares `first` with `second`; the effect's sign is that of `first`. Absent where they could not
    /// be compared.
    pub fn between(&self, first: &str, second: &str) -> Option<Rival> {
        let of = |a: &str, b: &str| self.pairs.get(&(a.to_owned(), b.to_owned())).cloned();
        of(first, second).or_else(|| of(second, first).map(Rival::turned))
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
