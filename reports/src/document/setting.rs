//! What the data are, what was trained with what, and on which machine.

use super::Findings;
use crate::number;
use crate::study::{Data, EvaluationSet, Extent, Task, Training};
use crate::tables::{Cell, Column, Table, Value};

/// Sets of stages of one kind that stand side by side; more of them have a table of their own, a row each.
const SIDE_BY_SIDE: usize = 4;

/// A row of the table of training: its name, and its value for each set of stages.
type Setting<'s> = (&'s str, Vec<Option<String>>);

/// Tabulates what was trained: a column for each set of stages, a row for each setting; where many sets of one
/// kind differ in a few settings, a row for each set and a column for what differs.
pub(super) fn training(findings: &Findings) -> Vec<Table> {
    let all = &findings.study.training;
    let count = |kind: &str| all.iter().filter(|training| training.stage == kind).count();
    let few: Vec<&Training> = all.iter().filter(|training| count(&training.stage) <= SIDE_BY_SIDE).collect();
    let mut kinds: Vec<&str> = Vec::new();
    for training in all.iter().filter(|training| count(&training.stage) > SIDE_BY_SIDE) {
        if !kinds.contains(&training.stage.as_str()) {
            kinds.push(&training.stage);
        }
    }
    let own = kinds.into_iter().map(|kind| {
        let of_kind: Vec<&Training> = all.iter().filter(|training| training.stage == kind).collect();
        row_by_row(kind, &of_kind)
    });
    (!few.is_empty()).then(|| side_by_side(&few)).into_iter().chain(own).collect()
}

fn side_by_side(stages: &[&Training]) -> Table {
    let mut columns = vec![Column::left("")];
    columns.extend(stages.iter().map(|training| Column::left(&training.stage)));
    let caption = "What was trained, with which settings, on how much. Counts are of one stage.";
    let mut table = Table::new("training", caption, columns);
    let named = std::iter::once(("trained", stages.iter().map(|training| Some(labels(&training.labels))).collect()));
    for (name, values) in named.chain(settings(stages)) {
        let cells = values.into_iter().map(|value| value.map_or(Cell::new(Value::Absent), Cell::text));
        table.push(std::iter::once(Cell::text(name)).chain(cells).collect());
    }
    table
}

fn row_by_row(kind: &str, stages: &[&Training]) -> Table {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "\u{2013}".to_owned());
    let (alike, differing): (Vec<Setting<'_>>, Vec<Setting<'_>>) =
        settings(stages).into_iter().partition(|(_, values)| values.windows(2).all(|pair| pair[0] == pair[1]));
    let mut columns = vec![Column::left("trained")];
    columns.extend(differing.iter().map(|(name, _)| Column::left(*name)));
    let caption = format!("What was trained in {kind}, by what differs. Counts are of one stage.");
    let mut table = Table::new(format!("training-{kind}"), &caption, columns);
    for (place, training) in stages.iter().enumerate() {
        let cells = differing.iter().map(|(_, values)| Cell::text(shown(&values[place])));
        table.push(std::iter::once(Cell::text(labels(&training.labels))).chain(cells).collect());
    }
    let alike: Vec<String> = alike.iter().map(|(name, values)| format!("{name} {}", shown(&values[0]))).collect();
    table.notes.push(format!("Of all: {}.", alike.join("; ")));
    table
}

/// Lists the settings and counts of stages that any of them has.
fn settings<'s>(stages: &[&'s Training]) -> Vec<Setting<'s>> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in stages.iter().flat_map(|training| &training.settings) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let seeds = |training: &Training| {
        let seeds: Vec<String> = training.seeds.iter().map(u64::to_string).collect();
        Some(seeds.join(", "))
    };
    let all = |value: &dyn Fn(&Training) -> Option<String>| stages.iter().map(|training| value(training)).collect();
    let mut rows: Vec<Setting<'s>> = vec![("seeds", all(&seeds))];
    for name in names {
        let of = |training: &Training| training.settings.iter().find(|(own, _)| own == name).map(|(_, v)| v.clone());
        rows.push((name, all(&of)));
    }
    rows.push(("optimiser steps", all(&|training| Some(extent(training.steps)))));
    rows.push(("examples seen", all(&|training| training.examples.map(extent))));
    rows.push(("tokens seen", all(&|training| training.tokens.map(extent))));
    rows.push(("parameters trained", all(&|training| training.parameters.map(extent))));
    // What no stage has says nothing.
    rows.retain(|(_, values)| values.iter().any(Option::is_some));
    rows
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

/// How answers were decoded, by set.
pub(super) fn decoding(findings: &Findings) -> Vec<(String, String)> {
    let told = |set: &EvaluationSet| {
        let name = set.name.as_deref().unwrap_or("answers").to_owned();
        Some((name, set.decoding.clone()?))
    };
    findings.study.sets.iter().filter_map(told).collect()
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

/// What the rows of a data set are called.
fn example(data: &Data) -> &'static str {
    if data.are_texts { Task::Perplexity.example() } else { Task::Answer.example() }
}

/// What a reader must know of the data, set by set.
pub(super) fn data(findings: &Findings) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for data in &findings.study.data {
        let list = |pairs: &[(String, u64)]| {
            let parts = pairs.iter().map(|(name, count)| format!("{} {name}", number::grouped(*count)));
            parts.collect::<Vec<_>>().join(", ")
        };
        facts.push((data.name.clone(), format!("{} {}s", list(&data.splits), example(data))));
        if !data.skipped.is_empty() {
            facts.push(("left out".to_owned(), list(&data.skipped)));
        }
        facts.extend(data.facts.iter().cloned());
        facts.push(("checksum".to_owned(), data.checksum.clone()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(stage: &str, label: &str, rate: &str) -> Training {
        let count = Some(Extent { least: 8, most: 8 });
        Training {
            stage: stage.into(),
            labels: vec![label.into()],
            seeds: vec![10],
            settings: vec![("batch".into(), "4".into()), ("learning rate".into(), rate.into())],
            steps: Extent { least: 2, most: 2 },
            examples: count,
            tokens: None,
            parameters: count,
        }
    }

    #[test]
    fn many_sets_of_stages_have_a_row_each_for_what_differs() {
        let names = ["a", "b", "c", "d", "e"];
        let stages: Vec<Training> =
            names.iter().enumerate().map(|(i, name)| training("sft", name, &format!("{i}e-3"))).collect();
        let table = row_by_row("sft", &stages.iter().collect::<Vec<_>>());
        let heads: Vec<&str> = table.columns.iter().map(|column| column.head.as_str()).collect();
        assert_eq!((heads, table.rows.len()), (vec!["trained", "learning rate"], 5));
        assert_eq!(
            table.notes,
            ["Of all: seeds 10; batch 4; optimiser steps 2; examples seen 8; parameters trained 8."]
        );
        assert_eq!(table.name, "training-sft");
    }
}
