//! The order of a report: which block follows which.

use super::Findings;
use super::block::{Block, Callout, Document, Tone};
use super::content;
use crate::tables::Table;

/// Draws up the report.
pub fn outline<'a>(findings: &'a Findings<'a>) -> Document<'a> {
    let study = findings.study;
    let mut blocks = Vec::new();
    blocks.extend(content::failures(findings).into_iter().map(Block::Callout));
    answers(&mut blocks, findings);
    design(&mut blocks, findings);
    hypotheses(&mut blocks, findings);
    results(&mut blocks, findings);
    training(&mut blocks, findings);
    energy(&mut blocks, findings);
    if !study.examples.is_empty() {
        blocks.push(Block::Heading("Answers side by side".into()));
        blocks.extend(study.examples.iter().map(Block::Answers));
    }
    reservations(&mut blocks, findings);
    blocks.push(Block::Heading("Reproduction".into()));
    blocks.push(Block::Table(content::provenance(findings)));
    blocks.push(Block::Subheading("Resolved experiment".into()));
    blocks.push(Block::Code(&study.resolved));
    Document { name: &study.name, kicker: content::kicker(findings), title: &study.question, blocks }
}

fn answers<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.answers.is_empty() {
        blocks.push(Block::Paragraph("The experiment declares no hypotheses; what follows is exploratory.".into()));
    } else {
        blocks.push(Block::Claims(content::claims(findings)));
        blocks.push(Block::Note(content::rule(findings)));
    }
    let facts = Block::Facts("Key numbers".into(), content::key_numbers(findings));
    blocks.push(match findings.figures_with("front").next() {
        Some(front) => Block::Beside(Box::new([Block::Figure(front), facts])),
        None => facts,
    });
}

fn design<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.push(Block::Heading("Design".into()));
    blocks.push(Block::Paragraph(content::design(findings)));
    tables(blocks, findings, &["arms", "models", "data", "metrics"]);
    if findings.study.checks.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Checks".into()));
    let text = "What had to hold before the results could mean anything. A check that failed is a result.";
    blocks.push(Block::Paragraph(text.into()));
    let callout = |check: &crate::study::Check| {
        let (tone, head) = if check.passed { (Tone::Good, "PASSED") } else { (Tone::Bad, "NOT PASSED") };
        Block::Callout(Callout { tone, head: head.into(), text: format!("{}: {}", check.name, check.evidence) })
    };
    blocks.extend(findings.study.checks.iter().map(callout));
}

fn hypotheses<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let Some(table) = content::details(findings) else { return };
    blocks.push(Block::Heading("Hypotheses in detail".into()));
    blocks.push(Block::Paragraph(content::methods(findings)));
    blocks.push(Block::Table(table));
    figures(blocks, findings, "forest");
    figures(blocks, findings, "heatmap-hypotheses");
}

fn results<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.push(Block::Heading("Results by metric".into()));
    tables(blocks, findings, &["overview"]);
    figures(blocks, findings, "heatmap-arms");
    let of_metrics = findings.tables.iter().filter(|table| table.name.starts_with("metric-"));
    blocks.extend(of_metrics.enumerate().map(|(index, table)| {
        // The same notes under every one would say nothing new.
        let notes = if index == 0 { table.notes.clone() } else { Vec::new() };
        Block::Table(Table { notes, ..table.clone() })
    }));
}

fn training<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.figures_with("curves").next().is_some() {
        blocks.push(Block::Heading("Training".into()));
        figures(blocks, findings, "curves");
    }
}

fn energy<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.study.energy.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Energy".into()));
    blocks.extend(content::energy_text(findings).into_iter().map(Block::Paragraph));
    figures(blocks, findings, "energy");
    tables(blocks, findings, &["energy-by-stage", "energy-by-arm"]);
}

fn reservations<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let assumptions = &findings.study.assumptions;
    if findings.warnings.is_empty() && assumptions.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Reservations".into()));
    if !findings.warnings.is_empty() {
        blocks.push(Block::Subheading("Warnings".into()));
        blocks.push(Block::List(findings.warnings.clone()));
    }
    if !assumptions.is_empty() {
        blocks.push(Block::Subheading("Assumptions".into()));
        let text = "Values that the publication does not give and the experiment chose.";
        blocks.push(Block::Paragraph(text.into()));
        blocks.push(Block::List(assumptions.clone()));
    }
}

/// Adds the tables of these names that have rows.
fn tables<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>, names: &[&str]) {
    let tables = names.iter().filter_map(|name| findings.table(name));
    blocks.extend(tables.filter(|table| !table.rows.is_empty()).cloned().map(Block::Table));
}

/// Adds the figures whose names start so.
fn figures<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>, prefix: &'a str) {
    blocks.extend(findings.figures_with(prefix).map(Block::Figure));
}
