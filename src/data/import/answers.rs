//! Accepted answers in the forms that files have them in.

use serde_json::Value;

use super::source::Node;
use super::{Answer, ImportError};

/// Reads a text, a list of texts, a list of SQuAD's `{ text, answer_start }`, or what model
/// hubs make of that: `{ text: [...], answer_start: [...] }`.
pub(super) fn read<'a>(node: &Node<'a>) -> Result<Vec<Answer<'a>>, ImportError> {
    match node.value() {
        Value::String(text) => Ok(vec![Answer { text, start: None }]),
        Value::Array(_) => node.elements()?.map(|element| one(&element)).collect(),
        Value::Object(_) => columns(node),
        _ => Err(node.mistyped("text, a list or an object with `text`")),
    }
}

fn one<'a>(node: &Node<'a>) -> Result<Answer<'a>, ImportError> {
    match node.value() {
        Value::Object(_) => {
            let (text, start) = (node.field("text")?.text()?, node.field("answer_start")?.index()?);
            Ok(Answer { text, start: Some(start) })
        }
        _ => Ok(Answer { text: node.text()?, start: None }),
    }
}

fn columns<'a>(node: &Node<'a>) -> Result<Vec<Answer<'a>>, ImportError> {
    let texts = node.field("text")?.elements()?.map(|text| text.text()).collect::<Result<Vec<_>, _>>()?;
    let field = node.field("answer_start")?;
    let starts = field.elements()?.map(|start| start.index()).collect::<Result<Vec<_>, _>>()?;
    if starts.len() != texts.len() {
        return Err(field.mistyped("as many numbers as `text` has texts"));
    }
    Ok(texts.into_iter().zip(starts).map(|(text, start)| Answer { text, start: Some(start) }).collect())
}
