//! Kinds of claims: what each compares, how it is tested, and what is printed of it. One file per kind; a new one is
//! such a file, a variant of [`crate::study::Claim`] and a line in [`kind`].
//!
//! A kind answers for one metric (or pair of columns) at a time, before any adjustment; [`crate::hypotheses`] joins
//! the metrics of a claim and adjusts over all claims.

mod best_differs;
mod better;
mod column;
mod equivalent;
mod interaction;
mod not_worse;
mod rank;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contrast::{Contrast, contrast};
use crate::number::{self, counted};
use crate::scores::Scores;
use crate::statistics::inference::Inference;
use crate::statistics::{Interval, P, Resampling};
use crate::study::{Claim, EvaluationSet, Hypothesis, Metric, Study};
use crate::vocabulary;

/// Where a claim is tested.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) study: &'a Study,
    pub(crate) scores: &'a Scores<'a>,
    /// The only stratum whose examples take part; all where there is none.
    pub(crate) stratum: Option<&'a str>,
    pub(crate) resampling: Resampling,
}

/// Holds what a claim is decided by on one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// What was estimated, in the unit of the metric: of a contrast the difference of its levels, positive where the
    /// level that is called better is; of an interaction the difference of two gains; of ranks Kendall's tau-b; of
    /// the best arm how much its rival is better.
    pub effect: f64,
    /// The two values whose difference it is; none of ranks.
    pub sides: Option<[f64; 2]>,
    /// p value of the claim's own test, not adjusted: two-sided, of claims with a margin one-sided.
    pub p: P,
    /// Smallest p value that so few units can give.
    pub least_p: f64,
    /// Number of what was measured: examples, arms or seeds.
    pub n: usize,
    /// Number of what counts as independent.
    pub units: usize,
    /// What one of these is called.
    pub unit: String,
    /// Decimals that show the sides, the effect and its interval.
    #[serde(skip)]
    pub decimals: usize,
}

/// Limits of what was estimated at a level of significance: they leave out what the claim's own null hypothesis says
/// (zero, or a margin) if and only if the p value is below that level.
pub(crate) type Limits = Box<dyn Fn(f64) -> Interval + Send + Sync>;

/// Says which way a claim's estimate points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Points {
    For,
    Against,
    Neither,
}

impl Points {
    /// Reads a number that is positive where it favours the claim.
    fn of(value: f64) -> Self {
        match value {
            value if value > 0.0 => Self::For,
            value if value < 0.0 => Self::Against,
            _ => Self::Neither,
        }
    }
}

/// How a claim came out on one metric, before any adjustment.
pub(crate) struct Tested {
    pub(crate) estimate: Estimate,
    /// The comparison by example that it rests on; none of ranks and quantities.
    pub(crate) contrast: Option<Contrast>,
    pub(crate) points: Points,
    pub(crate) limits: Limits,
    /// What it generalises over, in words.
    pub(crate) scope: String,
    /// What a reader of the numbers must know.
    pub(crate) detail: Option<String>,
}

/// One kind of claim.
pub(crate) trait Kind {
    /// The claim in symbols, without the levels that it fixes.
    fn symbols(&self) -> String;

    /// Levels that it fixes.
    fn within(&self) -> &BTreeMap<String, String>;

    /// Factors that it names; none where arms are taken one by one and nothing is averaged over.
    fn factors(&self) -> Option<Vec<&str>>;

    /// What it is tested on one after the other.
    fn columns(&self, hypothesis: &Hypothesis) -> Vec<String> {
        hypothesis.metrics.clone()
    }

    /// Name in tables of one of these.
    fn label(&self, study: &Study, column: &str) -> String {
        column::label(study, column)
    }

    /// Tests it on one of these.
    ///
    /// # Errors
    /// Why it cannot be tested, in words.
    fn test(&self, ground: &Ground<'_>, column: &str) -> Result<Tested, String>;

    /// Whether it says that an effect is positive, so that it can be looked at on metrics that it does not name.
    fn is_of_any_metric(&self) -> bool {
        false
    }

    /// Whether its examples may be divided into strata.
    fn is_of_examples(&self) -> bool {
        true
    }

    /// Differences that it calls none, in the unit of the metric.
    fn margin(&self) -> Option<Interval> {
        None
    }

    /// What the rule of verdicts adds for this kind.
    fn rule(&self, _alpha: f64) -> Option<String> {
        None
    }

    /// Name, use and source of its own statistics.
    fn sources(&self) -> Vec<[&'static str; 3]> {
        Vec::new()
    }
}

/// Finds the kind of a claim.
pub(crate) fn kind(claim: &Claim) -> Box<dyn Kind + '_> {
    match claim {
        Claim::Better(contrast) => Box::new(better::Better { contrast }),
        Claim::NotWorse { contrast, margin } => Box::new(not_worse::NotWorse { contrast, margin: *margin }),
        Claim::Equivalent { contrast, margin } => Box::new(equivalent::Equivalent { contrast, margin: *margin }),
        Claim::Interaction { contrast, factor, more, less } => {
            Box::new(interaction::Interaction { contrast, factor, more, less })
        }
        Claim::Rank { of, with, within } => Box::new(rank::Rank { of, with, within }),
        Claim::BestDiffers { of, by, within } => Box::new(best_differs::BestDiffers { of, by, within }),
    }
}

/// One claim of each kind that a study declares, for what is said once for all of a kind.
pub(crate) fn kinds(study: &Study) -> Vec<Box<dyn Kind + '_>> {
    let claims = study.hypotheses.iter().map(|hypothesis| &hypothesis.claim);
    let mut firsts: Vec<&Claim> = Vec::new();
    for claim in claims {
        if !firsts.iter().any(|first| std::mem::discriminant(*first) == std::mem::discriminant(claim)) {
            firsts.push(claim);
        }
    }
    firsts.into_iter().map(kind).collect()
}

/// A hypothesis in symbols, with the levels and the stratum that it fixes.
pub(crate) fn symbols(study: &Study, hypothesis: &Hypothesis) -> String {
    let kind = kind(&hypothesis.claim);
    let mut text = kind.symbols();
    for (factor, level) in kind.within() {
        text.push_str(&format!(", {factor} = {level}"));
    }
    if let Some(stratum) = &hypothesis.stratum {
        let sets = hypothesis.metrics.iter().filter_map(|column| study.set_of(study.metric(column)?));
        let field = sets.filter_map(|set| set.by.as_deref()).next().unwrap_or("stratum");
        text.push_str(&format!(", {field} = {stratum}"));
    }
    text
}

/// Factors over whose levels the sides of a claim are averaged: with one level there is nothing to average.
pub(crate) fn averaged(study: &Study, claim: &Claim) -> Vec<String> {
    let kind = kind(claim);
    let Some(own) = kind.factors() else { return Vec::new() };
    study
        .factors
        .iter()
        .filter(|factor| factor.levels.len() > 1)
        .map(|factor| &factor.name)
        .filter(|name| !own.contains(&name.as_str()) && !kind.within().contains_key(*name))
        .cloned()
        .collect()
}

/// The sides of a contrast on one metric, compared.
struct Compared<'a> {
    set: &'a EvaluationSet,
    contrast: Contrast,
    inference: Inference,
}

/// Finds a metric by its column, and its set.
///
/// # Errors
/// That it is not there.
fn measured<'a>(ground: &Ground<'a>, column: &str) -> Result<(&'a Metric, &'a EvaluationSet), String> {
    let study = ground.study;
    let metric = study.metric(column).ok_or_else(|| format!("the study has no metric `{column}`"))?;
    let set = study.set_of(metric).ok_or_else(|| format!("metric `{column}` is of no evaluation set of the study"))?;
    Ok((metric, set))
}

/// Compares arms against arms.
///
/// # Errors
/// Why they cannot be compared, in words.
fn compare<'a>(ground: &Ground<'a>, column: &str, arms: &[(&str, &str)]) -> Result<Compared<'a>, String> {
    let (metric, set) = measured(ground, column)?;
    vocabulary::check(ground.study, metric, arms)?;
    let paired = ground.scores.pair_in(column, arms, ground.stratum)?;
    let (contrast, inference) = contrast(&paired, metric.direction, ground.study.alpha, ground.resampling)?;
    Ok(Compared { set, contrast, inference })
}

/// What one unit of a comparison is called.
fn unit<'s>(set: &'s EvaluationSet, contrast: &Contrast) -> &'s str {
    if contrast.units == contrast.n { set.task.example() } else { &set.unit.name }
}

/// Draws up what a comparison estimates, with the p value of the claim's own test.
fn estimate(set: &EvaluationSet, contrast: &Contrast, p: P, least_p: f64) -> Estimate {
    Estimate {
        effect: contrast.effect,
        sides: Some([contrast.first, contrast.second]),
        p,
        least_p,
        n: contrast.n,
        units: contrast.units,
        unit: unit(set, contrast).to_owned(),
        decimals: contrast.decimals(),
    }
}

/// Says what a comparison generalises over.
pub(crate) fn scope(ground: &Ground<'_>, set: &EvaluationSet, contrast: &Contrast) -> String {
    let study = ground.study;
    let example = set.task.example();
    let examples = counted(contrast.n, example);
    let (others, count) = if contrast.units == contrast.n {
        (format!("{example}s"), examples)
    } else {
        let unit = &set.unit.name;
        (format!("{unit}s"), format!("{}, {examples}", counted(contrast.units, unit)))
    };
    let of = study.name_of(set.name.as_deref()).map_or(String::new(), |name| format!(" of {name}"));
    let within = match (&set.by, ground.stratum) {
        (Some(field), Some(stratum)) => format!(" with {field} = {stratum}"),
        _ => String::new(),
    };
    match contrast.seeds {
        1 => format!("these trained models (1 seed), other {others}{of}{within} ({count})"),
        seeds => format!("retrained {} ({seeds} seeds) and other {others}{of}{within} ({count})", study.retrained),
    }
}

/// Takes a comparison by its two-sided test of no difference.
pub(crate) fn plain(set: &EvaluationSet, contrast: Contrast, inference: Inference, scope: String) -> Tested {
    Tested {
        estimate: estimate(set, &contrast, contrast.p, contrast.least_p),
        points: Points::of(contrast.effect),
        limits: limits(inference, 1.0),
        scope,
        contrast: Some(contrast),
        detail: None,
    }
}

/// Names the limits of an inference, at `share` of a level of significance.
fn limits(inference: Inference, share: f64) -> Limits {
    Box::new(move |alpha| inference.interval(share * alpha))
}

/// What the rule of verdicts says of claims whose test is one-sided.
fn one_sided(name: &str, alpha: f64, holds: &str, reversed: &str) -> String {
    format!(
        "{name}: supported when {holds}, reversed when {reversed}, one-sided at {alpha} after Holm; its interval (Holm) \
         is of level {} % before adjustment and leaves the margin out, not zero, exactly where p (Holm) is below {alpha}.",
        number::percent(1.0 - 2.0 * alpha)
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Direction, Record};
    use crate::study::tests::{arm, empty, metric};
    use crate::study::{Arm, LevelContrast, Quantity, QuantityValue, Role};

    /// Levels of two factors, such as `sft/teacher`, and what an arm at them scores on a question at a seed.
    pub(crate) struct World {
        pub(crate) study: Study,
        pub(crate) records: Vec<Record>,
        pub(crate) stratum: Option<String>,
    }

    impl World {
        /// Crosses `sft` in both and none with `teacher` in llama and mistral; 40 questions at each seed.
        pub(crate) fn crossed(seeds: &[u64], value: impl Fn(&str, &str, u64, usize) -> f64) -> Self {
            let mut world = Self { study: empty(), records: Vec::new(), stratum: None };
            world.study.seeds = seeds.to_vec();
            world.study.metrics = vec![metric("f1")];
            for sft in ["both", "none"] {
                for teacher in ["llama", "mistral"] {
                    let levels = [("sft", sft), ("teacher", teacher)].map(|(f, l)| (f.to_owned(), l.to_owned()));
                    let name = format!("{sft}/{teacher}");
                    world.study.arms.push(Arm { levels: levels.into(), ..arm(&name, Role::Cell) });
                    for &seed in seeds {
                        world.measure(&name, seed, (0..40).map(|question| value(sft, teacher, seed, question)));
                    }
                }
            }
            world
        }

        /// Up to nine arms that score so much on average, with one seed and 33 questions.
        pub(crate) fn of_arms(values: &[f64]) -> Self {
            let mut world = Self { study: empty(), records: Vec::new(), stratum: None };
            world.study.seeds = vec![1];
            world.study.metrics = vec![metric("f1")];
            for (place, value) in values.iter().enumerate() {
                let name = format!("a{place}");
                world.study.arms.push(arm(&name, Role::Cell));
                // Any 11 questions in a row add nothing on average.
                world.measure(&name, 1, (0..33).map(|q| value + f64::from((q * (place as u32 + 2)) % 11) - 5.0));
            }
            world
        }

        fn measure(&mut self, arm: &str, seed: u64, values: impl Iterator<Item = f64>) {
            self.records.extend(values.enumerate().map(|(question, value)| Record {
                arm: arm.into(),
                seed,
                set: None,
                example: format!("q{question:02}"),
                group: format!("q{question:02}"),
                stratum: None,
                metric: "f1".into(),
                value,
                unit: "points".into(),
                direction: Direction::Higher,
                counts: Vec::new(),
            }));
        }

        /// Adds a quantity, the lower the better, by the place of an arm and by seed.
        pub(crate) fn with_quantity(mut self, value: impl Fn(usize, u64) -> f64) -> Self {
            let mut values = Vec::new();
            for (place, arm) in self.study.arms.iter().enumerate() {
                for &seed in &self.study.seeds {
                    values.push(QuantityValue { arm: arm.name.clone(), seed, value: value(place, seed) });
                }
            }
            self.study.quantities.push(Quantity {
                name: "dev-loss".into(),
                label: "Dev loss".into(),
                unit: "nats".into(),
                direction: Direction::Lower,
                values,
            });
            self
        }

        pub(crate) fn test(&self, claim: &Claim, column: &str) -> Result<Tested, String> {
            let scores = Scores::new(&self.study, &self.records).unwrap();
            let resampling = Resampling { resamples: 2_000, ..Resampling::default() };
            let ground = Ground { study: &self.study, scores: &scores, stratum: self.stratum.as_deref(), resampling };
            kind(claim).test(&ground, column)
        }

        /// Tests what cannot be tested.
        pub(crate) fn problem(&self, claim: &Claim, column: &str) -> String {
            self.test(claim, column).err().expect("the claim cannot be tested")
        }
    }

    pub(crate) fn levels(factor: &str, better: &str, worse: &str) -> LevelContrast {
        LevelContrast { factor: factor.into(), better: better.into(), worse: worse.into(), within: BTreeMap::new() }
    }

    /// Checks that limits leave `null` out exactly where p is below alpha.
    pub(crate) fn check_coherence(tested: &Tested, leaves_out: impl Fn(Interval) -> bool) {
        let p = tested.estimate.p.value;
        for alpha in [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, p * 0.999, p * 1.001] {
            let interval = (tested.limits)(alpha);
            assert_eq!(p < alpha, leaves_out(interval), "p {p} alpha {alpha} {interval:?}");
        }
    }

    pub(crate) fn leaves_zero_out(interval: Interval) -> bool {
        interval.low > 0.0 || interval.high < 0.0
    }
}
