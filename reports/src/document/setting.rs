//! What the data are, what was trained with what, and on which machine.

use super::Findings;
use crate::number;
use crate::study::{Extent, Task, Training};
use crate::tables::{Cell, Column, Table, Value};

/// Tabulates what was trained: a column for each set of stages, a row for each setting.
pub(super) fn training(findings: &Findings) -> Option<Table> {
    let stages = &findings.study.training;
    if stages.is_empty() {
        return None;
    }
    let mut columns = vec![Column::left("")];
    columns.extend(stages.iter().map(|training| Column::left(&training.stage)));
    let caption = "What was trained, with which settings, on how much. Counts are of one stage.";
    let mut table = Table::new("training", caption, columns);
    let mut push = |name: &str, value: &dyn Fn(&Training) -> Option<String>| {
        let cells = stages.iter().map(|training| value(training).map_or(Cell::new(Value::Absent), Cell::text));
        table.push(std::iter::once(Cell::text(name)).chain(cells).collect());
    };
    push("trained", &|training| Some(labels(&training.labels)));
    push("seeds", &|training| {
        let seeds: Vec<String> = training.seeds.iter().map(u64::to_string).collect();
        Some(seeds.join(", "))
    });
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in stages.iter().flat_map(|training| &training.settings) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let of = |training: &Training| training.settings.iter().find(|(own, _)| own == name).map(|(_, v)| v.clone());
        push(name, &of);
    }
    push("optimiser steps", &|training| Some(extent(training.steps)));
    push("examples seen", &|training| training.examples.map(extent));
    push("tokens seen", &|training| training.tokens.map(extent));
    push("parameters trained", &|training| training.parameters.map(extent));
    // What no stage has says nothing.
    table.rows.retain(|row| row.cells[1..].iter().any(|cell| cell.value != Value::Absent));
    Some(table)
}

/// Names what was trained, or how many there are.
fn labels(labels: &[String]) -> String {
    match labels {
        [] => "\u{2013}".to_owned(),
        few @ ([_] | [_, _] | [_, _, _] | [_, _, _, _]) => few.join(", "),
        many => format!("{} arms", many.len()),
    }
}

fn extent(Extent { least, most }: Extent) -> String {
    if least == most {
        number::grouped(least)
    } else {
        format!("{}\u{2013}{}", number::grouped(least), number::grouped(most))
    }
}

/// Which form of an objective ran for which arms.
pub(super) fn objectives(findings: &Findings) -> Vec<(String, String)> {
    let mut forms: Vec<(&str, Vec<&str>)> = Vec::new();
    for arm in &findings.study.arms {
        let Some(objective) = arm.objective.as_deref() else { continue };
        match forms.iter_mut().find(|(known, _)| *known == objective) {
            Some((_, arms)) => arms.push(&arm.name),
            None => forms.push((objective, vec![&arm.name])),
        }
    }
    forms.into_iter().map(|(objective, arms)| (objective.to_owned(), arms.join(", "))).collect()
}

/// What the rows of a data set are called: texts where it is evaluated as such only, else questions.
fn example(findings: &Findings, data: &str) -> &'static str {
    let tasks = || findings.study.sets.iter().filter(|set| set.data == data).map(|set| set.task);
    if tasks().next().is_some() && tasks().all(|task| task == Task::Perplexity) {
        Task::Perplexity.example()
    } else {
        Task::Answer.example()
    }
}

/// What a reader must know of the data, set by set.
pub(super) fn data(findings: &Findings) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for data in &findings.study.data {
        let list = |pairs: &[(String, u64)]| {
            let parts = pairs.iter().map(|(name, count)| format!("{} {name}", number::grouped(*count)));
            parts.collect::<Vec<_>>().join(", ")
        };
        facts.push((data.name.clone(), format!("{} {}s", list(&data.splits), example(findings, &data.name))));
        if !data.skipped.is_empty() {
            facts.push(("left out".to_owned(), list(&data.skipped)));
        }
        facts.extend(data.facts.iter().cloned());
        facts.push(("checksum".to_owned(), data.checksum.clone()));
    }
    facts
}
