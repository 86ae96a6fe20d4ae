//! Tables as CSV (RFC 4180): for programs, so numbers keep their full precision, and columns are
//! whole. Spreadsheets take a field that starts with a sign for a formula, quoted or not: text that
//! does is preceded by an apostrophe.

use super::{Table, Value};

/// Prints the table. A column that holds an interval anywhere becomes two.
pub(super) fn print(table: &Table) -> String {
    let doubled: Vec<bool> = (0..table.columns.len())
        .map(|column| {
            let mut cells = table.rows.iter().map(|row| &row.cells[column].value);
            cells.any(|value| matches!(value, Value::Interval(..)))
        })
        .collect();
    let mut rows = vec![Vec::new()];
    for (column, &double) in table.columns.iter().zip(&doubled) {
        if double {
            rows[0].push(text(&format!("{} low", column.head)));
            rows[0].push(text(&format!("{} high", column.head)));
        } else {
            rows[0].push(text(&column.head));
        }
    }
    for row in &table.rows {
        let mut fields = Vec::new();
        for (cell, &double) in row.cells.iter().zip(&doubled) {
            match &cell.value {
                Value::Text(value) => fields.push(text(value)),
                Value::Number(value, _) | Value::Approximate(value, ..) | Value::Signed(value, _) => {
                    fields.push(value.to_string());
                }
                Value::P(p) => fields.push(p.value.to_string()),
                Value::Interval(low, high, _) => fields.extend([low.to_string(), high.to_string()]),
                Value::Absent => fields.extend(vec![String::new(); 1 + usize::from(double)]),
            }
        }
        rows.push(fields);
    }
    write(&rows)
}

/// Makes text fit for a field that no spreadsheet evaluates (OWASP, "CSV Injection").
pub(super) fn text(text: &str) -> String {
    let signs = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.starts_with(signs) { format!("'{text}") } else { text.to_owned() }
}

/// Prints rows of fields.
pub(super) fn write(rows: &[Vec<String>]) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("writing to memory does not fail");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("fields are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Column, Table, Value};

    #[test]
    fn text_is_never_a_formula_and_numbers_stay_numbers() {
        let mut table = Table::new("t", "T", vec![Column::left("=head"), Column::right("gain")]);
        table.push(vec![Cell::text("=cmd|'/c calc'!A1"), Cell::new(Value::Signed(-0.5, 2))]);
        table.push(vec![Cell::text("a=b, \"c\""), Cell::new(Value::Absent)]);
        assert_eq!(table.to_csv(), "'=head,gain\n'=cmd|'/c calc'!A1,-0.5\n\"a=b, \"\"c\"\"\",\n");
    }
}
