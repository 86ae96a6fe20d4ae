//! Predictions and references as people have them, joined by id.
//!
//! Nothing is passed over in silence: what is not used, guessed or missing becomes a note or an error.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use tutelage_metrics::score;

use super::table::{self, Row, listed};
use crate::data::names::{self, ANSWER, ANSWERS, GROUP, ID, PREDICTION};

/// Which files hold predictions and references, and which of their fields.
#[derive(Debug, Args)]
pub struct Sources {
    /// Rows with predictions: JSON lines or a JSON list, gzipped or not; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// Rows with references, joined by id to the predictions.
    #[arg(long, value_name = "FILE")]
    pub references: Option<PathBuf>,
    /// Field with the prediction; `prediction` by default, else output, generated_text, response,
    /// predict or completion.
    #[arg(long, value_name = "NAME")]
    pub prediction_field: Option<String>,
    /// Field with the right answer or a list of them; `reference` or `references` by default, else
    /// target, label, gold, solution, targets or labels, and in `--references` answer or answers.
    #[arg(long, value_name = "NAME")]
    pub reference_field: Option<String>,
    /// Field with the id.
    #[arg(long, value_name = "NAME", default_value = "id")]
    pub id_field: String,
    /// What a reference without a prediction means.
    #[arg(long, value_enum, default_value_t = Missing::Refuse)]
    pub missing: Missing,
}

/// What a reference without a prediction means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Missing {
    /// An error that names them.
    Refuse,
    /// A wrong answer.
    Wrong,
}

/// Which of the two files is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Predictions,
    References,
}

impl Side {
    /// Names that the field with the right answer has besides `reference` and `references`: those that
    /// cannot mean the prediction.
    fn references(self) -> Vec<&'static str> {
        let named = match self {
            Self::Predictions => &[][..],
            // Beside a prediction, `answer` may be either.
            Self::References => &[ANSWER, ANSWERS],
        };
        let known = [ANSWER, ANSWERS].into_iter().flat_map(names::of);
        let other = known.filter(|name| !names::meanings(name).contains(&PREDICTION) && !REFERENCES.contains(name));
        other.chain(named.iter().copied()).collect()
    }
}

/// The fields that hold right answers by themselves.
const REFERENCES: [&str; 2] = ["reference", "references"];

/// Rows to score and what must be told about them.
pub(super) struct Joined {
    pub(super) rows: Vec<score::Row>,
    /// How many of the rows have no prediction.
    pub(super) missing: usize,
    pub(super) notes: Vec<String>,
    /// What to tell where groups are to count and some rows have none.
    pub(super) unread_groups: Vec<String>,
}

/// What a row says of an example.
struct Known<'a> {
    row: &'a Row,
    id: String,
    references: Option<Vec<String>>,
    group: Option<String>,
}

impl Sources {
    /// Reads the files and joins them.
    ///
    /// # Errors
    /// Files that cannot be read, fields that are missing, of another type or ambiguous, ids that occur
    /// twice, predictions without a reference, and references without a prediction if refused.
    pub(super) fn join(&self) -> anyhow::Result<Joined> {
        let mut notes = Vec::new();
        let stdin = Path::new(table::STDIN);
        if self.predictions == stdin && self.references.as_deref() == Some(stdin) {
            bail!("`--predictions` and `--references` are both `-`, and there is one standard input");
        }
        let predicted = table::read(&self.predictions)?;
        let expected = self.references.as_deref().map(table::read).transpose()?.unwrap_or_default();
        let field = self.prediction_field(&predicted, &mut notes)?;
        let predictions = self.known(&predicted, &self.predictions, Side::Predictions, &mut notes)?;
        let references = match &self.references {
            Some(path) => self.known(&expected, path, Side::References, &mut notes)?,
            None => Vec::new(),
        };
        if let Some(row) = references.iter().find(|known| known.references.is_none()) {
            let fields = listed(row.row.names());
            return Err(row.row.fault(format!(
                "no `reference` or `references`, found {fields}\nhint: name the field with `--reference-field`"
            )));
        }

        let mut unused: BTreeMap<&str, &Known<'_>> =
            references.iter().map(|known| (known.id.as_str(), known)).collect();
        let (mut rows, mut alone, mut without) = (Vec::with_capacity(predictions.len()), Vec::new(), Vec::new());
        for known in &predictions {
            let other = unused.remove(known.id.as_str());
            let prediction = known.row.text(&field)?;
            let references = match (&known.references, other) {
                (Some(own), Some(other)) if other.references.as_ref() != Some(own) => {
                    return Err(known.row.fault(format!(
                        "id `{}` has another reference in {}\nhint: leave one of them out",
                        known.id,
                        other.row.place()
                    )));
                }
                (Some(own), other) => {
                    if other.is_none() {
                        alone.push(known.id.as_str());
                    }
                    own.clone()
                }
                (None, other) => match other.and_then(|other| other.references.clone()) {
                    Some(references) => references,
                    None => {
                        without.push(known.id.as_str());
                        continue;
                    }
                },
            };
            rows.push(joined(known, other, prediction, references)?);
        }
        let all = predictions.len();
        if !without.is_empty() {
            bail!(
                "{} of {all} predictions in {} have no reference: {}\nhint: give each row `reference` or `references`, name the field with `--reference-field`, or give a row with its id in `--references`",
                without.len(),
                table::name(&self.predictions),
                listed(without.iter().copied())
            );
        }
        if let Some(path) = self.references.as_deref().filter(|_| !alone.is_empty()) {
            let (count, file, names) = (alone.len(), table::name(path), listed(alone.iter().copied()));
            notes.push(format!("{count} of {all} predictions are not in {file} and have their own reference: {names}"));
        }
        // In the order of their file, after the predictions.
        let absent = references.iter().filter(|known| unused.contains_key(known.id.as_str()));
        for known in absent {
            rows.push(joined(known, None, None, known.references.clone().unwrap_or_default())?);
        }
        let mut unread_groups = Vec::new();
        if rows.iter().any(|row| row.group.is_none()) {
            let files = [(&predicted, Some(&self.predictions)), (&expected, self.references.as_ref())];
            let read: Vec<&str> =
                [&self.id_field, &field].into_iter().chain(&self.reference_field).map(String::as_str).collect();
            for (rows, path) in files.into_iter().filter_map(|(rows, path)| Some((rows, path?))) {
                unread_groups.extend(table::unread_groups(rows, &read, &table::name(path)));
            }
        }
        let missing: Vec<&str> =
            rows.iter().filter(|row| row.prediction.is_none()).map(|row| row.id.as_str()).collect();
        let (count, names) = (missing.len(), listed(missing.iter().copied()));
        if count > 0 {
            let told = format!("{count} of {} references have no prediction", rows.len());
            match self.missing {
                Missing::Refuse => bail!(
                    "{told}: {names}\nhint: `--missing wrong` counts them as wrong; else predict them, or leave their references out"
                ),
                Missing::Wrong => notes.push(format!("{told} and count as wrong: {names}")),
            }
        }
        Ok(Joined { missing: count, rows, notes, unread_groups })
    }

    /// Decides which field holds the prediction.
    fn prediction_field(&self, rows: &[Row], notes: &mut Vec<String>) -> anyhow::Result<String> {
        let file = table::name(&self.predictions);
        let flag = "--prediction-field";
        if let Some(field) = &self.prediction_field {
            expect(rows, field, flag, &file)?;
            return Ok(field.clone());
        }
        if has(rows, PREDICTION) {
            return Ok(PREDICTION.to_owned());
        }
        match one_of(rows, &names::of(PREDICTION).collect::<Vec<_>>(), flag, &file)? {
            Some(field) => {
                notes.push(format!("`{field}` of {file} is read as the prediction"));
                Ok(field.to_owned())
            }
            None => bail!(
                "no `prediction` in {file}, found {}\nhint: name the field with `{flag}`",
                rows.first().map(|row| listed(row.names())).unwrap_or_default()
            ),
        }
    }

    /// Reads id, references and group of each row.
    fn known<'a>(
        &self,
        rows: &'a [Row],
        path: &Path,
        side: Side,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Known<'a>>> {
        let file = table::name(path);
        let ids = self.ids(rows, &file, notes)?;
        let flag = "--reference-field";
        let alias = match &self.reference_field {
            // The predictions need no reference of their own where the other file has them.
            Some(field) if has(rows, field) || side == Side::References || self.references.is_none() => {
                expect(rows, field, flag, &file)?;
                Some(field.as_str())
            }
            Some(_) => None,
            None if REFERENCES.iter().any(|field| has(rows, field)) => None,
            None => {
                let found = one_of(rows, &side.references(), flag, &file)?;
                notes.extend(found.map(|field| format!("`{field}` of {file} is read as the reference")));
                found
            }
        };
        let read = |(row, id): (&'a Row, String)| {
            let references = match alias {
                Some(field) => row.texts(field)?,
                None => match (row.texts(REFERENCES[0])?, row.texts(REFERENCES[1])?) {
                    (Some(_), Some(_)) => {
                        return Err(row.fault("both `reference` and `references`\nhint: keep the one that is right"));
                    }
                    (one, several) => one.or(several),
                },
            };
            Ok(Known { row, id, references, group: row.identifier(GROUP)? })
        };
        rows.iter().zip(ids).map(read).collect()
    }

    /// Returns the id of each row: as written, or its number where no row has any.
    fn ids(&self, rows: &[Row], file: &str, notes: &mut Vec<String>) -> anyhow::Result<Vec<String>> {
        let field = self.id_field.as_str();
        if !has(rows, field) && field == ID {
            if let Some(other) = names::of(ID).find(|name| has(rows, name)) {
                let group = match names::meanings(other).contains(&GROUP) {
                    true => "; if it names what questions share, call it `group`",
                    false => "",
                };
                bail!("no `id` in {file}, but `{other}`\nhint: `--id-field {other}` takes it for the id{group}");
            }
            if self.references.is_some() {
                bail!("no `id` in {file}\nhint: give every row its id, by which predictions and references are joined");
            }
            notes.push(format!("no `id` in {file}: rows are numbered from 1 and so paired by `tutelage compare`"));
            return Ok((1..=rows.len()).map(|number| number.to_string()).collect());
        }
        let mut seen: BTreeMap<String, &Row> = BTreeMap::new();
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(id) = row.identifier(field)? else {
                return Err(row.fault(format!("no `{field}`\nhint: give every row its id, or none")));
            };
            match seen.entry(id.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(row)),
                Entry::Occupied(first) => {
                    return Err(row.fault(format!(
                        "id `{id}` occurs before, in {}\nhint: give every row its own id, and all right answers as its references",
                        first.get().place()
                    )));
                }
            }
            ids.push(id);
        }
        Ok(ids)
    }
}

/// Makes one row of a prediction and what is known of its example.
fn joined(
    known: &Known<'_>,
    other: Option<&Known<'_>>,
    prediction: Option<String>,
    references: Vec<String>,
) -> anyhow::Result<score::Row> {
    let group = match (&known.group, other) {
        (Some(group), Some(Known { group: Some(second), row, .. })) if group != second => {
            let text = format!("group `{group}`, but `{second}` in {}\nhint: correct one of them", row.place());
            return Err(known.row.fault(text));
        }
        (group, other) => group.clone().or_else(|| other?.group.clone()),
    };
    Ok(score::Row { id: known.id.clone(), prediction, references, group, ..score::Row::default() })
}

fn has(rows: &[Row], field: &str) -> bool {
    rows.iter().any(|row| row.has(field))
}

/// Refuses a field asked for that no row has.
fn expect(rows: &[Row], field: &str, flag: &str, file: &str) -> anyhow::Result<()> {
    if !has(rows, field) {
        let found = rows.first().map(|row| listed(row.names())).unwrap_or_default();
        bail!("no `{field}` (`{flag}`) in {file}, found {found}");
    }
    Ok(())
}

/// Finds the one of `names` that rows have; several are ambiguous.
fn one_of(rows: &[Row], names: &[&'static str], flag: &str, file: &str) -> anyhow::Result<Option<&'static str>> {
    let found: Vec<&'static str> = names.iter().copied().filter(|name| has(rows, name)).collect();
    match found[..] {
        [] => Ok(None),
        [name] => Ok(Some(name)),
        _ => bail!("{file} has {}, which are alike in meaning\nhint: choose one with `{flag}`", listed(found)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        sources: Sources,
    }

    #[test]
    fn the_help_names_every_field_that_is_guessed() {
        let help = |flag: &str| {
            let command = Command::command();
            let argument = command.get_arguments().find(|argument| argument.get_id() == flag).unwrap();
            argument.get_help().unwrap().to_string()
        };
        for (flag, names) in [
            ("prediction_field", names::of(PREDICTION).collect()),
            ("reference_field", Side::Predictions.references()),
            ("reference_field", Side::References.references()),
        ] {
            let help = help(flag);
            for name in names {
                assert!(help.split([' ', ',', '.', ';']).any(|word| word == name), "`{name}` is not in: {help}");
            }
        }
    }
}
