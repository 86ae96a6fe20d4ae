//! Rows on which two models are compared: a few hundred tokens, always the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::data::encode::{Encoded, Limits, encode_example};
use crate::data::{SplitName, Tokenizer, Wording};
use crate::experiment::settings::{Task, Template};
use crate::orchestrate::gather::finished::AskedRows;
use crate::orchestrate::stages::{data, rows, with_hint};

/// Rows that are compared.
const ROWS: usize = 8;

/// Tokens of a row, at most: its last ones, where the answer is.
const LONGEST: usize = 64;

/// Seed of tokens that are drawn.
const SEED: u64 = 1;

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Rows that a study asked the model.
    Study(AskedRows),
    /// A file of texts: one in each line or, where its name ends in `.jsonl`, rows with `text`.
    Texts(PathBuf),
    /// Tokens drawn at random.
    Random,
}

/// Rows as a model reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// What they are, in words.
    pub of: String,
    /// Token ids of each.
    pub tokens: Vec<Vec<u32>>,
}

/// A row of a file of texts.
#[derive(Deserialize)]
struct Text {
    text: String,
}

impl Source {
    /// Reads the rows for a model of `positions` positions.
    ///
    /// # Errors
    /// Files that cannot be read or hold no row, and templates that fail.
    pub fn rows(&self, tokenizer: &Tokenizer, positions: i64) -> anyhow::Result<Rows> {
        let longest = LONGEST.min(usize::try_from(positions).unwrap_or(LONGEST)).max(1);
        let (what, mut tokens) = match self {
            Self::Study(asked) => {
                let what = format!("rows of the {} split of `{}`", asked.split, asked.name);
                (what, of_study(asked, tokenizer)?)
            }
            Self::Texts(file) => {
                let texts = texts(file)?;
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                (format!("texts of `{name}`"), texts.iter().map(|text| tokenizer.encode(text)).collect())
            }
            Self::Random => (format!("rows of random tokens (seed {SEED})"), random(tokenizer.len(), longest)),
        };
        tokens.retain(|row: &Vec<u32>| !row.is_empty());
        tokens.truncate(ROWS);
        if tokens.is_empty() {
            bail!("there are no {what} to compare logits on\nhint: name a file of texts with `--texts`");
        }
        for row in &mut tokens {
            row.drain(..row.len().saturating_sub(longest));
        }
        Ok(Rows { of: format!("the first {} {what}, at most {longest} tokens of each", tokens.len()), tokens })
    }
}

/// Encodes questions with their answers, or texts.
fn of_study(asked: &AskedRows, tokenizer: &Tokenizer) -> anyhow::Result<Vec<Vec<u32>>> {
    let AskedRows { folder, split, task, template, closed_book, .. } = asked;
    if *task == Task::Perplexity {
        let documents = data::documents(folder, *split)?.take(ROWS);
        return documents.map(|document| Ok(tokenizer.encode(&document?.text))).collect();
    }
    questions(folder, *split, (template, *closed_book), tokenizer)
}

fn questions(
    folder: &Path,
    split: SplitName,
    (template, closed_book): (&Template, bool),
    tokenizer: &Tokenizer,
) -> anyhow::Result<Vec<Vec<u32>>> {
    let wording = Wording::new(template, closed_book, tokenizer).map_err(|error| with_hint(error.hint(), error))?;
    // What comes before the last tokens is not compared, so no answer is too long.
    let limits = Limits { max_length: usize::MAX, max_prompt: None };
    let mut all = Vec::new();
    for (index, example) in data::read_split(folder, split)?.iter().take(ROWS).enumerate() {
        let encoded = encode_example(tokenizer, index, example, &wording, limits)
            .map_err(|error| with_hint(error.source.hint(), error))?;
        if let Encoded::Fits { sequence, .. } = encoded {
            all.push(sequence.tokens);
        }
    }
    Ok(all)
}

fn texts(file: &Path) -> anyhow::Result<Vec<String>> {
    if file.extension().is_some_and(|ending| ending == "jsonl") {
        return Ok(rows::read::<Text>(file)?.into_iter().map(|row| row.text).collect());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

fn random(tokens: usize, longest: usize) -> Vec<Vec<u32>> {
    let mut generator = ChaCha8Rng::seed_from_u64(SEED);
    let last = u32::try_from(tokens).unwrap_or(u32::MAX).max(1);
    let mut row = |_| (0..longest).map(|_| generator.random_range(0..last)).collect();
    (0..ROWS).map(&mut row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn rows_are_few_short_and_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tokenizer = Tokenizer::load(&root.join("tests/fixtures/data/byte-level-bpe")).unwrap();
        let drawn = Source::Random.rows(&tokenizer, 1000).unwrap();
        assert_eq!(drawn.of, "the first 8 rows of random tokens (seed 1), at most 64 tokens of each");
        assert_eq!(drawn.tokens.iter().map(Vec::len).collect::<Vec<_>>(), [64; 8]);
        assert!(drawn.tokens.iter().flatten().all(|&token| (token as usize) < tokenizer.len()));
        assert_eq!(Source::Random.rows(&tokenizer, 1000).unwrap(), drawn);
        assert_eq!(Source::Random.rows(&tokenizer, 5).unwrap().tokens[0].len(), 5);

        let text = "the cell and the terminal and the cell and the terminal";
        let [lines, json, none] = ["texts.txt", "texts.jsonl", "none.txt"].map(|name| folder.path().join(name));
        files::write(&lines, format!("\n{text}\n\nthe cell\n").as_bytes()).unwrap();
        files::write(&json, format!("{{\"text\": \"{text}\"}}\n{{\"text\": \"the cell\"}}\n").as_bytes()).unwrap();
        files::write(&none, b"\n").unwrap();
        let read = Source::Texts(lines).rows(&tokenizer, 6).unwrap();
        let whole = tokenizer.encode(text);
        assert_eq!(read.tokens[0], whole[whole.len() - 6..]);
        assert_eq!(read.tokens.len(), 2);
        assert_eq!(Source::Texts(json).rows(&tokenizer, 6).unwrap().tokens, read.tokens);
        let error = Source::Texts(none).rows(&tokenizer, 6).unwrap_err().to_string();
        assert_eq!(
            error,
            "there are no texts of `none.txt` to compare logits on\nhint: name a file of texts with `--texts`"
        );
    }
}
