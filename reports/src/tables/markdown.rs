//! Tables as Markdown (GitHub's pipe tables).

use super::{Align, Cell, Table};

/// Prints the table with its caption above and its notes below.
pub(super) fn print(table: &Table) -> String {
    let mut text = format!("**{}**\n\n", escape(&table.caption));
    let heads: Vec<String> = table.columns.iter().map(|column| escape(&column.head)).collect();
    text.push_str(&format!("| {} |\n|", heads.join(" | ")));
    for column in &table.columns {
        text.push_str(match column.align {
            Align::Left => " :-- |",
            Align::Right => " --: |",
        });
    }
    text.push('\n');
    for row in &table.rows {
        let cells: Vec<String> = row.cells.iter().map(print_cell).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for note in &table.notes {
        text.push_str(&format!("\n{}\n", escape(note)));
    }
    text
}

fn print_cell(cell: &Cell) -> String {
    let mut text = escape(&cell.value.shown());
    if cell.best {
        text = format!("**{text}**");
    }
    text.push_str(&escape(cell.mark));
    text
}

/// Escapes text so that Markdown prints it as it is, on one line; control characters, which could
/// steer a terminal, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Value};
    use super::*;

    #[test]
    fn prints_marks_and_escapes() {
        let mut table = Table::new("t", "A_b", vec![Column::left("arm"), Column::right("x|y")]);
        table.push(vec![
            Cell::text("a|b\n<c>\u{1b}[31m"),
            Cell { value: Value::Number(-0.5, 2), best: true, mark: "*" },
        ]);
        assert_eq!(
            table.to_markdown(),
            "**A\\_b**\n\n| arm | x\\|y |\n| :-- | --: |\n| a\\|b &lt;c&gt;\u{fffd}\\[31m | **\u{2212}0.50**\\* |\n"
        );
    }
}
