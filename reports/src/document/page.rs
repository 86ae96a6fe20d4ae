//! Blocks as values for the template of a page: softened, and typeset there. No value is ever markup.

use serde_json::{Value, json};

use super::block::{Answers, Block, Claim, ClaimMetric, Document};
use super::soft::{shorten, soften, soften_code};
use crate::hypotheses::EXPLORATORY;
use crate::number;
use crate::plots::Figure;
use crate::tables::{Align, Table};

/// Longest answer that is printed whole, in characters.
const LONGEST_ANSWER: usize = 300;
/// Longest text in a column that does not wrap even in a table that is too wide.
const WIDE: usize = 26;

/// Gathers what the template prints.
pub(super) fn page(document: &Document<'_>) -> Value {
    json!({
        "name": soften(document.name),
        "kicker": soften(&document.kicker),
        "title": soften(document.title),
        "blocks": values(&document.blocks),
    })
}

fn values(blocks: &[Block<'_>]) -> Vec<Value> {
    blocks.iter().map(value).collect()
}

/// Returns a block under the name that the template prints it by.
fn value(block: &Block<'_>) -> Value {
    match block {
        Block::Heading(text) => json!({ "kind": "heading", "level": 1, "text": soften(text) }),
        Block::Subheading(text) => json!({ "kind": "heading", "level": 2, "text": soften(text) }),
        Block::Paragraph(text) => json!({ "kind": "paragraph", "text": soften(text) }),
        Block::Note(text) => json!({ "kind": "note", "text": soften(text) }),
        Block::Callout(callout) => json!({
            "kind": "callout",
            "head": soften(&callout.head),
            "text": soften(&callout.text),
        }),
        Block::Claims(claims) => json!({ "kind": "claims", "claims": claims.iter().map(claim).collect::<Vec<_>>() }),
        Block::Table(table) => tabulated(table),
        Block::Figure(figure) => pictured(figure),
        Block::Facts(head, facts) => json!({
            "kind": "facts",
            "head": soften(head),
            "facts": facts.iter().map(|(name, value)| json!([soften(name), soften(value)])).collect::<Vec<_>>(),
        }),
        Block::List(items) => json!({ "kind": "list", "items": softened(items) }),
        Block::Answers(example) => answers(example),
        Block::Code(text) => json!({ "kind": "code", "text": soften_code(text) }),
        Block::Beside(blocks) => json!({ "kind": "beside", "blocks": values(&blocks[..]) }),
    }
}

fn softened(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| soften(text)).collect()
}

fn claim(claim: &Claim) -> Value {
    json!({
        "verdict": claim.verdict,
        "name": soften(&claim.name),
        "contrast": soften(&claim.contrast),
        "scope": soften(&claim.scope),
        "detail": soften(&claim.detail),
        "metrics": claim.metrics.iter().map(claim_metric).collect::<Vec<_>>(),
    })
}

fn claim_metric(metric: &ClaimMetric) -> Value {
    let label = soften(&metric.label);
    match &metric.numbers {
        Ok(numbers) => json!({
            "label": label,
            "effect": numbers.effect,
            "interval": format!("[{}, {}]", numbers.interval.0, numbers.interval.1),
            "p": number::p_value(numbers.p),
            "mark": if numbers.exploratory { EXPLORATORY } else { "" },
            "significant": numbers.significant,
        }),
        Err(reason) if reason.is_empty() => json!({ "label": label, "effect": null, "reason": "\u{2013}" }),
        Err(reason) => json!({ "label": label, "effect": null, "reason": soften(reason) }),
    }
}

fn tabulated(table: &Table) -> Value {
    let table = &table.on_paper().for_people();
    let longest = |column: usize| {
        let cells = table.rows.iter().map(|row| row.cells[column].value.shown().chars().count());
        cells.chain([table.columns[column].head.chars().count()]).max().unwrap_or(0)
    };
    let columns: Vec<Value> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let wraps = column.align == Align::Left && longest(index) > WIDE;
            // Columns that wrap share their room by the length of their texts.
            json!({ "head": soften(&column.head), "align": column.align, "wide": if wraps { longest(index) } else { 0 } })
        })
        .collect();
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<Value> = row
                .cells
                .iter()
                .map(|cell| json!({ "text": soften(&cell.value.shown()), "best": cell.best, "mark": cell.mark }))
                .collect();
            json!({ "divided": row.divided, "cells": cells })
        })
        .collect();
    json!({
        "kind": "table",
        "caption": soften(&table.caption),
        "columns": columns,
        "rows": rows,
        "notes": softened(&table.notes),
    })
}

fn pictured(figure: &Figure) -> Value {
    json!({ "kind": "figure", "name": figure.name, "caption": soften(&figure.caption), "width": figure.share })
}

fn answers(Answers { example, groups }: &Answers<'_>) -> Value {
    let shown = |text: &str| soften(&shorten(text, LONGEST_ANSWER));
    let answer = |(arms, text): &(Vec<&str>, &str)| {
        let text = if text.is_empty() { "(empty)".to_owned() } else { shown(text) };
        json!([soften(&arms.join(", ")), text])
    };
    json!({
        "kind": "answers",
        "id": soften(&example.id),
        "question": shown(&example.question),
        "references": example.references.iter().map(|text| shown(text)).collect::<Vec<_>>(),
        "answers": groups.iter().map(answer).collect::<Vec<_>>(),
    })
}
