//! The stage `encode`: texts as tokens on disk, once for all models that share a tokenizer.

use anyhow::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::{Text, Work, data, model};
use crate::data::tokens::TokenWriter;
use crate::data::{SplitName, Tokenizer};
use crate::experiment::settings::Kind;
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::kind::StageKind;

/// Bytes of text that are in memory at a time.
const HELD: usize = 32 << 20;

/// Encodes texts. Inputs: `data`, `tokenizer`. Output: the tokens of each split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EncodeJob {
    /// Parts of the data set, in order. Of data that are no texts only train, whose passages are read.
    pub splits: Vec<SplitName>,
}

impl Work for EncodeJob {
    fn kind(&self) -> StageKind {
        StageKind::Encode
    }

    fn version(&self) -> u32 {
        1
    }

    fn texts(&self) -> &'static [Text] {
        &[Text::Encoding]
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        // Four bytes for a token.
        Cost::of_disk(scene.sizes.map(|sizes| 4.0 * (sizes.corpus + sizes.dev.whole)))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        encode(self, around)
    }
}

/// A text, or why there is none.
type Texts = Box<dyn Iterator<Item = anyhow::Result<String>> + Send>;

/// Encodes every text with its end, a part of the corpus at a time.
///
/// # Errors
/// When data or tokenizer cannot be read, or the disk takes no more.
fn encode(job: &EncodeJob, around: Surroundings<'_>) -> anyhow::Result<()> {
    let folder = around.inputs.get("data")?;
    let summary = data::read_summary(folder)?;
    let tokenizer = model::tokenizer(around.inputs.get("tokenizer")?)?;
    let output = around.folder.output();
    let all: u64 = summary.examples.iter().sum();
    let mut done = 0;
    for &split in &job.splits {
        let texts: Texts = match (summary.kind, split) {
            (Kind::Text, _) => {
                Box::new(data::documents(folder, split)?.map(|document| document.map(|document| document.text)))
            }
            (_, SplitName::Train) => data::texts(folder)?,
            _ => Box::new(std::iter::empty()),
        };
        let failed = || format!("cannot write the tokens of {split} to `{}`", output.display());
        let mut writer = TokenWriter::new(&output, split).with_context(failed)?;
        let mut texts = texts.peekable();
        while texts.peek().is_some() {
            around.stop.check()?;
            let held = part(&mut texts)?;
            for tokens in encoded(&tokenizer, &held) {
                writer.push(&tokens).with_context(failed)?;
            }
            done += held.len() as u64;
            (around.events)(Event::Step(Step { step: done, steps: all.max(done), ..Step::default() }));
        }
        writer.finish().with_context(failed)?;
    }
    Ok(())
}

/// Takes texts until they fill the memory that is set aside for them.
fn part(texts: &mut impl Iterator<Item = anyhow::Result<String>>) -> anyhow::Result<Vec<String>> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    for text in texts {
        let text = text?;
        bytes += text.len();
        held.push(text);
        if bytes >= HELD {
            break;
        }
    }
    Ok(held)
}

fn encoded(tokenizer: &Tokenizer, texts: &[String]) -> Vec<Vec<u32>> {
    let encode = |text: &String| {
        let mut tokens = tokenizer.encode_begun(text);
        tokens.push(tokenizer.eos());
        tokens
    };
    texts.par_iter().map(encode).collect()
}
