//! The chat template of a model: how turns become the text that it was trained to read.
//!
//! Rendered as transformers' `apply_chat_template` renders it, without tools and documents. A template is not told
//! what day it is: the same messages are the same text tomorrow.

use std::io;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use regex::Regex;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::example::{Role, Turn};

/// Most steps of a template: one that never ends is an error.
const FUEL: u64 = 100_000_000;

/// Why a template does not give a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// It is no template.
    #[error("the chat template cannot be read: {0}")]
    Syntax(String),
    /// It fails on these messages.
    #[error("the chat template fails: {0}")]
    Render(String),
    /// It refuses these messages, in its own words.
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
    /// What it writes of the last answer cannot be told from the rest.
    #[error("the chat template writes the messages before the last answer otherwise than with it")]
    NoStart,
}

impl ChatError {
    /// Says what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Render(_) => {
                "compare `chat_template` in the model's files with that of its publisher; it is rendered as Jinja, with the \
                 methods of Python's texts, lists and maps"
            }
            Self::Refused(_) => "most templates want user and assistant in turns, after at most one system message",
            Self::NoStart => "word prompts in another way than by this template",
        }
    }
}

/// A chat template, ready to be rendered.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Special tokens by name, as the tokenizer spells them: `bos_token`.
    special: Vec<(String, String)>,
}

/// Messages as a model reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Where what the assistant says stands in it, in bytes, each with what closes it.
    pub answers: Vec<Range<usize>>,
    /// Answers that the text holds otherwise than it would if they were the last; none of the above.
    pub rewritten: usize,
}

/// What a template says when it refuses messages.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// Name of the template in its environment.
const NAME: &str = "chat";

impl ChatTemplate {
    /// Reads a template; `special` are the special tokens by name.
    ///
    /// # Errors
    /// A template that is none.
    pub fn new(source: &str, special: Vec<(String, String)>) -> Result<Self, ChatError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| ChatError::Syntax(error.to_string()))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", json);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, "refused").with_source(Refusal(message)))
        });
        let template = environment.add_template_owned(NAME, without_generation_tags(source));
        template.map_err(|error| ChatError::Syntax(in_words(&error)))?;
        Ok(Self { environment, special })
    }

    /// Writes messages, and after them what comes before an answer if `asks`.
    ///
    /// # Errors
    /// Messages that the template refuses or fails on.
    pub fn render(&self, messages: &[Turn], asks: bool) -> Result<String, ChatError> {
        let mut known: Vec<(&str, Value)> =
            self.special.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))).collect();
        known.extend([
            ("messages", Value::from(Serde(messages))),
            ("add_generation_prompt", Value::from(asks)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        let template = self.environment.get_template(NAME).map_err(|error| ChatError::Syntax(in_words(&error)))?;
        template.render(Value::from_pairs(known)).map_err(|error| {
            let refusal = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Refusal>());
            match refusal {
                Some(Refusal(message)) => ChatError::Refused(message.clone()),
                None => ChatError::Render(in_words(&error)),
            }
        })
    }

    /// Writes messages and finds the answers in them: what they add to the text up to each of them.
    ///
    /// # Errors
    /// As for [`render`](Self::render), or where the last answer cannot be found.
    pub fn conversation(&self, messages: &[Turn]) -> Result<Rendered, ChatError> {
        let text = self.render(messages, false)?;
        let (mut answers, mut rewritten) = (Vec::new(), 0);
        for (place, _) in messages.iter().enumerate().filter(|(_, turn)| turn.role == Role::Assistant) {
            let before = self.render(&messages[..place], true)?;
            let with = self.render(&messages[..=place], false)?;
            let is_last = place + 1 == messages.len();
            match with.strip_prefix(&before) {
                Some(answer) if text.strip_prefix(&before).is_some_and(|rest| rest.starts_with(answer)) => {
                    answers.push(before.len()..with.len());
                }
                _ if is_last => return Err(ChatError::NoStart),
                _ => rewritten += 1,
            }
        }
        Ok(Rendered { text, answers, rewritten })
    }
}

/// Replaces the tags that mark what the assistant says, which change no text.
fn without_generation_tags(source: &str) -> String {
    let tag = |word: &str| Regex::new(&format!(r"\{{%(-|\+)?\s*{word}\s*(-|\+)?%\}}")).expect("a fixed pattern");
    let opened = tag("generation").replace_all(source, "{%$1 if true $2%}");
    tag("endgeneration").replace_all(&opened, "{%$1 endif $2%}").into_owned()
}

/// Says what is wrong, and in which line.
pub(super) fn in_words(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}

/// Writes a value as Python's `json.dumps` does by default, or indented.
fn json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut written = Vec::new();
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut written, formatter)).map_err(failed)?;
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut written, Spaced)).map_err(failed)?,
    }
    String::from_utf8(written).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// A space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{%- for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}";

    fn turns(turns: &[(Role, &str)]) -> Vec<Turn> {
        turns.iter().map(|&(role, content)| Turn { role, content: content.to_owned() }).collect()
    }

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, vec![("bos_token".to_owned(), "<s>".to_owned())]).unwrap()
    }

    #[test]
    fn answers_are_found_with_what_closes_them() {
        let messages = turns(&[
            (Role::User, "Hi é"),
            (Role::Assistant, " Hello "),
            (Role::User, "Bye"),
            (Role::Assistant, "Bye!"),
        ]);
        let rendered = template(CHATML).conversation(&messages).unwrap();
        let answers: Vec<&str> = rendered.answers.iter().map(|range| &rendered.text[range.clone()]).collect();
        assert_eq!(answers, ["Hello<|im_end|>\n", "Bye!<|im_end|>\n"]);
        assert!(rendered.text.starts_with("<|im_start|>user\nHi é<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>"));
        assert_eq!(rendered.rewritten, 0);
        let asked = template(CHATML).render(&messages[..1], true).unwrap();
        assert_eq!(asked, "<|im_start|>user\nHi é<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn an_earlier_answer_that_is_written_otherwise_is_none() {
        // As templates do that leave out what was thought in earlier turns.
        let source = "{% for m in messages %}{% if m.role == 'assistant' %}A:{% if loop.last %}(thought){% endif %}{{ m.content }};{% else %}U:{{ m.content }};{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}";
        let messages = turns(&[(Role::User, "1"), (Role::Assistant, "2"), (Role::User, "3"), (Role::Assistant, "4")]);
        let rendered = template(source).conversation(&messages).unwrap();
        assert_eq!((rendered.text.as_str(), rendered.rewritten), ("U:1;A:2;U:3;A:(thought)4;", 1));
        assert_eq!(&rendered.text[rendered.answers[0].clone()], "(thought)4;");
        let lost = "{% for m in messages %}{{ messages|length }}{{ m.content }}{% endfor %}";
        assert_eq!(template(lost).conversation(&messages), Err(ChatError::NoStart));
    }

    #[test]
    fn what_a_template_says_of_messages_is_told() {
        let source = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ bos_token }}{% generation %}x{% endgeneration %}{{ {'a': [1, 'é'], 'b': none} | tojson }}";
        assert_eq!(
            template(source).render(&[], false).unwrap_err(),
            ChatError::Render("undefined value (line 1)".into())
        );
        let user = turns(&[(Role::User, "x")]);
        assert_eq!(template(source).render(&user, false).unwrap(), "<s>x{\"a\": [1, \"é\"], \"b\": null}");
        let refused = template(source).render(&turns(&[(Role::System, "x")]), false);
        assert_eq!(refused, Err(ChatError::Refused("System role not supported".to_owned())));
        let broken = ChatTemplate::new("a\n{% if %}", vec![]).unwrap_err();
        assert_eq!(broken, ChatError::Syntax("unexpected end of block (line 2)".into()));
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}";
        assert!(matches!(template(endless).render(&user, false), Err(ChatError::Render(_))));
    }
}
