//! What a report says: its sentences and lists, drawn from the findings.

use super::Findings;
use super::block::{Callout, Claim, ClaimMetric, Numbers, Tone};
use crate::contrast::Contrast;
use crate::energy::in_units;
use crate::hypotheses::{ALPHA, Answer, MetricAnswer, Verdict};
use crate::number;
use crate::statistics::P;
use crate::study::Outcome;
use crate::summary::Outcomes;

/// The rule of verdicts, printed under the answers.
pub(super) fn rule(findings: &Findings) -> String {
    let alphas = || findings.answers.iter().map(|answer| answer.alpha);
    let level = match alphas().next() {
        Some(alpha) if alphas().all(|other| other == alpha) => format!("below {alpha}"),
        _ => format!("below its significance level ({ALPHA} unless another is given)"),
    };
    format!(
        "A claim is supported when its effect is positive and its two-sided p value, Holm-adjusted over all declared hypotheses and metrics, is {level} on every metric it names; reversed when so in the opposite direction on every metric; otherwise, or where the ranks behind a test contradict the mean, not supported. Positive effects favour the claim, whichever way the metric improves."
    )
}

pub(super) fn kicker(findings: &Findings) -> String {
    match &findings.study.reproduces {
        Some(publication) => format!("{} \u{b7} after {publication}", findings.study.name),
        None => findings.study.name.clone(),
    }
}

/// What went wrong, before anything else is read.
pub(super) fn failures(findings: &Findings) -> Vec<Callout> {
    let bad = |head: String, text: String| Callout { tone: Tone::Bad, head, text };
    let outcomes = Outcomes::of(findings.study);
    let mut failures = Vec::new();
    if outcomes.failed + outcomes.missing > 0 {
        let arms = findings.study.arms.iter();
        let names: Vec<String> = arms
            .filter_map(|arm| match &arm.outcome {
                Outcome::Done => None,
                Outcome::Failed { reason } => Some(format!("{} failed ({reason})", arm.name)),
                Outcome::Missing => Some(format!("{} has not run", arm.name)),
            })
            .collect();
        let head = format!("INCOMPLETE: {} OF {} ARMS", outcomes.done, findings.study.arms.len());
        failures.push(bad(head, format!("{}.", names.join("; "))));
    }
    for check in findings.study.checks.iter().filter(|check| !check.passed) {
        failures.push(bad("CHECK NOT PASSED".into(), format!("{} ({})", check.name, check.evidence)));
    }
    failures
}

/// The answers to the claims, ready to be printed.
pub(super) fn claims(findings: &Findings) -> Vec<Claim> {
    findings.answers.iter().map(|answer| claim(findings, answer)).collect()
}

fn claim(findings: &Findings, answer: &Answer) -> Claim {
    let detail = match &answer.verdict {
        Verdict::Untestable { reason } => reason,
        _ => &answer.detail,
    };
    Claim {
        verdict: answer.verdict.label(),
        name: answer.name.clone(),
        contrast: contrast_line(answer),
        detail: detail.clone(),
        metrics: answer.metrics.iter().map(|metric| claim_metric(findings, answer, metric)).collect(),
    }
}

fn claim_metric(findings: &Findings, overall: &Answer, answer: &MetricAnswer) -> ClaimMetric {
    let numbers = match (&answer.contrast, &answer.verdict) {
        (Some(contrast), verdict) => {
            let digits = contrast.decimals();
            let limits = contrast.interval;
            Ok(Numbers {
                effect: number::signed(contrast.effect, digits),
                interval: (number::fixed(limits.low, digits), number::fixed(limits.high, digits)),
                p: answer.p_adjusted.map_or_else(String::new, |p| number::p_value(P::exact(p))),
                significant: matches!(verdict, Verdict::Supported | Verdict::Reversed),
            })
        }
        (None, Verdict::Untestable { reason }) if answer.verdict != overall.verdict => Err(reason.clone()),
        (None, _) => Err(String::new()),
    };
    let label = metric_label(findings, &answer.metric);
    ClaimMetric { label, verdict: answer.verdict.label(), numbers }
}

/// What is compared, over what, and how strictly where that is unusual.
pub(super) fn contrast_line(answer: &Answer) -> String {
    let mut line = answer.contrast.clone();
    if !answer.averaged.is_empty() {
        line.push_str(&format!("; mean over {}", answer.averaged.join(", ")));
    }
    if answer.alpha != ALPHA {
        line.push_str(&format!("; significance level {}", answer.alpha));
    }
    line
}

/// An effect with its interval: `+0.003 [−0.010, 0.016]`.
pub(super) fn contrast_numbers(contrast: &Contrast) -> String {
    let digits = contrast.decimals();
    format!(
        "{} [{}, {}]",
        number::signed(contrast.effect, digits),
        number::fixed(contrast.interval.low, digits),
        number::fixed(contrast.interval.high, digits)
    )
}

pub(super) fn metric_label(findings: &Findings, name: &str) -> String {
    let metric = findings.study.metrics.iter().find(|metric| metric.name == name);
    metric.map_or(name.to_owned(), |metric| metric.label.clone())
}

/// The numbers a reader asks for first.
pub(super) fn key_numbers(findings: &Findings) -> Vec<(String, String)> {
    let study = findings.study;
    let outcomes = Outcomes::of(study);
    let passed = study.checks.iter().filter(|check| check.passed).count();
    let mut numbers = vec![
        ("Arms done".to_owned(), format!("{} of {}", outcomes.done, study.arms.len())),
        ("Seeds".to_owned(), study.seeds.len().to_string()),
        ("Test questions".to_owned(), number::grouped(findings.questions as u64)),
        (
            "Checks passed".to_owned(),
            if study.checks.is_empty() {
                "none made".to_owned()
            } else {
                format!("{passed} of {}", study.checks.len())
            },
        ),
    ];
    for model in &study.models {
        numbers.push((model.name.clone(), format!("{} parameters", number::parameters(model.parameters))));
    }
    let total = &findings.account.total;
    numbers.push(("Energy".to_owned(), total.shown().unwrap_or_else(|| "unavailable".to_owned())));
    if !study.energy.is_empty() {
        numbers.push(("Energy is".to_owned(), total.state()));
        let emissions = findings.account.emissions.as_ref();
        let mass = emissions.map_or("unavailable".to_owned(), |emissions| total.mass(emissions.kg_co2e));
        numbers.push(("CO2e".to_owned(), mass));
        numbers.push(("Compute time".to_owned(), number::duration(findings.account.seconds)));
    }
    numbers
}

/// What is crossed.
pub(super) fn design(findings: &Findings) -> String {
    let study = findings.study;
    let factors: Vec<String> =
        study.factors.iter().map(|factor| format!("{} ({})", factor.name, factor.levels.join(", "))).collect();
    let seeds: Vec<String> = study.seeds.iter().map(u64::to_string).collect();
    let crossed = if factors.is_empty() {
        "The study crosses no factors".to_owned()
    } else {
        format!("The study crosses {}", factors.join(" \u{d7} "))
    };
    let plural = if seeds.len() == 1 { "" } else { "s" };
    let mut text = format!("{crossed}; each arm runs at seed{plural} {}.", seeds.join(", "));
    if let Some(baseline) = &study.baseline {
        text.push_str(&format!(" Tables compare with the baseline {baseline}."));
    }
    text
}

/// Says how intervals and tests were made.
pub(super) fn methods(findings: &Findings) -> String {
    let Resampled { count, level, seed } = resampled(findings);
    let mut contrasts = findings.answers.iter().flat_map(|answer| &answer.metrics).filter_map(|m| m.contrast.as_ref());
    let over_seeds = contrasts.any(|contrast| contrast.interval_with_seeds.is_some());
    let seeds = if over_seeds { "; those with seeds resample seeds as well" } else { "" };
    format!(
        "All comparisons are paired by question. The value of a side is the mean over its seeds and over the factors that are averaged out. Intervals are {level} % percentile intervals of a paired bootstrap over questions ({count} resamples, seed {seed}), with the seeds as they are{seeds}. Metrics that are plain means over questions are tested by Wilcoxon's signed-rank test, values of right or wrong by McNemar's exact test or, averaged over several pairs, by random signs; metrics of the whole corpus and means over tokens by approximate randomisation with {count} trials. All tests are two-sided."
    )
}

struct Resampled {
    count: String,
    level: String,
    seed: u64,
}

fn resampled(findings: &Findings) -> Resampled {
    Resampled {
        count: number::grouped(findings.resampling.resamples as u64),
        level: format!("{:.0}", 100.0 * findings.resampling.level),
        seed: findings.resampling.seed,
    }
}

/// Says where the energy numbers come from, and what follows from them.
pub(super) fn energy_text(findings: &Findings) -> Vec<String> {
    let account = &findings.account;
    let total = &account.total;
    let amount = total.shown().unwrap_or_else(|| "an amount that is not available".to_owned());
    let mut text = vec![format!(
        "All finished stages together consumed {amount} ({}) in {} of compute; failed attempts are not in it. A stage that several arms use was run once; its cost is shared equally between them. Nothing is subtracted for idling.",
        total.state(),
        number::duration(account.seconds)
    )];
    let gap = if total.unavailable.is_empty() { "" } else { "; what is unavailable is not in it" };
    text.push(match &account.emissions {
        Some(emissions) => format!(
            "This energy stands for {} of CO2e: energy \u{d7} PUE \u{d7} grid factor, with {}{gap}.",
            total.mass(emissions.kg_co2e),
            emissions.method
        ),
        None if findings.study.energy_model.grid_kg_co2e_per_kwh.is_none() => {
            "CO2e is unavailable: the experiment declares no grid factor (grid-kg-co2e-per-kwh).".to_owned()
        }
        None => "CO2e is unavailable, as no energy is known.".to_owned(),
    });
    for (component, check) in account.cross_checks.iter().filter(|(_, check)| check.counted > 0.0) {
        let off = 100.0 * (check.integrated / check.counted - 1.0);
        text.push(format!(
            "Cross-check of {component}: sampled power comes to {}, the counter to {} ({} %), over the stages that have both.",
            in_units(check.integrated, 3, false),
            in_units(check.counted, 3, false),
            number::signed(off, 1)
        ));
    }
    text
}

/// The machine, and how random numbers were drawn.
pub(super) fn environment(findings: &Findings) -> Vec<(String, String)> {
    let Resampled { count, level, seed } = resampled(findings);
    let mut facts = findings.study.environment.clone();
    facts.push(("report".to_owned(), format!("{count} resamples, {level} % intervals, seed {seed}")));
    facts
}
