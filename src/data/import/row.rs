//! Rows: what their fields are called, and those that have one question each.

use std::collections::BTreeMap;

use super::source::Node;
use super::{Answer, ImportError, Row, Rows, answers};
use crate::data::SplitName;
use crate::data::names::{self, ANSWER, ANSWERS, GROUP, ID};
use crate::experiment::nearest::nearest;
use crate::experiment::settings::{Data, GroupBy};

const SPLIT: &str = "split";

/// Fields that may hold a list in a cell.
const LISTS: [&str; 4] = [ANSWERS, "messages", "conversations", "options"];

/// Says what the fields of a row are called.
pub(super) struct Fields<'a> {
    /// All that are read, by our names.
    pub(super) read: Vec<&'static str>,
    /// Where the file has them, if not by our names.
    pub(super) columns: BTreeMap<&'static str, &'a [String]>,
    /// Others that are kept.
    pub(super) kept: &'a [String],
    /// What is named by the group.
    pub(super) unit: &'static str,
    /// Whether fields that are not read are told.
    pub(super) tells_others: bool,
    /// Whether a row without an id is named by its number.
    pub(super) numbered: bool,
}

impl<'a> Fields<'a> {
    /// Takes those of the importer, as the settings call them.
    pub(super) fn of(data: &'a Data) -> Self {
        let is_read = |field: &&str| *field != SPLIT || data.split.group_by == GroupBy::Given;
        let read: Vec<&'static str> = data.importer.fields().iter().copied().filter(is_read).collect();
        let column = |&field: &&'static str| Some((field, data.columns.get(field)?.names()));
        Self {
            columns: read.iter().filter_map(column).collect(),
            read,
            kept: &data.fields,
            unit: GROUP,
            tells_others: true,
            numbered: true,
        }
    }

    /// Takes fields that the format fixes.
    pub(super) fn fixed(data: &'a Data, read: &[&'static str], unit: &'static str) -> Self {
        let (read, columns) = (read.to_vec(), BTreeMap::new());
        Self { read, columns, kept: &data.fields, unit, tells_others: false, numbered: false }
    }

    /// Returns what the file calls a field.
    pub(super) fn name<'s>(&'s self, field: &'s str) -> &'s str {
        self.columns.get(field).and_then(|names| names.first()).map_or(field, String::as_str)
    }

    /// Returns all columns that are read.
    fn known(&self) -> Vec<&str> {
        let columns = self.read.iter().filter_map(|field| self.columns.get(field)).copied().flatten();
        let own = self.read.iter().copied().filter(|field| !self.columns.contains_key(field));
        own.chain(columns.chain(self.kept).map(String::as_str)).collect()
    }

    /// Returns the columns in which a cell may hold a list.
    pub(super) fn lists(&self) -> Vec<&str> {
        LISTS.iter().filter(|field| self.read.contains(field)).map(|field| self.name(field)).collect()
    }

    /// Goes to a field if it is one that is read.
    pub(super) fn find<'n>(&self, node: &Node<'n>, field: &'static str) -> Result<Option<Node<'n>>, ImportError> {
        if self.read.contains(&field) { node.optional(self.name(field)) } else { Ok(None) }
    }

    /// Goes to a field, or says that it is missing.
    pub(super) fn get<'n>(&self, node: &Node<'n>, field: &'static str) -> Result<Node<'n>, ImportError> {
        node.field(self.name(field))
    }

    /// Reads the id of a row.
    pub(super) fn id(&self, node: &Node<'_>) -> Result<String, ImportError> {
        match self.find(node, ID)? {
            None if self.numbered => Ok(format!("row-{}", node.row().unwrap_or(0))),
            _ => self.get(node, ID)?.identifier(),
        }
    }

    /// Reads what names the group of a row, if anything does.
    pub(super) fn group(&self, node: &Node<'_>) -> Result<Option<String>, ImportError> {
        self.find(node, GROUP)?.map(|group| group.identifier()).transpose()
    }

    /// Reads the split that a row says it is in, where that counts.
    pub(super) fn split(&self, node: &Node<'_>) -> Result<Option<SplitName>, ImportError> {
        if !self.read.contains(&SPLIT) {
            return Ok(None);
        }
        let split = self.get(node, SPLIT)?;
        let text = split.text()?;
        match text.trim().to_lowercase().as_str() {
            "train" => Ok(Some(SplitName::Train)),
            "dev" | "val" | "validation" => Ok(Some(SplitName::Dev)),
            "test" => Ok(Some(SplitName::Test)),
            _ => Err(split.refused("`train`, `dev` (or `val`, `validation`) or `test`", format!("`{text}`"))),
        }
    }

    /// Reads the further fields that are kept, each from the first of `nodes` that has it.
    pub(super) fn kept(&self, nodes: &[&Node<'_>]) -> Result<BTreeMap<String, String>, ImportError> {
        let read = |name: &'a String| {
            for node in nodes {
                if let Some(field) = node.optional(name)? {
                    return Ok((name.clone(), field.scalar()?));
                }
            }
            // An empty cell is as little a value as none.
            Err(ImportError::Missing { place: nodes[0].inside(name) })
        };
        self.kept.iter().map(read).collect()
    }
}

/// The groups of each context, each with the first row that names it; more than one only where rows
/// name them.
type Claims<'a> = BTreeMap<&'a str, Vec<(String, usize)>>;

/// Takes rows.
///
/// A row without a group is in that of the rows with its context: the one that any of them names, else
/// one named by the first. A row without both (a blank context is none) is a group of its own. A field
/// that is not read is told, or, where it may be one that the row lacks, an error.
pub(super) fn read<'a>(nodes: &[Node<'a>], fields: &Fields<'_>, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    // A group may be named by a later row than the first with its context.
    let mut claims = Claims::new();
    let (mut named, mut shown) = (false, false);
    for node in nodes {
        others(node, fields, rows)?;
        let (passage, group) = (passage(node, fields)?, fields.group(node)?);
        (named, shown) = (named || group.is_some(), shown || passage.is_some());
        if let (Some(passage), Some(group)) = (passage, group) {
            let groups = claims.entry(passage.trim()).or_default();
            if groups.iter().all(|(known, _)| *known != group) {
                groups.push((group, node.row().unwrap_or(0)));
            }
        }
    }
    rows.unit = match (named, shown) {
        (true, _) => fields.unit,
        (false, true) => "context",
        (false, false) => "question",
    };
    for node in nodes {
        let row = row(node, fields, &mut claims)?;
        rows.push(node, row)?;
    }
    Ok(())
}

/// Counts the fields that are not read, or says which one was meant by one of them.
pub(super) fn others(node: &Node<'_>, fields: &Fields<'_>, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    for name in node.others(&fields.known())? {
        let meant = meant(node, name, fields)?;
        if !meant.is_empty() {
            return Err(ImportError::Misspelt { place: node.inside(name), meant });
        }
        if fields.tells_others {
            rows.note(&format!("field `{name}` is not read"));
        }
    }
    Ok(())
}

/// Lists the fields that the row lacks and that `name` may stand for.
fn meant(node: &Node<'_>, name: &str, fields: &Fields<'_>) -> Result<Vec<String>, ImportError> {
    let here = |meaning: &'static str| match meaning {
        ANSWER if !fields.read.contains(&ANSWER) => ANSWERS,
        meaning => meaning,
    };
    let mut meant: Vec<&'static str> = names::meanings(name).iter().map(|&meaning| here(meaning)).collect();
    meant.retain(|meant| fields.read.contains(meant));
    if meant.is_empty() {
        // `answer_type` is no misspelt `answer_start`.
        let read = fields.read.iter().copied().filter(|&field| field != "answer_start");
        let near = nearest(name, read.clone().map(|field| fields.name(field)));
        meant.extend(read.filter(|field| near == Some(fields.name(field))));
    }
    let mut lacking = Vec::new();
    for meant in meant {
        let there = match meant {
            ANSWER | ANSWERS => fields.find(node, ANSWER)?.or(fields.find(node, ANSWERS)?),
            meant => fields.find(node, meant)?,
        };
        if there.is_none() {
            lacking.push(fields.name(meant).to_owned());
        }
    }
    Ok(lacking)
}

/// Reads the context of a row, if it has one that is not blank.
pub(super) fn passage<'a>(node: &Node<'a>, fields: &Fields<'_>) -> Result<Option<&'a str>, ImportError> {
    let context = fields.find(node, "context")?.map(|context| context.text()).transpose()?;
    Ok(context.filter(|text| !text.trim().is_empty()))
}

fn row<'a>(node: &Node<'a>, fields: &Fields<'_>, claims: &mut Claims<'a>) -> Result<Row<'a>, ImportError> {
    let id = fields.id(node)?;
    let passage = passage(node, fields)?;
    let group = match (fields.group(node)?, passage) {
        (Some(group), _) => group,
        (None, Some(passage)) => {
            let own = (id.clone(), node.row().unwrap_or(0));
            match &claims.entry(passage.trim()).or_insert_with(|| vec![own])[..] {
                [first, second, ..] => {
                    let claims = Box::new([first.clone(), second.clone()]);
                    return Err(ImportError::Claimed { place: node.place(), claims });
                }
                only => only[0].0.clone(),
            }
        }
        (None, None) => id.clone(),
    };
    let marked = fields.find(node, "is_impossible")?.map(|flag| flag.boolean()).transpose()?.unwrap_or(false);
    let (one, several) = (fields.find(node, ANSWER)?, fields.find(node, ANSWERS)?);
    let mut found = Vec::new();
    if !marked {
        if one.is_none() && several.is_none() {
            // There or not: an empty cell is an empty answer.
            let field = if fields.read.contains(&ANSWER) { ANSWER } else { ANSWERS };
            fields.get(node, field)?;
        }
        for answers in one.iter().chain(&several) {
            found.extend(answers::read(answers)?);
        }
        if let Some(start) = fields.find(node, "answer_start")? {
            place_first(&mut found, &start)?;
        }
    }
    // Hubs' SQuAD 2.0 has no mark: an unanswerable question has no text.
    let unanswered = found.is_empty() && several.is_some_and(|answers| answers.value().is_object());
    Ok(Row {
        passage,
        answers: found,
        impossible: marked || unanswered,
        fields: fields.kept(&[node])?,
        split: fields.split(node)?,
        ..Row::new(id, group, fields.get(node, "question")?.text()?)
    })
}

/// Says where the first answer stands, which may say so itself.
fn place_first(answers: &mut [Answer<'_>], start: &Node<'_>) -> Result<(), ImportError> {
    let index = start.index()?;
    match answers.first_mut() {
        Some(Answer { start: Some(own), .. }) if *own != index => {
            Err(start.mistyped("the number that the first answer has itself"))
        }
        Some(answer) => {
            answer.start = Some(index);
            Ok(())
        }
        None => Ok(()),
    }
}
