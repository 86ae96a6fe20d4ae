//! Columns of long texts that many rows share: said below the table, so that it stays narrow.

use super::{Cell, Table};

/// Moves the texts of every legend column into the notes.
///
/// A text that all rows share is said once, and its column goes. Of several, rows get letters in
/// the order of their first use.
pub(super) fn fold(table: &Table) -> Table {
    let mut folded = table.clone();
    let legends = (0..table.columns.len()).filter(|&column| table.columns[column].legend);
    // From the right, so that removing a column moves none that is still to come.
    for column in legends.rev() {
        let head = &table.columns[column].head;
        let shown: Vec<String> = table.rows.iter().map(|row| row.cells[column].value.shown()).collect();
        let mut texts: Vec<&String> = Vec::new();
        for text in &shown {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [] => {}
            [only] => {
                folded.remove_column(column);
                folded.notes.insert(0, format!("{head} of every row: {only}."));
            }
            several => {
                for (row, text) in folded.rows.iter_mut().zip(&shown) {
                    let position = several.iter().position(|other| *other == text).unwrap_or_default();
                    row.cells[column] = Cell::text(letters(position));
                }
                let meanings: Vec<String> = several
                    .iter()
                    .enumerate()
                    .map(|(position, text)| format!("{}: {text}", letters(position)))
                    .collect();
                folded.notes.insert(0, format!("{head} {}.", meanings.join(" \u{b7} ")));
            }
        }
    }
    folded
}

/// Names a position as the columns of a spreadsheet are named: a to z, aa, ab, ...
fn letters(position: usize) -> String {
    let letter = char::from(b'a' + (position % 26) as u8);
    match position / 26 {
        0 => letter.to_string(),
        more => format!("{}{letter}", letters(more - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Table};
    use super::*;

    fn table(states: &[&str]) -> Table {
        let columns = vec![Column::left("Arm"), Column::legend("State"), Column::right("Time")];
        let mut table = Table::new("t", "T", columns);
        for (index, state) in states.iter().enumerate() {
            table.push(vec![Cell::text(format!("a{index}")), Cell::text(*state), Cell::text("1 s")]);
        }
        table.notes.push("Last.".into());
        table
    }

    #[test]
    fn what_all_rows_share_is_said_once() {
        let folded = fold(&table(&["measured", "measured"]));
        let heads: Vec<&str> = folded.columns.iter().map(|column| column.head.as_str()).collect();
        assert_eq!(heads, ["Arm", "Time"]);
        assert!(folded.rows.iter().all(|row| row.cells.len() == 2));
        assert_eq!(folded.notes, ["State of every row: measured.", "Last."]);
    }

    #[test]
    fn several_texts_get_letters_and_programs_the_whole() {
        let table = table(&["measured", "estimated", "measured"]);
        let folded = fold(&table);
        let states: Vec<String> = folded.rows.iter().map(|row| row.cells[1].value.shown()).collect();
        assert_eq!(states, ["a", "b", "a"]);
        assert_eq!(folded.notes[0], "State a: measured \u{b7} b: estimated.");
        assert!(table.to_csv().contains("a1,estimated,1 s"));
        assert_eq!((letters(25), letters(26), letters(53)), ("z".into(), "aa".into(), "bb".into()));
    }

    #[test]
    fn an_empty_table_stays_as_it_is() {
        assert_eq!(fold(&table(&[])), table(&[]));
    }
}
