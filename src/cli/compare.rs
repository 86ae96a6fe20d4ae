//! `tutelage compare`: paired tests of two files of values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tutelage_metrics::ngram::bleu;
use tutelage_reports::compare::{Comparison, Independent, Item, Level, compare};
use tutelage_reports::number;
use tutelage_reports::statistics::Resampling;

use super::Verdict;
use super::output::{Output, columns};
use super::score::UnitName;
use super::table::{self, Row, listed};

/// Compares two files of per-example values with paired tests and effect sizes.
#[derive(Debug, Args)]
#[command(after_help = "\
Rows are {\"id\", \"metric\", \"value\"}, as `tutelage score --per-example` writes them; they are
paired by id. Ids that one file lacks are left out and told; where they are more than half, that is
an error. The difference is A minus B in the metric's own unit.

BLEU and chrF are scores of a corpus: they are compared as such from the rows' \"counts\" (`level`:
corpus). Without counts the means of sentence scores are compared, another statistic than `tutelage
score` prints, and called so: sentence-bleu.

Rows may have a \"group\", such as a document: then n counts questions, but groups are what is
flipped, resampled and ranked (`unit`, `units`): questions of one group are not independent.

All p values are two-sided and not adjusted for the number of tests: choose one test beforehand.
  permutation          the difference, by flipping signs; the 95 % interval is of this test (without
                       limits where there are fewer than six units)
  bootstrap            the difference, by resampling; too small with few units
  wilcoxon, sign       ranks and signs of the differences
  paired-t             their mean, if they are about normal
  mcnemar              where every value is 0 or 1 and every question a unit
and for scores of a corpus, where permutation flips jackknife values of the units:
  randomisation        the difference, by swapping sides (as sacrebleu's --paired-ar)
  sacrebleu-bootstrap  p as sacrebleu's --paired-bs has it: one tail only, about half of bootstrap
Effects: d-z is the mean in standard deviations of the differences; cliffs-delta (-1 to 1) and a12
(0 to 1, 0.5 is none) say how often a value of A exceeds one of B.

Examples:
  tutelage score --predictions dskd.jsonl --metrics rouge-l --per-example a.jsonl
  tutelage score --predictions kd.jsonl --metrics rouge-l --per-example b.jsonl
  tutelage compare a.jsonl b.jsonl --metric rouge-l")]
pub struct Compare {
    /// Values of the first side: JSON lines or a JSON list, gzipped or not; `-` is stdin.
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Values of the second side.
    #[arg(value_name = "B")]
    b: PathBuf,
    /// The metric to compare, as the rows name it.
    #[arg(long, value_name = "NAME")]
    metric: String,
    /// What counts as independent: groups where rows have them, or questions all the same.
    #[arg(long, value_enum, default_value_t = UnitName::Group)]
    unit: UnitName,
}

/// What a comparison prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// What the values are; none where rows do not say.
    signature: Option<&'a str>,
}

/// The values of one file.
struct Values {
    items: Vec<Item>,
    signature: Option<String>,
    /// What to tell where no rows have groups.
    unread_groups: Option<String>,
}

impl Compare {
    /// Compares the files.
    ///
    /// # Errors
    /// Files that cannot be read or do not hold the metric, values of different signatures, and whatever
    /// [`compare`] refuses.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let stdin = Path::new(table::STDIN);
        if self.a == stdin && self.b == stdin {
            bail!("A and B are both `-`, and there is one standard input");
        }
        let (a, b) = (self.values(&self.a)?, self.values(&self.b)?);
        let independent = match self.unit {
            UnitName::Group => Independent::Groups,
            UnitName::Question => Independent::Items,
        };
        let mut comparison = compare(&self.metric, &a.items, &b.items, independent, Resampling::default())?;
        let signature = self.signature(a.signature, b.signature, &mut comparison.notes)?;
        let signature = match comparison.level {
            Level::Corpus => signature.map(|signature| bleu::corpus_signature(&signature)),
            Level::Example => signature,
        };
        if self.unit == UnitName::Group && comparison.unit != "group" {
            comparison.notes.extend([a.unread_groups, b.unread_groups].into_iter().flatten());
        }
        for note in &comparison.notes {
            output.warn(&format!("note: {note}"));
        }
        let shown = Shown { comparison: &comparison, signature: signature.as_deref() };
        output.result(&shown, || text(&shown))?;
        Ok(Verdict::Good)
    }

    fn values(&self, path: &Path) -> anyhow::Result<Values> {
        let file = table::name(path);
        let rows = table::read(path)?;
        let (mut items, mut metrics, mut signatures) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut seen: BTreeMap<String, Row> = BTreeMap::new();
        for row in rows {
            let missing = |field: &str| {
                if row.has(field) {
                    return row.fault(format!("expected a value for `{field}`, found null"));
                }
                let hint = "rows are {\"id\", \"metric\", \"value\"}, as `tutelage score --per-example` writes them";
                row.fault(format!("no `{field}`, found {}\nhint: {hint}", listed(row.names())))
            };
            let metric = row.text("metric")?.ok_or_else(|| missing("metric"))?;
            metrics.insert(metric.clone());
            if metric != self.metric {
                continue;
            }
            let id = row.identifier("id")?.ok_or_else(|| missing("id"))?;
            let value = row.number("value")?.ok_or_else(|| missing("value"))?;
            signatures.extend(row.text("signature")?);
            let item = Item { id, value, group: row.identifier("group")?, counts: row.numbers("counts")? };
            if let Some(first) = seen.get(&item.id) {
                return Err(row.fault(format!("id `{}` occurs before, in {}", item.id, first.place())));
            }
            seen.insert(item.id.clone(), row);
            items.push(item);
        }
        if items.is_empty() {
            let found: Vec<String> = metrics.into_iter().collect();
            bail!("{file} has no values of `{}`; it has: {}", self.metric, found.join(", "));
        }
        if signatures.len() > 1 {
            bail!("{file} has values of several signatures: {}", listed(signatures.iter().map(String::as_str)));
        }
        let unread_groups = table::unread_groups(seen.values(), &[], &file);
        Ok(Values { items, signature: signatures.into_iter().next(), unread_groups })
    }

    /// Makes sure that the two sides hold the same metric: whatever can change a value must be equal.
    fn signature(
        &self,
        a: Option<String>,
        b: Option<String>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Option<String>> {
        let (Some(first), Some(second)) = (&a, &b) else { return Ok(a.or(b)) };
        if first == second {
            return Ok(a);
        }
        // The number of references goes by the rows, of which some may be left out; a later version
        // of this program need not have changed the metric.
        let essential = |signature: &str| -> Vec<String> {
            let is_essential = |part: &&str| !part.starts_with("nrefs:") && !part.starts_with("version:");
            signature.split('|').filter(is_essential).map(str::to_owned).collect()
        };
        if essential(first) != essential(second) {
            bail!(
                "the values of `{}` were computed in two ways: `{first}` and `{second}`\nhint: score both sides with the same settings",
                self.metric
            );
        }
        notes.push(format!("the two sides are signed differently: `{first}` and `{second}`"));
        Ok(a)
    }
}

fn text(shown: &Shown<'_>) -> String {
    let Comparison { metric, unit, units, n, mean_a, mean_b, difference, ci, level, .. } = shown.comparison;
    let digits = number::decimals([*mean_a, *mean_b], [*ci]).max(4);
    let name = match level {
        Level::Corpus => "corpus score",
        Level::Example => "mean",
    };
    let over = if *unit == "group" { format!(" in {units} groups") } else { String::new() };
    let mut text = format!(
        "{metric}   n {n}{over}   {name} {} and {}   difference {} (95 % interval {} to {})\n",
        number::fixed(*mean_a, digits),
        number::fixed(*mean_b, digits),
        number::signed(*difference, digits),
        number::signed(ci.low, digits),
        number::signed(ci.high, digits)
    );
    if let Some(signature) = shown.signature {
        text += &format!("{signature}\n");
    }
    let mut rows = vec![["test", "statistic", "p"].map(str::to_owned)];
    for test in &shown.comparison.tests {
        rows.push([test.test.to_owned(), number::fixed(test.statistic, 4), number::p_value(test.p)]);
    }
    text.push('\n');
    text += &columns(&rows);
    if shown.comparison.effects.is_empty() {
        return text;
    }
    let mut rows = vec![["effect", "value", "95 % interval"].map(str::to_owned)];
    for effect in &shown.comparison.effects {
        let interval = format!("{} to {}", number::fixed(effect.ci.low, 4), number::fixed(effect.ci.high, 4));
        rows.push([effect.effect.to_owned(), number::fixed(effect.value, 4), interval]);
    }
    text.push('\n');
    text + &columns(&rows)
}
