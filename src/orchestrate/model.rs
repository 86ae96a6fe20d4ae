//! Model folders as stages read and write them: weights, tokenizer, adapters.

use std::path::Path;

use anyhow::{Context, bail};
use tch::{Device, Kind};

use super::execute::Inputs;
use super::prepare::with_hint;
use crate::data::Tokenizer;
use crate::models::decoder::Decoder;
use crate::tuning::peft;

/// Loads the model of input `name` with the adapters of input `adapter`, if the stage has that.
///
/// # Errors
/// When files are missing, damaged or do not fit each other, and when the tokenizer has tokens
/// that the model has no embedding for.
pub fn load(
    inputs: &Inputs,
    name: &str,
    adapter: &str,
    kind: Kind,
    device: Device,
) -> anyhow::Result<(Decoder, Tokenizer)> {
    let folder = inputs.get(name)?;
    let mut decoder =
        Decoder::load(folder, kind, device).with_context(|| format!("cannot load the model `{}`", folder.display()))?;
    if let Some(adapter) = inputs.find(adapter) {
        peft::load(&mut decoder, adapter)
            .with_context(|| format!("cannot load the adapters `{}`", adapter.display()))?;
    }
    let tokenizer = tokenizer(folder)?;
    let (tokens, rows) = (tokenizer.len(), decoder.config.vocab_size);
    if tokens as i64 > rows {
        bail!(
            "the tokenizer of `{}` has {tokens} tokens, its model {rows} embeddings\nhint: use the tokenizer that the model was trained with",
            folder.display()
        );
    }
    // Responses are closed with the tokenizer's token: a model that is trained on them and saved has
    // to name it, or other programs would not stop there.
    let eos = i64::from(tokenizer.eos());
    if !decoder.config.eos_token_id.contains(&eos) {
        decoder.config.eos_token_id.insert(0, eos);
    }
    Ok((decoder, tokenizer))
}

/// Loads the tokenizer of a model folder.
///
/// # Errors
/// When it is missing or damaged.
pub fn tokenizer(folder: &Path) -> anyhow::Result<Tokenizer> {
    Tokenizer::load(folder)
        .map_err(|error| with_hint(error.hint(), error))
        .with_context(|| format!("cannot load the tokenizer of `{}`", folder.display()))
}
