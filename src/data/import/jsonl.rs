//! One JSON object per line (or a JSON array of them): `id`, `question`, `answer` or `answers`,
//! optional `context`, `group`, `is_impossible` and, beside `answer`, `answer_start`.

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::{ImportError, Rows};

const FIELDS: Fields = Fields {
    read: &["id", "question", "answer", "answers", "answer_start", "context", "group", "is_impossible"],
    group: "group",
    unit: "group",
    tells_others: true,
};

pub(super) fn read(source: &Source, rows: &mut Rows) -> Result<(), ImportError> {
    if source.is_array() {
        let json = source.document()?;
        return row::read(&Node::rows(source, &json)?, &FIELDS, rows);
    }
    let lines = source.lines()?;
    row::read(&Node::lines(source, &lines), &FIELDS, rows)
}
