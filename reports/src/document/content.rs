//! What a report says: its sentences and lists, drawn from the findings.

use super::Findings;
use super::block::{Callout, Claim, ClaimMetric, Numbers};
use super::unit;
use crate::claims;
use crate::energy::in_units;
use crate::hypotheses::{Answer, MetricAnswer, PROCEDURE, Verdict, exploratory_note};
use crate::number;
use crate::scores::Counts;
use crate::standings::is_share;
use crate::study::{EvaluationSet, Outcome};
use crate::summary::Outcomes;

/// The rule of verdicts, printed under the answers.
pub(super) fn rule(findings: &Findings) -> String {
    let alpha = findings.study.alpha;
    let mut rule = format!(
        "A claim is supported when its effects are positive and its two-sided p value, after Holm, is below {alpha}; reversed when so in the opposite direction; otherwise not supported. {PROCEDURE}. Each interval (Holm) leaves zero out exactly where its p (Holm) is below {alpha}; together they promise no joint coverage. Positive effects favour the claim, whichever way the metric improves; bold ones are significant."
    );
    for text in claims::kinds(findings.study).iter().filter_map(|kind| kind.rule(alpha)) {
        rule.push_str(&format!(" {text}"));
    }
    if findings.answers.iter().flat_map(|answer| &answer.metrics).any(|metric| metric.exploratory) {
        rule.push_str(&format!(" {}", exploratory_note(findings.study)));
    }
    rule
}

/// What stands above the title.
pub(super) fn kicker(findings: &Findings) -> String {
    match &findings.study.reproduces {
        Some(publication) => format!("{} \u{b7} after {publication}", findings.study.name),
        None => findings.study.name.clone(),
    }
}

/// What went wrong, before anything else is read.
pub(super) fn failures(findings: &Findings) -> Vec<Callout> {
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
        failures.push(Callout { head, text: format!("{}.", names.join("; ")) });
    }
    for check in findings.study.checks.iter().filter(|check| !check.passed) {
        let text = format!("{} ({})", check.name, check.evidence);
        failures.push(Callout { head: "CHECK NOT PASSED".into(), text });
    }
    failures
}

/// What the verdicts hold for, where it is the same for all claims that could be tested.
pub(super) fn scope<'f>(findings: &'f Findings<'_>) -> Option<&'f str> {
    let mut scopes = findings.answers.iter().map(|answer| answer.scope.as_str()).filter(|scope| !scope.is_empty());
    let first = scopes.next()?;
    scopes.all(|scope| scope == first).then_some(first)
}

/// The answers to the claims, ready to be printed. What all verdicts hold for is said once, elsewhere.
pub(super) fn claims(findings: &Findings) -> Vec<Claim> {
    let claims = findings.answers.iter().map(claim);
    match scope(findings) {
        Some(_) => claims.map(|claim| Claim { scope: String::new(), ..claim }).collect(),
        None => claims.collect(),
    }
}

fn claim(answer: &Answer) -> Claim {
    let detail = match &answer.verdict {
        Verdict::Untestable { reason } => reason,
        _ => &answer.detail,
    };
    Claim {
        verdict: answer.verdict.label(),
        name: answer.name.clone(),
        contrast: contrast_line(answer),
        scope: answer.scope.clone(),
        detail: detail.clone(),
        metrics: answer.metrics.iter().map(|metric| claim_metric(answer, metric)).collect(),
    }
}

fn claim_metric(overall: &Answer, answer: &MetricAnswer) -> ClaimMetric {
    let numbers = match (answer.estimate.as_ref().zip(answer.interval), &answer.verdict) {
        (Some((estimate, limits)), verdict) => {
            let digits = estimate.decimals;
            let significant = matches!(verdict, Verdict::Supported | Verdict::Reversed);
            Ok(Numbers {
                effect: number::signed(estimate.effect, digits),
                interval: (number::fixed(limits.low, digits), number::fixed(limits.high, digits)),
                p: answer.p_adjusted.unwrap_or(estimate.p),
                significant: significant && !answer.exploratory,
                exploratory: answer.exploratory,
            })
        }
        (None, Verdict::Untestable { reason }) if answer.verdict != overall.verdict => Err(reason.clone()),
        (None, _) => Err(String::new()),
    };
    ClaimMetric { label: answer.label.clone(), verdict: answer.verdict.label(), numbers }
}

/// What is compared, and over what.
pub(super) fn contrast_line(answer: &Answer) -> String {
    let mut line = answer.contrast.clone();
    if !answer.averaged.is_empty() {
        line.push_str(&format!("; mean over {}", answer.averaged.join(", ")));
    }
    line
}

/// The numbers a reader asks for first.
pub(super) fn key_numbers(findings: &Findings) -> Vec<(String, String)> {
    let study = findings.study;
    let outcomes = Outcomes::of(study);
    let passed = study.checks.iter().filter(|check| check.passed).count();
    let mut numbers = vec![
        ("Arms done".to_owned(), format!("{} of {}", outcomes.done, study.arms.len())),
        ("Seeds".to_owned(), study.seeds.len().to_string()),
    ];
    for (set, counts) in findings.sets() {
        let of = study.name_of(set.name.as_deref()).map_or(String::new(), |name| format!(" ({name})"));
        let count = |count: usize| number::grouped(count as u64);
        numbers.push((format!("Test {}s{of}", set.task.example()), count(counts.examples)));
        numbers.push((format!("Independent {}s{of}", set.unit.name), count(counts.units)));
    }
    let checks =
        if study.checks.is_empty() { "none made".to_owned() } else { format!("{passed} of {}", study.checks.len()) };
    numbers.push(("Checks passed".to_owned(), checks));
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
    let study = findings.study;
    let example = examples(findings);
    let (unit, independent) = independent(findings);
    let shares = if study.metrics.iter().any(is_share) {
        format!(
            ", of fractions after Wilson, with as many answers as know as much as the {unit}s do (Dean and Pagano 2015), of other metrics by the same flips"
        )
    } else {
        String::new()
    };
    let seeds = match study.seeds.len() {
        0 | 1 => String::new(),
        _ => {
            ", and with Student's t for the seeds, whose squared limits are added (Banerjee 1961; Zou and Donner 2008)"
                .to_owned()
        }
    };
    let one_sided = study.hypotheses.iter().any(|hypothesis| claims::kind(&hypothesis.claim).margin().is_some());
    let sides = if one_sided {
        "All tests are two-sided but those of claims with a margin, which are one-sided."
    } else {
        "All tests are two-sided."
    };
    format!(
        "All comparisons are paired by {example}. The value of a side is the mean over its seeds and over the factors that are averaged out. {independent} Effect, interval and p value are of one statistic, the mean difference (for corpus scores their difference, by jackknife pseudo-values of {unit}s): the sign of whole {unit}s is flipped, in all ways or in {count} random ones (seed {seed}; more for pairs of arms where they are many), and the interval holds the differences that this test does not reject{seeds}. The test takes differences of {unit}s to be symmetric about their mean; where they are not, it is right for many {unit}s only. Intervals of arms are {level} % each{shares}. {sides}"
    )
}

/// What examples are called: questions, texts, or examples where sets differ.
fn examples(findings: &Findings) -> &'static str {
    let mut nouns = findings.study.sets.iter().map(|set| set.task.example());
    let first = nouns.next().unwrap_or("question");
    if nouns.all(|noun| noun == first) { first } else { "example" }
}

/// What one unit is called where all sets agree, and what counts as independent.
fn independent<'f>(findings: &'f Findings<'_>) -> (&'f str, String) {
    let says = |set: &EvaluationSet, counts: Counts| {
        let (example, unit) = (set.task.example(), unit(set, counts));
        if unit == example && counts.units == counts.examples {
            let mut name = format!("{example}s");
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            format!("{name} count as independent of each other.")
        } else {
            format!("What is independent of each other is the {unit}, not the {example}.")
        }
    };
    let sets: Vec<(&EvaluationSet, Counts)> = findings.sets().collect();
    match sets.as_slice() {
        [] => ("unit", String::new()),
        [(set, counts)] => (unit(set, *counts), says(set, *counts)),
        several => {
            let first = unit(several[0].0, several[0].1);
            let alike = several.iter().all(|(set, counts)| unit(set, *counts) == first);
            let of = |(set, counts): &(&EvaluationSet, Counts)| {
                format!("in {} the {}", set.name.as_deref().unwrap_or("the set without a name"), unit(set, *counts))
            };
            let units = several.iter().map(of).collect::<Vec<_>>().join(", ");
            (if alike { first } else { "unit" }, format!("What is independent of each other, the unit, is {units}."))
        }
    }
}

struct Resampled {
    count: String,
    level: String,
    seed: u64,
}

fn resampled(findings: &Findings) -> Resampled {
    Resampled {
        count: number::grouped(findings.resampling.resamples as u64),
        level: number::percent(findings.resampling.level),
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
