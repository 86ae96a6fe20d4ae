//! The order of a report: which block follows which.
//!
//! First what was found, then how, then what it rests on. Tables that only repeat others in more detail
//! are files beside the report.

use super::Findings;
use super::block::{Answers, Block, Callout, Document};
use super::{content, limitations, setting, sources, words};
use crate::tables::{claims_name, stem};
use crate::{plots, seeds};

/// Most strata that a table on a page has columns for.
const MOST_COLUMNS: usize = 10;

/// Draws up the report.
pub fn outline<'a>(findings: &'a Findings<'a>) -> Document<'a> {
    let study = findings.study;
    let mut blocks = Vec::new();
    opening(&mut blocks, findings);
    design(&mut blocks, findings);
    training(&mut blocks, findings);
    results(&mut blocks, findings);
    claims(&mut blocks, findings);
    strata(&mut blocks, findings);
    curves(&mut blocks, findings);
    energy(&mut blocks, findings);
    answers(&mut blocks, findings);
    limits(&mut blocks, findings);
    blocks.push(Block::Heading("Methods and sources".into()));
    if !findings.answers.is_empty() {
        blocks.push(Block::Paragraph(content::methods(findings)));
    }
    blocks.push(Block::Table(sources::methods(findings)));
    tables(&mut blocks, findings, &["metrics"]);
    reproduction(&mut blocks, findings);
    Document { name: &study.name, kicker: content::kicker(findings), title: &study.question, blocks }
}

/// The first page: what was found.
fn opening<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.extend(content::failures(findings).into_iter().map(Block::Callout));
    if let Some(text) = seeds::reservation(findings.study.seeds.len()) {
        blocks.push(Block::Callout(Callout { head: "FEW SEEDS".into(), text }));
    }
    if findings.answers.is_empty() {
        blocks.push(Block::Paragraph("The experiment declares no hypotheses; what follows is exploratory.".into()));
    } else {
        blocks.push(Block::Claims(content::claims(findings)));
        if let Some(scope) = content::scope(findings) {
            blocks.push(Block::Paragraph(format!("What the verdicts generalise over: {scope}.")));
        }
        blocks.push(Block::Note(content::rule(findings)));
    }
    blocks.push(Block::Paragraph(words::summary(findings).join(" ")));
    let facts = Block::Facts("Key numbers".into(), content::key_numbers(findings));
    blocks.push(match findings.figures_with("front").next() {
        Some(front) => Block::Beside(Box::new([Block::Figure(front), facts])),
        None => facts,
    });
}

/// What is compared, on which data, with which models.
fn design<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.push(Block::Heading("Design and data".into()));
    blocks.push(Block::Paragraph(content::design(findings)));
    let objectives = setting::objectives(findings);
    if !objectives.is_empty() {
        blocks.push(Block::Facts("Objectives that ran".into(), objectives));
    }
    if !findings.study.data.is_empty() {
        blocks.push(Block::Facts("Data".into(), setting::data(findings)));
    }
    let decoding = setting::decoding(findings);
    if !decoding.is_empty() {
        blocks.push(Block::Facts("How answers were decoded".into(), decoding));
    }
    tables(blocks, findings, &["sets", "models"]);
}

/// What was trained with what, and what had to hold.
fn training<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let (training, checks) = (setting::training(findings), &findings.study.checks);
    if training.is_empty() && checks.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Training".into()));
    blocks.extend(training.into_iter().map(Block::Table));
    if !checks.is_empty() {
        let text = "What had to hold before the results could mean anything; a check that failed is a result.";
        blocks.push(Block::Paragraph(text.into()));
        tables(blocks, findings, &["checks"]);
    }
}

fn results<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.push(Block::Heading("Results".into()));
    blocks.extend(findings.tables_with("overview").filter(|t| !t.rows.is_empty()).cloned().map(Block::Table));
    let text = "Intervals, spreads over seeds and gains on the baseline are in tables/metric-NAME.csv.";
    blocks.push(Block::Note(text.into()));
    figures(blocks, findings, "heatmap-arms");
}

fn claims<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.answers.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Claims in detail".into()));
    tables(blocks, findings, &["hypotheses"]);
    figures(blocks, findings, "forest");
    figures(blocks, findings, "heatmap-hypotheses");
}

/// What each part of a set says, for the sets that are divided.
fn strata<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let study = findings.study;
    for division in &findings.divisions {
        let of = study.name_of(division.set.as_deref()).map_or(String::new(), |set| format!(" ({set})"));
        blocks.push(Block::Heading(format!("By {}{of}", division.field)));
        let Some(set) = study.sets.iter().find(|set| set.name == division.set) else { continue };
        let Some(metric) = plots::chief_of(study, set).or_else(|| study.metrics_of(set).next()) else { continue };
        let (strata, mut notes) = (division.strata.len(), Vec::new());
        if strata > MOST_COLUMNS {
            let file = stem(study, metric);
            notes.push(format!("{strata} strata are too many columns for a page: see tables/strata-{file}.csv."));
        } else {
            tables(blocks, findings, &[&format!("strata-{}", stem(study, metric))]);
        }
        if study.metrics_of(set).count() > 1 {
            notes.push("The other metrics of the set are in tables/strata-NAME.csv.".to_owned());
        }
        if strata > plots::MOST_STRATA {
            notes.push(format!("No heat map: {strata} strata in a row cannot be told apart."));
        }
        if !notes.is_empty() {
            blocks.push(Block::Note(notes.join(" ")));
        }
        let name = plots::strata_name(study, division);
        blocks.extend(findings.figures.iter().filter(|figure| figure.name == name).map(Block::Figure));
        if !division.claims.is_empty() {
            tables(blocks, findings, &[&claims_name(study, division, findings.divisions.len() == 1)]);
        }
    }
}

fn curves<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.figures_with("curves").next().is_some() {
        blocks.push(Block::Heading("Training curves".into()));
        figures(blocks, findings, "curves");
    }
}

fn energy<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    if findings.study.energy.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Energy".into()));
    blocks.push(Block::Paragraph(content::energy_text(findings).join(" ")));
    tables(blocks, findings, &["energy-by-stage"]);
    figures(blocks, findings, "energy-arms");
}

fn answers<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let study = findings.study;
    if study.examples.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Answers side by side".into()));
    if !study.examples_chosen.is_empty() {
        blocks.push(Block::Paragraph(study.examples_chosen.clone()));
    }
    blocks.extend(study.examples.iter().map(|example| Block::Answers(Answers::of(example))));
}

fn limits<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    blocks.push(Block::Heading("Limitations".into()));
    blocks.push(Block::List(limitations::limitations(findings)));
    for (head, items) in [("Warnings", &findings.warnings), ("Assumptions", &findings.study.assumptions)] {
        if !items.is_empty() {
            blocks.push(Block::Subheading(head.into()));
            blocks.push(Block::List(items.clone()));
        }
    }
}

fn reproduction<'a>(blocks: &mut Vec<Block<'a>>, findings: &'a Findings<'a>) {
    let study = findings.study;
    blocks.push(Block::Heading("Environment and reproduction".into()));
    blocks.push(Block::Facts("Code and machine".into(), content::environment(findings)));
    if !study.provenance.is_empty() {
        blocks.push(Block::Facts("Keys".into(), study.provenance.clone()));
    }
    let signatures = study.metrics.iter().map(|metric| (study.label(metric), metric.signature.clone()));
    blocks.push(Block::Facts("Signatures of metrics".into(), signatures.collect()));
    blocks.push(Block::Subheading("Resolved experiment".into()));
    blocks.push(Block::Code(&study.resolved));
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
