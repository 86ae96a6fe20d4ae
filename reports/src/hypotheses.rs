//! The answers to the claims of an experiment.

use serde::Serialize;

use crate::contrast::{Contrast, contrast, interval_with_seeds};
use crate::number;
use crate::scores::Scores;
use crate::statistics::{Interval, Resampling, holm::holm};
use crate::study::{Arm, Hypothesis, Metric, Outcome, Role, Study};
use crate::vocabulary;

/// Significance level of claims that declare none.
pub const ALPHA: f64 = 0.05;

/// Answers a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Significant after adjustment, in the claimed direction.
    Supported,
    /// No significant difference in either direction, or, over several metrics, no common answer.
    NotSupported,
    /// Significant after adjustment, against the claimed direction.
    Reversed,
    /// The claim could not be tested.
    Untestable {
        /// Why not.
        reason: String,
    },
}

impl Verdict {
    /// The verdict in words, without its reason.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not supported",
            Self::Reversed => "reversed",
            Self::Untestable { .. } => "untestable",
        }
    }
}

/// Answers a claim on one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricAnswer {
    /// Name of the metric.
    pub metric: String,
    /// The comparison; absent when it could not be made.
    pub contrast: Option<Contrast>,
    /// p value after Holm over the whole declared family.
    pub p_adjusted: Option<f64>,
    /// The answer.
    pub verdict: Verdict,
}

/// Answers a claim over all its metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The claim in words.
    pub name: String,
    /// The contrast in symbols: `sft: teacher > none, teacher = llama`.
    pub contrast: String,
    /// Factors that are averaged over.
    pub averaged: Vec<String>,
    /// Significance level.
    pub alpha: f64,
    /// Per metric, in the order of the claim.
    pub metrics: Vec<MetricAnswer>,
    /// The overall verdict: supported (or reversed) only when it is so on every metric.
    pub verdict: Verdict,
    /// Where metrics disagree, which say what, and which of their answers do not hold over seeds;
    /// empty otherwise.
    pub detail: String,
}

/// Answers every hypothesis of a study.
///
/// The family of Holm's adjustment is every declared hypothesis on every metric it names, also
/// those that cannot be tested (they count with p = 1), so that a failed arm never makes another
/// claim easier to support.
pub fn answer(study: &Study, scores: &Scores, resampling: Resampling) -> Vec<Answer> {
    let contrasts: Vec<Vec<Result<Contrast, String>>> = study
        .hypotheses
        .iter()
        .map(|hypothesis| {
            let metrics = hypothesis.metrics.iter();
            metrics.map(|metric| test(study, scores, hypothesis, metric, resampling)).collect()
        })
        .collect();
    let raw: Vec<f64> =
        contrasts.iter().flatten().map(|result| result.as_ref().map_or(1.0, |contrast| contrast.p)).collect();
    let mut adjusted = holm(&raw).into_iter();
    study
        .hypotheses
        .iter()
        .zip(contrasts)
        .map(|(hypothesis, results)| {
            let metrics: Vec<MetricAnswer> = hypothesis
                .metrics
                .iter()
                .zip(results)
                .map(|(metric, result)| {
                    let p = adjusted.next().unwrap_or(1.0);
                    conclude(metric, result, p, hypothesis.alpha)
                })
                .collect();
            let (verdict, mixed) = overall(study, &metrics);
            let details = [mixed, over_seeds(study, &metrics)];
            Answer {
                name: hypothesis.name.clone(),
                contrast: symbols(hypothesis),
                averaged: averaged(study, hypothesis),
                alpha: hypothesis.alpha,
                metrics,
                verdict,
                detail: details.into_iter().flatten().collect::<Vec<_>>().join("; "),
            }
        })
        .collect()
}

/// Compares the two sides of a hypothesis on any metric, declared or not.
///
/// # Errors
/// Why it cannot be tested.
pub fn test(
    study: &Study,
    scores: &Scores,
    hypothesis: &Hypothesis,
    metric: &str,
    resampling: Resampling,
) -> Result<Contrast, String> {
    let metric: &Metric = study
        .metrics
        .iter()
        .find(|candidate| candidate.name == metric)
        .ok_or_else(|| format!("the study has no metric `{metric}`"))?;
    let arms = pair_arms(study, hypothesis)?;
    vocabulary::check(study, metric, &arms)?;
    let paired = scores.pair(&metric.name, &arms)?;
    if paired.first.len() < 2 {
        return Err("fewer than two questions are paired".to_owned());
    }
    let direction = metric.direction;
    let contrast = contrast(&paired, direction, resampling);
    if !contrast.effect.is_finite() {
        return Err(format!("the difference is not a finite number: {}", contrast.effect));
    }
    Ok(Contrast { interval_with_seeds: interval_with_seeds(&paired, direction, resampling), ..contrast })
}

/// Pairs the arms of both sides that agree in every other factor.
fn pair_arms<'s>(study: &'s Study, hypothesis: &Hypothesis) -> Result<Vec<(&'s str, &'s str)>, String> {
    let side = |level: &str| -> Vec<&'s Arm> {
        let selected = |arm: &&Arm| {
            arm.role == Role::Cell
                && arm.levels.get(&hypothesis.factor).is_some_and(|l| l == level)
                && hypothesis.within.iter().all(|(factor, level)| arm.levels.get(factor) == Some(level))
        };
        study.arms.iter().filter(selected).collect()
    };
    let (better, worse) = (side(&hypothesis.better), side(&hypothesis.worse));
    let mut gaps = Vec::new();
    for (arms, level) in [(&better, &hypothesis.better), (&worse, &hypothesis.worse)] {
        if arms.is_empty() {
            gaps.push(format!("no arm has `{}` = `{level}`", hypothesis.factor));
        }
        gaps.extend(arms.iter().filter_map(|arm| match &arm.outcome {
            Outcome::Done => None,
            Outcome::Failed { reason } => Some(format!("arm `{}` failed: {reason}", arm.name)),
            Outcome::Missing => Some(format!("arm `{}` has not run", arm.name)),
        }));
    }
    if !gaps.is_empty() {
        return Err(gaps.join("; "));
    }
    let others = |arm: &Arm| {
        let mut levels = arm.levels.clone();
        levels.remove(&hypothesis.factor);
        levels
    };
    let partner = |arm: &Arm| worse.iter().find(|other| others(other) == others(arm));
    if better.len() != worse.len() {
        return Err(format!("the sides differ in their number of arms: {}, {}", better.len(), worse.len()));
    }
    better
        .iter()
        .map(|arm| match partner(arm) {
            Some(other) => Ok((arm.name.as_str(), other.name.as_str())),
            None => Err(format!("arm `{}` has no counterpart", arm.name)),
        })
        .collect()
}

fn conclude(metric: &str, result: Result<Contrast, String>, p_adjusted: f64, alpha: f64) -> MetricAnswer {
    let (contrast, verdict) = match result {
        Err(reason) => (None, Verdict::Untestable { reason }),
        Ok(contrast) => {
            let significant = p_adjusted < alpha && contrast.agrees;
            let verdict = if significant && contrast.effect > 0.0 {
                Verdict::Supported
            } else if significant && contrast.effect < 0.0 {
                Verdict::Reversed
            } else {
                Verdict::NotSupported
            };
            (Some(contrast), verdict)
        }
    };
    MetricAnswer { metric: metric.to_owned(), p_adjusted: contrast.is_some().then_some(p_adjusted), contrast, verdict }
}

/// Joins the verdicts of all metrics; where they differ, says which say what.
fn overall(study: &Study, metrics: &[MetricAnswer]) -> (Verdict, Option<String>) {
    let Some(first) = metrics.first() else {
        let reason = "the hypothesis names no metric".to_owned();
        return (Verdict::Untestable { reason }, None);
    };
    if metrics.iter().all(|answer| answer.verdict.label() == first.verdict.label()) {
        return (first.verdict.clone(), None);
    }
    let parts: Vec<String> = ["supported", "reversed", "not supported", "untestable"]
        .into_iter()
        .filter_map(|verdict| {
            let names: Vec<String> = metrics
                .iter()
                .filter(|answer| answer.verdict.label() == verdict)
                .map(|answer| label(study, &answer.metric))
                .collect();
            (!names.is_empty()).then(|| format!("{verdict} on {}", names.join(", ")))
        })
        .collect();
    (Verdict::NotSupported, Some(format!("mixed: {}", parts.join("; "))))
}

/// Names the significant answers that other seeds could turn: a verdict holds the seeds as they are.
fn over_seeds(study: &Study, metrics: &[MetricAnswer]) -> Option<String> {
    let doubts: Vec<String> = metrics
        .iter()
        .filter(|answer| matches!(answer.verdict, Verdict::Supported | Verdict::Reversed))
        .filter_map(|answer| {
            let contrast = answer.contrast.as_ref()?;
            let Interval { low, high } = contrast.interval_with_seeds?;
            let digits = contrast.decimals();
            let limits = format!("[{}, {}]", number::fixed(low, digits), number::fixed(high, digits));
            (low <= 0.0 && high >= 0.0).then(|| format!("{} {limits}", label(study, &answer.metric)))
        })
        .collect();
    let which = if doubts.len() == 1 { "interval with seeds contains 0" } else { "intervals with seeds contain 0" };
    (!doubts.is_empty()).then(|| format!("does not hold over seeds: {which} on {}", doubts.join(", ")))
}

fn label(study: &Study, name: &str) -> String {
    let metric = study.metrics.iter().find(|metric| metric.name == name);
    metric.map_or(name.to_owned(), |metric| metric.label.clone())
}

fn symbols(hypothesis: &Hypothesis) -> String {
    let mut text = format!("{}: {} > {}", hypothesis.factor, hypothesis.better, hypothesis.worse);
    for (factor, level) in &hypothesis.within {
        text.push_str(&format!(", {factor} = {level}"));
    }
    text
}

/// Factors over whose levels both sides are averaged: with one level there is nothing to average.
fn averaged(study: &Study, hypothesis: &Hypothesis) -> Vec<String> {
    study
        .factors
        .iter()
        .filter(|factor| factor.levels.len() > 1)
        .map(|factor| &factor.name)
        .filter(|name| **name != hypothesis.factor && !hypothesis.within.contains_key(*name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Direction;
    use crate::scores::Paired;
    use crate::study::Aggregation;

    fn paired(first: &[f64], second: &[f64]) -> Paired {
        let rows = |values: &[f64]| values.iter().map(|value| vec![*value, 1.0]).collect();
        Paired {
            aggregation: Aggregation::Mean,
            pairs: 1,
            seeds: vec![vec![0]],
            first: rows(first),
            second: rows(second),
            first_values: first.to_vec(),
            second_values: second.to_vec(),
            unpaired: 0,
        }
    }

    fn verdict(paired: &Paired, direction: Direction) -> Verdict {
        let contrast = contrast(paired, direction, Resampling::default());
        let p = contrast.p;
        conclude("m", Ok(contrast), p, 0.05).verdict
    }

    #[test]
    fn direction_decides_what_better_means() {
        let high: Vec<f64> = (0..20).map(|i| 0.5 + 0.01 * f64::from(i)).collect();
        let low: Vec<f64> = (0..20).map(|i| 0.3 + 0.012 * f64::from(i)).collect();
        let sides = paired(&high, &low);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::Supported);
        assert_eq!(verdict(&sides, Direction::Lower), Verdict::Reversed);
    }

    #[test]
    fn a_mean_against_its_ranks_claims_nothing() {
        // Nineteen small gains and one large loss: ranks say better, the mean says worse.
        let mut first: Vec<f64> = (1..20).map(|i| 0.01 * f64::from(i)).collect();
        first.push(-9.0);
        let sides = paired(&first, &[0.0; 20]);
        let contrast = contrast(&sides, Direction::Higher, Resampling::default());
        assert!(contrast.p < 0.05 && contrast.effect < 0.0 && !contrast.agrees);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::NotSupported);
    }

    #[test]
    fn a_gain_that_never_varies_is_supported_without_a_standardised_effect() {
        // 0.3 - 0.2 is no 0.1 in f64, and its mean over twenty is another number still.
        let sides = paired(&[0.3; 20], &[0.2; 20]);
        let contrast = contrast(&sides, Direction::Higher, Resampling::default());
        assert!((contrast.effect - 0.1).abs() < 1e-12);
        assert_eq!((contrast.error, contrast.standardised), (0.0, None));
        assert_eq!(contrast.interval.low, contrast.interval.high);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::Supported);
        assert_eq!(verdict(&sides, Direction::Lower), Verdict::Reversed);
    }

    #[test]
    fn equal_sides_claim_nothing_whatever_the_order_of_their_seeds() {
        // Means over three seeds of the same values, added in another order.
        let first: Vec<f64> = (1..20).map(|i| (0.1 + 0.2 + 0.3) * f64::from(i)).collect();
        let second: Vec<f64> = (1..20).map(|i| (0.3 + 0.2 + 0.1) * f64::from(i)).collect();
        assert_ne!(first, second);
        let sides = paired(&first, &second);
        assert_eq!(contrast(&sides, Direction::Higher, Resampling::default()).p, 1.0);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::NotSupported);
    }

    #[test]
    fn what_other_seeds_could_turn_is_told() {
        let study = crate::study::tests::empty();
        let first: Vec<f64> = (0..20).map(|i| 0.5 + 0.01 * f64::from(i)).collect();
        let contrast = contrast(&paired(&first, &[0.4; 20]), Direction::Higher, Resampling::default());
        let answer = |name: &str, verdict, low, high| {
            let interval_with_seeds = Some(Interval { low, high });
            let contrast = Some(Contrast { interval_with_seeds, ..contrast.clone() });
            MetricAnswer { metric: name.into(), contrast, p_adjusted: Some(0.01), verdict }
        };
        let doubtful = answer("a", Verdict::Supported, -0.05, 0.45);
        let safe = answer("b", Verdict::Supported, 0.05, 0.35);
        let open = answer("c", Verdict::NotSupported, -0.05, 0.45);
        assert_eq!(
            over_seeds(&study, &[doubtful.clone(), safe.clone(), open.clone()]).unwrap(),
            "does not hold over seeds: interval with seeds contains 0 on a [\u{2212}0.050, 0.450]"
        );
        assert_eq!(over_seeds(&study, &[safe, open]), None);
        let both = over_seeds(&study, &[doubtful, answer("d", Verdict::Reversed, -0.3, 0.0)]).unwrap();
        assert!(both.ends_with("intervals with seeds contain 0 on a [\u{2212}0.050, 0.450], d [\u{2212}0.300, 0.000]"));
    }

    #[test]
    fn a_factor_with_one_level_is_not_averaged_over() {
        let factor = |name: &str, levels: &[&str]| crate::study::Factor {
            name: name.into(),
            levels: levels.iter().map(|level| (*level).to_owned()).collect(),
        };
        let mut study = crate::study::tests::empty();
        study.factors =
            vec![factor("student", &["small"]), factor("teacher", &["a", "b"]), factor("sft", &["none", "both"])];
        let hypothesis = Hypothesis {
            name: "h".into(),
            factor: "sft".into(),
            better: "both".into(),
            worse: "none".into(),
            within: std::collections::BTreeMap::new(),
            metrics: Vec::new(),
            alpha: 0.05,
        };
        assert_eq!(averaged(&study, &hypothesis), ["teacher"]);
    }

    #[test]
    fn the_standardised_effect_of_a_mean_is_d_z() {
        let first: Vec<f64> = (0..200).map(|i| f64::from(i % 7) + 0.01 * f64::from(i)).collect();
        let sides = paired(&first, &[2.0; 200]);
        let found = contrast(&sides, Direction::Higher, Resampling::default()).standardised.unwrap();
        let differences: Vec<f64> = first.iter().map(|value| value - 2.0).collect();
        let (wanted, _) = crate::statistics::effect::d_z(&differences, 0.95).unwrap();
        assert!((found / wanted - 1.0).abs() < 0.03, "{found} {wanted}");
    }

    #[test]
    fn right_and_wrong_of_one_pair_go_to_mcnemar() {
        let mut first = [1.0; 12];
        first[11] = 0.0;
        let contrast = contrast(&paired(&first, &[0.0; 12]), Direction::Higher, Resampling::default());
        assert_eq!(contrast.test, crate::contrast::Test::Mcnemar);
        // Eleven against none: 2 / 2^11.
        assert!((contrast.p - 2.0 / 2048.0).abs() < 1e-12);
    }
}
