//! The hypotheses and their answers.

use super::{Cell, Column, Table, Value};
use crate::hypotheses::{Answer, Verdict};
use crate::statistics::Interval;
use crate::study::Study;

const CONTRAST: &str = "Contrast";
const P: &str = "p";
const TEST: &str = "Test";
const ALPHA: &str = "Significance level";

/// Tabulates each hypothesis on each metric it names, both sides as claimed.
pub fn hypotheses(study: &Study, answers: &[Answer]) -> Table {
    let mut contrasts = answers.iter().flat_map(|answer| &answer.metrics).filter_map(|m| m.contrast.as_ref());
    // With one seed there is no such interval.
    let over_seeds = contrasts.any(|contrast| contrast.interval_with_seeds.is_some());
    let mut columns = vec![
        Column::left("Hypothesis"),
        Column::left(CONTRAST),
        Column::left("Metric"),
        Column::right("n"),
        Column::right("Better side"),
        Column::right("Worse side"),
        Column::right("Effect"),
        Column::right("95 % CI"),
    ];
    if over_seeds {
        columns.push(Column::right("CI with seeds"));
    }
    columns.extend([
        Column::right(P),
        Column::right("p (Holm)"),
        Column::left(TEST),
        Column::right("Detectable"),
        Column::legend(ALPHA),
        Column::left("Verdict"),
    ]);
    let caption = "Every declared hypothesis on every metric it names. Sides are as claimed, a positive effect favours the claim, p values are two-sided.";
    let mut table = Table::new("hypotheses", caption, columns);
    for (index, answer) in answers.iter().enumerate() {
        for (position, metric) in answer.metrics.iter().enumerate() {
            let label = study.metrics.iter().find(|m| m.name == metric.metric);
            let label = label.map_or(metric.metric.clone(), |m| m.label.clone());
            let mut cells = vec![
                Cell::text(format!("H{} {}", index + 1, answer.name)),
                Cell::text(&answer.contrast),
                Cell::text(label),
            ];
            match &metric.contrast {
                Some(contrast) => {
                    let digits = contrast.decimals();
                    let interval = |interval: Interval| Value::Interval(interval.low, interval.high, digits);
                    cells.extend([
                        Cell::number(Some(contrast.n as f64), 0),
                        Cell::number(Some(contrast.first), digits),
                        Cell::number(Some(contrast.second), digits),
                        Cell::new(Value::Signed(contrast.effect, digits)),
                        Cell::new(interval(contrast.interval)),
                    ]);
                    if over_seeds {
                        cells.push(Cell::new(contrast.interval_with_seeds.map_or(Value::Absent, interval)));
                    }
                    cells.extend([
                        Cell::new(Value::P(contrast.p)),
                        Cell::new(metric.p_adjusted.map_or(Value::Absent, Value::P)),
                        Cell::text(contrast.test.label()),
                        Cell::number(Some(contrast.detectable), digits),
                    ]);
                }
                None => cells.resize(table.columns.len() - 2, Cell::new(Value::Absent)),
            }
            cells.push(Cell::text(answer.alpha.to_string()));
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
        "p (Holm): adjusted over every declared hypothesis and metric.".to_owned(),
        "Detectable: the effect that 80 % of such experiments would find at 5 %, before adjustment.".to_owned(),
    ];
    table.paper = Some(Box::new(narrow(&table, answers)));
    table
}

/// Narrows [`hypotheses`] for a page: claims by number, tests by letters on p, verdicts without
/// reasons.
fn narrow(table: &Table, answers: &[Answer]) -> Table {
    let mut narrow = table.clone();
    let rows = answers.iter().enumerate().flat_map(|(index, answer)| {
        answer.metrics.iter().enumerate().map(move |(position, metric)| (index, position, metric))
    });
    let p = table.column(P);
    for (row, (index, position, metric)) in narrow.rows.iter_mut().zip(rows) {
        row.cells[0] = Cell::text(if position == 0 { format!("H{}", index + 1) } else { String::new() });
        if let (Some(p), Some(contrast)) = (p, &metric.contrast) {
            row.cells[p].mark = contrast.test.letter();
        }
        if let Some(verdict) = row.cells.last_mut() {
            *verdict = Cell::text(metric.verdict.label());
        }
    }
    narrow.columns[0].head.clear();
    for head in [CONTRAST, TEST, ALPHA] {
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
    use crate::contrast::{Contrast, Test};
    use crate::hypotheses::MetricAnswer;
    use crate::study::tests::empty;

    fn answer() -> Answer {
        let contrast = Contrast {
            n: 40,
            pairs: 2,
            first: 0.5,
            second: 0.4,
            effect: 0.1,
            interval: Interval { low: 0.05, high: 0.15 },
            interval_with_seeds: Some(Interval { low: 0.01, high: 0.2 }),
            error: 0.02,
            standardised: Some(0.4),
            test: Test::Mcnemar,
            p: 0.02,
            agrees: true,
            detectable: 0.06,
            unpaired: 0,
        };
        let metric = |name: &str, contrast, p_adjusted, verdict| MetricAnswer {
            metric: name.to_owned(),
            contrast,
            p_adjusted,
            verdict,
        };
        let reason = "arm `a` failed".to_owned();
        Answer {
            name: "claim".into(),
            contrast: "sft: both > none".into(),
            averaged: Vec::new(),
            alpha: 0.05,
            metrics: vec![
                metric("em", Some(contrast), Some(0.04), Verdict::Supported),
                metric("f1", None, None, Verdict::Untestable { reason }),
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
        assert!(table.to_csv().contains("n,Better side,Worse side,Effect,95 % CI low,95 % CI high,CI with seeds low"));
        assert!(table.to_csv().contains(",0.06,0.05,supported") && table.to_csv().contains(",,0.05,untestable"));
        assert_eq!(table.for_people().notes[0], "Significance level of every row: 0.05.");
        assert_eq!(shown(&table, 1).last().unwrap(), "untestable: arm `a` failed");
        let narrow = narrow(&table, &answers);
        let wanted = "H1 em 40 0.500 0.400 +0.100 [0.050, 0.150] [0.010, 0.200] 0.020M 0.040 0.060 supported";
        assert_eq!(shown(&narrow, 0).join(" "), wanted);
        assert_eq!((shown(&narrow, 1)[0].as_str(), shown(&narrow, 1).last().unwrap().as_str()), ("", "untestable"));
        assert!(narrow.rows.iter().all(|row| row.cells.len() == narrow.columns.len()));
    }
}
