//! Model folders as stages read and write them: weights, tokenizer, adapters.

use std::path::Path;

use anyhow::{Context, bail};
use tch::{Device, Kind};

use crate::data::Tokenizer;
use crate::device::Compute;
use crate::experiment::settings::Tuning;
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::quantised::{Quantisation, in_words};
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::with_hint;
use crate::train::student::Student;
use crate::tuning::{lora, peft};

/// Loads the model of input `name` with the adapters of input `adapter`, if the stage has that, and those
/// stacked on it (`adapter-2`, ...), to compute with it in `kind`.
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
    load_as(inputs, (name, kind), (adapter, kind), device, None)
}

/// Loads a model as [`load`] does, to train it: what is trained is in f32.
///
/// # Errors
/// As for [`load`].
pub fn load_to_train(
    inputs: &Inputs,
    name: &str,
    adapter: &str,
    tuning: &Tuning,
    compute: Compute,
) -> anyhow::Result<(Decoder, Tokenizer)> {
    let kind = Student::base_kind(tuning, compute);
    let (decoder, tokenizer) =
        load_as(inputs, (name, kind), (adapter, Kind::Float), compute.device, Some(lora::quantisation(tuning)))?;
    if let Tuning::Lora(settings) = tuning {
        lora::check(&decoder.config, settings).map_err(|(_, problem)| {
            let help = "correct `tuning.lora`; in `target-modules`, \"all-linear\" and other words for several mean the same in every family";
            anyhow::anyhow!("{problem}\nhint: {help}")
        })?;
    }
    Ok((decoder, tokenizer))
}

fn load_as(
    inputs: &Inputs,
    (name, kind): (&str, Kind),
    (adapter, adapter_kind): (&str, Kind),
    device: Device,
    asked: Option<Quantisation>,
) -> anyhow::Result<(Decoder, Tokenizer)> {
    let quantised = base_of(inputs, adapter, asked)?;
    let loaded = load_on(inputs, (name, kind), (adapter, adapter_kind), device, quantised)?;
    let kept = loaded.0.config.quantisation;
    if asked == Some(None) && kept.is_some() {
        bail!(
            "`{}` keeps its weights in {}, on which only adapters can be trained\nhint: write `[tuning.lora]` with this `base` and `double-quantisation`, or name a checkpoint that is not quantised",
            inputs.get(name)?.display(),
            in_words(kept)
        );
    }
    Ok(loaded)
}

/// Returns how the base was kept that the adapters of input `adapter`, and those stacked on it, were trained on.
///
/// # Errors
/// Adapters that were trained on bases of several formats.
pub fn trained_on(inputs: &Inputs, adapter: &str) -> anyhow::Result<Quantisation> {
    base_of(inputs, adapter, None)
}

/// Lists the folders of an adapter and of those stacked on it.
fn chain<'i>(inputs: &'i Inputs, adapter: &str) -> Vec<&'i Path> {
    (0..).map_while(|place| inputs.find(&link(adapter, place))).collect()
}

/// Adapters stay on the base that they were trained on, and so do those that are trained on top of them.
fn base_of(inputs: &Inputs, adapter: &str, asked: Option<Quantisation>) -> anyhow::Result<Quantisation> {
    let quantised = chain(inputs, adapter).into_iter().map(peft::quantisation);
    let mut quantised: Vec<Quantisation> = quantised.collect::<Result<_, _>>()?;
    quantised.extend(asked);
    if quantised.windows(2).any(|pair| pair[0] != pair[1]) {
        bail!(
            "adapters of one model are on bases of several formats\nhint: give their steps the same `tuning.lora.base` and `double-quantisation`, or merge with `adapters = \"merge\"`"
        );
    }
    Ok(quantised.first().copied().flatten())
}

/// Loads a model as [`load`] does, on a base that is kept as `quantised` says, whatever its adapters were trained on.
///
/// # Errors
/// As for [`load`].
pub fn load_on(
    inputs: &Inputs,
    (name, kind): (&str, Kind),
    (adapter, adapter_kind): (&str, Kind),
    device: Device,
    quantised: Quantisation,
) -> anyhow::Result<(Decoder, Tokenizer)> {
    let (folder, chain) = (inputs.get(name)?, chain(inputs, adapter));
    let mut decoder = Decoder::load_as(folder, kind, device, quantised)
        .with_context(|| format!("cannot load the model `{}`", folder.display()))?;
    for (place, adapter) in chain.iter().enumerate() {
        lora::stack(&mut decoder);
        // What lies below others is not trained.
        let kind = if place + 1 == chain.len() { adapter_kind } else { kind };
        peft::load(&mut decoder, kind, adapter)
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
    decoder.tokens = tokens as i64;
    name_ends(&mut decoder.config, &tokenizer);
    Ok((decoder, tokenizer))
}

/// Names the input of an adapter, counted from 0 in a stack: `adapter`, `adapter-2`, ...
#[must_use]
pub fn link(adapter: &str, place: usize) -> String {
    if place == 0 { adapter.to_owned() } else { format!("{adapter}-{}", place + 1) }
}

/// Makes the configuration name the tokens that end an answer, the one that closes responses first.
///
/// A model that is trained and saved has no `generation_config.json`: what its `config.json` does not
/// name, nobody stops at, and what it names beside them would end answers that it did not end before.
fn name_ends(config: &mut Config, tokenizer: &Tokenizer) {
    config.eos_token_id = tokenizer.ends().iter().map(|&end| i64::from(end)).collect();
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::files;
    use crate::orchestrate::stages::small;

    #[test]
    fn a_saved_model_ends_answers_where_the_one_it_was_tuned_from_did() {
        let trained = small::tokenizer();
        // Of a chat model, one file names the token that ends a text, another the one that ends a turn;
        // what the former names counts only where the latter is not there.
        for (config, generation, ends, saved) in [
            (vec![1], json!(1), vec![1], json!(1)),
            (vec![1], json!([1, 0]), vec![1, 0], json!([1, 0])),
            (vec![42], json!([1, 0]), vec![1, 0], json!([1, 0])),
            (vec![0, 42], json!(null), vec![1], json!(1)),
        ] {
            let (base, tuned) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            trained.save(base.path()).unwrap();
            let mut untuned = small::decoder(&trained);
            untuned.config.eos_token_id = config;
            untuned.save(base.path()).unwrap();
            let path = base.path().join("generation_config.json");
            files::write_json(&path, &json!({"eos_token_id": generation})).unwrap();

            let tokenizer = Tokenizer::load(base.path()).unwrap();
            let mut decoder = Decoder::load(base.path(), Kind::Float, Device::Cpu).unwrap();
            name_ends(&mut decoder.config, &tokenizer);
            decoder.save(tuned.path()).unwrap();
            tokenizer.save(tuned.path()).unwrap();
            assert_eq!(tokenizer.ends(), ends);
            assert_eq!(Tokenizer::load(tuned.path()).unwrap().ends(), ends);
            let text = std::fs::read_to_string(tuned.path().join("config.json")).unwrap();
            let written: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(written["eos_token_id"], saved);
        }
    }
}
