//! `tutelage compare`: paired tests of two files of values.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Deserialize;
use tutelage_reports::compare::{Comparison, compare};
use tutelage_reports::statistics::Resampling;

use super::Verdict;
use super::output::{Output, columns};
use super::score::Id;
use crate::orchestrate::rows;

/// Compares two files of per-example values with paired tests and effect sizes.
#[derive(Debug, Args)]
#[command(after_help = "\
Rows are {\"id\", \"metric\", \"value\"}, as `tutelage score --per-example` writes them; they are
paired by id, and ids that one file lacks are left out and counted. The difference is A's mean minus
B's, in the metric's own unit, with a 95 % bootstrap interval over examples.

All p values are two-sided and not adjusted for the number of tests: choose one test beforehand.
  wilcoxon, sign       ranks and signs of the differences
  paired-t             their mean, if they are about normal
  permutation          their mean, by flipping signs
  bootstrap            their mean, by resampling (as sacrebleu's --paired-bs)
  mcnemar              where every value is 0 or 1
Effects: d-z is the mean in standard deviations of the differences; cliffs-delta (-1 to 1) and a12
(0 to 1, 0.5 is none) say how often a value of A exceeds one of B.

Examples:
  tutelage score --predictions dskd.jsonl --metrics rouge-l --per-example a.jsonl
  tutelage score --predictions kd.jsonl --metrics rouge-l --per-example b.jsonl
  tutelage compare a.jsonl b.jsonl --metric rouge-l")]
pub struct Compare {
    /// Values of the first side (JSON lines).
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Values of the second side (JSON lines).
    #[arg(value_name = "B")]
    b: PathBuf,
    /// The metric to compare, as the rows name it.
    #[arg(long, value_name = "NAME")]
    metric: String,
}

#[derive(Debug, Deserialize)]
struct Value {
    id: Id,
    metric: String,
    value: f64,
}

impl Compare {
    /// Compares the files.
    ///
    /// # Errors
    /// Files that cannot be read or do not hold the metric, fewer than two shared ids.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let (a, b) = (self.values(&self.a)?, self.values(&self.b)?);
        let comparison = compare(&a, &b, Resampling::default())?;
        if comparison.unpaired > 0 {
            output.warn(&format!("note: {} ids are in one file only and left out", comparison.unpaired));
        }
        output.result(&comparison, || text(&comparison))?;
        Ok(Verdict::Good)
    }

    fn values(&self, path: &Path) -> anyhow::Result<Vec<(String, f64)>> {
        let rows: Vec<Value> = rows::read(path)?;
        let mut found: Vec<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
        found.sort_unstable();
        found.dedup();
        if !found.contains(&self.metric.as_str()) {
            let (path, found) = (path.display(), found.join(", "));
            bail!("`{path}` has no values of `{}`; it has: {found}", self.metric);
        }
        let chosen = rows.into_iter().filter(|row| row.metric == self.metric);
        Ok(chosen.map(|row| (row.id.0, row.value)).collect())
    }
}

fn text(comparison: &Comparison) -> String {
    let mut text = format!(
        "n {}   mean {:.4} and {:.4}   difference {:+.4} (95 % interval {:+.4} to {:+.4})\n\n",
        comparison.n,
        comparison.mean_a,
        comparison.mean_b,
        comparison.difference,
        comparison.ci.low,
        comparison.ci.high
    );
    let mut rows = vec![["test", "statistic", "p"].map(str::to_owned)];
    for test in &comparison.tests {
        rows.push([test.test.to_owned(), format!("{:.4}", test.statistic), format!("{:.4}", test.p)]);
    }
    text += &columns(&rows);
    let mut rows = vec![["effect", "value", "95 % interval"].map(str::to_owned)];
    for effect in &comparison.effects {
        let interval = format!("{:.4} to {:.4}", effect.ci.low, effect.ci.high);
        rows.push([effect.effect.to_owned(), format!("{:.4}", effect.value), interval]);
    }
    text.push('\n');
    text + &columns(&rows)
}
