//! The records themselves.

use super::csv::text;
use crate::record::Record;

/// Prints every record as a row of CSV; several counts are separated by spaces. Sets and strata have columns where
/// any record has them.
pub fn records_csv(records: &[Record]) -> String {
    let has_sets = records.iter().any(|record| record.set.is_some());
    let has_strata = records.iter().any(|record| record.stratum.is_some());
    let shown = |head: &&str| (*head != "set" || has_sets) && (*head != "stratum" || has_strata);
    let head = ["arm", "seed", "set", "example", "group", "stratum", "metric", "value", "unit", "direction", "counts"];
    let mut rows: Vec<Vec<String>> = vec![head.into_iter().filter(shown).map(str::to_owned).collect()];
    for record in records {
        let counts: Vec<String> = record.counts.iter().map(f64::to_string).collect();
        let optional = |shown: bool, name: &Option<String>| shown.then(|| text(name.as_deref().unwrap_or_default()));
        let mut row = vec![text(&record.arm), record.seed.to_string()];
        row.extend(optional(has_sets, &record.set));
        row.extend([text(&record.example), text(&record.group)]);
        row.extend(optional(has_strata, &record.stratum));
        row.extend([
            text(&record.metric),
            record.value.to_string(),
            text(&record.unit),
            record.direction.label().to_owned(),
            counts.join(" "),
        ]);
        rows.push(row);
    }
    super::csv::write(&rows)
}
