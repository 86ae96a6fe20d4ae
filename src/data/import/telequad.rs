//! TeleQuAD's extractive files (Gebre et al. 2025, github EricssonResearch/TeleQuAD): SQuAD 2.0
//! with a `docid` per document, whose titles are not unique. Impossible questions still carry
//! answer spans; they are left out by their flag.

use super::source::{Node, Source};
use super::{ImportError, Read, Rows, squad};

pub(super) const READ: Read = Read::File(read);

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    squad::documents(&Node::root(source, &source.document()?), "docid", rows)
}
