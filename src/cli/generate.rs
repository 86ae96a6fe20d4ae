//! `tutelage generate`: answers of finished models to prompts, or in conversation.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::bench::{MOST, compute};
use super::decoding::DecodingFlags;
use super::output::{Format, Output};
use super::precision::PrecisionName;
use crate::data::chat::ChatTemplate;
use crate::data::{Role, Tokenizer, Turn};
use crate::device::{Compute, Seed};
use crate::experiment::settings::Decoding;
use crate::generate::{Ends, Generated, GenerationSettings, Progress, StopReason, ends, generate};
use crate::models::decoder::Decoder;
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::{model, rows, with_hint};
use crate::tuning::lora;

/// Answers prompts with a finished model, or talks with it.
#[derive(Debug, Args)]
#[command(after_help = "\
A prompt is text that the model goes on with, as it stands: nothing is put around it but, with
`--chat`, the model's chat template. Without a prompt, and at a terminal, lines that are typed are
answered, each after all that was said, by the chat template of a model that has one; `/new` forgets
that, Ctrl-D ends. On a terminal answers are shown as they are written.

Examples:
  tutelage generate --model TinyLlama --prompt 'Question: What is HARQ?\\nAnswer:' --stop '\\n'
  tutelage generate --model base --beside tuned --file prompts.txt --format json
  tutelage generate --model base --adapter lora --temperature 0.7 --min-p 0.05")]
pub struct Generate {
    /// Hugging Face folder of the model.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// PEFT folder of an adapter to put on it; several lie on each other in their order.
    #[arg(long, value_name = "DIR")]
    adapter: Vec<PathBuf>,
    /// Hugging Face folder of a second model, which answers the same.
    #[arg(long, value_name = "DIR")]
    beside: Option<PathBuf>,
    /// A prompt; may be given several times.
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// File with prompts: one in each line or, where its name ends in `.jsonl`, rows with `prompt`.
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    file: Option<PathBuf>,
    /// Words each prompt as what a user says, by the chat template of the model.
    #[arg(long)]
    chat: bool,
    /// Longest answer, in tokens.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    max_new_tokens: usize,
    /// Number format of weights and products.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Seed of tokens that are drawn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    decoding: DecodingFlags,
}

/// A row of a file of prompts.
#[derive(Debug, Deserialize)]
struct Prompt {
    prompt: String,
}

/// An answer, for programs.
#[derive(Debug, Serialize)]
struct Answer {
    model: String,
    prompt: String,
    answer: String,
    new_tokens: usize,
    stopped: StopReason,
}

/// A model that answers.
struct Model {
    name: String,
    decoder: Decoder,
    tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
}

impl Model {
    fn load(folder: &Path, adapters: &[PathBuf], compute: Compute) -> anyhow::Result<Self> {
        let mut inputs = vec![("model".to_owned(), folder.to_owned())];
        for (place, adapter) in (1..).zip(adapters) {
            let name = if place == 1 { "adapter".to_owned() } else { format!("adapter-{place}") };
            inputs.push((name, adapter.clone()));
        }
        let inputs: Inputs = inputs.into_iter().collect();
        let (mut decoder, tokenizer) = model::load(&inputs, "model", "adapter", compute.kind(), compute.device)?;
        lora::merge(&mut decoder);
        let chat = tokenizer.chat_template().map_err(|error| with_hint(error.hint(), error))?;
        Ok(Self { name: folder.display().to_string(), decoder, tokenizer, chat })
    }

    /// Returns the tokens of a prompt: as it stands, or as what a user says.
    fn prompt(&self, prompt: &str, chats: bool) -> anyhow::Result<Vec<u32>> {
        match chats {
            false => Ok(self.tokenizer.encode_begun(prompt)),
            true if self.chat.is_none() => bail!(
                "`{}` has no chat template for `--chat`\nhint: leave it out, or choose a model that was tuned to chat",
                self.name
            ),
            true => self.conversation(&[prompt.to_owned()]),
        }
    }

    /// Turns a conversation into the tokens that the model goes on with. What is typed and what is answered take
    /// turns in `said`, the first is typed. Without a chat template the texts stand line after line.
    fn conversation(&self, said: &[String]) -> anyhow::Result<Vec<u32>> {
        let Some(chat) = &self.chat else { return Ok(self.tokenizer.encode_begun(&said.join("\n"))) };
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let turns: Vec<Turn> = roles.zip(said).map(|(role, text)| Turn { role, content: text.clone() }).collect();
        let text = chat.render(&turns, true).map_err(|error| with_hint(error.hint(), error))?;
        Ok(self.tokenizer.encode(&text))
    }
}

/// How all models answer.
struct Asking {
    decoding: Decoding,
    max_new_tokens: usize,
    seed: Seed,
}

impl Asking {
    /// Answers prompts; `hear` is told each text as far as it is settled.
    fn answer(
        &self,
        model: &Model,
        prompts: &[Vec<u32>],
        hear: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> anyhow::Result<Vec<Generated>> {
        let positions = usize::try_from(model.decoder.config.max_position_embeddings).unwrap_or(usize::MAX);
        for prompt in prompts {
            let (read, new) = (prompt.len(), self.max_new_tokens);
            if read + new > positions {
                bail!(
                    "a prompt of {read} tokens and {new} new ones exceed the {positions} positions of `{}`\n\
                     hint: shorten it, or lower `--max-new-tokens`",
                    model.name
                );
            }
        }
        let stop = self.decoding.stop();
        let settings = GenerationSettings {
            decoding: self.decoding.clone(),
            max_new_tokens: self.max_new_tokens,
            ends: Ends::of(&model.tokenizer, stop),
            batch: prompts.len(),
        };
        let mut broken = Ok(());
        let answers = generate(&model.decoder, prompts, &settings, self.seed, &mut |progress| {
            let text = match progress {
                Progress::Token { answer, .. } => settled(&model.tokenizer.decode(answer), stop).to_owned(),
                Progress::Answer { answer, .. } => self.text(model, answer),
            };
            broken = hear(&text);
            if broken.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        broken.context("cannot write the answer to stdout")?;
        Ok(answers?)
    }

    fn text(&self, model: &Model, answer: &Generated) -> String {
        ends::before(&model.tokenizer.decode(&answer.tokens), self.decoding.stop()).to_owned()
    }
}

/// Returns the part of an unfinished answer that no further token changes: not a character whose bytes are not
/// all there, nor what may be the beginning of a text that ends the answer.
fn settled<'a>(text: &'a str, stop: &[String]) -> &'a str {
    let text = ends::before(text, stop).trim_end_matches(char::REPLACEMENT_CHARACTER);
    let may_begin = |&at: &usize| stop.iter().any(|stop| stop.starts_with(&text[at..]));
    let at = text.char_indices().map(|(at, _)| at).find(may_begin);
    &text[..at.unwrap_or(text.len())]
}

impl Generate {
    /// Answers, and prints what was answered.
    ///
    /// # Errors
    /// When models or prompts cannot be read, a prompt is empty or too long, or stdout cannot be written to.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let prompts = self.prompts()?;
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if prompts.is_none() && !is_terminal {
            bail!("no prompt is given\nhint: `--prompt TEXT`, `--file PROMPTS`, or start it at a terminal to talk");
        }
        let compute = compute(self.precision, self.threads)?;
        let mut models = vec![Model::load(&self.model, &self.adapter, compute)?];
        if let Some(beside) = &self.beside {
            models.push(Model::load(beside, &[], compute)?);
        }
        let asking =
            Asking { decoding: self.decoding.decoding(), max_new_tokens: self.max_new_tokens, seed: Seed(self.seed) };
        match prompts {
            None => talk(&models, &asking, output)?,
            Some(prompts) if output.format() == Format::Text && io::stdout().is_terminal() => {
                for prompt in prompts {
                    show(&models, &asking, |model, _| model.prompt(&prompt, self.chat))?;
                }
            }
            Some(prompts) => {
                let answers = answers(&models, &asking, &prompts, self.chat)?;
                output.result(&answers, || text(&answers, prompts.len(), models.len()))?;
            }
        }
        Ok(Verdict::Good)
    }

    /// Reads the prompts; none where there are none to read.
    fn prompts(&self) -> anyhow::Result<Option<Vec<String>>> {
        let prompts = match &self.file {
            Some(file) if file.extension().is_some_and(|ending| ending == "jsonl") => {
                rows::read::<Prompt>(file)?.into_iter().map(|row| row.prompt).collect()
            }
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
                text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
            }
            None => self.prompt.clone(),
        };
        match (&self.file, prompts) {
            (Some(file), prompts) if prompts.is_empty() => bail!("`{}` holds no prompt", file.display()),
            (None, prompts) if prompts.is_empty() => Ok(None),
            (_, prompts) => Ok(Some(prompts)),
        }
    }
}

/// Answers all prompts, some at a time: prompt by prompt, model by model.
fn answers(models: &[Model], asking: &Asking, prompts: &[String], chats: bool) -> anyhow::Result<Vec<Answer>> {
    let mut by_model = Vec::new();
    for model in models {
        let read = prompts.iter().map(|prompt| model.prompt(prompt, chats));
        let tokens: Vec<Vec<u32>> = read.collect::<anyhow::Result<_>>()?;
        by_model.push(asking.answer(model, &tokens, &mut |_| Ok(()))?);
    }
    let mut answers = Vec::new();
    for (place, prompt) in prompts.iter().enumerate() {
        for (model, generated) in models.iter().zip(&by_model) {
            let generated = &generated[place];
            answers.push(Answer {
                model: model.name.clone(),
                prompt: prompt.clone(),
                answer: asking.text(model, generated),
                new_tokens: generated.tokens.len() + usize::from(generated.stopped == StopReason::Eos),
                stopped: generated.stopped,
            });
        }
    }
    Ok(answers)
}

/// Lays answers out for people: an only one by itself, else each below its prompt and its model.
fn text(answers: &[Answer], prompts: usize, models: usize) -> String {
    let mut text = String::new();
    for (place, answer) in answers.iter().enumerate() {
        if prompts > 1 && place.is_multiple_of(models) {
            text += &format!("> {}\n", answer.prompt);
        }
        if models > 1 {
            text += &format!("[{}]\n", answer.model);
        }
        text += answer.answer.trim();
        text.push('\n');
    }
    text
}

/// Answers in conversation until the input ends.
fn talk(models: &[Model], asking: &Asking, output: &Output) -> anyhow::Result<()> {
    let mut said: Vec<Vec<String>> = vec![Vec::new(); models.len()];
    let mut lines = io::stdin().lock().lines();
    loop {
        write_out("> ").context("cannot write to stdout")?;
        let Some(line) = lines.next() else { break };
        let line = line.context("cannot read what was typed")?;
        match line.trim() {
            "" => continue,
            "/new" => {
                said.iter_mut().for_each(Vec::clear);
                continue;
            }
            _ => {}
        }
        let before = said.clone();
        said.iter_mut().for_each(|turns| turns.push(line.clone()));
        match show(models, asking, |model, place| model.conversation(&said[place])) {
            Ok(texts) => {
                for (turns, text) in said.iter_mut().zip(texts) {
                    turns.push(text.trim().to_owned());
                }
            }
            Err(error) => {
                output.error(&error);
                said = before;
            }
        }
    }
    write_out("\n").context("cannot write to stdout")
}

/// Writes one answer of each model to the terminal, as it comes.
fn show(
    models: &[Model],
    asking: &Asking,
    prompt: impl Fn(&Model, usize) -> anyhow::Result<Vec<u32>>,
) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for (place, model) in models.iter().enumerate() {
        if models.len() > 1 {
            write_out(&format!("[{}]\n", model.name)).context("cannot write to stdout")?;
        }
        let mut shown = 0;
        let prompt = prompt(model, place)?;
        let answers = asking.answer(model, &[prompt], &mut |text| {
            let more = text.get(shown..).unwrap_or_default();
            shown += more.len();
            write_out(more)
        })?;
        write_out("\n").context("cannot write to stdout")?;
        texts.extend(answers.iter().map(|answer| asking.text(model, answer)));
    }
    Ok(texts)
}

fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_change_is_not_shown() {
        let stop = ["\n\nQ:".to_owned()];
        assert_eq!(settled("a\n", &stop), "a");
        assert_eq!(settled("a\nb", &stop), "a\nb");
        assert_eq!(settled("a\n\nQ", &stop), "a");
        assert_eq!(settled("a\n\nQ: b", &stop), "a");
        assert_eq!(settled("caf\u{fffd}", &stop), "caf");
        assert_eq!(settled("caf\u{e9}", &[]), "caf\u{e9}");
    }

    #[test]
    fn answers_stand_below_what_they_answer() {
        let answer = |model: &str, prompt: &str| Answer {
            model: model.to_owned(),
            prompt: prompt.to_owned(),
            answer: format!(" {model}{prompt}"),
            new_tokens: 2,
            stopped: StopReason::Eos,
        };
        assert_eq!(text(&[answer("m", "1")], 1, 1), "m1\n");
        let all = [answer("m", "1"), answer("n", "1"), answer("m", "2"), answer("n", "2")];
        assert_eq!(text(&all, 2, 2), "> 1\n[m]\nm1\n[n]\nn1\n> 2\n[m]\nm2\n[n]\nn2\n");
    }
}
