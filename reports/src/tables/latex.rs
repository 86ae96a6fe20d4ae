//! Tables for LaTeX: `tabular` with booktabs rules inside a floating `table`.

use super::{Align, Cell, Table, Value};

/// Prints the table; `\usepackage{booktabs}` is all it needs.
pub(super) fn print(table: &Table) -> String {
    let aligns: String = table
        .columns
        .iter()
        .map(|column| match column.align {
            Align::Left => 'l',
            Align::Right => 'r',
        })
        .collect();
    let heads: Vec<String> = table.columns.iter().map(|column| escape(&column.head)).collect();
    let mut text = format!(
        "% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\label{{tab:{}}}\n\\begin{{tabular}}{{{aligns}}}\n\\toprule\n{} \\\\\n\\midrule\n",
        escape(&table.caption),
        table.name,
        heads.join(" & ")
    );
    for row in &table.rows {
        if row.divided {
            text.push_str("\\midrule\n");
        }
        let cells: Vec<String> = row.cells.iter().map(print_cell).collect();
        text.push_str(&format!("{} \\\\\n", cells.join(" & ")));
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    for note in &table.notes {
        text.push_str(&format!("\\par\\footnotesize {}\n", escape(note)));
    }
    text.push_str("\\end{table}\n");
    text
}

fn print_cell(cell: &Cell) -> String {
    let mut text = match &cell.value {
        Value::Absent => "--".to_owned(),
        value => escape(&value.shown()),
    };
    if cell.best {
        text = format!("\\textbf{{{text}}}");
    }
    if !cell.mark.is_empty() {
        text.push_str(&format!("\\textsuperscript{{{}}}", escape(cell.mark)));
    }
    text
}

/// Escapes text so that LaTeX prints it as it is; line breaks and control characters become spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // Two hyphens would become a dash.
            '-' if characters.peek() == Some(&'-') => escaped.push_str("-{}"),
            '`' => escaped.push_str("\\textasciigrave{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '|' => escaped.push_str("$|$"),
            '\u{2212}' => escaped.push_str("$-$"),
            '\u{221e}' => escaped.push_str("$\\infty$"),
            '\u{d7}' => escaped.push_str("$\\times$"),
            '\u{2013}' => escaped.push_str("--"),
            '\u{2191}' => escaped.push_str("$\\uparrow$"),
            '\u{2193}' => escaped.push_str("$\\downarrow$"),
            '\u{b7}' => escaped.push_str("$\\cdot$"),
            '[' => escaped.push_str("{[}"),
            ']' => escaped.push_str("{]}"),
            '*' => escaped.push_str("$*$"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_prints_as_it_is() {
        assert_eq!(
            escape("a_b & 50% \\input{x} $y$ ~^ #1 [z]"),
            "a\\_b \\& 50\\% \\textbackslash{}input\\{x\\} \\$y\\$ \\textasciitilde{}\\textasciicircum{} \\#1 {[}z{]}"
        );
        // A form feed would end the paragraph, and two hyphens are two hyphens.
        assert_eq!(escape("a\nb\u{c}c--d `e`"), "a b c-{}-d \\textasciigrave{}e\\textasciigrave{}");
        assert_eq!(escape("BLEU \u{2191}"), "BLEU $\\uparrow$");
    }
}
