//! The records themselves.

use super::csv::text;
use crate::record::Record;

/// Prints every record as a row of CSV; several counts are separated by spaces.
pub fn records_csv(records: &[Record]) -> String {
    let head = ["arm", "seed", "example", "group", "metric", "value", "unit", "direction", "counts"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for record in records {
        let counts: Vec<String> = record.counts.iter().map(f64::to_string).collect();
        rows.push(vec![
            text(&record.arm),
            record.seed.to_string(),
            text(&record.example),
            text(&record.group),
            text(&record.metric),
            record.value.to_string(),
            text(&record.unit),
            record.direction.label().to_owned(),
            counts.join(" "),
        ]);
    }
    super::csv::write(&rows)
}
