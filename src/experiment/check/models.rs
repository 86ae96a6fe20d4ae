//! Tokenizers and models: defined, buildable, and there.

use std::path::Path;

use super::Checking;
use crate::experiment::document::KeyPath;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Model, Scratch, TokenizerSource};

/// Byte-level BPE starts from 256 bytes and at least the tokens for start, end, padding and
/// unknown.
const SMALLEST_BYTE_LEVEL: usize = 260;

/// Unigram needs the four special tokens and a piece.
const SMALLEST_UNIGRAM: usize = 5;

impl Checking<'_, '_> {
    pub(super) fn models(&mut self) {
        let experiment = self.experiment;
        for (name, tokenizer) in &experiment.tokenizers {
            self.tokenizer(tokenizer, &KeyPath::from("tokenizers").key(name));
            let used = experiment
                .models
                .values()
                .any(|model| matches!(model, Model::Scratch(scratch) if scratch.tokenizer == *name));
            if !used {
                self.notes.push(format!("no model uses the tokenizer `{name}`"));
            }
        }
        for (name, model) in &experiment.models {
            let at = KeyPath::from("models").key(name);
            match model {
                Model::Scratch(scratch) => self.scratch(scratch, &at.key("scratch")),
                Model::Checkpoint(checkpoint) => self.checkpoint(checkpoint, &at.key("checkpoint")),
            }
            let factors = &experiment.factors;
            if !factors.student.contains(name) && !factors.teacher.contains(name) {
                self.notes.push(format!("no factor uses the model `{name}`"));
            }
        }
    }

    fn tokenizer(&mut self, tokenizer: &TokenizerSource, at: &KeyPath) {
        match tokenizer {
            TokenizerSource::File { path } => {
                let at = at.key("file").key("path");
                if !path.is_file() && !path.join("tokenizer.json").is_file() {
                    let message = format!("no `tokenizer.json` at `{}`", path.display());
                    let help = self.path_help(path.as_os_str(), &at);
                    self.faults.at(at, message, help);
                }
            }
            TokenizerSource::ByteLevelBpe { vocabulary } => self.require(
                *vocabulary >= SMALLEST_BYTE_LEVEL,
                at.key("byte-level-bpe").key("vocabulary"),
                "at least 260 (256 bytes and special tokens)",
                vocabulary,
            ),
            TokenizerSource::Unigram { vocabulary } => self.require(
                *vocabulary >= SMALLEST_UNIGRAM,
                at.key("unigram").key("vocabulary"),
                "at least 5 (special tokens and a piece)",
                vocabulary,
            ),
        }
    }

    fn scratch(&mut self, scratch: &Scratch, at: &KeyPath) {
        let names = self.experiment.tokenizers.keys().map(String::as_str);
        if !self.experiment.tokenizers.contains_key(&scratch.tokenizer) && self.faults.is_sound("tokenizers") {
            let message = format!("no tokenizer is named `{}`", scratch.tokenizer);
            let help = remedy(&scratch.tokenizer, "tokenizers", names);
            self.faults.at(at.key("tokenizer"), message, help);
        }
        let kv_heads = scratch.kv_heads.unwrap_or(scratch.heads);
        let sizes = [
            ("hidden", scratch.hidden),
            ("layers", scratch.layers),
            ("heads", scratch.heads),
            ("kv-heads", kv_heads),
            ("feed-forward", scratch.feed_forward),
            ("positions", scratch.positions),
        ];
        for (key, size) in sizes {
            if key != "kv-heads" || scratch.kv_heads.is_some() {
                self.require_some(size, at.key(key));
            }
        }
        let (hidden, heads) = (scratch.hidden, scratch.heads);
        if hidden == 0 || heads == 0 || kv_heads == 0 {
            return;
        }
        let sound = |key: &str| self.faults.is_sound(at.key(key));
        let (widths, groups) = (sound("hidden") && sound("heads"), sound("kv-heads"));
        if widths && !hidden.is_multiple_of(heads) {
            let message = format!("{heads} heads do not divide a width of {hidden}");
            let help = "make `hidden` a multiple of `heads`, best `64 * heads`";
            self.faults.at(at.key("hidden"), message, help);
        } else if widths && !(hidden / heads).is_multiple_of(2) {
            let message = format!("a head is {} wide, which is odd", hidden / heads);
            let help = "rotary positions turn pairs: make `hidden / heads` even";
            self.faults.at(at.key("hidden"), message, help);
        }
        if widths && groups && !heads.is_multiple_of(kv_heads) {
            let message = format!("{heads} query heads cannot share {kv_heads} key and value heads");
            let help = "make `heads` a multiple of `kv-heads`";
            self.faults.at(at.key("kv-heads"), message, help);
        }
    }

    fn checkpoint(&mut self, checkpoint: &str, at: &KeyPath) {
        if let Some(name) = checkpoint.strip_prefix("hf:") {
            if !is_hub_name(name) {
                let message = format!("`{checkpoint}` is no hub name");
                let help = "write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`";
                self.faults.at(at, message, help);
            } else if !(self.around.downloaded)(name) {
                self.notes.push(format!("`{checkpoint}` is not downloaded here"));
            }
            return;
        }
        let folder = Path::new(checkpoint);
        if checkpoint.is_empty() || !folder.is_dir() {
            let message = format!("no checkpoint folder at `{checkpoint}`");
            let typed = self.faults.typed(at).unwrap_or_default();
            let help = if is_hub_name(typed) {
                format!("for a hub model write `hf:{typed}`")
            } else {
                self.path_help(folder.as_os_str(), at)
            };
            self.faults.at(at, message, help);
            return;
        }
        let weights = ["model.safetensors", "model.safetensors.index.json"];
        let missing = |name: &&str| !folder.join(name).is_file();
        let absent: Vec<&str> = ["config.json", "tokenizer.json"].into_iter().filter(missing).collect();
        for name in absent {
            let message = format!("the checkpoint `{checkpoint}` has no `{name}`");
            let help = "save model and tokenizer to one folder with `save_pretrained`";
            self.faults.at(at, message, help);
        }
        if weights.iter().all(missing) {
            let message = format!("the checkpoint `{checkpoint}` has no `{}`", weights[0]);
            let help = "save the weights as safetensors, whole or in shards with their index";
            self.faults.at(at, message, help);
        }
    }
}

/// Says whether a text has the form `organisation/model`.
fn is_hub_name(name: &str) -> bool {
    let part = |part: &str| {
        let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(valid)
    };
    name.split_once('/').is_some_and(|(organisation, model)| part(organisation) && part(model))
}
