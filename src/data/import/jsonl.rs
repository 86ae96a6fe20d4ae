//! One JSON object per line: `id`, `question`, `answer` or `answers`, optional `context` and
//! `group`. Rows without a group that share a context are one group, named by its first row; a row
//! without both (a blank context is none) is a group of its own. Unknown fields are ignored.

use std::collections::BTreeMap;

use serde_json::Value;

use super::source::{Node, Source};
use super::{Answer, ImportError, Row, Rows};

pub(super) fn read(source: &Source, rows: &mut Rows) -> Result<(), ImportError> {
    let mut groups = BTreeMap::new();
    for (index, line) in source.text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(line).map_err(|error| source.syntax(error, number))?;
        let node = Node::root(source, &value).at_row(number, Some(number));
        let row = row(&node, &mut groups)?;
        rows.push(&node, row)?;
    }
    Ok(())
}

/// Reads a row; `groups` names the group of each context seen.
fn row<'a>(node: &Node<'a>, groups: &mut BTreeMap<String, String>) -> Result<Row<'a>, ImportError> {
    let id = node.field("id")?.identifier()?;
    let passage = match node.optional("context")? {
        Some(context) => Some(context.text()?).filter(|text| !text.trim().is_empty()),
        None => None,
    };
    let group = match (node.optional("group")?, passage) {
        (Some(group), _) => group.identifier()?,
        (None, Some(passage)) => {
            let name = groups.entry(passage.to_owned()).or_insert_with(|| id.clone());
            name.clone()
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
