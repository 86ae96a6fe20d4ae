//! Where the statistics of a report are from.

use super::Findings;
use crate::claims;
use crate::contrast::Test;
use crate::hypotheses::Answer;
use crate::standings::is_share;
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
    let row = |name, says, source| [PART, name, says, source];
    let mut rows = vec![
        row(
            "Permutation test of units",
            "p values: the sign of the difference of whole units is flipped",
            "Fisher 1935, The Design of Experiments, section 21; p values after Phipson and Smyth 2010, Permutation p-values should never be zero",
        ),
        row(
            "Inverted test",
            "intervals: the differences that the same test does not reject",
            "Hartigan 1969, Using subsample values as typical values",
        ),
        row(
            "Pseudo-values",
            "what each unit adds to a score of the whole corpus",
            "Busing, Meijer and van der Leeden 1999, Delete-m jackknife for unequal m",
        ),
    ];
    if findings.study.metrics.iter().any(is_share) {
        rows.push(row(
            "Wilson's interval",
            "of a fraction of one arm, with the effective number of units",
            "Wilson 1927, Probable inference; Dean and Pagano 2015, Confidence interval methods for proportions in clustered surveys",
        ));
    }
    if findings.study.seeds.len() > 1 {
        rows.push(row(
            "Variance over seeds",
            "added to that over units: limits for models trained again",
            "Banerjee 1961, On confidence interval for two-means problem; Zou and Donner 2008, Construction of confidence limits about effect measures",
        ));
    }
    let tested: Vec<&Answer> =
        findings.answers.iter().filter(|a| a.metrics.iter().any(|m| m.estimate.is_some())).collect();
    if tested.is_empty() {
        return rows;
    }
    let contrasts = || findings.answers.iter().flat_map(|answer| &answer.metrics).filter_map(|m| m.contrast.as_ref());
    // Of every kind of claim that could be tested what it alone uses, once.
    for source in tested.iter().flat_map(|answer| claims::kind(&answer.claim).sources()) {
        let [name, says, source] = source;
        if !rows.iter().any(|row| row[1] == name) {
            rows.push(row(name, says, source));
        }
    }
    rows.extend([
        row(
            "Intersection-union test",
            "a claim on several metrics needs all of them",
            "Berger 1982, Multiparameter hypothesis testing and acceptance sampling",
        ),
        row(
            "Holm's adjustment",
            "p values of several claims; of arms against the baseline and of pairs of arms, each by itself",
            "Holm 1979, A simple sequentially rejective multiple test procedure",
        ),
        row(
            "Minimum detectable effect",
            "what 80 % of such experiments would find",
            "Bloom 1995, Minimum detectable effects",
        ),
        row(
            "Standardised effect",
            "effect over the standard deviation of units",
            "Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, section 2.3.5",
        ),
    ]);
    let mut checks: Vec<Test> = contrasts().flat_map(|contrast| &contrast.checks).map(|check| check.test).collect();
    checks.sort_unstable();
    checks.dedup();
    rows.extend(checks.into_iter().map(|test| row(test.label(), test.purpose(), test.source())));
    rows
}
