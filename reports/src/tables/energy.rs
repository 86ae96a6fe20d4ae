//! What the run consumed.

use super::{Cell, Column, Table, Value};
use crate::energy::{Account, Amount, JOULES_PER_WATT_HOUR};
use crate::number;

/// Tabulates the account by kind of stage and component.
pub fn by_stage(account: &Account) -> Table {
    let mut columns = vec![Column::left("Stage"), Column::right("Runs"), Column::right("Time")];
    for component in &account.components {
        columns.push(Column::right(format!("{component} (Wh)")));
    }
    columns.push(Column::right("Total (Wh)"));
    columns.push(Column::left("State"));
    let mut table = Table::new(
        "energy-by-stage",
        "Energy by kind of stage; every stage is counted once, however many arms share it.",
        columns,
    );
    for stage in &account.stages {
        let mut cells = vec![
            Cell::text(&stage.stage),
            Cell::number(Some(stage.count as f64), 0),
            Cell::text(number::duration(stage.seconds)),
        ];
        for component in &account.components {
            cells.push(watt_hours(stage.components.get(component)));
        }
        cells.push(watt_hours(Some(&stage.total)));
        cells.push(Cell::text(stage.total.state()));
        table.push(cells);
    }
    let mut cells = vec![
        Cell::text("all"),
        Cell::number(Some(account.stages.iter().map(|s| s.count).sum::<usize>() as f64), 0),
        Cell::text(number::duration(account.seconds)),
    ];
    for component in &account.components {
        let mut sum = Amount::default();
        for amount in account.stages.iter().filter_map(|s| s.components.get(component)) {
            sum.measured += amount.measured;
            sum.estimated += amount.estimated;
            sum.unavailable.extend(amount.unavailable.iter().cloned());
        }
        cells.push(watt_hours(Some(&sum)));
    }
    cells.push(watt_hours(Some(&account.total)));
    cells.push(Cell::text(account.total.state()));
    table.push(cells);
    if let Some(row) = table.rows.last_mut() {
        row.divided = true;
    }
    for (component, methods) in &account.methods {
        let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
        table.notes.push(format!("{component}: {}.", methods.join("; ")));
    }
    table.notes.push("A dash is no zero: it says that no value was available.".to_owned());
    table
}

/// Tabulates the account by arm, the cost of shared stages divided between the arms that use them.
pub fn by_arm(account: &Account) -> Table {
    let kinds: Vec<&str> = account.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let mut columns = vec![Column::left("Arm")];
    columns.extend(kinds.iter().map(|kind| Column::right(format!("{kind} (Wh)"))));
    columns.push(Column::right("Total (Wh)"));
    columns.push(Column::right("Time"));
    columns.push(Column::left("State"));
    let mut table = Table::new(
        "energy-by-arm",
        "Energy by arm, over all seeds; a stage shared by several arms is divided equally between them.",
        columns,
    );
    for arm in &account.arms {
        let mut cells = vec![Cell::text(&arm.arm)];
        cells.extend(kinds.iter().map(|kind| watt_hours(arm.stages.get(*kind))));
        cells.push(watt_hours(Some(&arm.total)));
        cells.push(Cell::text(number::duration(arm.seconds)));
        cells.push(Cell::text(arm.total.state()));
        table.push(cells);
    }
    table
}

fn watt_hours(amount: Option<&Amount>) -> Cell {
    let joules = amount.and_then(Amount::joules);
    Cell::new(joules.map_or(Value::Absent, |joules| Value::Number(joules / JOULES_PER_WATT_HOUR, 3)))
}
