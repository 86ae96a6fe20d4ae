//! SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): `data[].paragraphs[].qas[].answers[]`, or one row
//! a question as model hubs export it (`id`, `title`, `context`, `question`, `answers = { text: [],
//! answer_start: [] }`; one JSON object per line, or an array of them). The document is the `title`.

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::{ImportError, Row, Rows, answers};

const FIELDS: Fields = Fields {
    read: &["id", "title", "context", "question", "answers", "is_impossible"],
    group: "title",
    unit: "document",
    tells_others: false,
};

/// Of a question within a paragraph of a document.
const NESTED: Fields =
    Fields { read: &["id", "question", "answers", "is_impossible"], group: "", unit: "document", tells_others: false };

pub(super) fn read(source: &Source, rows: &mut Rows) -> Result<(), ImportError> {
    if source.is_lines() {
        let lines = source.lines()?;
        return row::read(&Node::lines(source, &lines), &FIELDS, rows);
    }
    let json = source.document()?;
    if json.is_array() {
        return row::read(&Node::rows(source, &json)?, &FIELDS, rows);
    }
    documents(&Node::root(source, &json), "title", rows)
}

/// Reads SQuAD's nested documents, which are named by the field `document_name`.
pub(super) fn documents(root: &Node<'_>, document_name: &str, rows: &mut Rows) -> Result<(), ImportError> {
    let mut number = 0;
    for document in root.field("data")?.elements()? {
        let group = document.field(document_name)?.identifier()?;
        for paragraph in document.field("paragraphs")?.elements()? {
            let passage = paragraph.field("context")?.text()?;
            for question in paragraph.field("qas")?.elements()? {
                number += 1;
                let node = question.at_row(number, None);
                row::others(&node, &NESTED, rows)?;
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
    // Of an impossible question none is used: it may have no answers, or plausible ones of any form.
    let answers = if impossible { Vec::new() } else { answers::read(&node.field("answers")?)? };
    Ok(Row {
        id: node.field("id")?.identifier()?,
        group: group.to_owned(),
        passage: Some(passage),
        question: node.field("question")?.text()?,
        answers,
        impossible,
    })
}
