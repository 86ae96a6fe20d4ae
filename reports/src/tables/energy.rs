//! What the run consumed.

use super::{Cell, Column, Table, Value};
use crate::energy::{Account, Amount, JOULES_PER_WATT_HOUR};
use crate::number;
use crate::study::Role;

/// Mark of an amount that part of the stages are missing from.
const PARTIAL: &str = "*";

/// Why references look cheap.
const REFERENCES: &str = "References: answering only; their training is charged to the arms.";

/// Tabulates the account by kind of stage and component; no rows where no stage is accounted for.
pub fn by_stage(account: &Account) -> Table {
    let mut columns = vec![Column::left("Stage"), Column::right("Runs"), Column::right("Time")];
    columns.extend(account.components.iter().map(|component| Column::right(format!("{component} (Wh)"))));
    columns.push(Column::right("Total (Wh)"));
    let totals = || account.stages.iter().map(|stage| &stage.total).chain([&account.total]);
    let known = Known::columns(totals(), &mut columns);
    let mut table = Table::new(
        "energy-by-stage",
        "Energy by kind of stage; every stage is counted once, however many arms share it.",
        columns,
    );
    if account.stages.is_empty() {
        return table;
    }
    for stage in &account.stages {
        let mut cells = vec![
            Cell::text(&stage.stage),
            Cell::number(Some(stage.count as f64), 0),
            Cell::text(number::duration(stage.seconds)),
        ];
        for component in &account.components {
            cells.push(of_component(stage.components.get(component)));
        }
        cells.push(watt_hours(Some(&stage.total)));
        known.push(&mut cells, &stage.total);
        table.push(cells);
    }
    let mut cells = vec![
        Cell::text("all"),
        Cell::number(Some(account.stages.iter().map(|s| s.count).sum::<usize>() as f64), 0),
        Cell::text(number::duration(account.seconds)),
    ];
    for component in &account.components {
        let mut sum = Amount::default();
        account.stages.iter().filter_map(|s| s.components.get(component)).for_each(|amount| sum.merge(amount));
        cells.push(of_component(Some(&sum)));
    }
    cells.push(watt_hours(Some(&account.total)));
    known.push(&mut cells, &account.total);
    table.push(cells);
    if let Some(row) = table.rows.last_mut() {
        row.divided = true;
    }
    if table.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.mark == PARTIAL) {
        table.notes.push(format!("{PARTIAL} Without the stages for which it was unavailable."));
    }
    for (component, methods) in &account.methods {
        let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
        table.notes.push(format!("{component}: {}.", methods.join("; ")));
    }
    table.notes.extend(account.precision());
    table.notes.push("A dash is no zero: it says that no value was available.".to_owned());
    table
}

/// Tabulates the account by arm, the cost of shared stages divided between the arms that use them.
pub fn by_arm(account: &Account) -> Table {
    let kinds: Vec<&str> = account.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let mut columns = vec![Column::left("Arm")];
    columns.extend(kinds.iter().map(|kind| Column::right(format!("{kind} (Wh)"))));
    columns.extend([Column::right("Total (Wh)"), Column::right("Time")]);
    let totals = || account.arms.iter().map(|arm| &arm.total);
    let known = Known::columns(totals(), &mut columns);
    let mut table = Table::new(
        "energy-by-arm",
        "Energy by arm, over all seeds; a stage shared by several arms is divided equally between them.",
        columns,
    );
    let mut previous = None;
    for arm in &account.arms {
        let mut cells = vec![Cell::text(format!("{}{}", arm.arm, arm.outcome.remark()))];
        cells.extend(kinds.iter().map(|kind| watt_hours(arm.stages.get(*kind))));
        cells.push(watt_hours(Some(&arm.total)));
        cells.push(Cell::text(number::duration(arm.seconds)));
        known.push(&mut cells, &arm.total);
        table.push(cells);
        if let Some(row) = table.rows.last_mut() {
            row.divided = previous.is_some_and(|before| before != arm.role);
        }
        previous = Some(arm.role);
    }
    if previous == Some(Role::Reference) {
        table.notes.push(REFERENCES.to_owned());
    }
    table.notes.push("A dash: no such stage is charged to the arm, or no value was available.".to_owned());
    table
}

/// The columns that end both tables: how the totals are known.
struct Known {
    /// Whether some total is partly measured and partly estimated.
    mixed: bool,
}

impl Known {
    /// Adds the heads that these totals need.
    fn columns<'a>(totals: impl Iterator<Item = &'a Amount>, columns: &mut Vec<Column>) -> Self {
        let mut shares = totals.filter_map(Amount::estimated_share);
        let mixed = shares.any(|share| share > 0.0 && share < 1.0);
        if mixed {
            columns.push(Column::right("Estimated (%)"));
        }
        columns.push(Column::legend("State"));
        Self { mixed }
    }

    /// Adds the cells of a total.
    fn push(&self, cells: &mut Vec<Cell>, total: &Amount) {
        if self.mixed {
            cells.push(Cell::number(total.estimated_share().map(|share| 100.0 * share), 0));
            cells.push(Cell::text(total.state_without_share()));
        } else {
            cells.push(Cell::text(total.state()));
        }
    }
}

/// An amount with the digits that its method can tell.
fn watt_hours(amount: Option<&Amount>) -> Cell {
    let known = amount.and_then(|amount| Some((amount, amount.joules()?)));
    Cell::new(known.map_or(Value::Absent, |(amount, joules)| {
        Value::Approximate(joules / JOULES_PER_WATT_HOUR, amount.digits(), amount.is_estimate())
    }))
}

/// The cell of one component, marked where only part of the stages could tell.
fn of_component(amount: Option<&Amount>) -> Cell {
    let partial = amount.is_some_and(|amount| amount.joules().is_some() && !amount.unavailable.is_empty());
    Cell { mark: if partial { PARTIAL } else { "" }, ..watt_hours(amount) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::account;
    use crate::study::Study;
    use crate::study::tests::{arm, empty, energy};

    fn study(rows: &[(&str, &str, Option<f64>)]) -> Study {
        let rows = rows.iter().enumerate();
        let energy =
            rows.map(|(key, (component, state, joules))| energy(&key.to_string(), "a", component, state, *joules));
        Study { energy: energy.collect(), arms: vec![arm("a", Role::Cell)], ..empty() }
    }

    fn shown(table: &Table, row: usize) -> Vec<String> {
        let cells = table.rows[row].cells.iter();
        cells.map(|cell| format!("{}{}", cell.value.shown(), cell.mark)).collect()
    }

    #[test]
    fn a_component_that_one_stage_could_not_read_is_marked() {
        let account = account(&study(&[
            ("cpu", "estimated", Some(3600.0)),
            ("gpu", "measured", Some(7200.0)),
            ("gpu", "unavailable", None),
        ]));
        let table = by_stage(&account);
        let wanted = ["sft", "3", "3.0 s", "~1.0", "2.00*", "~3.0", "33", "measured and estimated; gpu unavailable"];
        assert_eq!(shown(&table, 0), wanted);
        assert!(table.notes.iter().any(|note| note.starts_with("* Without")), "{:?}", table.notes);
    }

    #[test]
    fn nothing_read_is_no_zero_and_a_zero_read_is_known() {
        let unread = account(&study(&[("cpu", "unavailable", None)]));
        assert_eq!(shown(&by_arm(&unread), 0), ["a", "\u{2013}", "\u{2013}", "1.0 s", "cpu unavailable"]);
        let idle = account(&study(&[("cpu", "estimated", Some(0.0)), ("gpu", "unavailable", None)]));
        assert_eq!(shown(&by_arm(&idle), 0)[1..], ["~0", "~0", "2.0 s", "estimated; gpu unavailable"]);
        assert!(by_stage(&account(&study(&[]))).rows.is_empty());
    }

    #[test]
    fn references_are_told_apart_and_explained() {
        let mut study = study(&[("cpu", "measured", Some(7200.0))]);
        study.arms.push(arm("teacher", Role::Reference));
        study.energy.push(energy("answers", "teacher", "cpu", "measured", Some(360.0)));
        let table = by_arm(&account(&study));
        assert_eq!(shown(&table, 1)[..3], ["teacher", "0.100", "0.100"]);
        assert!(table.rows[1].divided && table.notes.contains(&REFERENCES.to_owned()), "{:?}", table.notes);
        study.arms.pop();
        assert!(!by_arm(&account(&study)).notes.contains(&REFERENCES.to_owned()));
    }

    #[test]
    fn what_is_small_is_no_zero() {
        let account =
            account(&study(&[("cpu", "measured", Some(7200.0)), ("dram", "measured", Some(3600.0 / 16384.0))]));
        assert_eq!(shown(&by_stage(&account), 0)[3..], ["2.00", "0.0000610", "2.00", "measured"]);
        assert!(by_stage(&account).to_csv().contains(",0.00006103515625,"));
    }
}
