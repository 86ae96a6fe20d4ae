//! Arms and claims in parts of a set.

use super::arms::{arrow, divide, name};
use super::{Cell, Column, DIVERGED, Table, Value, set_stem, stem};
use crate::hypotheses::Verdict;
use crate::number;
use crate::strata::{ClaimByStratum, Division, FEWEST, Values};
use crate::study::{Metric, Study};
use crate::vocabulary;

/// Tabulates all arms in all strata of a set on one metric, with what each stratum holds.
pub fn by_stratum(study: &Study, division: &Division, metric: &Metric, values: &Values) -> Table {
    let mut columns = vec![Column::left("Arm")];
    columns.extend(division.strata.iter().map(|stratum| Column::right(&stratum.name)));
    let label = study.label(metric);
    let seeds = if study.seeds.len() > 1 { ", mean over seeds" } else { "" };
    let caption =
        format!("{label} {} by {}{seeds}. First what each stratum holds.", arrow(metric.direction), division.field);
    let mut table = Table::new(format!("strata-{}", stem(study, metric)), caption, columns);
    let (example, unit) = nouns(study, metric);
    let mut count = |head: String, count: &dyn Fn(usize) -> usize| {
        let counts = (0..division.strata.len()).map(|stratum| Cell::number(Some(count(stratum) as f64), 0));
        table.push(std::iter::once(Cell::text(head)).chain(counts).collect());
    };
    let counts = |stratum: usize| division.strata[stratum].counts;
    count(format!("(n: {example}s)"), &|stratum| counts(stratum).examples);
    if division.strata.iter().any(|stratum| stratum.counts.units != stratum.counts.examples) {
        count(format!("(units: {unit}s)"), &|stratum| counts(stratum).units);
    }
    let digits = number::digits(values.arms.iter().flatten().flatten().copied());
    for (index, arm) in study.arms.iter().enumerate() {
        let cells = values.arms[index].iter().zip(&division.strata).map(|(value, stratum)| match value {
            _ if stratum.is_small() => Cell::text("too few"),
            Some(value) if !value.is_finite() => Cell::text(DIVERGED),
            value => Cell::number(*value, digits),
        });
        table.push(std::iter::once(Cell::text(name(arm, study))).chain(cells).collect());
        divide(&mut table, study, index);
        if let Some(row) = table.rows.last_mut() {
            row.divided |= index == 0;
        }
    }
    if division.strata.iter().any(crate::strata::Stratum::is_small) {
        table.notes.push(too_few());
    }
    table.notes.extend(vocabulary::note(study, [metric]));
    table
}

/// Tabulates what each claim on a metric of a set comes to in every stratum; `alone` where no other set is divided.
pub fn claims_by_stratum(study: &Study, division: &Division, alone: bool) -> Table {
    let columns = vec![
        Column::left("Hypothesis"),
        Column::left("Metric"),
        Column::left(&division.field),
        Column::right("n"),
        Column::right("Units"),
        Column::right("Effect"),
        Column::right("CI (Bonferroni)"),
        Column::right("p"),
        Column::right("p (Bonferroni)"),
        Column::left("By itself"),
    ];
    let caption = format!("Claims by {}: exploratory, whatever the claim as a whole comes to.", division.field);
    let mut table = Table::new(claims_name(study, division, alone), caption, columns);
    for claim in &division.claims {
        let first = table.rows.len();
        claim_rows(&mut table, study, division, claim);
        if let Some(row) = table.rows.get_mut(first) {
            row.divided = first > 0;
        }
    }
    table.stub = 3;
    table.notes.push(format!(
        "p (Bonferroni): times {}, the number of strata; the interval goes with it. By itself: what the stratum would \
         say at {}. Strata differ in size, so that one may be significant and another not without any difference \
         between them.",
        division.strata.len(),
        study.alpha
    ));
    if division.strata.iter().any(crate::strata::Stratum::is_small) {
        table.notes.push(too_few());
    }
    let mut paper = table.clone();
    for row in &mut paper.rows {
        let number = row.cells[0].value.shown();
        row.cells[0] = Cell::text(number.split(' ').next().unwrap_or_default());
    }
    paper.columns[0].head.clear();
    table.paper = Some(Box::new(paper));
    table
}

/// Name of the table of claims by stratum; `alone` where no other set is divided.
pub(crate) fn claims_name(study: &Study, division: &Division, alone: bool) -> String {
    if alone {
        "claims-by-stratum".to_owned()
    } else {
        format!("claims-by-stratum-{}", set_stem(study, division.set.as_deref()))
    }
}

fn claim_rows(table: &mut Table, study: &Study, division: &Division, claim: &ClaimByStratum) {
    let label = study.metric(&claim.metric).map_or(claim.metric.clone(), |metric| study.label(metric));
    let head = format!("H{} {}", claim.hypothesis + 1, study.hypotheses[claim.hypothesis].name);
    for (stratum, answer) in division.strata.iter().zip(&claim.strata) {
        let mut cells = vec![Cell::text(&head), Cell::text(&label), Cell::text(&stratum.name)];
        if let (Some(estimate), Some(interval), Some(p)) = (&answer.estimate, answer.interval, answer.p_adjusted) {
            let digits = number::decimals(
                estimate.sides.into_iter().flatten().chain([estimate.effect]),
                [interval].into_iter().filter(|interval| interval.low.is_finite()),
            );
            cells.extend([
                Cell::number(Some(estimate.n as f64), 0),
                Cell::number(Some(estimate.units as f64), 0),
                Cell::new(Value::Signed(estimate.effect, digits)),
                Cell::new(Value::Interval(interval.low, interval.high, digits)),
                Cell::new(Value::P(estimate.p)),
                Cell::new(Value::P(p)),
            ]);
        } else {
            cells.extend([
                Cell::number(Some(stratum.counts.examples as f64), 0),
                Cell::number(Some(stratum.counts.units as f64), 0),
            ]);
            cells.resize(table.columns.len() - 1, Cell::new(Value::Absent));
        }
        cells.push(Cell::text(match &answer.verdict {
            Verdict::Untestable { reason } => reason.clone(),
            verdict => verdict.label().to_owned(),
        }));
        table.push(cells);
    }
}

/// What an example of a metric's set and its unit are called.
fn nouns<'s>(study: &'s Study, metric: &Metric) -> (&'static str, &'s str) {
    study.set_of(metric).map_or(("example", "unit"), |set| (set.task.example(), set.unit.name.as_str()))
}

fn too_few() -> String {
    format!("Too few: fewer than {FEWEST} units, of which no difference could be significant at 0.05.")
}
