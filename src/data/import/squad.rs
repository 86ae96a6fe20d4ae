//! SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): `data[].paragraphs[].qas[].answers[]`; the
//! document is the `title`.

use super::source::{Node, Source};
use super::{Answer, ImportError, Row, Rows};

pub(super) fn read(source: &Source, rows: &mut Rows) -> Result<(), ImportError> {
    read_documents(source, "title", rows)
}

/// Reads SQuAD-like JSON whose documents are named by `document_field`.
pub(super) fn read_documents(source: &Source, document_field: &str, rows: &mut Rows) -> Result<(), ImportError> {
    let json = source.document()?;
    let mut number = 0;
    for document in Node::root(source, &json).field("data")?.elements()? {
        let group = document.field(document_field)?.identifier()?;
        for paragraph in document.field("paragraphs")?.elements()? {
            let passage = paragraph.field("context")?.text()?;
            for question in paragraph.field("qas")?.elements()? {
                number += 1;
                let node = question.at_row(number, None);
                let row = row(&node, &group, passage)?;
                rows.push(&node, row)?;
            }
        }
    }
    Ok(())
}

fn row<'a>(node: &Node<'a>, group: &str, passage: &'a str) -> Result<Row<'a>, ImportError> {
    let impossible = match node.optional("is_impossible")? {
        Some(flag) => flag.boolean()?,
        // SQuAD 1.1 has no such field.
        None => false,
    };
    let mut answers = Vec::new();
    // Of an impossible question none is used: it may have no answers, or plausible ones of any form.
    if !impossible {
        for answer in node.field("answers")?.elements()? {
            let (text, start) = (answer.field("text")?.text()?, answer.field("answer_start")?.index()?);
            answers.push(Answer { text, start: Some(start) });
        }
    }
    Ok(Row {
        id: node.field("id")?.identifier()?,
        group: group.to_owned(),
        passage: Some(passage),
        question: node.field("question")?.text()?,
        answers,
        impossible,
    })
}
