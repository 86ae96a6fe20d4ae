//! Conversations as ShareGPT has them: rows with `conversations` of `{ from, value }`.

use super::chat::{self, Message};
use super::source::{Node, Source};
use super::{ImportError, Read, Rows};
use crate::data::example::Role;

pub(super) const READ: Read = Read::File(read);

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    chat::read(source, rows, "conversations", message)
}

fn message<'a>(node: &Node<'a>) -> Result<Message<'a>, ImportError> {
    let by = node.field("from")?.text()?;
    let role = match by {
        "system" => Some(Role::System),
        "human" | "user" => Some(Role::User),
        "gpt" | "assistant" => Some(Role::Assistant),
        _ => None,
    };
    let content = if role.is_none() { None } else { Some(node.field("value")?.text()?) };
    Ok(Message { role, by, content })
}
