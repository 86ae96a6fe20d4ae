//! The wording of prompts and responses, the same for training and generation.
//!
//! Prompt `Context: {context}\nQuestion: {question}\nAnswer:`, closed-book without its first line;
//! response ` {answer}`, ended by the tokenizer's end-of-sequence token.

use super::example::Example;

/// Version of the wording: raise it when the same example would be put into other words than before.
/// It is part of the key of every stage that reads prompts.
pub const VERSION: u32 = 1;

/// Words the prompt; the context is left out if `closed_book` or if the example has none.
pub fn prompt(example: &Example, closed_book: bool) -> String {
    let question = &example.question;
    match &example.context {
        Some(context) if !closed_book => {
            format!("Context: {context}\nQuestion: {question}\nAnswer:")
        }
        _ => format!("Question: {question}\nAnswer:"),
    }
}

/// Words the response, without the end-of-sequence token.
pub fn response(answer: &str) -> String {
    format!(" {answer}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
