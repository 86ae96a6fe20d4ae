//! Conversations as transformers and TRL have them: rows with `messages` of `{ role, content }`.

use super::chat::{self, Message};
use super::source::{Node, Source};
use super::{ImportError, Read, Rows};
use crate::data::example::Role;

pub(super) const READ: Read = Read::File(read);

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    chat::read(source, rows, "messages", message)
}

fn message<'a>(node: &Node<'a>) -> Result<Message<'a>, ImportError> {
    let by = node.field("role")?.text()?;
    let role = match by {
        "system" => Some(Role::System),
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        _ => None,
    };
    // What a model asks of a tool, or a tool says, need not be text.
    let called = [node.optional("tool_calls")?, node.optional("function_call")?];
    let is_call = called.iter().flatten().any(|calls| calls.value().as_array().is_none_or(|calls| !calls.is_empty()));
    let content = if is_call || role.is_none() { None } else { Some(node.field("content")?.text()?) };
    Ok(Message { role, by, content })
}
