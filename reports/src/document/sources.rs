//! Where the statistics of a report are from.

use super::Findings;
use crate::contrast::Test;
use crate::tables::{Cell, Column, Table};

/// Tabulates what was used, objectives and statistics, each with its source; metrics have their own
/// table.
pub(super) fn methods(findings: &Findings) -> Table {
    let columns =
        vec![Column::left("Part"), Column::left("Method"), Column::left("What it does here"), Column::left("Source")];
    let mut table = Table::new("methods", "What was used, and where it is from.", columns);
    let mut part = "";
    let own = findings.study.methods.iter();
    let rows = own.map(|method| [&*method.part, &method.name, &method.says, &method.source]);
    for [kind, name, says, source] in rows.chain(statistics(findings)) {
        table.push(vec![
            Cell::text(if kind == part { "" } else { kind }),
            Cell::text(name),
            Cell::text(says),
            Cell::text(source),
        ]);
        if let Some(row) = table.rows.last_mut() {
            row.divided = !part.is_empty() && kind != part;
        }
        part = kind;
    }
    table
}

/// Lists the statistics that the report holds.
fn statistics(findings: &Findings) -> Vec<[&'static str; 4]> {
    const PART: &str = "statistics";
    let contrasts = || findings.answers.iter().flat_map(|answer| &answer.metrics).filter_map(|m| m.contrast.as_ref());
    let mut rows = vec![[
        PART,
        "Percentile bootstrap",
        "intervals of values, from resampled questions",
        "Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3",
    ]];
    let mut tests: Vec<Test> = contrasts().map(|contrast| contrast.test).collect();
    tests.sort_unstable();
    tests.dedup();
    rows.extend(tests.into_iter().map(|test| [PART, test.label(), test.purpose(), test.source()]));
    if contrasts().any(|contrast| contrast.interval_with_seeds.is_some()) {
        rows.push([
            PART,
            "Crossed bootstrap",
            "intervals over seeds and questions",
            "Owen 2007, The pigeonhole bootstrap",
        ]);
    }
    if contrasts().next().is_some() {
        rows.push([
            PART,
            "Holm's adjustment",
            "p values of a family of claims",
            "Holm 1979, A simple sequentially rejective multiple test procedure",
        ]);
        rows.push([
            PART,
            "Minimum detectable effect",
            "what 80 % of such experiments would find",
            "Bloom 1995, Minimum detectable effects",
        ]);
        rows.push([
            PART,
            "Standardised effect",
            "effect over its standard error times the root of n",
            "Cohen 1988, Statistical Power Analysis, section 2.3.5",
        ]);
    }
    rows
}
