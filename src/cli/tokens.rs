//! `tutelage tokens`: what a model really reads.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::bench::importers;
use super::output::Output;
use crate::data::encode::Limits;
use crate::data::learned::Learned;
use crate::data::{Example, Tokenizer, Turn, Wording, import};
use crate::experiment::settings::{Data, Importer, Template};
use crate::orchestrate::stages::with_hint;

/// Shows the text and the tokens that a model reads, and which of them it learns.
#[derive(Debug, Args)]
#[command(after_help = "\
Messages are a JSON list of turns, worded by the chat template of the model's files:
  [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"No signal.\"},
   {\"role\": \"assistant\", \"content\": \"Restart the phone.\"}]
What the assistant says is learned, up to the token that ends it. A row of a data set is worded as
training words it: its prompt is read, its answer and the end of sequence are learned.

On a terminal, tokens are set off from each other by shades and what is learned is green; elsewhere
`|` stands between tokens and what is learned is in [ ]. With `--format json`: `text`, `ids`, and
`loss`, which says of each id whether it is learned.

Examples:
  tutelage tokens --model Qwen2.5-3B-Instruct --messages chat.json
  tutelage tokens --model Qwen2.5-3B-Instruct --messages chat.json --add-generation-prompt
  tutelage tokens --model TinyLlama --data qa.jsonl --importer qa --row 3 --format json")]
pub struct Tokens {
    /// Folder of the model, or of its tokenizer.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File with a list of messages; `-` reads stdin.
    #[arg(long, value_name = "FILE", required_unless_present = "data")]
    messages: Option<PathBuf>,
    /// Adds what comes before the next answer; nothing is learned then.
    #[arg(long, requires = "messages", conflicts_with = "data")]
    add_generation_prompt: bool,
    /// File of a data set, one of whose rows is shown.
    #[arg(long, value_name = "FILE", conflicts_with = "messages")]
    data: Option<PathBuf>,
    /// Format of the data.
    #[arg(long, value_name = "NAME", default_value = Importer::Qa.name(), value_parser = importers(), requires = "data")]
    importer: Importer,
    /// Which row, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "data")]
    row: usize,
    /// Leaves the passage out of the prompt.
    #[arg(long, requires = "data")]
    closed_book: bool,
    /// Words the row by the chat template of the model.
    #[arg(long, requires = "data")]
    chat: bool,
    /// Longest sequence, in tokens, of a row.
    #[arg(long, value_name = "N", default_value_t = 512, requires = "data")]
    max_length: usize,
}

/// The result, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    text: &'a str,
    ids: &'a [u32],
    loss: &'a [bool],
}

impl Tokens {
    /// Shows them.
    ///
    /// # Errors
    /// Files that are missing or damaged, a model without chat template, messages that it refuses, a row that is not
    /// there.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let tokenizer = Tokenizer::load(&self.model).map_err(|error| with_hint(error.hint(), error))?;
        let read = match (&self.messages, &self.data) {
            (Some(messages), _) => self.conversation(&tokenizer, messages)?,
            (None, Some(data)) => self.row(&tokenizer, data)?,
            (None, None) => bail!("neither `--messages` nor `--data` is given"),
        };
        if read.rewritten > 0 {
            output.warn(&format!(
                "note: {} earlier answers are not learned: the template writes them otherwise once others follow",
                read.rewritten
            ));
        }
        let shown = Shown { text: &read.text, ids: &read.ids, loss: &read.loss };
        output.result(&shown, || text(&read, &tokenizer, is_colored()))?;
        Ok(Verdict::Good)
    }

    fn conversation(&self, tokenizer: &Tokenizer, file: &Path) -> anyhow::Result<Learned> {
        let mut json = String::new();
        let read = match file == Path::new("-") {
            true => io::stdin().read_to_string(&mut json).map(drop),
            false => std::fs::read_to_string(file).map(|text| json = text),
        };
        read.with_context(|| format!("cannot read `{}`", file.display()))?;
        let messages: Vec<Turn> = serde_json::from_str(&json).map_err(|error| {
            let expected =
                "expected a list of `{\"role\": \"system\", \"user\" or \"assistant\", \"content\": \"...\"}`";
            anyhow::anyhow!("`{}`: {error}\nhint: {expected}", file.display())
        })?;
        let template = tokenizer.chat_template().map_err(|error| with_hint(error.hint(), error))?;
        let Some(template) = template else {
            bail!(
                "`{}` has no chat template: neither `chat_template.jinja` nor `chat_template` in `tokenizer_config.json`\n\
                 hint: a base model has none; its instruction-tuned sibling has one",
                self.model.display()
            );
        };
        let learned = match self.add_generation_prompt {
            true => Learned::to_answer(tokenizer, &template, &messages),
            false => Learned::of_messages(tokenizer, &template, &messages),
        };
        learned.map_err(|error| with_hint(error.hint(), error))
    }

    fn row(&self, tokenizer: &Tokenizer, file: &Path) -> anyhow::Result<Learned> {
        let data = Data { closed_book: self.closed_book, ..Data::new(self.importer, Some(file.to_owned())) };
        let imported = import(&data, Path::new("")).map_err(|error| with_hint(error.hint(), error))?;
        let Some(example): Option<&Example> = imported.examples.get(self.row) else {
            let rows = imported.examples.len();
            bail!("`{}` has {rows} usable rows, expected more than `--row` {}", file.display(), self.row);
        };
        let limits = Limits { max_length: self.max_length, max_prompt: None };
        let template = if self.chat { Template::Chat } else { Template::Plain };
        let wording = Wording::new(&template, self.closed_book, tokenizer);
        let wording = wording.map_err(|error| with_hint(error.hint(), error))?;
        let learned = Learned::of_example(tokenizer, example, &wording, limits)
            .map_err(|error| with_hint(error.source.hint(), error))?;
        learned.with_context(|| {
            format!(
                "the answer of row {} is longer than `--max-length` {}: training leaves it out",
                self.row, self.max_length
            )
        })
    }
}

/// Says whether stdout is a terminal that may have colours.
fn is_colored() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

/// Sets tokens off from each other and marks what is learned.
fn text(read: &Learned, tokenizer: &Tokenizer, colored: bool) -> String {
    let mut shown = String::new();
    let mut was_learned = false;
    let mut end = 0;
    for (index, (place, &learned)) in read.places.iter().zip(&read.loss).enumerate() {
        // Of a token that is not in the text, its spelling; of bytes of one character, the character with its first.
        let written = match place.is_empty() {
            true if place.start >= read.text.len() => tokenizer.token(read.ids[index]).unwrap_or_default(),
            _ => read.text.get(end.max(place.start)..place.end.max(end)).unwrap_or_default(),
        };
        end = end.max(place.end);
        if colored {
            let shade = if index % 2 == 0 { 236 } else { 240 };
            let color = if learned { "\x1b[1;32m" } else { "" };
            // A shade over a line end would fill the line.
            let written = written.replace('\n', "\u{23ce}\x1b[0m\n");
            shown += &format!("\x1b[48;5;{shade}m{color}{written}\x1b[0m");
        } else {
            shown += match (was_learned, learned) {
                (false, true) => "[",
                (true, false) => "]",
                _ if index > 0 => "|",
                _ => "",
            };
            shown += written;
        }
        was_learned = learned;
    }
    if was_learned && !colored {
        shown.push(']');
    }
    let learned = read.loss.iter().filter(|learned| **learned).count();
    format!("{shown}\n\n{} tokens, {learned} learned", read.ids.len())
}
