//! Tables as CSV (RFC 4180): for programs, so numbers keep their full precision.

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
            rows[0].push(format!("{} low", column.head));
            rows[0].push(format!("{} high", column.head));
        } else {
            rows[0].push(column.head.clone());
        }
    }
    for row in &table.rows {
        let mut fields = Vec::new();
        for (cell, &double) in row.cells.iter().zip(&doubled) {
            match &cell.value {
                Value::Text(text) => fields.push(text.clone()),
                Value::Number(value, _) | Value::Signed(value, _) | Value::P(value) => {
                    fields.push(value.to_string());
                }
                Value::Interval(low, high, _) => fields.extend([low.to_string(), high.to_string()]),
                Value::Absent => fields.extend(vec![String::new(); 1 + usize::from(double)]),
            }
        }
        rows.push(fields);
    }
    write(&rows)
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
