//! The findings in a few sentences.

use super::{Findings, unit};
use crate::hypotheses::Verdict;
use crate::number;
use crate::plots::chief_metric;
use crate::rivals::Rival;
use crate::standings::Standing;
use crate::study::{Metric, Outcome, Role};

/// Sums up what was found: claims, the best arm, what the teacher adds, energy.
pub(super) fn summary(findings: &Findings) -> Vec<String> {
    [claims(findings), best(findings), control(findings), energy(findings)].into_iter().flatten().collect()
}

fn claims(findings: &Findings) -> Option<String> {
    let answers = &findings.answers;
    if answers.is_empty() {
        return None;
    }
    let of = |wanted: &str| -> Vec<String> {
        let numbered = answers.iter().enumerate().filter(|(_, answer)| answer.verdict.label() == wanted);
        numbered.map(|(index, _)| format!("H{}", index + 1)).collect()
    };
    let parts: Vec<String> = ["supported", "reversed", "not supported", "untestable"]
        .into_iter()
        .map(|verdict| (verdict, of(verdict)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(verdict, names)| format!("{} {verdict} ({})", names.len(), names.join(", ")))
        .collect();
    let mixed = |answer: &&crate::hypotheses::Answer| {
        let significant = |verdict: &Verdict| matches!(verdict, Verdict::Supported | Verdict::Reversed);
        !significant(&answer.verdict) && answer.metrics.iter().any(|metric| significant(&metric.verdict))
    };
    let mixed = answers.iter().filter(mixed).count();
    let mut text = format!("Of {} declared: {}.", number::counted(answers.len(), "claim"), parts.join(", "));
    if mixed > 0 {
        text.push_str(&format!(
            " {} found on some of the metrics only, which is no support.",
            match mixed {
                1 => "One is".to_owned(),
                more => format!("{more} are"),
            }
        ));
    }
    Some(text)
}

/// The best arm of the design and the one after it, on the metric that figures show.
fn ranked<'f>(findings: &'f Findings) -> Option<(&'f Metric, Vec<(&'f Standing, f64)>)> {
    let study = findings.study;
    let metric = study.metric(chief_metric(study))?;
    let standings = findings.standings.iter().find(|standings| standings.metric == metric.key())?;
    let cells = study
        .arms
        .iter()
        .zip(&standings.arms)
        .filter(|(arm, _)| arm.role == Role::Cell && arm.outcome == Outcome::Done);
    let mut ranked: Vec<_> = cells.filter_map(|(_, standing)| Some((standing, standing.value?))).collect();
    let better = metric.direction.sign();
    ranked.sort_by(|a, b| (better * b.1).total_cmp(&(better * a.1)));
    Some((metric, ranked))
}

fn best(findings: &Findings) -> Option<String> {
    let study = findings.study;
    let (metric, ranked) = ranked(findings)?;
    let label = study.label(metric);
    let [(best, value), (next, second), ..] = ranked[..] else { return None };
    // Arms that were asked different questions have no best one.
    if !best.best {
        return None;
    }
    let digits = number::decimals([value, second], best.interval.into_iter().chain(next.interval));
    let shown = |value: f64| number::fixed(value, digits);
    let mut text = format!(
        "Best of {} on {label} is {} ({}), followed by {} ({})",
        number::counted(ranked.len(), "arm"),
        best.arm,
        shown(value),
        next.arm,
        shown(second)
    );
    if let Some(rival) = findings.rivals.between(&best.arm, &next.arm) {
        text.push_str(&format!("; the difference between the two is {}", judged(&rival, "all pairs of arms")));
    }
    let ties = ranked.iter().filter(|(other, _)| !findings.rivals.is_better(&best.arm, &other.arm)).count();
    if !findings.rivals.can_tell() {
        let (set, counts) = findings.sets().find(|(set, _)| set.name == metric.set)?;
        let units = number::counted(counts.units, unit(set, counts));
        text.push_str(&format!("; over all pairs of arms, no difference could be significant with {units}"));
    } else if ties > 2 {
        text.push_str(&format!("; {} cannot be told from the best beyond chance", number::counted(ties - 1, "arm")));
    }
    Some(format!("{text}."))
}

fn control(findings: &Findings) -> Option<String> {
    let study = findings.study;
    let compared: Vec<(&str, &str, &Rival)> = study
        .arms
        .iter()
        .filter_map(|arm| Some((arm.name.as_str(), arm.control.as_deref()?, findings.rivals.with_control(&arm.name)?)))
        .collect();
    if compared.is_empty() {
        return None;
    }
    let count = |sign: f64| {
        let beyond = |rival: &Rival| rival.significant && sign * rival.contrast.effect > 0.0;
        compared.iter().filter(|(_, _, rival)| beyond(rival)).count()
    };
    let (metric, ranked) = ranked(findings)?;
    let label = study.label(metric);
    let mut text = format!(
        "Against their controls, which trained without a teacher for as many steps, {} of {} arms are better on {label} and {} worse beyond chance",
        count(1.0),
        compared.len(),
        count(-1.0)
    );
    let best = ranked.first().map(|(standing, _)| standing.arm.as_str());
    if let Some((arm, control, rival)) = compared.iter().find(|(arm, ..)| Some(*arm) == best) {
        text.push_str(&format!("; {arm} differs from {control} by {}", judged(rival, "the arms")));
    }
    Some(format!("{text}."))
}

/// An effect, and whether chance explains it; with its adjusted p and no interval, which would be at
/// another level.
fn judged(rival: &Rival, family: &str) -> String {
    let contrast = &rival.contrast;
    let verdict = if rival.significant { "significant" } else { "not significant" };
    let p = number::p_equation(rival.p_adjusted);
    format!("{} ({p} after Holm over {family}: {verdict})", number::signed(contrast.effect, contrast.decimals()))
}

fn energy(findings: &Findings) -> Option<String> {
    let account = &findings.account;
    let amount = account.total.shown()?;
    let resolution = 100.0 * account.total.resolution()?;
    Some(format!(
        "All stages together took {amount} ({}) and {} of compute; differences below {resolution:.0} % are not told apart.",
        account.total.state(),
        number::duration(account.seconds)
    ))
}
