//! Tables for LaTeX: `tabular` with booktabs rules inside a floating `table`, one after the other where
//! the columns are too many for the width of a page.

use super::{Align, Cell, Table, Value};

/// Characters that a line holds in small type.
const LINE: usize = 96;
/// Most columns of one table: more are hard to read across.
const COLUMNS: usize = 8;
/// Longest text of a column that does not wrap.
const WIDE: usize = 26;
/// Width of a column that wraps, in characters and as LaTeX says it.
const WRAPPED: (usize, &str) = (30, "p{0.3\\textwidth}");

/// Prints the table; `\usepackage{booktabs}` and `\usepackage{array}` are all it needs.
pub(super) fn print(table: &Table) -> String {
    let parts = parts(table);
    let mut text = "% needs \\usepackage{array,booktabs}\n".to_owned();
    for (number, columns) in parts.iter().enumerate() {
        text.push_str(&print_part(table, columns, (number + 1, parts.len())));
    }
    text
}

/// Divides the columns: the first of each part are those that name the rows.
fn parts(table: &Table) -> Vec<Vec<usize>> {
    let stub: Vec<usize> = (0..table.stub.min(table.columns.len())).collect();
    let width = |columns: &[usize]| columns.iter().map(|&column| taken(table, column) + 2).sum::<usize>();
    let mut parts = vec![stub.clone()];
    for column in stub.len()..table.columns.len() {
        let full = |part: &Vec<usize>| {
            part.len() > stub.len() && (part.len() == COLUMNS || width(part) + taken(table, column) + 2 > LINE)
        };
        if parts.last().is_some_and(full) {
            parts.push(stub.clone());
        }
        if let Some(part) = parts.last_mut() {
            part.push(column);
        }
    }
    parts
}

/// Characters that a column takes.
fn taken(table: &Table, column: usize) -> usize {
    let cells = table.rows.iter().map(|row| row.cells[column].value.shown().chars().count());
    let longest = cells.chain([table.columns[column].head.chars().count()]).max().unwrap_or(0);
    if wraps(table, column) { WRAPPED.0 } else { longest }
}

fn wraps(table: &Table, column: usize) -> bool {
    let long = |cell: &Cell| cell.value.shown().chars().count() > WIDE;
    table.columns[column].align == Align::Left && table.rows.iter().any(|row| long(&row.cells[column]))
}

fn print_part(table: &Table, columns: &[usize], (number, parts): (usize, usize)) -> String {
    let aligns: Vec<String> = columns
        .iter()
        .map(|&column| match table.columns[column].align {
            Align::Left if wraps(table, column) => format!(">{{\\raggedright\\arraybackslash}}{}", WRAPPED.1),
            Align::Left => "l".to_owned(),
            Align::Right => "r".to_owned(),
        })
        .collect();
    let heads: Vec<String> = columns.iter().map(|&column| escape(&table.columns[column].head)).collect();
    let (of, label) = match parts {
        1 => (String::new(), String::new()),
        _ => (format!(" Part {number} of {parts}."), format!("-{number}")),
    };
    let mut text = format!(
        "\\begin{{table}}\n\\centering\\small\n\\caption{{{}{of}}}\n\\label{{tab:{}{label}}}\n\\begin{{tabular}}{{{}}}\n\\toprule\n{} \\\\\n\\midrule\n",
        escape(&table.caption),
        table.name,
        aligns.concat(),
        heads.join(" & ")
    );
    for row in &table.rows {
        if row.divided {
            text.push_str("\\midrule\n");
        }
        let cells: Vec<String> = columns.iter().map(|&column| print_cell(&row.cells[column])).collect();
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
            '\u{2264}' => escaped.push_str("$\\leq$"),
            '\u{2212}' => escaped.push_str("$-$"),
            '\u{221e}' => escaped.push_str("$\\infty$"),
            '\u{d7}' => escaped.push_str("$\\times$"),
            '\u{2013}' => escaped.push_str("--"),
            '\u{2191}' => escaped.push_str("$\\uparrow$"),
            '\u{2193}' => escaped.push_str("$\\downarrow$"),
            '\u{b7}' => escaped.push_str("$\\cdot$"),
            '\u{2192}' => escaped.push_str("$\\rightarrow$"),
            '\u{2020}' => escaped.push_str("$\\dagger$"),
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
    use super::super::Column;
    use super::*;

    #[test]
    fn columns_that_no_page_holds_go_on_in_another_table_with_the_names_of_the_rows() {
        let columns = (0..15).map(|column| Column::right(format!("c{column}"))).collect();
        let mut table = Table::new("t", "T.", columns);
        table.push((0..15).map(|column| Cell::number(Some(f64::from(column)), 0)).collect());
        let text = print(&table);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("0 &")).collect();
        assert_eq!(rows, ["0 & 1 & 2 & 3 & 4 & 5 & 6 & 7 \\\\", "0 & 8 & 9 & 10 & 11 & 12 & 13 & 14 \\\\"]);
        assert!(text.contains("T. Part 2 of 2.") && text.contains("\\label{tab:t-2}"), "{text}");
        // Long texts wrap, and as many as a line holds stand beside each other.
        let mut wide = Table::new("w", "W.", ["a", "b", "c", "d"].map(Column::left).to_vec());
        wide.push(vec![Cell::text("x".repeat(60)); 4]);
        assert_eq!(parts(&wide), [[0, 1, 2].to_vec(), vec![0, 3]]);
        assert_eq!(print(&wide).matches("p{0.3\\textwidth}").count(), 5);
    }

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
