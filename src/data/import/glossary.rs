//! The glossary that this program has: see `data::glossary`.

use super::Read;
use crate::data::glossary;

pub(super) const READ: Read = Read::Embedded { source: glossary::SOURCE, read: glossary::import };
