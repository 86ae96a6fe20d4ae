//! The hypotheses and their answers.

use super::{Cell, Column, Table, Value};
use crate::claims;
use crate::contrast::Contrast;
use crate::hypotheses::{Answer, EXPLORATORY, PROCEDURE, Verdict, exploratory_note};
use crate::number;
use crate::statistics::Interval;
use crate::study::Study;

const CONTRAST: &str = "Contrast";
const P: &str = "p";
const CHECKS: &str = "Checks";
const ALPHA: &str = "Significance level";

/// Tabulates each hypothesis on each metric it names, both sides as claimed.
pub fn hypotheses(study: &Study, answers: &[Answer]) -> Table {
    let columns = vec![
        Column::left("Hypothesis"),
        Column::left(CONTRAST),
        Column::left("Metric"),
        Column::right("n"),
        Column::right("Units"),
        Column::right("Better side"),
        Column::right("Worse side"),
        Column::right("Effect"),
        Column::right("CI (Holm)"),
        Column::right(P),
        Column::right("p (Holm)"),
        Column::left(CHECKS),
        Column::right("Detectable"),
        Column::legend(ALPHA),
        Column::left("Verdict"),
    ];
    let rules: Vec<String> = claims::kinds(study).iter().filter_map(|kind| kind.rule(study.alpha)).collect();
    let caption = match rules.as_slice() {
        [] => {
            "Every declared hypothesis on every metric it names. Sides are as claimed, a positive effect favours the claim, p values are two-sided."
        }
        _ => {
            "Every declared hypothesis on every metric it names. Sides are as claimed, a positive effect favours the better side, p values are two-sided; the notes say where it is otherwise."
        }
    };
    let mut table = Table::new("hypotheses", caption, columns);
    for (index, answer) in answers.iter().enumerate() {
        for (position, metric) in answer.metrics.iter().enumerate() {
            let mut cells = vec![
                Cell::text(format!("H{} {}", index + 1, answer.name)),
                Cell::text(&answer.contrast),
                Cell::text(&metric.label),
            ];
            match &metric.estimate {
                Some(estimate) => {
                    let digits = estimate.decimals;
                    let interval = |interval: Interval| Value::Interval(interval.low, interval.high, digits);
                    let side = |place: usize| Cell::number(estimate.sides.map(|sides| sides[place]), digits);
                    let contrast = metric.contrast.as_ref();
                    cells.extend([
                        Cell::number(Some(estimate.n as f64), 0),
                        Cell::number(Some(estimate.units as f64), 0),
                        side(0),
                        side(1),
                        Cell::new(Value::Signed(estimate.effect, digits)),
                        Cell::new(metric.interval.map_or(Value::Absent, interval)),
                        Cell::new(Value::P(estimate.p)),
                        Cell {
                            mark: if metric.exploratory { EXPLORATORY } else { "" },
                            ..Cell::new(metric.p_adjusted.map_or(Value::Absent, Value::P))
                        },
                        Cell::text(contrast.map(checks).unwrap_or_default()),
                        Cell::number(contrast.and_then(|contrast| contrast.detectable), digits),
                    ]);
                }
                None => cells.resize(table.columns.len() - 2, Cell::new(Value::Absent)),
            }
            cells.push(Cell::text(study.alpha.to_string()));
            cells.push(Cell::text(match &metric.verdict {
                Verdict::Untestable { reason } => format!("untestable: {reason}"),
                verdict => verdict.label().to_owned(),
            }));
            table.push(cells);
            if let Some(row) = table.rows.last_mut() {
                row.divided = index > 0 && position == 0;
            }
        }
    }
    table.notes = vec![
        format!(
            "{PROCEDURE}. p (Holm): multiplied as that of the claim. CI (Holm): leaves zero out exactly where that p is \
             below {}; no joint coverage.",
            study.alpha
        ),
        format!(
            "Detectable: the effect that 80 % of such experiments would find at {}, before adjustment. Checks decide nothing.",
            study.alpha
        ),
    ];
    table.notes.extend(rules);
    if answers.iter().flat_map(|answer| &answer.metrics).any(|metric| metric.exploratory) {
        table.notes.push(exploratory_note(study));
    }
    table.paper = Some(Box::new(narrow(&table, answers)));
    table
}

/// Words the tests beside the one that decides.
fn checks(contrast: &Contrast) -> String {
    let words = contrast.checks.iter().map(|check| format!("{} {}", check.test.label(), number::p_equation(check.p)));
    words.collect::<Vec<_>>().join("; ")
}

/// Narrows [`hypotheses`] for a page: claims by number, without checks, verdicts without reasons.
fn narrow(table: &Table, answers: &[Answer]) -> Table {
    let mut narrow = table.clone();
    let rows = answers.iter().enumerate().flat_map(|(index, answer)| {
        answer.metrics.iter().enumerate().map(move |(position, metric)| (index, position, metric))
    });
    for (row, (index, position, metric)) in narrow.rows.iter_mut().zip(rows) {
        row.cells[0] = Cell::text(if position == 0 { format!("H{}", index + 1) } else { String::new() });
        if let Some(verdict) = row.cells.last_mut() {
            *verdict = Cell::text(metric.verdict.label());
        }
    }
    narrow.columns[0].head.clear();
    for head in [CONTRAST, CHECKS, ALPHA] {
        if let Some(column) = narrow.column(head) {
            narrow.remove_column(column);
        }
    }
    narrow.stub = 2;
    let claims = answers.iter().enumerate().map(|(index, answer)| format!("H{} {}", index + 1, answer.name));
    narrow.notes.push(format!("{}.", claims.collect::<Vec<_>>().join("; ")));
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contrast::{Check, Test};
    use crate::hypotheses::{Estimate, MetricAnswer};
    use crate::statistics::P;
    use crate::study::tests::empty;
    use crate::study::{Claim, LevelContrast};

    fn answer() -> Answer {
        let contrast = Contrast {
            n: 40,
            units: 20,
            pairs: 2,
            seeds: 2,
            first: 0.5,
            second: 0.4,
            effect: 0.1,
            interval: Interval { low: 0.05, high: 0.15 },
            error: 0.02,
            spread: 0.25,
            standardised: Some(0.4),
            p: P::exact(0.02),
            checks: vec![Check { test: Test::Mcnemar, p: P::exact(0.03) }],
            detectable: Some(0.06),
            least_p: 1e-4,
            unpaired: 0,
        };
        let metric = |name: &str, contrast: Option<Contrast>, verdict| MetricAnswer {
            metric: name.to_owned(),
            label: name.to_owned(),
            estimate: contrast.as_ref().map(|contrast| Estimate {
                effect: contrast.effect,
                sides: Some([contrast.first, contrast.second]),
                p: contrast.p,
                least_p: contrast.least_p,
                n: contrast.n,
                units: contrast.units,
                unit: "group".into(),
                decimals: contrast.decimals(),
            }),
            p_adjusted: contrast.as_ref().map(|contrast| contrast.p.times(2.0)),
            interval: contrast.as_ref().map(|_| Interval { low: 0.01, high: 0.2 }),
            contrast,
            exploratory: true,
            verdict,
        };
        let reason = "arm `a` failed".to_owned();
        Answer {
            name: "claim".into(),
            claim: Claim::Better(LevelContrast {
                factor: "sft".into(),
                better: "both".into(),
                worse: "none".into(),
                within: std::collections::BTreeMap::new(),
            }),
            contrast: "sft: both > none".into(),
            averaged: Vec::new(),
            scope: String::new(),
            p: P::exact(1.0),
            p_adjusted: P::exact(1.0),
            metrics: vec![
                metric("em", Some(contrast), Verdict::Supported),
                metric("f1", None, Verdict::Untestable { reason }),
            ],
            verdict: Verdict::NotSupported,
            detail: String::new(),
        }
    }

    fn shown(table: &Table, row: usize) -> Vec<String> {
        table.rows[row].cells.iter().map(|cell| format!("{}{}", cell.value.shown(), cell.mark)).collect()
    }

    #[test]
    fn a_page_gets_the_same_numbers_in_less_room() {
        let answers = [answer()];
        let table = hypotheses(&empty(), &answers);
        assert!(
            table
                .to_csv()
                .contains("n,Units,Better side,Worse side,Effect,CI (Holm) low,CI (Holm) high,p,p (Holm),Checks")
        );
        assert!(table.to_csv().contains(",0.06,0.05,supported") && table.to_csv().contains(",,0.05,untestable"));
        assert_eq!(table.for_people().notes[0], "Significance level of every row: 0.05.");
        assert!(table.notes.last().unwrap().starts_with("\u{2020} exploratory, "), "{:?}", table.notes);
        assert_eq!(shown(&table, 1).last().unwrap(), "untestable: arm `a` failed");
        let narrow = narrow(&table, &answers);
        let wanted = "H1 em 40 20 0.500 0.400 +0.100 [0.010, 0.200] 0.020 0.040\u{2020} 0.060 supported";
        assert_eq!(shown(&narrow, 0).join(" "), wanted);
        assert_eq!((shown(&narrow, 1)[0].as_str(), shown(&narrow, 1).last().unwrap().as_str()), ("", "untestable"));
        assert!(narrow.rows.iter().all(|row| row.cells.len() == narrow.columns.len()));
    }
}
