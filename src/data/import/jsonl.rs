//! One JSON object per line: `id`, `question`, `answer` or `answers`, optional `context` and
//! `group`. A row without a group is in that of the rows with its context: the one that any of them
//! names, else one named by the first. A row without both (a blank context is none) is a group of
//! its own. Unknown fields are ignored.

use std::collections::BTreeMap;

use serde_json::Value;

use super::source::{Node, Source};
use super::{Answer, ImportError, Row, Rows};

/// The groups of each context, each with the first row that names it; more than one only where rows
/// name them.
type Claims<'a> = BTreeMap<&'a str, Vec<(String, usize)>>;

pub(super) fn read(source: &Source, rows: &mut Rows) -> Result<(), ImportError> {
    let mut values: Vec<(usize, Value)> = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        values.push((number, serde_json::from_str(line).map_err(|error| source.syntax(error, number))?));
    }
    let nodes: Vec<Node<'_>> =
        values.iter().map(|(number, value)| Node::root(source, value).at_row(*number, Some(*number))).collect();
    // A group may be named by a later row than the first with its context.
    let mut claims = Claims::new();
    for node in &nodes {
        if let (Some(passage), Some(group)) = (passage(node)?, node.optional("group")?) {
            let (group, groups) = (group.identifier()?, claims.entry(passage.trim()).or_default());
            if groups.iter().all(|(known, _)| *known != group) {
                groups.push((group, node.row().unwrap_or(0)));
            }
        }
    }
    for node in &nodes {
        let row = row(node, &mut claims)?;
        rows.push(node, row)?;
    }
    Ok(())
}

/// Reads the context of a row, if it has one that is not blank.
fn passage<'a>(node: &Node<'a>) -> Result<Option<&'a str>, ImportError> {
    let context = node.optional("context")?.map(|context| context.text()).transpose()?;
    Ok(context.filter(|text| !text.trim().is_empty()))
}

fn row<'a>(node: &Node<'a>, claims: &mut Claims<'a>) -> Result<Row<'a>, ImportError> {
    let id = node.field("id")?.identifier()?;
    let passage = passage(node)?;
    let group = match (node.optional("group")?, passage) {
        (Some(group), _) => group.identifier()?,
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
    let mut texts = Vec::new();
    let (one, several) = (node.optional("answer")?, node.optional("answers")?);
    if let Some(answer) = &one {
        texts.push(answer.text()?);
    }
    match &several {
        Some(answers) => {
            for answer in answers.elements()? {
                texts.push(answer.text()?);
            }
        }
        None if one.is_none() => {
            node.field("answer")?;
        }
        None => {}
    }
    let answers = texts.into_iter().map(|text| Answer { text, start: None });
    Ok(Row {
        id,
        group,
        passage,
        question: node.field("question")?.text()?,
        answers: answers.collect(),
        impossible: false,
    })
}
