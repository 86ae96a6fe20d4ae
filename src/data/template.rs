//! The wording of prompts and responses, the same for training and generation.
//!
//! Prompt `Context: {context}\nQuestion: {question}\nAnswer:`, closed-book without its first line;
//! response ` {answer}`, ended by the tokenizer's end-of-sequence token. In a conversation each turn is a
//! line, `System:`, `User:` or `Assistant:` before it, and the question is the last of the user. Options with
//! letters stand between question and answer, a line each: `A. {option}`.

use super::example::{Example, Role};

/// Version of the wording: raise it when the same example would be put into other words than before.
/// It is part of the key of every stage that reads prompts.
pub const VERSION: u32 = 1;

/// Words what is asked: the passage, the question, and its options with letters if they are offered so.
pub fn question(example: &Example, closed_book: bool, lettered: bool) -> String {
    let context = example.context.as_ref().filter(|_| !closed_book);
    let context = context.map_or(String::new(), |context| format!("Context: {context}\n"));
    let offered = example.options.iter().enumerate().filter(|_| lettered);
    let options = offered.map(|(index, option)| format!("\n{}. {option}", letter(index)));
    format!("{context}Question: {}{}", example.question, options.collect::<String>())
}

/// Words the prompt; the context is left out if `closed_book` or if the example has none.
pub fn prompt(example: &Example, closed_book: bool) -> String {
    let question = &example.question;
    if let Some(turns) = &example.turns {
        let turns = turns.iter().map(|turn| format!("{}: {}\n", side(turn.role), turn.content));
        return format!("{}{}: {question}\n{}:", turns.collect::<String>(), side(Role::User), side(Role::Assistant));
    }
    format!("{}\nAnswer:", self::question(example, closed_book, false))
}

fn side(role: Role) -> &'static str {
    match role {
        Role::System => "System",
        Role::User => "User",
        Role::Assistant => "Assistant",
    }
}

/// Words the prompt that offers the options of an example with letters.
pub fn lettered(example: &Example, closed_book: bool) -> String {
    format!("{}\nAnswer:", question(example, closed_book, true))
}

/// Returns the letter of an option: A, B, ..., Z, AA, AB, ...
pub fn letter(index: usize) -> String {
    let last = char::from(b'A' + (index % 26) as u8).to_string();
    if index < 26 { last } else { letter(index / 26 - 1) + &last }
}

/// Words the response, without the end-of-sequence token.
pub fn response(answer: &str) -> String {
    format!(" {answer}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Turn;

    #[test]
    fn closed_book_leaves_the_context_out() {
        let mut example = Example {
            id: "1".into(),
            group: "g".into(),
            context: Some("The AMF pages.".into()),
            question: "Who pages?".into(),
            answer: "the AMF".into(),
            references: vec!["the AMF".into()],
            ..Example::default()
        };
        let open = "Context: The AMF pages.\nQuestion: Who pages?\nAnswer:";
        let closed = "Question: Who pages?\nAnswer:";
        assert_eq!(prompt(&example, false), open);
        assert_eq!(prompt(&example, true), closed);
        example.context = None;
        assert_eq!(prompt(&example, false), closed);
        assert_eq!(response(&example.answer), " the AMF");
    }

    #[test]
    fn a_conversation_is_worded_turn_by_turn() {
        let turn = |role, content: &str| Turn { role, content: content.into() };
        let turns = vec![turn(Role::System, "Be brief."), turn(Role::User, "Hi"), turn(Role::Assistant, "Hello")];
        let example = Example { turns: Some(turns), question: "No signal.".into(), ..Example::default() };
        let worded = "System: Be brief.\nUser: Hi\nAssistant: Hello\nUser: No signal.\nAssistant:";
        assert_eq!(prompt(&example, false), worded);
        let first = Example { turns: Some(vec![]), ..example };
        assert_eq!(prompt(&first, false), "User: No signal.\nAssistant:");
    }

    #[test]
    fn options_are_offered_with_letters() {
        let options = vec!["the AMF".into(), "the SMF".into()];
        let example = Example { question: "Who pages?".into(), options, ..Example::default() };
        assert_eq!(lettered(&example, true), "Question: Who pages?\nA. the AMF\nB. the SMF\nAnswer:");
        assert_eq!([letter(25), letter(26), letter(53)], ["Z", "AA", "BB"]);
    }
}
