//! What the PDF says, as values for its template. No value is ever markup.

use serde_json::{Value, json};

use super::soft::{shorten, soften, soften_code};
use super::{Findings, Medium};
use crate::hypotheses::{Answer, MetricAnswer, PROCEDURE, Verdict};
use crate::number;
use crate::plots::Figure;
use crate::study::Outcome;
use crate::summary::Outcomes;
use crate::tables::{self, Align, Table};

/// Longest answer that is printed whole, in characters.
const LONGEST_ANSWER: usize = 700;
/// Longest text in a column that does not wrap even in a table that is too wide.
const WIDE: usize = 26;

/// Gathers what the template prints.
pub fn content(findings: &Findings) -> Value {
    let study = findings.study;
    let named = |names: &[&str]| -> Vec<Value> {
        let tables = names.iter().filter_map(|name| findings.table(name));
        tables.filter(|table| !table.rows.is_empty()).map(table_value).collect()
    };
    let metric_tables: Vec<Value> = findings
        .tables
        .iter()
        .filter(|table| table.name.starts_with("metric-"))
        .enumerate()
        .map(|(index, table)| {
            let mut value = table_value(table);
            if index > 0 {
                // The same notes under every one would say nothing new.
                value["notes"] = json!([]);
            }
            value
        })
        .collect();
    let figures = |prefix: &str| -> Vec<Value> { findings.figures_with(prefix).map(figure_value).collect() };
    let hypothesis_figures = [figures("forest"), figures("heatmap-hypotheses")].concat();
    json!({
        "title": soften(&study.question),
        "name": soften(&study.name),
        "kicker": kicker(findings),
        "question": soften(&study.question),
        "failures": failures(findings),
        "answers": findings.answers.iter().map(|answer| answer_value(findings, answer)).collect::<Vec<_>>(),
        "rule": rule(findings, Medium::Page),
        "front": findings.figures_with("front").next().map(figure_value),
        "key": key_numbers(findings).iter().map(|(label, value)| json!([soften(label), soften(value)])).collect::<Vec<_>>(),
        "design": design(findings),
        "design_tables": named(&["arms", "models", "data", "metrics"]),
        "checks": study.checks.iter().map(|check| json!({
            "name": soften(&check.name),
            "passed": check.passed,
            "evidence": soften(&check.evidence),
        })).collect::<Vec<_>>(),
        "methods": methods(findings),
        "hypotheses_table": details(findings).map(|table| table_value(&table)),
        "hypothesis_figures": hypothesis_figures,
        "overview": findings.table("overview").map(table_value),
        "result_figures": figures("heatmap-arms"),
        "metric_tables": metric_tables,
        "curve_figures": figures("curves"),
        "energy_text": energy_text(findings),
        "energy_figures": figures("energy"),
        "energy_tables": named(&["energy-by-stage", "energy-by-arm"]),
        "examples": study.examples.iter().map(|example| json!({
            "id": soften(&example.id),
            "question": soften(&shorten(&example.question, LONGEST_ANSWER)),
            "references": example.references.iter().map(|text| soften(&shorten(text, LONGEST_ANSWER))).collect::<Vec<_>>(),
            "answers": example.answers.iter().map(|(arm, text)| {
                let text = if text.is_empty() { "(empty)".to_owned() } else { shorten(text, LONGEST_ANSWER) };
                json!([soften(arm), soften(&text)])
            }).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "warnings": findings.warnings.iter().map(|text| soften(text)).collect::<Vec<_>>(),
        "assumptions": study.assumptions.iter().map(|text| soften(text)).collect::<Vec<_>>(),
        "reproduction_tables": [table_value(&provenance(findings))],
        "resolved": soften_code(&study.resolved),
    })
}

/// The rule of verdicts, printed under the answers.
pub(super) fn rule(findings: &Findings, medium: Medium) -> String {
    let alpha = findings.study.alpha;
    let bold = if medium == Medium::Page { "; bold ones are significant" } else { "" };
    format!(
        "A claim is supported when its effects are positive and its two-sided p value, after Holm, is below {alpha}; reversed when so in the opposite direction; otherwise not supported. {PROCEDURE}. The intervals of claims are simultaneous with the adjusted p: they leave zero out exactly where it is below {alpha}. Positive effects favour the claim, whichever way the metric improves{bold}."
    )
}

fn kicker(findings: &Findings) -> String {
    match &findings.study.reproduces {
        Some(publication) => format!("{} \u{b7} after {publication}", findings.study.name),
        None => findings.study.name.clone(),
    }
}

/// What went wrong, before anything else is read.
fn failures(findings: &Findings) -> Vec<Value> {
    let outcomes = Outcomes::of(findings.study);
    let mut failures = Vec::new();
    if outcomes.failed + outcomes.missing > 0 {
        let names: Vec<String> = findings
            .study
            .arms
            .iter()
            .filter_map(|arm| match &arm.outcome {
                Outcome::Done => None,
                Outcome::Failed { reason } => Some(format!("{} failed ({reason})", arm.name)),
                Outcome::Missing => Some(format!("{} has not run", arm.name)),
            })
            .collect();
        failures.push(json!({
            "head": format!("INCOMPLETE: {} OF {} ARMS", outcomes.done, findings.study.arms.len()),
            "text": soften(&format!("{}.", names.join("; "))),
        }));
    }
    for check in findings.study.checks.iter().filter(|check| !check.passed) {
        failures.push(json!({
            "head": "CHECK NOT PASSED",
            "text": soften(&format!("{} ({})", check.name, check.evidence)),
        }));
    }
    failures
}

fn answer_value(findings: &Findings, answer: &Answer) -> Value {
    let detail = match &answer.verdict {
        Verdict::Untestable { reason } => reason.clone(),
        _ if answer.detail.is_empty() => format!("Holds for {}", answer.scope),
        _ => format!("{}. Holds for {}", answer.detail, answer.scope),
    };
    json!({
        "verdict": answer.verdict.label(),
        "name": soften(&answer.name),
        "contrast": soften(&contrast_line(answer)),
        "detail": soften(&detail),
        "metrics": answer.metrics.iter().map(|metric| metric_value(findings, answer, metric)).collect::<Vec<_>>(),
    })
}

/// What is compared, over what, and how strictly where that is unusual.
pub(super) fn contrast_line(answer: &Answer) -> String {
    let mut line = answer.contrast.clone();
    if !answer.averaged.is_empty() {
        line.push_str(&format!("; mean over {}", answer.averaged.join(", ")));
    }
    line
}

fn metric_value(findings: &Findings, overall: &Answer, answer: &MetricAnswer) -> Value {
    let label = soften(&metric_label(findings, &answer.metric));
    let Some(contrast) = &answer.contrast else {
        let reason = match &answer.verdict {
            // Said once for all metrics.
            verdict if *verdict == overall.verdict => "\u{2013}",
            Verdict::Untestable { reason } => reason.as_str(),
            verdict => verdict.label(),
        };
        return json!({ "label": label, "effect": null, "reason": soften(reason) });
    };
    let digits = contrast.decimals();
    let interval = answer.interval.unwrap_or(contrast.interval);
    json!({
        "label": label,
        "effect": number::signed(contrast.effect, digits),
        "interval": format!(
            "[{}, {}]",
            number::fixed(interval.low, digits),
            number::fixed(interval.high, digits)
        ),
        "p_adjusted": answer.p_adjusted.map_or_else(String::new, number::p_value),
        "significant": matches!(answer.verdict, Verdict::Supported | Verdict::Reversed),
        "reason": "",
    })
}

pub(super) fn metric_label(findings: &Findings, name: &str) -> String {
    let metric = findings.study.metrics.iter().find(|metric| metric.name == name);
    metric.map_or(name.to_owned(), |metric| metric.label.clone())
}

/// The numbers a reader asks for first.
pub(super) fn key_numbers(findings: &Findings) -> Vec<(String, String)> {
    let study = findings.study;
    let outcomes = Outcomes::of(study);
    let mut numbers = vec![
        (
            "Checks passed".to_owned(),
            match study.checks.len() {
                0 => "none made".to_owned(),
                all => format!("{} of {all}", study.checks.iter().filter(|check| check.passed).count()),
            },
        ),
        ("Arms done".to_owned(), format!("{} of {}", outcomes.done, study.arms.len())),
        ("Seeds".to_owned(), study.seeds.len().to_string()),
        ("Test questions".to_owned(), number::grouped(findings.questions as u64)),
    ];
    if let Some(standings) = findings.standings.iter().find(|s| s.metric == crate::plots::chief_metric(study))
        && let Some(best) = standings.arms.iter().find(|arm| arm.best)
        && let Some(value) = best.value
    {
        let label = metric_label(findings, &standings.metric);
        numbers.push((format!("Best {label}"), number::fixed(value, number::decimals([value], best.interval))));
        numbers.push(("reached by".to_owned(), best.arm.clone()));
    }
    for model in &study.models {
        numbers.push((model.name.clone(), format!("{} parameters", number::parameters(model.parameters))));
    }
    let total = &findings.account.total;
    numbers.push((
        "Energy".to_owned(),
        match total.joules() {
            Some(joules) if !study.energy.is_empty() => number::energy(joules),
            _ => "unavailable".to_owned(),
        },
    ));
    if !study.energy.is_empty() {
        numbers.push(("Energy is".to_owned(), total.state()));
        let emissions = findings.account.emissions.as_ref();
        let mass = emissions.map_or("unavailable".to_owned(), |emissions| number::mass(emissions.kg_co2e));
        numbers.push(("CO2e".to_owned(), mass));
        numbers.push(("Compute time".to_owned(), number::duration(findings.account.seconds)));
    }
    numbers
}

fn design(findings: &Findings) -> Vec<String> {
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
    vec![soften(&text)]
}

/// Says how intervals and tests were made.
pub(super) fn methods(findings: &Findings) -> Vec<String> {
    let Resampled { count, level, seed } = resampled(findings);
    let study = findings.study;
    let units = &study.unit.name;
    let seeds = match study.seeds.len() {
        0 | 1 => String::new(),
        _ => {
            ", and with Student's t for the seeds, whose squared limits are added (Banerjee 1961; Zou and Donner 2008)"
                .to_owned()
        }
    };
    vec![format!(
        "All comparisons are paired by question. The value of a side is the mean over its seeds and over the factors that are averaged out. What is independent of each other is the {units}, not the question. Effect, interval and p value are of one statistic, the mean difference (for corpus scores their difference, by jackknife pseudo-values of {units}s): the sign of whole {units}s is flipped, in all ways or in {count} random ones (seed {seed}), and the interval holds the differences that this test does not reject{seeds}. Intervals of arms are {level} % each. All tests are two-sided."
    )]
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

/// The hypotheses table as the PDF sets it.
fn details(findings: &Findings) -> Option<Table> {
    let table = findings.table("hypotheses").filter(|_| !findings.answers.is_empty())?;
    Some(tables::narrow(table, &findings.answers))
}

/// Says where the energy numbers come from, and what follows from them.
pub(super) fn energy_text(findings: &Findings) -> Vec<String> {
    let account = &findings.account;
    let total = &account.total;
    let amount = total.joules().map_or("an amount that is not available".to_owned(), number::energy);
    let mut text = vec![format!(
        "All finished stages together consumed {amount} ({}) in {} of compute; failed attempts are not in it. A stage that several arms use was run once; its cost is shared equally between them. Nothing is subtracted for idling.",
        total.state(),
        number::duration(account.seconds)
    )];
    let gap = if total.unavailable.is_empty() { "" } else { "; what is unavailable is not in it" };
    text.push(match &account.emissions {
        Some(emissions) => format!(
            "This energy stands for {} of CO2e: energy \u{d7} PUE \u{d7} grid factor, with {}{gap}.",
            number::mass(emissions.kg_co2e),
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
            number::energy(check.integrated),
            number::energy(check.counted),
            number::signed(off, 1)
        ));
    }
    text
}

fn provenance(findings: &Findings) -> Table {
    use crate::tables::{Cell, Column};

    let mut table =
        Table::new("provenance", "Versions, hardware and settings.", vec![Column::left("What"), Column::left("Value")]);
    for (name, value) in &findings.study.provenance {
        table.push(vec![Cell::text(name), Cell::text(value)]);
    }
    let Resampled { count, level, seed } = resampled(findings);
    table.push(vec![
        Cell::text("statistics"),
        Cell::text(format!("{count} resamples, {level} % intervals, seed {seed}")),
    ]);
    table
}

fn table_value(table: &Table) -> Value {
    let table = &table.for_people();
    let longest = |column: usize| {
        let cells = table.rows.iter().map(|row| row.cells[column].value.shown().chars().count());
        cells.chain([table.columns[column].head.chars().count()]).max().unwrap_or(0)
    };
    let columns: Vec<Value> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let wraps = column.align == Align::Left && longest(index) > WIDE;
            // Columns that wrap share their room by the length of their texts.
            json!({ "head": soften(&column.head), "align": column.align, "wide": if wraps { longest(index) } else { 0 } })
        })
        .collect();
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<Value> = row
                .cells
                .iter()
                .map(|cell| json!({ "text": soften(&cell.value.shown()), "best": cell.best, "mark": cell.mark }))
                .collect();
            json!({ "divided": row.divided, "cells": cells })
        })
        .collect();
    json!({
        "caption": soften(&table.caption),
        "columns": columns,
        "rows": rows,
        "notes": table.notes.iter().map(|note| soften(note)).collect::<Vec<_>>(),
    })
}

fn figure_value(figure: &Figure) -> Value {
    json!({ "name": figure.name, "caption": soften(&figure.caption), "width": figure.share })
}
