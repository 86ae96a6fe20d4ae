//! How the examples of a data set are put into words: as this program does, by templates of the experiment, or by the
//! chat template of the model that reads them.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error};

use super::chat::{ChatError, ChatTemplate, in_words};
use super::example::{Example, Role, Turn};
use super::template;
use super::tokenizer::Tokenizer;
use crate::experiment::settings::Template;

/// Words prompts and responses.
#[derive(Debug)]
pub struct Wording {
    closed_book: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain,
    Own(Box<Environment<'static>>),
    Chat(Box<ChatTemplate>),
}

/// Why there are no words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordingError {
    /// The files of the model have no chat template.
    #[error(
        "the model has no chat template: neither `chat_template.jinja` nor `chat_template` in `tokenizer_config.json`"
    )]
    NoTemplate,
    /// The chat template fails.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A template of the experiment fails.
    #[error("`template.own.{name}` {problem}")]
    Own {
        /// `prompt` or `response`.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl WordingError {
    /// Says what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTemplate => "a base model has none: leave `template` out, or choose its instruction-tuned sibling",
            Self::Chat(error) => error.hint(),
            Self::Own { .. } => {
                "it is Jinja with `question`, `context`, `answer`, `options`, `turns` (of `role` and `content`) and `fields`"
            }
        }
    }
}

/// What a model reads of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worded {
    /// The prompt, and the response after it.
    pub text: String,
    /// Where the response starts, in bytes.
    pub response: usize,
    /// Both are encoded as one text, whose tokens end the response; else apart, and an end follows.
    pub is_whole: bool,
}

impl Wording {
    /// Words examples as this program does.
    #[must_use]
    pub fn plain(closed_book: bool) -> Self {
        Self { closed_book, kind: Kind::Plain }
    }

    /// Words examples as `settings` say, for the model of `tokenizer`.
    ///
    /// # Errors
    /// A model without chat template, a template that is none.
    pub fn new(settings: &Template, closed_book: bool, tokenizer: &Tokenizer) -> Result<Self, WordingError> {
        let kind = match settings {
            Template::Plain => Kind::Plain,
            Template::Chat => Kind::Chat(Box::new(tokenizer.chat_template()?.ok_or(WordingError::NoTemplate)?)),
            Template::Own { prompt, response } => Kind::Own(Box::new(own(prompt, response)?)),
        };
        Ok(Self { closed_book, kind })
    }

    /// Says whether prompts say themselves how a text begins for the model: a chat template does.
    #[must_use]
    pub fn begins_itself(&self) -> bool {
        matches!(self.kind, Kind::Chat(_))
    }

    /// Words the prompt of an example, its options offered with letters if `lettered`.
    ///
    /// # Errors
    /// A template that fails on it.
    pub fn prompt(&self, example: &Example, lettered: bool) -> Result<String, WordingError> {
        match &self.kind {
            Kind::Plain if lettered => Ok(template::lettered(example, self.closed_book)),
            Kind::Plain => Ok(template::prompt(example, self.closed_book)),
            Kind::Own(environment) => self.rendered(environment, "prompt", example),
            Kind::Chat(chat) => Ok(chat.render(&self.messages(example, lettered), true)?),
        }
    }

    /// Words what comes after a prompt where the answer is `answer`, without what ends it.
    ///
    /// # Errors
    /// As for [`prompt`](Self::prompt).
    pub fn response(&self, example: &Example, answer: &str) -> Result<String, WordingError> {
        match &self.kind {
            Kind::Plain => Ok(template::response(answer)),
            Kind::Own(environment) => {
                self.rendered(environment, "response", &Example { answer: answer.to_owned(), ..example.clone() })
            }
            Kind::Chat(_) => Ok(answer.to_owned()),
        }
    }

    /// Words an example as a model learns it.
    ///
    /// # Errors
    /// As for [`prompt`](Self::prompt).
    pub fn whole(&self, example: &Example) -> Result<Worded, WordingError> {
        if let Kind::Chat(chat) = &self.kind {
            let mut messages = self.messages(example, false);
            messages.push(Turn { role: Role::Assistant, content: example.answer.clone() });
            let rendered = chat.conversation(&messages)?;
            let response = rendered.answers.last().ok_or(ChatError::NoStart)?.start;
            return Ok(Worded { text: rendered.text, response, is_whole: true });
        }
        let prompt = self.prompt(example, false)?;
        let response = self.response(example, &example.answer)?;
        Ok(Worded { response: prompt.len(), text: prompt + &response, is_whole: false })
    }

    /// Returns the turns up to the answer of an example.
    fn messages(&self, example: &Example, lettered: bool) -> Vec<Turn> {
        let mut messages = example.turns.clone().unwrap_or_default();
        let question = match lettered || example.turns.is_none() {
            true => template::question(example, self.closed_book, lettered),
            false => example.question.clone(),
        };
        messages.push(Turn { role: Role::User, content: question });
        messages
    }

    fn rendered(
        &self,
        environment: &Environment<'static>,
        name: &'static str,
        example: &Example,
    ) -> Result<String, WordingError> {
        let context = example.context.as_deref().filter(|_| !self.closed_book);
        let known = [
            ("question", Value::from(example.question.as_str())),
            ("context", context.map_or(Value::from(()), Value::from)),
            ("answer", Value::from(example.answer.as_str())),
            ("options", Value::from(Serde(&example.options))),
            ("turns", Value::from(Serde(example.turns.as_deref().unwrap_or_default()))),
            ("fields", Value::from(Serde(&example.fields))),
        ];
        let failed = |error: &Error| WordingError::Own { name, problem: format!("fails: {}", in_words(error)) };
        let template = environment.get_template(name).map_err(|error| failed(&error))?;
        template.render(Value::from_pairs(known)).map_err(|error| failed(&error))
    }
}

/// Reads the templates of an experiment.
///
/// # Errors
/// A template that is none.
pub fn own(prompt: &str, response: &str) -> Result<Environment<'static>, WordingError> {
    let mut environment = Environment::new();
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for (name, source) in [("prompt", prompt), ("response", response)] {
        let read = environment.add_template_owned(name, source.to_owned());
        read.map_err(|error| WordingError::Own { name, problem: format!("cannot be read: {}", in_words(&error)) })?;
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Example {
        Example {
            context: Some("The AMF pages.".into()),
            question: "Who pages?".into(),
            answer: "the AMF".into(),
            options: vec!["the AMF".into(), "the SMF".into()],
            ..Example::default()
        }
    }

    #[test]
    fn own_templates_see_the_example() {
        let prompt = "{% if context %}{{ context }}\n{% endif %}Q: {{ question }}\n{% for o in options %}{{ loop.index }}) {{ o }}\n{% endfor %}A:";
        let kind = Kind::Own(Box::new(own(prompt, " {{ answer | upper }}").unwrap()));
        let mut wording = Wording { closed_book: false, kind };
        let expected = "The AMF pages.\nQ: Who pages?\n1) the AMF\n2) the SMF\nA:";
        let Worded { text, response, is_whole } = wording.whole(&example()).unwrap();
        assert_eq!((text.split_at(response), is_whole), ((expected, " THE AMF"), false));
        wording.closed_book = true;
        assert!(wording.prompt(&example(), false).unwrap().starts_with("Q: Who"));
        assert_eq!(wording.response(&example(), "x").unwrap(), " X");
        let told = |prompt: &str| {
            let wording = own(prompt, "").map(|own| Wording { closed_book: false, kind: Kind::Own(Box::new(own)) });
            wording.and_then(|wording| wording.prompt(&example(), false)).unwrap_err().to_string()
        };
        assert_eq!(told("{{ quesion }}"), "`template.own.prompt` fails: undefined value (line 1)");
        assert!(told("{{").starts_with("`template.own.prompt` cannot be read: "));
    }

    #[test]
    fn a_chat_template_gets_turns() {
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        let kind = || Kind::Chat(Box::new(ChatTemplate::new(source, vec![]).unwrap()));
        let open = Wording { closed_book: false, kind: kind() };
        let prompt = "<user>Context: The AMF pages.\nQuestion: Who pages?</s><assistant>";
        assert_eq!(open.prompt(&example(), false).unwrap(), prompt);
        let Worded { text, response, is_whole } = open.whole(&example()).unwrap();
        assert_eq!((text.split_at(response), is_whole), ((prompt, "the AMF</s>"), true));
        let closed = Wording { closed_book: true, kind: kind() };
        let lettered = "<user>Question: Who pages?\nA. the AMF\nB. the SMF</s><assistant>";
        assert_eq!(closed.prompt(&example(), true).unwrap(), lettered);
        let turns = vec![Turn { role: Role::System, content: "Be brief.".into() }];
        let chat = Example { turns: Some(turns), question: "Hi".into(), ..Example::default() };
        assert_eq!(open.prompt(&chat, false).unwrap(), "<system>Be brief.</s><user>Hi</s><assistant>");
        assert_eq!(open.response(&chat, "Yes").unwrap(), "Yes");
    }
}
