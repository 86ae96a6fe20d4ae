//! From a model with its adapters to a folder that others open: merged weights, tokenizer, and a card that says
//! what it is, what it was trained on, what that took, and how far it is from what was trained.
//!
//! The phases, in order: the model is loaded as it was trained and its logits on a few rows are kept
//! ([`mod@difference`]); adapters are added to the weights in f32 ([`merge`]); the folder is written under another
//! name ([`draft`], as safetensors or as [`gguf`]), read back from the disk and compared; the card is written
//! ([`card`]); the folder gets its name. Only one model is in memory at a time. Knows nothing of the command line.

pub mod beside;
pub mod card;
pub mod difference;
pub mod draft;
pub mod gguf;
pub mod licence;
pub mod merge;
pub mod rows;
pub mod settings;

use std::path::{Path, PathBuf};

use serde::Serialize;
use tch::{Device, Kind};
use tutelage_reports::number;

use self::difference::{Difference, difference, logits};
use self::draft::Draft;
use self::licence::Licence;
use self::merge::{Merge, check_range, round};
use self::settings::{Form, Numbers, Settings};
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::quantised::{Quantisation, in_words};
use crate::orchestrate::gather::finished::{Finished, Start};
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::model;
use crate::tuning::lora;

/// Bytes that are left free for what is not weights: tokenizer, card, licence.
const BESIDE_WEIGHTS: u64 = 50_000_000;

/// What is exported.
#[derive(Debug)]
pub struct Exported {
    /// What it is called in its card.
    pub title: String,
    /// Its folders: `model`, and `adapter`, `adapter-2`, ... on it.
    pub inputs: Inputs,
    /// The model that it was trained from.
    pub start: Start,
    /// The trial of a study that made it.
    pub trial: Option<Finished>,
    /// The rows that logits are compared on.
    pub rows: rows::Source,
}

/// Says what was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The folder.
    pub output: PathBuf,
    /// Its files, in the order of their names.
    pub files: Vec<String>,
    /// Size of all of them.
    pub bytes: u64,
    /// Parameters of the model.
    pub parameters: u64,
    /// What is written: `safetensors` or `gguf`.
    pub form: &'static str,
    /// The format of its numbers; of those in large matrices, where they are in few bits.
    pub numbers: &'static str,
    /// Whether weights are in few bits.
    pub quantised: bool,
    /// What was merged into what.
    pub merge: Merge,
    /// How far what was read back is from what was trained.
    pub difference: Difference,
    /// The licence of the base; none where there is no base, or its folder is not here.
    pub licence: Option<Licence>,
}

/// Writes a model and its card to the folder `output`, and tells `say` how far it is.
///
/// # Errors
/// Files that are missing, damaged or do not fit each other; adapters of a base in few bits without a word on what
/// they are added to; numbers beyond the range of the format; an output that is there; a disk that is full.
pub fn export(
    exported: &Exported,
    settings: Settings,
    output: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Outcome> {
    let inputs = &exported.inputs;
    let folder = inputs.get("model")?;
    let merge = Merge::of(inputs, settings.base)?;
    let config = Config::read(folder)?;
    let parameters = config.parameters();
    let writer = match settings.form {
        Form::Safetensors(numbers) => Writer::Safetensors(numbers, None),
        Form::Quantised { format, doubles, rest } => Writer::Safetensors(rest, Some((format, doubles))),
        Form::Gguf(blocks) => {
            let plan = gguf::Plan::new(&config, &model::tokenizer(folder)?, &exported.title, blocks)?;
            Writer::Gguf(Box::new(plan))
        }
    };
    let draft = Draft::begin(output)?;
    let matrices: i64 = config.projections().iter().map(|projection| projection.input * projection.output).sum();
    let matrices = (matrices * config.num_hidden_layers) as f64;
    let bits = matrices * settings.form.bits() + (parameters as f64 - matrices) * settings.form.bits_beside();
    draft.check_room((bits / 8.0) as u64 + BESIDE_WEIGHTS)?;

    say(&format!("loading {}, {} parameters, as it was trained", exported.title, number::parameters(parameters)));
    let (mut decoder, tokenizer) = model::load(inputs, "model", "adapter", Kind::Float, Device::Cpu)?;
    let rows = exported.rows.rows(&tokenizer, decoder.config.max_position_embeddings)?;
    say(&format!("computing logits of {}", rows.of));
    let trained: Vec<_> = logits(&decoder, &rows.tokens).collect();

    if let Some(base) = merge.another_base() {
        say("loading the base as its files have it");
        drop(decoder);
        let (name, adapter) = (("model", Kind::Float), ("adapter", Kind::Float));
        decoder = model::load_on(inputs, name, adapter, Device::Cpu, base)?.0;
    }
    lora::merge(&mut decoder);
    say(&format!("writing {} in {}", settings.form.name(), settings.form.numbers()));
    match &writer {
        Writer::Safetensors(numbers, kept) => {
            write(&mut decoder, *numbers, *kept, draft.path())?;
            tokenizer.save(draft.path())?;
            beside::generation(folder, tokenizer.ends(), decoder.config.bos_token_id, draft.path())?;
        }
        Writer::Gguf(plan) => plan.write(&decoder, draft.path())?,
    }
    let base = base_folder(exported);
    let passed_on = base.map_or(Ok(Vec::new()), |base| beside::pass_on(base, draft.path()))?;
    let tokens = decoder.tokens;
    drop(decoder);

    say("reading it back from the disk");
    let mut written = match &writer {
        Writer::Safetensors(..) => Decoder::load(draft.path(), Kind::Float, Device::Cpu)?,
        Writer::Gguf(plan) => plan.read(config.clone(), draft.path())?,
    };
    written.tokens = tokens;
    let difference = difference(&rows.of, &trained, logits(&written, &rows.tokens));
    drop(written);

    let licence = base.map(Licence::read);
    let (files, bytes) = contents(draft.path())?;
    let mut outcome = Outcome {
        output: output.to_owned(),
        files,
        bytes,
        parameters,
        form: settings.form.name(),
        numbers: settings.form.numbers(),
        quantised: settings.form.is_quantised(),
        merge,
        difference,
        licence,
    };
    card::write(exported, &config, &outcome, &passed_on, draft.path())?;
    (outcome.files, outcome.bytes) = contents(draft.path())?;
    draft.finish()?;
    Ok(outcome)
}

/// What writes weights and reads them back, known to be able to before anything is loaded.
enum Writer {
    Safetensors(Numbers, Quantisation),
    Gguf(Box<gguf::Plan>),
}

/// Writes the weights in a number format, matrices in few bits where asked, and `config.json`.
fn write(decoder: &mut Decoder, numbers: Numbers, kept: Quantisation, folder: &Path) -> anyhow::Result<()> {
    if let Some((format, doubles)) = kept {
        decoder.quantise(format, doubles);
    }
    round(decoder, numbers.kind());
    check_range(decoder, numbers)?;
    match kept {
        Some(_) => Ok(decoder.save_quantised(folder)?),
        None => Ok(decoder.save_in(folder, numbers.kind())?),
    }
}

/// Returns the folder of the model that it was trained from, if there is one and it is here.
fn base_folder(exported: &Exported) -> Option<&Path> {
    match &exported.start {
        Start::Checkpoint { folder, .. } => folder.as_deref(),
        Start::Scratch => None,
    }
}

/// Lists the files of a folder with the size of all of them.
fn contents(folder: &Path) -> anyhow::Result<(Vec<String>, u64)> {
    let (mut names, mut bytes) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        names.push(entry.file_name().to_string_lossy().into_owned());
        bytes += entry.metadata()?.len();
    }
    names.sort();
    Ok((names, bytes))
}

/// Words how a base is kept: `nf4 with double quantisation`; none of one that is as its files have it.
#[must_use]
pub fn format_of(quantised: Quantisation) -> Option<String> {
    quantised.map(|_| in_words(quantised))
}
