//! What was run: arms, models, data, metrics and checks.

use super::{Cell, Column, Table, Value};
use crate::number;
use crate::scores::Scores;
use crate::study::{Outcome, Study, Task};

/// Tabulates the arms with their levels and how each ended.
pub fn arms(study: &Study, scores: &Scores) -> Table {
    let mut columns = vec![Column::left("Arm")];
    columns.extend(study.factors.iter().map(|factor| Column::left(&factor.name)));
    columns.extend(
        ["Model", "Objective", "Control"]
            .map(Column::left)
            .into_iter()
            .chain([Column::right("Seeds"), Column::left("Outcome")]),
    );
    let mut table = Table::new("arms", "Arms of the design, controls and references.", columns);
    let mut previous = None;
    for arm in &study.arms {
        let mut cells = vec![Cell::text(&arm.name)];
        for factor in &study.factors {
            let level = arm.levels.get(&factor.name);
            cells.push(level.map_or(Cell::new(Value::Absent), Cell::text));
        }
        let seeds = study.metrics.iter().map(|m| scores.seeds(m.key(), &arm.name).len()).max();
        let outcome = match &arm.outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Failed { reason } => format!("failed: {reason}"),
            Outcome::Missing => "not run".to_owned(),
        };
        let named = |name: &Option<String>| name.as_ref().map_or(Cell::new(Value::Absent), Cell::text);
        cells.extend([Cell::text(&arm.model), named(&arm.objective), named(&arm.control)]);
        cells.extend([Cell::number(seeds.map(|seeds| seeds as f64), 0), Cell::text(outcome)]);
        table.push(cells);
        let divided = previous.is_some_and(|before| before != arm.role);
        previous = Some(arm.role);
        if let Some(row) = table.rows.last_mut() {
            row.divided = divided;
        }
    }
    table
}

/// Tabulates the models.
pub fn models(study: &Study) -> Table {
    let mut table = Table::new(
        "models",
        "Models.",
        vec![
            Column::left("Model"),
            Column::left("Architecture"),
            Column::right("Parameters"),
            Column::right("Vocabulary"),
            Column::left("Origin"),
        ],
    );
    for model in &study.models {
        table.push(vec![
            Cell::text(&model.name),
            Cell::text(&model.architecture),
            Cell::text(number::parameters(model.parameters)),
            Cell::text(number::grouped(model.vocabulary)),
            Cell::text(&model.origin),
        ]);
    }
    table
}

/// Tabulates the data sets, their splits and what was left out.
pub fn data(study: &Study) -> Table {
    let mut table = Table::new(
        "data",
        "Data.",
        vec![Column::left("Data set"), Column::left("Examples"), Column::left("Left out"), Column::left("Checksum")],
    );
    for data in &study.data {
        let list = |pairs: &[(String, u64)]| {
            let parts: Vec<String> =
                pairs.iter().map(|(name, count)| format!("{name} {}", number::grouped(*count))).collect();
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        };
        table.push(vec![
            Cell::text(&data.name),
            Cell::text(list(&data.splits)),
            Cell::text(list(&data.skipped)),
            Cell::text(&data.checksum),
        ]);
    }
    table
}

/// Tabulates the evaluation sets; no row for a single one without a name that nothing divides.
pub fn sets(study: &Study, scores: &Scores) -> Table {
    let mut table = Table::new(
        "sets",
        "Evaluation sets: what the models were asked, and what counts as independent.",
        ["Set", "Data", "Split", "Asked for"]
            .map(Column::left)
            .into_iter()
            .chain(["Examples", "Units"].map(Column::right))
            .chain(["Unit", "Divided by"].map(Column::left))
            .collect(),
    );
    if study.sets.iter().all(|set| set.name.is_none() && set.by.is_none()) {
        return table;
    }
    for set in &study.sets {
        let counts = scores.counts(set.name.as_deref());
        let named = |name: &Option<String>| name.as_ref().map_or(Cell::new(Value::Absent), Cell::text);
        table.push(vec![
            named(&set.name),
            Cell::text(&set.data),
            Cell::text(&set.split),
            Cell::text(match set.task {
                Task::Answer => "an answer in words",
                Task::Choice => "a choice among answers",
                Task::Perplexity => "the probability of a text",
            }),
            Cell::number(Some(counts.examples as f64), 0),
            Cell::number(Some(counts.units as f64), 0),
            Cell::text(&set.unit.name),
            named(&set.by),
        ]);
    }
    table
}

/// Tabulates the metrics with their signatures.
pub fn metrics(study: &Study) -> Table {
    let mut table = Table::new(
        "metrics",
        "Metrics: how each is computed and combined over examples.",
        vec![
            Column::left("Metric"),
            Column::left("Unit"),
            Column::left("Better"),
            Column::left("Combined by"),
            Column::left("Source"),
            Column::left("Signature"),
        ],
    );
    for metric in &study.metrics {
        table.push(vec![
            Cell::text(study.label(metric)),
            // Records say 0-100; a range has a dash.
            Cell::text(metric.unit.replace("0-100", "0\u{2013}100")),
            Cell::text(metric.direction.label()),
            Cell::text(metric.aggregation.describe(study.set_of(metric).map_or("example", |set| set.task.example()))),
            Cell::text(&metric.source),
            Cell::text(&metric.signature),
        ]);
    }
    // Signatures are long, and stand among what a rerun needs.
    let mut paper = table.clone();
    paper.remove_column(5);
    table.paper = Some(Box::new(paper));
    table
}

/// Tabulates what was verified along the way.
pub fn checks(study: &Study) -> Table {
    let mut table = Table::new(
        "checks",
        "What was verified along the way.",
        vec![Column::left("Check"), Column::left("Result"), Column::left("Evidence")],
    );
    for check in &study.checks {
        let result = if check.passed { "passed" } else { "NOT PASSED" };
        table.push(vec![Cell::text(&check.name), Cell::text(result), Cell::text(&check.evidence)]);
    }
    table
}
