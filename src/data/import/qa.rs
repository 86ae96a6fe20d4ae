//! Rows of questions: `id`, `question`, `answer` or `answers`, optional `context`, `group`, `is_impossible`
//! and, beside `answer`, `answer_start`.

use super::row::{self, Fields};
use super::source::Source;
use super::table::{self, Format};
use super::{ImportError, Read, Rows};

pub(super) const READ: Read = Read::File(read);

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    let fields = Fields {
        unit: "group",
        // A line has had to name its id from the first: without, it may be one that was misspelt.
        numbered: source.format != Format::Json,
        ..Fields::of(rows.data)
    };
    let entries = table::read(source, &fields.lists())?;
    row::read(&source.nodes(&entries), &fields, rows)
}
