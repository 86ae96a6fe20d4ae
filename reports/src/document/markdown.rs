//! The report as Markdown, for repositories and terminals.

use super::{Findings, Medium, content};
use crate::hypotheses::Verdict;
use crate::number;
use crate::plots::Figure;
use crate::study::Outcome;
use crate::tables::markdown_escape as escape;

/// Prints the report; figures are linked as `figures/NAME.svg`.
pub fn markdown(findings: &Findings) -> String {
    let study = findings.study;
    let mut text = format!("# {}\n\n{}", escape(&study.question), escape(&study.name));
    if let Some(publication) = &study.reproduces {
        text.push_str(&format!(", after {}", escape(publication)));
    }
    text.push_str("\n\n");
    for arm in &study.arms {
        match &arm.outcome {
            Outcome::Done => {}
            Outcome::Failed { reason } => {
                text.push_str(&format!("> **Arm {} failed:** {}\n\n", escape(&arm.name), escape(reason)));
            }
            Outcome::Missing => {
                text.push_str(&format!("> **Arm {} has not run.**\n\n", escape(&arm.name)));
            }
        }
    }
    for check in study.checks.iter().filter(|check| !check.passed) {
        text.push_str(&format!("> **Check not passed:** {} ({})\n\n", escape(&check.name), escape(&check.evidence)));
    }
    answers(&mut text, findings);
    for figure in findings.figures_with("front") {
        picture(&mut text, figure);
    }
    for (label, value) in content::key_numbers(findings) {
        text.push_str(&format!("- {}: {}\n", escape(&label), escape(&value)));
    }
    text.push_str("\n## Design\n\n");
    tables(&mut text, findings, &["arms", "models", "data", "metrics", "checks"]);
    if !findings.answers.is_empty() {
        text.push_str("## Hypotheses in detail\n\n");
        text.push_str(&content::methods(findings).join("\n\n"));
        text.push_str("\n\n");
        tables(&mut text, findings, &["hypotheses"]);
        figures(&mut text, findings, "forest");
        figures(&mut text, findings, "heatmap-hypotheses");
    }
    text.push_str("## Results by metric\n\n");
    tables(&mut text, findings, &["overview"]);
    figures(&mut text, findings, "heatmap-arms");
    for table in findings.tables.iter().filter(|table| table.name.starts_with("metric-")) {
        text.push_str(&table.to_markdown());
        text.push('\n');
    }
    if findings.figures_with("curves").next().is_some() {
        text.push_str("## Training\n\n");
        figures(&mut text, findings, "curves");
    }
    if !study.energy.is_empty() {
        text.push_str("## Energy\n\n");
        let paragraphs: Vec<String> = content::energy_text(findings).iter().map(|text| escape(text)).collect();
        text.push_str(&paragraphs.join("\n\n"));
        text.push_str("\n\n");
        figures(&mut text, findings, "energy");
        tables(&mut text, findings, &["energy-by-stage", "energy-by-arm"]);
    }
    examples(&mut text, findings);
    list(&mut text, "Warnings", &findings.warnings);
    list(&mut text, "Assumptions", &study.assumptions);
    text.push_str("## Reproduction\n\n");
    for (name, value) in &study.provenance {
        text.push_str(&format!("- {}: {}\n", escape(name), escape(value)));
    }
    text.push_str(&format!("\n{}\n", fenced(&study.resolved)));
    text
}

fn answers(text: &mut String, findings: &Findings) {
    for (index, answer) in findings.answers.iter().enumerate() {
        text.push_str(&format!(
            "{}. **{}**: {} ({})\n",
            index + 1,
            answer.verdict.label().to_uppercase(),
            escape(&answer.name),
            escape(&content::contrast_line(answer))
        ));
        if !answer.scope.is_empty() {
            text.push_str(&format!("   - holds for {}\n", escape(&answer.scope)));
        }
        if !answer.detail.is_empty() {
            text.push_str(&format!("   - {}\n", escape(&answer.detail)));
        }
        for metric in &answer.metrics {
            let label = escape(&content::metric_label(findings, &metric.metric));
            let line = match (&metric.contrast, &metric.verdict) {
                (Some(contrast), verdict) => {
                    let digits = contrast.decimals();
                    let interval = metric.interval.unwrap_or(contrast.interval);
                    format!(
                        "{} (CI {} to {}), {} after Holm: {}",
                        number::signed(contrast.effect, digits),
                        number::fixed(interval.low, digits),
                        number::fixed(interval.high, digits),
                        metric.p_adjusted.map_or_else(String::new, number::p_equation),
                        verdict.label()
                    )
                }
                (None, Verdict::Untestable { reason }) => format!("untestable: {}", escape(reason)),
                (None, verdict) => verdict.label().to_owned(),
            };
            text.push_str(&format!("   - {label}: {line}\n"));
        }
    }
    text.push_str(&format!("\n{}\n\n", content::rule(findings, Medium::Markdown)));
}

fn tables(text: &mut String, findings: &Findings, names: &[&str]) {
    for name in names {
        if let Some(table) = findings.table(name).filter(|table| !table.rows.is_empty()) {
            text.push_str(&table.to_markdown());
            text.push('\n');
        }
    }
}

fn figures(text: &mut String, findings: &Findings, prefix: &str) {
    for figure in findings.figures_with(prefix) {
        picture(text, figure);
    }
}

fn picture(text: &mut String, figure: &Figure) {
    let caption = escape(&figure.caption);
    text.push_str(&format!("![{caption}](figures/{}.svg)\n\n*{caption}*\n\n", figure.name));
}

fn examples(text: &mut String, findings: &Findings) {
    if findings.study.examples.is_empty() {
        return;
    }
    text.push_str("## Answers side by side\n\n");
    for example in &findings.study.examples {
        text.push_str(&format!("**{}** {}\n\n", escape(&example.id), escape(&example.question)));
        for reference in &example.references {
            text.push_str(&format!("- reference: {}\n", escape(reference)));
        }
        for (arm, answer) in &example.answers {
            text.push_str(&format!("- {}: {}\n", escape(arm), escape(answer)));
        }
        text.push('\n');
    }
}

fn list(text: &mut String, head: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    text.push_str(&format!("## {head}\n\n"));
    for item in items {
        text.push_str(&format!("- {}\n", escape(item)));
    }
    text.push('\n');
}

/// Puts text in a fence longer than any inside it.
fn fenced(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}toml\n{}\n{fence}", text.trim_end())
}
