//! Parts of an evaluation set: how arms do in each, and what each claim comes to there. Exploratory.

use rayon::prelude::*;
use serde::Serialize;

use crate::claims::{self, Ground, Points};
use crate::hypotheses::{Estimate, Verdict};
use crate::number::counted;
use crate::scores::{Counts, Scores};
use crate::statistics::{Interval, P, Resampling, moments};
use crate::study::{EvaluationSet, Metric, Study};

/// Fewest units of a stratum that numbers are given of: flipping the signs of five gives no p value below
/// 2 / 2^5 = 0.0625, whatever the effect.
pub const FEWEST: usize = 6;

/// Holds the strata of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Division {
    /// Name of the set; none for the only set of an experiment that names none.
    pub set: Option<String>,
    /// The field that divides it.
    pub field: String,
    /// The strata in the order of their names.
    pub strata: Vec<Stratum>,
    /// Values of the arms on each metric of the set.
    pub metrics: Vec<Values>,
    /// Claims on metrics of the set, with what each comes to in every stratum.
    pub claims: Vec<ClaimByStratum>,
}

/// One part of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stratum {
    /// What its examples have in the field.
    pub name: String,
    /// What it holds.
    pub counts: Counts,
}

impl Stratum {
    /// Whether it has so few units that numbers would say nothing.
    pub fn is_small(&self) -> bool {
        self.counts.units < FEWEST
    }
}

/// Values of arms on one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// Column of the metric.
    pub metric: String,
    /// For each arm of the study and each stratum the mean over seeds; none without records, and of small strata.
    pub arms: Vec<Vec<Option<f64>>>,
}

/// A claim on one metric in every stratum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimByStratum {
    /// Place of the hypothesis in the study, from 0.
    pub hypothesis: usize,
    /// Column of the metric.
    pub metric: String,
    /// What it comes to, in the order of the strata.
    pub strata: Vec<StratumAnswer>,
}

/// A claim on one metric in one stratum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StratumAnswer {
    /// What was estimated; absent where it could not be tested.
    pub estimate: Option<Estimate>,
    /// p value times the number of strata (Bonferroni), those that could not be tested included.
    pub p_adjusted: Option<P>,
    /// Interval at that level.
    pub interval: Option<Interval>,
    /// What this stratum says by itself; never the verdict of the claim.
    pub verdict: Verdict,
}

/// Divides every set that names a field to divide it by.
pub fn divisions(study: &Study, scores: &Scores, resampling: Resampling) -> Vec<Division> {
    let divide = |set: &EvaluationSet| {
        let field = set.by.clone()?;
        let found = scores.strata(set.name.as_deref()).into_iter();
        let strata: Vec<Stratum> = found.map(|(name, counts)| Stratum { name: name.to_owned(), counts }).collect();
        let metrics = study.metrics_of(set).map(|metric| values(study, scores, metric, &strata)).collect();
        let claims = claims(study, scores, set, &strata, resampling);
        (!strata.is_empty()).then(|| Division { set: set.name.clone(), field, strata, metrics, claims })
    };
    study.sets.iter().filter_map(divide).collect()
}

fn values(study: &Study, scores: &Scores, metric: &Metric, strata: &[Stratum]) -> Values {
    let value = |arm: &str, stratum: &Stratum| {
        let by_seed = scores.by_seed_in(metric.key(), arm, Some(&stratum.name));
        let values: Vec<f64> = by_seed.into_iter().map(|(_, value)| value).collect();
        (!values.is_empty() && !stratum.is_small()).then(|| moments::mean(&values))
    };
    let of_arm = |arm: &str| strata.iter().map(|stratum| value(arm, stratum)).collect();
    Values { metric: metric.key().to_owned(), arms: study.arms.iter().map(|arm| of_arm(&arm.name)).collect() }
}

/// Tests every claim on a metric of the set that is not of one stratum anyway.
fn claims(
    study: &Study,
    scores: &Scores,
    set: &EvaluationSet,
    strata: &[Stratum],
    resampling: Resampling,
) -> Vec<ClaimByStratum> {
    let mut declared = Vec::new();
    for (place, hypothesis) in study.hypotheses.iter().enumerate() {
        let kind = claims::kind(&hypothesis.claim);
        if hypothesis.stratum.is_some() || !kind.is_of_examples() {
            continue;
        }
        let is_here = |column: &String| study.metric(column).is_some_and(|metric| metric.set == set.name);
        declared.extend(kind.columns(hypothesis).into_iter().filter(is_here).map(|column| (place, column)));
    }
    let answer = |&(place, ref column): &(usize, String)| ClaimByStratum {
        hypothesis: place,
        metric: column.clone(),
        strata: strata
            .par_iter()
            .map(|stratum| {
                let ground = Ground { study, scores, stratum: Some(&stratum.name), resampling };
                in_stratum(&ground, place, column, set, stratum, strata.len() as f64)
            })
            .collect(),
    };
    declared.iter().map(answer).collect()
}

fn in_stratum(
    ground: &Ground<'_>,
    hypothesis: usize,
    column: &str,
    set: &EvaluationSet,
    stratum: &Stratum,
    strata: f64,
) -> StratumAnswer {
    let Counts { examples, units } = stratum.counts;
    let untestable = |reason| StratumAnswer {
        estimate: None,
        p_adjusted: None,
        interval: None,
        verdict: Verdict::Untestable { reason },
    };
    if stratum.is_small() {
        let noun = if examples == units { set.task.example() } else { &set.unit.name };
        return untestable(format!("too few: {}", counted(units, noun)));
    }
    let tested = match claims::kind(&ground.study.hypotheses[hypothesis].claim).test(ground, column) {
        Ok(tested) => tested,
        Err(reason) => return untestable(reason),
    };
    let (p, alpha) = (tested.estimate.p.times(strata), ground.study.alpha);
    StratumAnswer {
        interval: Some((tested.limits)(alpha / strata)),
        p_adjusted: Some(p),
        verdict: match tested.points {
            Points::For if p.value < alpha => Verdict::Supported,
            Points::Against if p.value < alpha => Verdict::Reversed,
            _ => Verdict::NotSupported,
        },
        estimate: Some(tested.estimate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::tests::{World, levels};
    use crate::study::{Claim, Hypothesis};

    /// Billing has 12 questions and a gain, network 24 and none, other 4.
    fn world() -> World {
        let mut world = World::crossed(&[1], |sft, _, _, q| {
            let gain = if q < 12 && sft == "both" { 1.0 } else { 0.0 };
            gain + 0.1 * ((q * sft.len()) % 7) as f64
        });
        world.study.sets[0].by = Some("use-case".into());
        for record in &mut world.records {
            let question: usize = record.example[1..].parse().unwrap();
            let stratum = if question < 12 {
                "billing"
            } else if question < 36 {
                "network"
            } else {
                "other"
            };
            record.stratum = Some(stratum.into());
        }
        let claim = |stratum: Option<&str>| Hypothesis {
            name: "h".into(),
            claim: Claim::Better(levels("sft", "both", "none")),
            metrics: vec!["f1".into()],
            stratum: stratum.map(str::to_owned),
        };
        world.study.hypotheses = vec![claim(None), claim(Some("network"))];
        world
    }

    fn divided(world: &World) -> Vec<Division> {
        let scores = Scores::new(&world.study, &world.records).unwrap();
        divisions(&world.study, &scores, Resampling { resamples: 4_000, ..Resampling::default() })
    }

    #[test]
    fn each_stratum_speaks_for_itself_with_bonferroni_over_all() {
        let world = world();
        let [division] = &divided(&world)[..] else { panic!("one set is divided") };
        let held: Vec<(&str, usize)> = division.strata.iter().map(|s| (s.name.as_str(), s.counts.units)).collect();
        assert_eq!(held, [("billing", 12), ("network", 24), ("other", 4)]);
        // The claim on one stratum is not divided any further.
        let [claim] = &division.claims[..] else { panic!("{:?}", division.claims) };
        let verdicts: Vec<&str> = claim.strata.iter().map(|answer| answer.verdict.label()).collect();
        assert_eq!(verdicts, ["supported", "not supported", "untestable"]);
        assert_eq!(claim.strata[2].verdict, Verdict::Untestable { reason: "too few: 4 questions".into() });
        for answer in &claim.strata[..2] {
            let (estimate, p) = (answer.estimate.as_ref().unwrap(), answer.p_adjusted.unwrap());
            assert!((p.value - (3.0 * estimate.p.value).min(1.0)).abs() < 1e-12);
            let interval = answer.interval.unwrap();
            assert_eq!(p.value < 0.05, interval.low > 0.0 || interval.high < 0.0, "{answer:?}");
        }
    }

    #[test]
    fn values_are_of_the_stratum_and_of_none_that_is_small() {
        let world = world();
        let values = &divided(&world)[0].metrics[0];
        let both = &values.arms[0];
        // 0.1 times the mean of (4 q) % 7 over 0 to 11, and the gain.
        let wanted = 1.0 + 0.1 * (0..12).map(|q| (q * 4 % 7) as f64).sum::<f64>() / 12.0;
        assert!((both[0].unwrap() - wanted).abs() < 1e-12 && both[1].is_some() && both[2].is_none());
    }

    #[test]
    fn a_claim_may_be_of_one_stratum_only() {
        let world = world();
        let scores = Scores::new(&world.study, &world.records).unwrap();
        let answers = crate::hypotheses::answer(&world.study, &scores, Resampling::default());
        let estimate = |place: usize| answers[place].metrics[0].estimate.as_ref().unwrap();
        assert_eq!((estimate(0).n, estimate(1).n), (40, 24));
        assert_eq!(answers[1].contrast, "sft: both > none, use-case = network");
        assert!(
            answers[1].scope.ends_with("other questions with use-case = network (24 questions)"),
            "{}",
            answers[1].scope
        );
        let mut world = world;
        world.study.hypotheses[1].stratum = Some("billin".into());
        let scores = Scores::new(&world.study, &world.records).unwrap();
        let Verdict::Untestable { reason } =
            &crate::hypotheses::answer(&world.study, &scores, Resampling::default())[1].verdict
        else {
            panic!("no such stratum")
        };
        assert_eq!(reason, "the two sides share no example of metric `f1` in stratum `billin`");
    }

    #[test]
    fn a_set_that_names_no_field_is_not_divided() {
        let mut world = world();
        world.study.sets[0].by = None;
        assert!(divided(&world).is_empty());
    }
}
