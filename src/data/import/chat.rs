//! Conversations: what they must be, and the questions in them.

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::table;
use super::{Answer, ImportError, Row, Rows};
use crate::data::example::{Role, Turn};

/// One message as its format has it.
pub(super) struct Message<'a> {
    /// Who says it; none if neither side of a conversation does.
    pub(super) role: Option<Role>,
    /// What the format calls them.
    pub(super) by: &'a str,
    /// What is said; none if it is no text, as what a model asks of a tool.
    pub(super) content: Option<&'a str>,
}

/// Takes rows that have a list of messages in `field`, each of which `message` reads.
///
/// Each turn of the assistant is an example: its question is what the user said last, and `turns` is all
/// before that. A conversation that is not the user and the assistant in turn, from the user on and after
/// what the system says, is skipped.
pub(super) fn read(
    source: &Source,
    rows: &mut Rows<'_>,
    field: &'static str,
    message: for<'a> fn(&Node<'a>) -> Result<Message<'a>, ImportError>,
) -> Result<(), ImportError> {
    let fields = Fields::of(rows.data);
    let entries = table::read(source, &fields.lists())?;
    let nodes = source.nodes(&entries);
    let mut is_named = false;
    for node in &nodes {
        row::others(node, &fields, rows)?;
        let (id, group) = (fields.id(node)?, fields.group(node)?);
        is_named |= group.is_some();
        let (kept, split) = (fields.kept(&[node])?, fields.split(node)?);
        let list = fields.get(node, field)?;
        let messages = list.elements()?.map(|element| message(&element)).collect::<Result<Vec<_>, _>>()?;
        let asked = match asked(&messages) {
            Ok(asked) => asked,
            Err(reason) => {
                rows.skip(&reason);
                continue;
            }
        };
        if messages.last().is_some_and(|last| last.role == Some(Role::User)) {
            rows.note("last turn of a conversation without an answer: left out");
        }
        let group = group.unwrap_or_else(|| id.clone());
        let is_single = asked.len() == 1;
        for (number, Asked { turns, question, answer }) in (1..).zip(asked) {
            let id = if is_single { id.clone() } else { format!("{id}#{number}") };
            let answers = vec![Answer { text: answer, start: None }];
            let (turns, fields) = (Some(turns), kept.clone());
            rows.push(node, Row { turns, answers, fields, split, ..Row::new(id, group.clone(), question) })?;
        }
    }
    rows.unit = if is_named { fields.unit } else { "conversation" };
    Ok(())
}

/// A question in a conversation.
struct Asked<'a> {
    turns: Vec<Turn>,
    question: &'a str,
    answer: &'a str,
}

/// Lists the questions of a conversation, or says why it is left out.
fn asked<'a>(messages: &[Message<'a>]) -> Result<Vec<Asked<'a>>, String> {
    let (mut turns, mut asked) = (Vec::<Turn>::new(), Vec::new());
    let mut question: Option<&str> = None;
    for Message { role, by, content } in messages {
        let role = role.ok_or_else(|| format!("role `{by}` in a conversation"))?;
        let content = content.ok_or("call of a tool in a conversation")?.trim();
        match (role, question) {
            // Formats that always have a system's turn leave it empty.
            (Role::System, _) if content.is_empty() && turns.is_empty() => continue,
            (Role::System, _) if !turns.is_empty() => return Err("system after another turn".to_owned()),
            _ if content.is_empty() => return Err("turn of a conversation empty".to_owned()),
            (Role::System, _) => {}
            (Role::User, None) => question = Some(content),
            (Role::Assistant, Some(said)) => {
                let before = turns[..turns.len() - 1].to_vec();
                asked.push(Asked { turns: before, question: said, answer: content });
                question = None;
            }
            (Role::User, Some(_)) => return Err("two turns of the user in a row".to_owned()),
            (Role::Assistant, None) if asked.is_empty() => return Err("conversation begun by the assistant".to_owned()),
            (Role::Assistant, None) => return Err("two turns of the assistant in a row".to_owned()),
        }
        turns.push(Turn { role, content: content.to_owned() });
    }
    if asked.is_empty() { Err("conversation without an answer".to_owned()) } else { Ok(asked) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{counts, fixture, imported};
    use crate::data::{Example, Role};

    /// Writes an example in one line.
    fn line(example: &Example) -> String {
        let turns = example.turns.as_ref().unwrap().iter().map(|turn| {
            let by = match turn.role {
                Role::System => "S",
                Role::User => "U",
                Role::Assistant => "A",
            };
            format!("{by}: {} ", turn.content)
        });
        format!(
            "{} ({}) {}| {} | {}",
            example.id,
            example.group,
            turns.collect::<String>(),
            example.question,
            example.answer
        )
    }

    const EXPECTED: [&str; 3] = [
        "a#1 (a) S: Be brief. | Who pages? | The AMF.",
        "a#2 (a) S: Be brief. U: Who pages? A: The AMF. | When? | On data.",
        "b (b) | What is NR? | 5G radio.",
    ];

    #[test]
    fn each_turn_of_the_assistant_is_an_example() {
        let messages = r#"{"id": "a", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who pages?"}, {"role": "assistant", "content": " The AMF. "}, {"role": "user", "content": "When?"}, {"role": "assistant", "content": "On data."}]}
{"id": "b", "messages": [{"role": "user", "content": "What is NR?"}, {"role": "assistant", "content": "5G radio.", "tool_calls": []}]}
{"id": "c", "messages": [{"role": "user", "content": "Which tool?"}, {"role": "tool", "content": {"x": 1}}]}"#;
        let sharegpt = messages
            .replace("messages", "conversations")
            .replace("role", "from")
            .replace("content", "value")
            .replace("\"user\"", "\"human\"")
            .replace("\"assistant\"", "\"gpt\"");
        for (importer, file, content) in [
            ("messages", "rows.jsonl", messages.as_bytes().to_vec()),
            ("sharegpt", "rows.jsonl", sharegpt.into_bytes()),
            ("messages", "rows.parquet", fixture("messages.parquet")),
        ] {
            let imported = imported(&format!("importer = {importer:?}"), file, content).unwrap();
            let lines: Vec<String> = imported.examples.iter().map(line).collect();
            assert_eq!(lines, EXPECTED, "{importer} {file}");
            assert_eq!(counts(&imported.skipped), [("role `tool` in a conversation", 1)]);
            assert_eq!(imported.unit, "conversation");
            assert!(imported.passages.is_empty() && imported.places.is_empty());
        }
    }

    #[test]
    fn cells_may_hold_messages_and_columns_name_them() {
        let text = "Talk,Case,kind\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"Hi\"\"}, {\"\"role\"\": \
                    \"\"assistant\"\", \"\"content\"\": \"\"Hello\"\"}]\",7,x\n";
        let settings =
            "importer = \"messages\"\nfields = [\"kind\"]\ncolumns = { messages = \"Talk\", group = \"Case\" }";
        let imported = imported(settings, "rows.csv", text).unwrap();
        assert_eq!(imported.examples.iter().map(line).collect::<Vec<_>>(), ["row-1 (7) | Hi | Hello"]);
        assert_eq!((imported.unit, &*imported.examples[0].fields["kind"]), ("group", "x"));
    }

    #[test]
    fn conversations_that_do_not_alternate_are_counted_by_reason() {
        let row = |turns: &str| {
            let turn = |part: &str| {
                let role = match &part[..1] {
                    "s" => "system",
                    "u" => "user",
                    _ => "assistant",
                };
                serde_json::json!({"role": role, "content": &part[1..]})
            };
            let turns: Vec<_> = turns.split(',').filter(|part| !part.is_empty()).map(turn).collect();
            serde_json::json!({ "messages": turns })
        };
        let skipped = |turns: &str| {
            let rows = serde_json::json!([row("uq,aa"), row(turns)]).to_string();
            let imported = imported("importer = \"messages\"", "rows.json", rows).unwrap();
            let notes: Vec<_> = imported.notes.keys().cloned().collect();
            (imported.skipped.keys().cloned().chain(notes).collect::<Vec<_>>().join("; "), imported.examples.len())
        };
        for (turns, reason) in [
            ("ahello,uq,aa", "conversation begun by the assistant"),
            ("uq", "conversation without an answer"),
            ("", "conversation without an answer"),
            ("uq,aa,ab", "two turns of the assistant in a row"),
            ("uq,ur,aa", "two turns of the user in a row"),
            ("uq,sr,aa", "system after another turn"),
            ("uq,a ,ur,aa", "turn of a conversation empty"),
        ] {
            let examples = 1;
            let found = skipped(turns);
            assert!(found.0.starts_with(reason) && found.1 == examples, "{turns}: {found:?}");
        }
        // An empty line of the system says nothing, and what comes after the last answer has none.
        assert_eq!(skipped("s ,uq,aa,ur"), ("last turn of a conversation without an answer: left out".to_owned(), 2));
        let call = r#"[{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [{}]}]}]"#;
        let told = imported("importer = \"messages\"", "rows.json", call).unwrap_err();
        assert_eq!(
            told,
            "`rows.json` has no usable question (skipped: call of a tool in a conversation: 1)\n\
             check that the file has questions with answers"
        );
    }

    #[test]
    fn messages_of_another_form_are_refused() {
        let told =
            |importer: &str, text: &str| imported(&format!("importer = {importer:?}"), "rows.jsonl", text).unwrap_err();
        let missing = "add the field, say in `columns` what it is called, or choose the importer of the file's format";
        let other = "correct the field, or choose the importer of the file's format";
        let row = r#"{"id": 1, "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": 1}]}"#;
        assert_eq!(
            told("messages", row),
            format!(
                "`rows.jsonl`, row 1, line 1, field `messages[1].content`: expected text, found the number 1\n{other}"
            )
        );
        assert_eq!(
            told("messages", &row.replace("\"content\": 1", "\"value\": \"x\"")),
            format!("`rows.jsonl`, row 1, line 1, field `messages[1].content` is missing\n{missing}")
        );
        assert_eq!(
            told("sharegpt", row),
            "`rows.jsonl`, row 1, line 1, field `messages` is not read, and there is no `conversations`\n\
             give it that name, or another one if it is something else"
        );
        assert_eq!(
            told("messages", r#"{"messages": "q"}"#),
            format!("`rows.jsonl`, row 1, line 1, field `messages`: expected a list, found text\n{other}")
        );
        let twice =
            format!("{row}\n{row}").replace("\"content\": 1", "\"content\": \"x\"").replacen("\"x\"", "\"y\"", 1);
        assert_eq!(
            told("messages", &twice),
            "`rows.jsonl`, row 2, line 2: id `1` is already used by row 1, which differs\ngive each row its own id"
        );
    }
}
