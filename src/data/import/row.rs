//! A file of rows: one JSON object a question.

use std::collections::BTreeMap;

use super::source::Node;
use super::{Answer, ImportError, Row, Rows, answers};
use crate::data::names::{self, ANSWER, ANSWERS, GROUP};
use crate::experiment::nearest::nearest;

/// Says what the fields of a row are called.
pub(super) struct Fields {
    /// All that are read.
    pub(super) read: &'static [&'static str],
    /// The one that names the document.
    pub(super) group: &'static str,
    /// What is named by it.
    pub(super) unit: &'static str,
    /// Whether other fields are told.
    pub(super) tells_others: bool,
}

impl Fields {
    /// Goes to a field if it is one that is read.
    fn of<'a>(&self, node: &Node<'a>, name: &'static str) -> Result<Option<Node<'a>>, ImportError> {
        if self.read.contains(&name) { node.optional(name) } else { Ok(None) }
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
pub(super) fn read<'a>(nodes: &[Node<'a>], fields: &Fields, rows: &mut Rows) -> Result<(), ImportError> {
    // A group may be named by a later row than the first with its context.
    let mut claims = Claims::new();
    let (mut named, mut shown) = (false, false);
    for node in nodes {
        others(node, fields, rows)?;
        let (passage, group) = (passage(node)?, group(node, fields)?);
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
pub(super) fn others(node: &Node<'_>, fields: &Fields, rows: &mut Rows) -> Result<(), ImportError> {
    for name in node.others(fields.read)? {
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
fn meant(node: &Node<'_>, name: &str, fields: &Fields) -> Result<Vec<&'static str>, ImportError> {
    let here = |meaning: &'static str| match meaning {
        GROUP => fields.group,
        ANSWER if !fields.read.contains(&ANSWER) => ANSWERS,
        meaning => meaning,
    };
    let mut meant: Vec<&str> = names::meanings(name).iter().map(|&meaning| here(meaning)).collect();
    meant.retain(|meant| fields.read.contains(meant));
    if meant.is_empty() {
        // `answer_type` is no misspelt `answer_start`.
        meant.extend(nearest(name, fields.read.iter().copied().filter(|&name| name != "answer_start")));
    }
    let mut lacking = Vec::new();
    for meant in meant {
        let there = match meant {
            ANSWER | ANSWERS => fields.of(node, ANSWER)?.or(fields.of(node, ANSWERS)?),
            meant => node.optional(meant)?,
        };
        if there.is_none() {
            lacking.push(meant);
        }
    }
    Ok(lacking)
}

/// Reads the context of a row, if it has one that is not blank.
fn passage<'a>(node: &Node<'a>) -> Result<Option<&'a str>, ImportError> {
    let context = node.optional("context")?.map(|context| context.text()).transpose()?;
    Ok(context.filter(|text| !text.trim().is_empty()))
}

fn group(node: &Node<'_>, fields: &Fields) -> Result<Option<String>, ImportError> {
    node.optional(fields.group)?.map(|group| group.identifier()).transpose()
}

fn row<'a>(node: &Node<'a>, fields: &Fields, claims: &mut Claims<'a>) -> Result<Row<'a>, ImportError> {
    let id = node.field("id")?.identifier()?;
    let passage = passage(node)?;
    let group = match (group(node, fields)?, passage) {
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
    let marked = node.optional("is_impossible")?.map(|flag| flag.boolean()).transpose()?.unwrap_or(false);
    let (one, several) = (fields.of(node, ANSWER)?, node.optional(ANSWERS)?);
    let mut found = Vec::new();
    if !marked {
        if one.is_none() && several.is_none() {
            node.field(if fields.read.contains(&ANSWER) { ANSWER } else { ANSWERS })?;
        }
        for answers in one.iter().chain(&several) {
            found.extend(answers::read(answers)?);
        }
        if let Some(start) = fields.of(node, "answer_start")? {
            place_first(&mut found, &start)?;
        }
    }
    // Hubs' SQuAD 2.0 has no mark: an unanswerable question has no text.
    let unanswered = found.is_empty() && several.is_some_and(|answers| answers.value().is_object());
    let impossible = marked || unanswered;
    Ok(Row { id, group, passage, question: node.field("question")?.text()?, answers: found, impossible })
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
