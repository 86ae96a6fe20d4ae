//! SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): `data[].paragraphs[].qas[].answers[]`, or one row
//! a question as model hubs export it (`id`, `title`, `context`, `question`, `answers = { text: [],
//! answer_start: [] }`; JSON lines, a JSON list, CSV or Parquet). The document is the `title`.

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::table::{self, Format};
use super::{ImportError, Read, Row, Rows, answers};

pub(super) const READ: Read = Read::File(read);

/// Fields of a row; its group is the `title`.
const ROW: [&str; 6] = ["id", "group", "context", "question", "answers", "is_impossible"];

/// Fields of a question within a paragraph of a document.
const NESTED: [&str; 4] = ["id", "question", "answers", "is_impossible"];

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    if source.format != Format::Json || source.is_lines() || source.is_array() {
        let title = ["title".to_owned()];
        let mut fields = Fields::fixed(rows.data, &ROW, "document");
        fields.columns.insert("group", &title);
        let entries = table::read(source, &[])?;
        return row::read(&source.nodes(&entries), &fields, rows);
    }
    documents(&Node::root(source, &source.document()?), "title", rows)
}

/// Reads SQuAD's nested documents, which are named by the field `document_name`.
pub(super) fn documents(root: &Node<'_>, document_name: &str, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    let fields = Fields::fixed(rows.data, &NESTED, "document");
    let mut number = 0;
    for document in root.field("data")?.elements()? {
        let group = document.field(document_name)?.identifier()?;
        for paragraph in document.field("paragraphs")?.elements()? {
            let passage = paragraph.field("context")?.text()?;
            for question in paragraph.field("qas")?.elements()? {
                number += 1;
                let node = question.at_row(number, None);
                row::others(&node, &fields, rows)?;
                let kept = fields.kept(&[&node, &paragraph, &document])?;
                let row = row(&node, &group, passage)?;
                rows.push(&node, Row { fields: kept, ..row })?;
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
    let (id, question) = (node.field("id")?.identifier()?, node.field("question")?.text()?);
    Ok(Row { passage: Some(passage), answers, impossible, ..Row::new(id, group.to_owned(), question) })
}
