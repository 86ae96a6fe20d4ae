//! The hypotheses and their answers.

use super::{Cell, Column, Table, Value};
use crate::hypotheses::{Answer, Verdict};
use crate::number;
use crate::study::Study;

/// Tabulates each hypothesis on each metric it names.
pub fn hypotheses(study: &Study, answers: &[Answer]) -> Table {
    let mut table = Table::new(
        "hypotheses",
        "Declared hypotheses. A positive effect favours the claim; p values are two-sided.",
        vec![
            Column::left("Hypothesis"),
            Column::left("Contrast"),
            Column::left("Metric"),
            Column::right("Effect"),
            Column::right("95 % CI"),
            Column::right("p"),
            Column::right("p (Holm)"),
            Column::left("Test"),
            Column::right("Detectable"),
            Column::left("Verdict"),
        ],
    );
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
                    let interval = contrast.interval;
                    cells.extend([
                        Cell::new(Value::Signed(contrast.effect, digits)),
                        Cell::new(Value::Interval(interval.low, interval.high, digits)),
                        Cell::new(Value::P(contrast.p)),
                        Cell::new(metric.p_adjusted.map_or(Value::Absent, Value::P)),
                        Cell::text(contrast.test.label()),
                        Cell::number(Some(contrast.detectable), digits),
                    ]);
                }
                None => {
                    let absent = || Cell::new(Value::Absent);
                    cells.extend([absent(), absent(), absent(), absent(), absent(), absent()]);
                }
            }
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
    table
}
