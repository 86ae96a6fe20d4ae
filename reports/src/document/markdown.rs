//! The report as Markdown, for repositories and terminals.

use super::block::{Answers, Block, Callout, Claim, ClaimMetric, Document};
use crate::number;
use crate::plots::Figure;
use crate::tables::markdown_escape as escape;

/// Prints the report; figures are linked as `figures/NAME.svg`.
pub fn markdown(document: &Document<'_>) -> String {
    let mut text = format!("# {}\n\n{}\n\n", escape(document.title), escape(&document.kicker));
    for block in &document.blocks {
        print(&mut text, block);
    }
    format!("{}\n", text.trim_end())
}

fn print(text: &mut String, block: &Block<'_>) {
    match block {
        Block::Heading(head) => text.push_str(&format!("## {}\n\n", escape(head))),
        Block::Subheading(head) => text.push_str(&format!("### {}\n\n", escape(head))),
        Block::Paragraph(words) | Block::Note(words) => text.push_str(&format!("{}\n\n", escape(words))),
        Block::Callout(Callout { head, text: words }) => {
            text.push_str(&format!("> **{}** {}\n\n", escape(head), escape(words)));
        }
        Block::Claims(claims) => print_claims(text, claims),
        Block::Table(table) => text.push_str(&format!("{}\n", table.to_markdown())),
        Block::Figure(figure) => picture(text, figure),
        Block::Facts(head, facts) => {
            text.push_str(&format!("**{}**\n\n", escape(head)));
            for (name, value) in facts {
                text.push_str(&format!("- {}: {}\n", escape(name), escape(value)));
            }
            text.push('\n');
        }
        Block::List(items) => {
            for item in items {
                text.push_str(&format!("- {}\n", escape(item)));
            }
            text.push('\n');
        }
        Block::Answers(answers) => print_answers(text, answers),
        Block::Code(code) => text.push_str(&format!("{}\n\n", fenced(code))),
        Block::Beside(blocks) => blocks.iter().for_each(|block| print(text, block)),
    }
}

fn print_claims(text: &mut String, claims: &[Claim]) {
    for (index, claim) in claims.iter().enumerate() {
        text.push_str(&format!(
            "{}. **{}**: {} ({})\n",
            index + 1,
            claim.verdict.to_uppercase(),
            escape(&claim.name),
            escape(&claim.contrast)
        ));
        if !claim.scope.is_empty() {
            text.push_str(&format!("   - for {}\n", escape(&claim.scope)));
        }
        if !claim.detail.is_empty() {
            text.push_str(&format!("   - {}\n", escape(&claim.detail)));
        }
        for metric in &claim.metrics {
            text.push_str(&format!("   - {}: {}\n", escape(&metric.label), metric_line(metric)));
        }
    }
    text.push('\n');
}

fn metric_line(metric: &ClaimMetric) -> String {
    match &metric.numbers {
        Ok(numbers) => {
            let (low, high) = &numbers.interval;
            let p = escape(&number::p_equation(numbers.p));
            let (adjusted, kind) =
                if numbers.exploratory { ("after Bonferroni", " (exploratory)") } else { ("after Holm", "") };
            format!("{} (interval {low} to {high}, {p} {adjusted}): {}{kind}", numbers.effect, metric.verdict)
        }
        Err(reason) if reason.is_empty() => metric.verdict.to_owned(),
        Err(reason) => format!("{}: {}", metric.verdict, escape(reason)),
    }
}

fn picture(text: &mut String, figure: &Figure) {
    let caption = escape(&figure.caption);
    text.push_str(&format!("![{caption}](figures/{}.svg)\n\n*{caption}*\n\n", figure.name));
}

fn print_answers(text: &mut String, Answers { example, groups }: &Answers<'_>) {
    text.push_str(&format!("**{}** {}\n\n", escape(&example.id), escape(&example.question)));
    for reference in &example.references {
        text.push_str(&format!("- reference: {}\n", escape(reference)));
    }
    for (arms, answer) in groups {
        let answer = if answer.is_empty() { "(empty)".to_owned() } else { escape(answer) };
        text.push_str(&format!("- {}: {answer}\n", escape(&arms.join(", "))));
    }
    text.push('\n');
}

/// Puts text in a fence longer than any inside it.
fn fenced(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}toml\n{}\n{fence}", text.trim_end())
}
