//! The answers to the claims of an experiment.

use serde::Serialize;

pub use crate::claims::Estimate;
use crate::claims::{self, Ground, Points, Tested};
use crate::contrast::Contrast;
use crate::number::{self, counted};
use crate::scores::Scores;
use crate::statistics::{Interval, P, Resampling, holm::multipliers};
use crate::study::{Claim, Hypothesis, Study};

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
    /// Column of the metric; of a claim on ranks both columns.
    pub metric: String,
    /// Its name in tables.
    pub label: String,
    /// What the claim is decided by; absent when it could not be tested.
    pub estimate: Option<Estimate>,
    /// The comparison by example that it rests on; absent when it could not be made, and of claims on ranks.
    pub contrast: Option<Contrast>,
    /// p value on this metric: multiplied as that of the claim is or, if `exploratory`, by [`tests`].
    pub p_adjusted: Option<P>,
    /// Interval at the level of that p value: it leaves out zero, or the margins of the claim, if and only if
    /// `p_adjusted` is below alpha. Several such intervals promise no joint coverage.
    pub interval: Option<Interval>,
    /// Whether it is one of several metrics of a claim that is neither supported nor reversed: the procedure
    /// over claims controls nothing of what it says by itself.
    pub exploratory: bool,
    /// What this metric says by itself; the claim needs all of its metrics.
    pub verdict: Verdict,
}

/// Answers a claim over all its metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The claim in words.
    pub name: String,
    /// What is claimed.
    pub claim: Claim,
    /// The same in symbols: `sft: teacher > none, teacher = llama`.
    pub contrast: String,
    /// Factors that are averaged over.
    pub averaged: Vec<String>,
    /// What it holds for beyond what was measured: other units, and what was trained again where there are
    /// seeds to tell; empty for what could not be tested.
    pub scope: String,
    /// Per metric, in the order of the claim.
    pub metrics: Vec<MetricAnswer>,
    /// p value of the claim: the largest of its metrics, 1 where they point in different directions or one
    /// could not be tested.
    pub p: P,
    /// That after Holm over all claims.
    pub p_adjusted: P,
    /// The overall verdict: supported (or reversed) only when it is so on every metric.
    pub verdict: Verdict,
    /// Where metrics disagree, which say what, and where there are too few units for any verdict; empty
    /// otherwise.
    pub detail: String,
}

/// Names the procedure of [`answer`], for a report.
pub const PROCEDURE: &str = "A claim on several metrics holds only where each of them says so by itself (an \
    intersection-union test), so its p value is the largest of theirs; Holm adjusts over the claims";

/// Marks p values of exploratory metrics.
pub(crate) const EXPLORATORY: &str = "\u{2020}";

/// Number of tests of single metrics that the claims of a study name.
pub fn tests(study: &Study) -> usize {
    let columns = |hypothesis: &Hypothesis| claims::kind(&hypothesis.claim).columns(hypothesis).len();
    study.hypotheses.iter().map(columns).sum()
}

/// Explains the mark of exploratory metrics.
pub(crate) fn exploratory_note(study: &Study) -> String {
    format!(
        "{EXPLORATORY} exploratory, in a claim on several metrics that is neither supported nor reversed: p is times {}, \
         the number of all tests of metrics (Bonferroni), and the interval goes with it.",
        tests(study)
    )
}

/// Answers every hypothesis of a study at its one level of significance, whatever kind each is of.
///
/// A claim on several metrics is the union of what would refute it: rejecting each null hypothesis at
/// alpha rejects their union at alpha, without adjusting for their number (Berger 1982, "Multiparameter
/// hypothesis testing and acceptance sampling": intersection-union test). So the p value of a claim is the
/// largest over its metrics, 1 where their effects have different signs. Holm adjusts over the declared
/// claims, also those that cannot be tested (they count with p = 1), so that a failed arm never makes
/// another claim easier to support. Of a claim that is not rejected this controls nothing on its single
/// metrics: where there are several they are exploratory, each adjusted for all tests of metrics (Bonferroni).
pub fn answer(study: &Study, scores: &Scores, resampling: Resampling) -> Vec<Answer> {
    let tested: Vec<Vec<Outcome>> = study
        .hypotheses
        .iter()
        .map(|hypothesis| {
            let kind = claims::kind(&hypothesis.claim);
            let ground = Ground { study, scores, stratum: hypothesis.stratum.as_deref(), resampling };
            let columns = kind.columns(hypothesis).into_iter();
            columns
                .map(|column| Outcome {
                    label: kind.label(study, &column),
                    result: kind.test(&ground, &column),
                    column,
                })
                .collect()
        })
        .collect();
    let raw: Vec<P> = tested.iter().map(|metrics| joint_p(metrics)).collect();
    let multipliers = multipliers(&raw.iter().map(|p| p.value).collect::<Vec<_>>());
    study
        .hypotheses
        .iter()
        .zip(tested)
        .zip(raw.into_iter().zip(multipliers))
        .map(|((hypothesis, tested), (p, multiplier))| {
            let p_adjusted = p.times(multiplier);
            let exploratory = p_adjusted.value >= study.alpha && tested.len() > 1;
            let of_metrics = if exploratory { tests(study) as f64 } else { multiplier };
            let scope = scope(study, &tested);
            let told: Vec<String> = tested.iter().filter_map(|outcome| told(outcome, tested.len() > 1)).collect();
            let metrics: Vec<MetricAnswer> = tested
                .into_iter()
                .map(|tested| MetricAnswer { exploratory, ..conclude(tested, of_metrics, study.alpha) })
                .collect();
            let (verdict, mixed) = overall(&metrics);
            let details = told.into_iter().map(Some).chain([mixed, too_few(study, &metrics)]);
            Answer {
                name: hypothesis.name.clone(),
                claim: hypothesis.claim.clone(),
                contrast: claims::symbols(study, hypothesis),
                averaged: claims::averaged(study, &hypothesis.claim),
                scope,
                metrics,
                p,
                p_adjusted,
                verdict,
                detail: details.flatten().collect::<Vec<_>>().join("; "),
            }
        })
        .collect()
}

/// How a claim came out on one metric.
struct Outcome {
    column: String,
    label: String,
    /// The test, or why there is none.
    result: Result<Tested, String>,
}

/// What a reader of the numbers on one metric must know; with its name where there are several.
fn told(outcome: &Outcome, several: bool) -> Option<String> {
    let detail = outcome.result.as_ref().ok()?.detail.as_ref()?;
    Some(if several { format!("{}: {detail}", outcome.label) } else { detail.clone() })
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
    let ground = Ground { study, scores, stratum: hypothesis.stratum.as_deref(), resampling };
    let tested = claims::kind(&hypothesis.claim).test(&ground, metric)?;
    tested.contrast.ok_or_else(|| "it does not compare examples".to_owned())
}

/// What a claim generalises over: said once for all its metrics on a set, and for each set.
fn scope(study: &Study, tested: &[Outcome]) -> String {
    let mut sets = Vec::new();
    let mut scopes: Vec<&str> = Vec::new();
    for outcome in tested {
        let Ok(found) = &outcome.result else { continue };
        let set = study.metric(&outcome.column).map(|metric| metric.set.as_deref());
        if !sets.contains(&set) {
            sets.push(set);
            scopes.push(&found.scope);
        }
    }
    scopes.join("; ")
}

/// p value of a claim: the largest over its metrics, if all point one way.
fn joint_p(metrics: &[Outcome]) -> P {
    let tested: Result<Vec<&Tested>, &String> = metrics.iter().map(|outcome| outcome.result.as_ref()).collect();
    let Ok(tested) = tested else { return P::exact(1.0) };
    let one_way = |way: Points| tested.iter().all(|tested| tested.points == way);
    let largest = tested.iter().map(|tested| tested.estimate.p).max_by(|a, b| a.value.total_cmp(&b.value));
    largest.filter(|_| one_way(Points::For) || one_way(Points::Against)).unwrap_or(P::exact(1.0))
}

fn conclude(outcome: Outcome, multiplier: f64, alpha: f64) -> MetricAnswer {
    let Outcome { column, label, result } = outcome;
    let untested = MetricAnswer {
        metric: column,
        label,
        estimate: None,
        contrast: None,
        p_adjusted: None,
        interval: None,
        exploratory: false,
        verdict: Verdict::NotSupported,
    };
    match result {
        Err(reason) => MetricAnswer { verdict: Verdict::Untestable { reason }, ..untested },
        Ok(tested) => {
            let p = tested.estimate.p.times(multiplier);
            let verdict = match tested.points {
                Points::For if p.value < alpha => Verdict::Supported,
                Points::Against if p.value < alpha => Verdict::Reversed,
                _ => Verdict::NotSupported,
            };
            MetricAnswer {
                interval: Some((tested.limits)(alpha / multiplier)),
                estimate: Some(tested.estimate),
                contrast: tested.contrast,
                p_adjusted: Some(p),
                verdict,
                ..untested
            }
        }
    }
}

/// Says where there are so few units that no effect would be significant, or only after other claims.
fn too_few(study: &Study, metrics: &[MetricAnswer]) -> Option<String> {
    let estimates = metrics.iter().filter_map(|answer| answer.estimate.as_ref());
    let most = estimates.max_by(|a, b| a.least_p.total_cmp(&b.least_p))?;
    let claims = study.hypotheses.len();
    let consequence = if most.least_p >= study.alpha {
        String::new()
    } else if most.least_p * claims as f64 >= study.alpha {
        format!(", which Holm over {} rejects at most after others", counted(claims, "claim"))
    } else {
        return None;
    };
    let least = number::p_value(P::exact(most.least_p));
    let units = counted(most.units, &most.unit);
    Some(format!("{units} can give no p value below {least}, whatever the effect{consequence}"))
}

/// Joins the verdicts of all metrics; where they differ, says which say what.
fn overall(metrics: &[MetricAnswer]) -> (Verdict, Option<String>) {
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
            let names: Vec<&str> = metrics
                .iter()
                .filter(|answer| answer.verdict.label() == verdict)
                .map(|answer| answer.label.as_str())
                .collect();
            (!names.is_empty()).then(|| format!("{verdict} on {}", names.join(", ")))
        })
        .collect();
    (Verdict::NotSupported, Some(format!("mixed, exploratory: {}", parts.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contrast::{Test, contrast};
    use crate::record::{Direction, Record};
    use crate::scores::Paired;
    use crate::statistics::inference::Inference;
    use crate::study::tests::{arm, empty, metric, set};
    use crate::study::{Aggregation, Arm, LevelContrast, Role};

    /// One seed and a question per unit.
    fn paired(first: &[f64], second: &[f64]) -> Paired {
        seeds(&[(first, second)], 1)
    }

    /// Values of the better and of the worse side, by question.
    type Sides<'v> = (&'v [f64], &'v [f64]);

    /// Sides at several seeds, with so many questions per unit.
    fn seeds(seeds: &[Sides<'_>], per_unit: usize) -> Paired {
        let questions = seeds[0].0.len();
        let rows = |side: fn(&Sides<'_>) -> Vec<f64>| {
            (0..questions).map(|question| seeds.iter().flat_map(|seed| [side(seed)[question], 1.0]).collect()).collect()
        };
        Paired {
            aggregation: Aggregation::Mean,
            pairs: seeds.len(),
            seeds: (0..seeds.len()).map(|seed| vec![seed]).collect(),
            first: rows(|seed| seed.0.to_vec()),
            second: rows(|seed| seed.1.to_vec()),
            units: (0..questions).map(|question| question / per_unit).collect(),
            unpaired: 0,
        }
    }

    fn compared(paired: &Paired, direction: Direction) -> (Contrast, Inference) {
        contrast(paired, direction, 0.05, Resampling::default()).unwrap()
    }

    fn verdict(paired: &Paired, direction: Direction) -> Verdict {
        conclude(outcome(compared(paired, direction)), 1.0, 0.05).verdict
    }

    /// The answer of a claim that the first side is better.
    fn outcome((contrast, inference): (Contrast, Inference)) -> Outcome {
        let set = set(None, "group");
        Outcome {
            column: "m".into(),
            label: "M".into(),
            result: Ok(claims::plain(&set, contrast, inference, String::new())),
        }
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
    fn the_mean_decides_and_ranks_are_a_check() {
        // Nineteen small gains and one large loss: ranks say better, the mean cannot tell.
        let mut first: Vec<f64> = (1..20).map(|i| 0.01 * f64::from(i)).collect();
        first.push(-9.0);
        let sides = paired(&first, &[0.0; 20]);
        let (contrast, _) = compared(&sides, Direction::Higher);
        assert!(contrast.effect < 0.0 && contrast.p.value > 0.5);
        let [check] = contrast.checks[..] else { panic!("{:?}", contrast.checks) };
        assert!(check.test == Test::Wilcoxon && check.p.value < 0.05);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::NotSupported);
    }

    #[test]
    fn a_gain_that_never_varies_is_supported_without_a_standardised_effect() {
        // 0.3 - 0.2 is no 0.1 in f64, and its mean over twenty is another number still.
        let sides = paired(&[0.3; 20], &[0.2; 20]);
        let (contrast, _) = compared(&sides, Direction::Higher);
        assert!((contrast.effect - 0.1).abs() < 1e-12);
        assert_eq!((contrast.error, contrast.standardised), (0.0, None));
        assert!(contrast.interval.high - contrast.interval.low < 1e-12);
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::Supported);
        assert_eq!(verdict(&sides, Direction::Lower), Verdict::Reversed);
    }

    #[test]
    fn equal_sides_claim_nothing_whatever_the_order_of_their_seeds() {
        let [one, two, three] = [0.1, 0.2, 0.3].map(|step| (1..20).map(|i| step * f64::from(i)).collect::<Vec<f64>>());
        let sides = seeds(&[(&one, &three), (&two, &two), (&three, &one)], 1);
        let (contrast, _) = compared(&sides, Direction::Higher);
        assert_eq!((contrast.effect, contrast.p.value), (0.0, 1.0));
        assert_eq!(verdict(&sides, Direction::Higher), Verdict::NotSupported);
    }

    #[test]
    fn questions_of_one_document_are_no_more_evidence_than_it_is() {
        // Six documents, four better and two worse, each with ten questions that all say the same.
        let first: Vec<f64> = (0..60).map(|question| if question < 40 { 0.6 } else { 0.5 }).collect();
        let second: Vec<f64> = (0..60).map(|question| if question < 40 { 0.4 } else { 0.6 }).collect();
        let one_each = compared(&seeds(&[(&first, &second)], 1), Direction::Higher).0;
        let by_document = compared(&seeds(&[(&first, &second)], 10), Direction::Higher).0;
        assert_eq!((one_each.effect, one_each.units, by_document.units), (by_document.effect, 60, 6));
        assert!(one_each.p.value < 0.001 && by_document.p.value > 0.1, "{:?} {:?}", one_each.p, by_document.p);
        assert!(by_document.error > 3.0 * one_each.error);
    }

    #[test]
    fn gains_that_change_their_sign_between_seeds_are_not_supported() {
        // +0.25, -0.15 and +0.02 over three seeds, on 60 questions that hardly vary.
        let base: Vec<f64> = (0..60).map(|i| 0.4 + 0.001 * f64::from(i % 7)).collect();
        let at = |gain: f64| -> Vec<f64> { (0..60).map(|i| base[i] + gain + 0.001 * (i % 5) as f64).collect() };
        let [one, two, three] = [0.25, -0.15, 0.02].map(at);
        let (contrast, inference) =
            compared(&seeds(&[(&one, &base), (&two, &base), (&three, &base)], 1), Direction::Higher);
        // scipy.stats.ttest_1samp of the three means, 0.252, -0.148 and 0.022, gives 0.752.
        assert!(contrast.effect > 0.03 && (contrast.p.value - 0.752).abs() < 0.01, "{:?}", contrast.p);
        assert!(inference.interval(0.05).low < -0.4);
        // Any one of them by itself would be.
        assert_eq!(verdict(&paired(&one, &base), Direction::Higher), Verdict::Supported);
        assert_eq!(verdict(&paired(&two, &base), Direction::Higher), Verdict::Reversed);
    }

    fn tested(effect: f64) -> Outcome {
        let first: Vec<f64> = (0..40).map(|i| effect + f64::from(i % 5) - 2.0).collect();
        outcome(compared(&paired(&first, &[0.0; 40]), Direction::Higher))
    }

    #[test]
    fn a_claim_is_as_sure_as_its_least_sure_metric() {
        let p = |effect: f64| tested(effect).result.ok().unwrap().estimate.p;
        assert_eq!(joint_p(&[tested(1.0), tested(0.4), tested(2.0)]), p(0.4));
        assert_eq!(joint_p(&[tested(-1.0), tested(-0.4)]), p(-0.4));
        assert_eq!(joint_p(&[tested(1.0), tested(-1.0)]), P::exact(1.0));
        assert_eq!(joint_p(&[tested(1.0), Outcome { result: Err("gone".into()), ..tested(1.0) }]), P::exact(1.0));
        assert_eq!(joint_p(&[]), P::exact(1.0));
    }

    #[test]
    fn the_interval_of_a_claim_goes_with_its_adjusted_p() {
        for (effect, multiplier) in [(0.4, 1.0), (0.5, 1.0), (0.5, 2.0), (0.5, 5.0), (0.7, 5.0), (0.9, 5.0)] {
            let answer = conclude(tested(effect), multiplier, 0.05);
            let significant = answer.p_adjusted.unwrap().value < 0.05;
            assert_eq!(answer.interval.unwrap().low > 0.0, significant, "{effect} {multiplier} {answer:?}");
            assert_eq!(answer.verdict == Verdict::Supported, significant);
        }
    }

    #[test]
    fn the_scope_says_what_is_generalised_over() {
        let study = Study { sets: vec![set(None, "document")], ..empty() };
        let all = Study { retrained: "students and teachers".into(), ..study.clone() };
        let values: Vec<f64> = (0..60).map(|i| f64::from(i % 7)).collect();
        let of = |study: &Study, count: usize, per_unit: usize| {
            let sides: Vec<Sides<'_>> = vec![(&values, &[1.0; 60]); count];
            let scores = Scores::new(study, &[]).unwrap();
            let ground = Ground { study, scores: &scores, stratum: Some("billing"), resampling: Resampling::default() };
            claims::scope(&ground, &study.sets[0], &compared(&seeds(&sides, per_unit), Direction::Higher).0)
        };
        assert_eq!(of(&study, 1, 10), "these trained models (1 seed), other documents (6 documents, 60 questions)");
        assert_eq!(of(&study, 3, 1), "retrained students (3 seeds) and other questions (60 questions)");
        assert_eq!(
            of(&all, 2, 10),
            "retrained students and teachers (2 seeds) and other documents (6 documents, 60 questions)"
        );
        let mut several = study.clone();
        several.sets = vec![set(Some("support"), "document"), set(Some("quiz"), "question")];
        several.sets[0].by = Some("use-case".into());
        assert_eq!(
            of(&several, 1, 10),
            "these trained models (1 seed), other documents of support with use-case = billing (6 documents, 60 questions)"
        );
    }

    #[test]
    fn too_few_units_for_any_verdict_are_told() {
        let mut study = empty();
        let of_units = |questions: usize| {
            let sides = (&vec![1.0; questions][..], &vec![0.0; questions][..]);
            [conclude(outcome(compared(&seeds(&[sides], 5), Direction::Higher)), 1.0, 0.05)]
        };
        let told = too_few(&study, &of_units(20)).unwrap();
        assert_eq!(told, "4 groups can give no p value below 0.125, whatever the effect");
        assert_eq!(too_few(&study, &[conclude(tested(0.1), 1.0, 0.05)]), None);
        // Seven groups reach 2 / 2^7, which is enough for three claims and not for four.
        study.hypotheses = vec![claim(&["m"]); 3];
        assert_eq!(too_few(&study, &of_units(35)), None);
        study.hypotheses.push(claim(&["m"]));
        assert_eq!(
            too_few(&study, &of_units(35)).unwrap(),
            "7 groups can give no p value below 0.016, whatever the effect, which Holm over 4 claims rejects at most after others"
        );
    }

    fn levels() -> LevelContrast {
        LevelContrast {
            factor: "sft".into(),
            better: "both".into(),
            worse: "none".into(),
            within: std::collections::BTreeMap::new(),
        }
    }

    /// A claim that the first of two arms is better on some metrics.
    fn claim(metrics: &[&str]) -> Hypothesis {
        Hypothesis {
            name: "h".into(),
            claim: Claim::Better(levels()),
            metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
            stratum: None,
        }
    }

    /// Two arms, and on each metric the differences between them over forty questions.
    fn study_of(metrics: &[(&str, f64)], claims: &[&[&str]]) -> (Study, Vec<Record>) {
        let arms = ["both", "none"]
            .map(|level| Arm { levels: [("sft".to_owned(), level.to_owned())].into(), ..arm(level, Role::Cell) });
        let study = Study {
            arms: arms.to_vec(),
            seeds: vec![1],
            metrics: metrics.iter().map(|(name, _)| metric(name)).collect(),
            hypotheses: claims.iter().map(|metrics| claim(metrics)).collect(),
            ..empty()
        };
        let mut records = Vec::new();
        for (metric, effect) in metrics {
            for (side, question) in (0..2).flat_map(|side| (0..40_u32).map(move |question| (side, question))) {
                records.push(Record {
                    arm: study.arms[side].name.clone(),
                    seed: 1,
                    set: None,
                    example: format!("q{question}"),
                    group: format!("q{question}"),
                    stratum: None,
                    metric: (*metric).into(),
                    value: if side == 0 { effect + f64::from(question % 5) - 2.0 } else { 0.0 },
                    unit: "points".into(),
                    direction: Direction::Higher,
                    counts: Vec::new(),
                });
            }
        }
        (study, records)
    }

    #[test]
    fn metrics_of_a_claim_that_is_not_rejected_are_exploratory() {
        let metrics = [("clear", 0.9), ("fair", 0.62), ("weak", 0.1)];
        let (study, records) = study_of(&metrics, &[&["clear", "fair"], &["clear", "fair", "weak"], &["weak"]]);
        let answers = answer(&study, &Scores::new(&study, &records).unwrap(), Resampling::default());
        let verdicts: Vec<&str> = answers.iter().map(|answer| answer.verdict.label()).collect();
        assert_eq!(verdicts, ["supported", "not supported", "not supported"]);
        let multiplied = |claim: usize, metric: usize| {
            let answer = &answers[claim].metrics[metric];
            (answer.p_adjusted.unwrap().value / answer.contrast.as_ref().unwrap().p.value, answer.exploratory)
        };
        let is = |found: (f64, bool), factor: f64, exploratory: bool| {
            (found.0 - factor).abs() < 1e-9 && found.1 == exploratory
        };
        // Rejected: as the claim, by three. Not rejected: by all six tests, and no longer significant for that.
        assert!(is(multiplied(0, 1), 3.0, false) && is(multiplied(1, 1), 6.0, true), "{answers:?}");
        assert_eq!(answers[0].metrics[1].verdict, Verdict::Supported);
        assert_eq!(
            [0, 1, 2].map(|metric| answers[1].metrics[metric].verdict.label()),
            ["supported", "not supported", "not supported"]
        );
        assert_eq!(answers[1].detail, "mixed, exploratory: supported on CLEAR; not supported on FAIR, WEAK");
        // A claim on one metric is what its metric is.
        let single = &answers[2].metrics[0];
        assert!(!single.exploratory && single.p_adjusted == Some(answers[2].p_adjusted));
    }

    #[test]
    fn claims_of_all_kinds_are_one_family() {
        let (mut study, records) = study_of(&[("fair", 0.62), ("clear", 0.9)], &[&["fair"], &["clear"]]);
        let margin = |claim: Claim| Hypothesis { claim, ..claim_on("fair") };
        study.hypotheses.push(margin(Claim::NotWorse { contrast: levels(), margin: 0.1 }));
        study.hypotheses.push(margin(Claim::Equivalent { contrast: levels(), margin: 1.2 }));
        let within = std::collections::BTreeMap::new();
        study.hypotheses.push(margin(Claim::Rank { of: "fair".into(), with: "clear".into(), within }));
        let answers = answer(&study, &Scores::new(&study, &records).unwrap(), Resampling::default());
        let raw: Vec<f64> = answers.iter().map(|answer| answer.p.value).collect();
        let wanted = crate::statistics::holm::holm(&raw);
        for (answer, wanted) in answers.iter().zip(wanted) {
            assert!((answer.p_adjusted.value - wanted).abs() < 1e-12, "{answer:?} {wanted}");
        }
        // Two arms are too few to rank: they count with p = 1, and are told why.
        assert_eq!((raw[4], answers[4].verdict.label()), (1.0, "untestable"));
        assert!(answers[4].metrics[0].estimate.is_none());
        assert_eq!(answers[2].contrast, "sft: both not worse than none by more than 0.1");
        for (answer, (low, high)) in answers[2..4].iter().zip([(-0.1, f64::INFINITY), (-1.2, 1.2)]) {
            let (metric, interval) = (&answer.metrics[0], answer.metrics[0].interval.unwrap());
            let holds = interval.low > low && interval.high < high;
            assert_eq!(answer.p_adjusted.value < 0.05, holds, "{metric:?}");
            assert_eq!(answer.verdict == Verdict::Supported, holds);
        }
        let json = serde_json::to_value(&answers[2]).unwrap();
        assert!(json["claim"]["not-worse"]["margin"] == 0.1 && json["metrics"][0]["estimate"]["unit"] == "question");
    }

    fn claim_on(metric: &str) -> Hypothesis {
        claim(&[metric])
    }

    #[test]
    fn a_factor_with_one_level_is_not_averaged_over() {
        let factor = |name: &str, levels: &[&str]| crate::study::Factor {
            name: name.into(),
            levels: levels.iter().map(|level| (*level).to_owned()).collect(),
        };
        let mut study = empty();
        study.factors =
            vec![factor("student", &["small"]), factor("teacher", &["a", "b"]), factor("sft", &["none", "both"])];
        assert_eq!(claims::averaged(&study, &claim(&[]).claim), ["teacher"]);
    }

    #[test]
    fn the_standardised_effect_of_a_mean_is_d_z() {
        let first: Vec<f64> = (0..200).map(|i| f64::from(i % 7) + 0.01 * f64::from(i)).collect();
        let sides = paired(&first, &[2.0; 200]);
        let found = compared(&sides, Direction::Higher).0.standardised.unwrap();
        let differences: Vec<f64> = first.iter().map(|value| value - 2.0).collect();
        let (wanted, _) = crate::statistics::effect::d_z(&differences, 0.95).unwrap();
        assert!((found / wanted - 1.0).abs() < 1e-9, "{found} {wanted}");
    }

    #[test]
    fn right_and_wrong_of_one_pair_go_to_mcnemar() {
        let mut first = [1.0; 12];
        first[11] = 0.0;
        let (contrast, _) = compared(&paired(&first, &[0.0; 12]), Direction::Higher);
        assert_eq!(contrast.checks[0].test, Test::Mcnemar);
        // Eleven against none: 2 / 2^11, as flipping signs says, too.
        assert!((contrast.checks[0].p.value - 2.0 / 2048.0).abs() < 1e-12);
        assert!((contrast.p.value - 2.0 / 2048.0).abs() < 1e-12);
    }
}
