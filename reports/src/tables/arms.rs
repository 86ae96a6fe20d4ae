//! How the arms stand: one table of all metrics, and one per metric with intervals.

use super::{Cell, Column, DIVERGED, Table, Value, set_stem, stem};
use crate::number;
use crate::record::Direction;
use crate::standings::{Standing, Standings, is_share};
use crate::study::{Arm, EvaluationSet, Metric, Outcome, Role, Study};
use crate::vocabulary;

/// Tabulates all arms on all metrics, best cell values marked: a table for each set where there are several.
pub fn overviews(study: &Study, standings: &[Standings]) -> Vec<Table> {
    let metrics: Vec<(&Metric, &Standings)> = study.metrics.iter().zip(standings).collect();
    if study.sets.len() < 2 {
        return vec![overview(study, "overview".to_owned(), "all metrics", &metrics)];
    }
    let of_set = |set: &EvaluationSet| {
        let metrics: Vec<_> = metrics.iter().copied().filter(|(metric, _)| metric.set == set.name).collect();
        let name = set.name.as_deref().unwrap_or("unnamed");
        let table = || {
            overview(
                study,
                format!("overview-{}", set_stem(study, set.name.as_deref())),
                &format!("the metrics of {name}"),
                &metrics,
            )
        };
        (!metrics.is_empty()).then(table)
    };
    study.sets.iter().filter_map(of_set).collect()
}

fn overview(study: &Study, name: String, on: &str, metrics: &[(&Metric, &Standings)]) -> Table {
    let mut columns = vec![Column::left("Arm")];
    columns.extend(metrics.iter().map(|(metric, _)| {
        let arrow = arrow(metric.direction);
        Column::right(format!("{} {arrow}", metric.label))
    }));
    let caption = if study.seeds.len() > 1 {
        format!("All arms on {on}, mean over seeds.")
    } else {
        format!("All arms on {on}.")
    };
    let mut table = Table::new(name, caption, columns);
    for (index, arm) in study.arms.iter().enumerate() {
        let mut cells = vec![Cell::text(self::name(arm, study))];
        for (_, standings) in metrics {
            let digits = digits(&standings.arms);
            cells.push(marked(&standings.arms[index], digits, study.alpha, has_best(study, standings)));
        }
        table.push(cells);
        divide(&mut table, study, index);
    }
    table.notes = notes(study);
    table.notes.extend(vocabulary::note(study, metrics.iter().map(|(metric, _)| *metric)));
    table
}

/// Tabulates one metric: value, interval, spread over seeds, difference from the baseline; intervals at a level
/// such as 0.95.
pub fn per_metric(study: &Study, metric: &Metric, standings: &Standings, level: f64) -> Table {
    let mut columns = vec![Column::left("Arm")];
    let label = study.label(metric);
    columns.push(Column::right(&label));
    let interval = format!("{} % CI", number::percent(level));
    columns.push(Column::right(&interval));
    let spread = standings.arms.iter().any(|arm| arm.deviation.is_some());
    if spread {
        columns.push(Column::right("s.d. of seeds"));
    }
    let compared = standings.arms.iter().any(|arm| arm.against_baseline.is_some());
    if compared {
        columns.push(Column::right("Gain on baseline"));
        columns.push(Column::right(format!("{interval} of gain (not adjusted)")));
        columns.push(Column::right("p (Holm)"));
    }
    let caption = format!(
        "{label} ({}, {} is better), {}.",
        metric.unit,
        metric.direction.label(),
        metric.aggregation.describe(study.set_of(metric).map_or("example", |set| set.task.example()))
    );
    let mut table = Table::new(format!("metric-{}", stem(study, metric)), caption, columns);
    let digits = digits(&standings.arms);
    let gains = standings.arms.iter().filter_map(|arm| arm.against_baseline.as_ref());
    let values = standings.arms.iter().filter_map(|arm| arm.value);
    let gain_digits = number::decimals(values, gains.map(|gain| gain.interval));
    for (index, standing) in standings.arms.iter().enumerate() {
        let interval =
            standing.interval.map_or(Value::Absent, |interval| Value::Interval(interval.low, interval.high, digits));
        let mut cells = vec![
            Cell::text(name(&study.arms[index], study)),
            marked(standing, digits, study.alpha, has_best(study, standings)),
            Cell::new(interval),
        ];
        if spread {
            cells.push(Cell::number(standing.deviation, digits));
        }
        if compared {
            let gain = standing.against_baseline.as_ref();
            let absent = || Cell::new(Value::Absent);
            cells.push(gain.map_or_else(absent, |gain| Cell::new(Value::Signed(gain.effect, gain_digits))));
            cells.push(gain.map_or_else(absent, |gain| {
                Cell::new(Value::Interval(gain.interval.low, gain.interval.high, gain_digits))
            }));
            cells.push(standing.p_adjusted.map_or_else(absent, |p| Cell::new(Value::P(p))));
        }
        table.push(cells);
        divide(&mut table, study, index);
    }
    table.notes = notes(study);
    if is_share(metric) {
        table.notes.push("CI of the value: Wilson's, with as many answers as know as much as the units do.".to_owned());
    }
    table.notes.extend(vocabulary::note(study, [metric]));
    table
}

/// Name of an arm with what has to be known of it.
pub(super) fn name(arm: &Arm, study: &Study) -> String {
    let is_baseline = study.baseline.as_deref() == Some(arm.name.as_str());
    let remark = match &arm.outcome {
        Outcome::Done if is_baseline => " (baseline)",
        Outcome::Done if arm.role == Role::Control => " (control)",
        outcome => outcome.remark(),
    };
    format!("{}{remark}", arm.name)
}

/// Whether there is a best arm to mark: not where all cells are equally good.
fn has_best(study: &Study, standings: &Standings) -> bool {
    let cells = study.arms.iter().zip(&standings.arms).filter(|(arm, _)| arm.role == Role::Cell);
    let mut values = cells.filter_map(|(_, standing)| standing.value);
    let first = values.next();
    values.any(|value| Some(value) != first)
}

fn marked(standing: &Standing, digits: usize, alpha: f64, has_best: bool) -> Cell {
    let mark = match (&standing.against_baseline, standing.p_adjusted) {
        (Some(gain), Some(p)) if p.value < alpha && gain.effect > 0.0 => "+",
        (Some(gain), Some(p)) if p.value < alpha && gain.effect < 0.0 => "\u{2212}",
        _ => "",
    };
    if standing.diverged {
        return Cell::text(DIVERGED);
    }
    Cell { best: standing.best && has_best, mark, ..Cell::number(standing.value, digits) }
}

fn digits(arms: &[Standing]) -> usize {
    number::decimals(arms.iter().filter_map(|arm| arm.value), arms.iter().filter_map(|arm| arm.interval))
}

/// Rules off controls and references from the cells of the design.
pub(super) fn divide(table: &mut Table, study: &Study, index: usize) {
    let first = index > 0 && study.arms[index].role != study.arms[index - 1].role;
    if let Some(row) = table.rows.last_mut() {
        row.divided = first;
    }
}

fn notes(study: &Study) -> Vec<String> {
    let mut notes = vec!["Bold: best arm of the design (references apart).".to_owned()];
    if let Some(baseline) = &study.baseline {
        notes.push(format!(
            "+ / \u{2212}: better / worse than the baseline {baseline}, p < {} after Holm over the arms, metric by metric (exploratory).",
            study.alpha
        ));
    }
    notes
}

/// Arrow of the direction in which a metric improves.
pub(crate) fn arrow(direction: Direction) -> char {
    match direction {
        Direction::Higher => '\u{2191}',
        Direction::Lower => '\u{2193}',
    }
}
