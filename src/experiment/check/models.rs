//! Tokenizers and models: defined, buildable, and there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Checking, LARGEST};
use crate::experiment::arms::{arms, references};
use crate::experiment::document::KeyPath;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Model, Scratch, TokenizerSource};

/// Byte-level BPE starts from 256 bytes and the tokens for start and end.
const SMALLEST_BYTE_LEVEL: usize = 258;

/// Unigram starts from 256 bytes, the tokens for unknown, start and end, and the characters of the
/// texts, of which there is at least one.
const SMALLEST_UNIGRAM: usize = 260;

/// Largest vocabulary that is trained; four times the largest published ones.
const LARGEST_VOCABULARY: usize = 1_000_000;

/// Parameters that a scratch model may have: beyond any machine, below where sizes overflow.
const MOST_PARAMETERS: f64 = 1e12;

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
                } else if path.is_file() && path.file_name().is_none_or(|name| name != "tokenizer.json") {
                    // The files beside it belong to it, so what is read is the folder.
                    let message = format!("`{}` is not named `tokenizer.json`", path.display());
                    let help = "give it a folder of its own and this name, with `tokenizer_config.json` beside it";
                    self.faults.at(at, message, help);
                }
            }
            TokenizerSource::ByteLevelBpe { vocabulary } => {
                let expected = format!("at least {SMALLEST_BYTE_LEVEL} (256 bytes and special tokens)");
                self.vocabulary(*vocabulary, SMALLEST_BYTE_LEVEL, &expected, &at.key("byte-level-bpe"));
            }
            TokenizerSource::Unigram { vocabulary } => {
                let expected = format!("at least {SMALLEST_UNIGRAM} (256 bytes, special tokens and characters)");
                self.vocabulary(*vocabulary, SMALLEST_UNIGRAM, &expected, &at.key("unigram"));
            }
        }
    }

    fn vocabulary(&mut self, tokens: usize, least: usize, expected: &str, at: &KeyPath) {
        let at = at.key("vocabulary");
        self.require(tokens >= least, &at, expected, tokens);
        self.require(tokens <= LARGEST_VOCABULARY, &at, &format!("at most {LARGEST_VOCABULARY}"), tokens);
    }

    /// Checks that names of levels can stand in names of arms, and that no two results share one.
    pub(super) fn names(&mut self) {
        let experiment = self.experiment;
        let models = experiment.models.keys().map(|name| ("models", name));
        let algorithms = experiment.algorithms.keys().map(|name| ("algorithms", name));
        let mut sound = true;
        for (table, name) in models.chain(algorithms) {
            let what = match name {
                name if name.trim().is_empty() => "is empty",
                name if name.trim() != name => "starts or ends with a space",
                name if name.contains('/') => "holds a `/`, which joins levels in the names of arms",
                name if name.contains(char::is_control) => "holds a control character",
                _ => continue,
            };
            sound = false;
            let message = format!("the name {name:?} in `{table}` {what}");
            self.faults.at(KeyPath::from(table).key(name), message, "rename it: tables and figures show it");
        }
        if !sound || !self.faults.is_sound("factors") {
            return;
        }
        let mut seen: BTreeSet<String> = arms(experiment).into_iter().map(|arm| arm.name).collect();
        for reference in references(experiment) {
            if seen.contains(&reference.name) {
                let message = format!("two results would be named `{}`", reference.name);
                let at = KeyPath::from("models").key(&reference.model);
                self.faults.at(at, message, "rename the model or the algorithm");
            }
            seen.insert(reference.name);
        }
    }

    fn scratch(&mut self, scratch: &Scratch, at: &KeyPath) {
        let names = self.experiment.tokenizers.keys().map(String::as_str);
        let is_defined = self.experiment.tokenizers.contains_key(&scratch.tokenizer);
        if !is_defined && self.faults.lacks("tokenizers", &scratch.tokenizer) {
            let message = format!("no tokenizer is named `{}`", scratch.tokenizer);
            let help = remedy(&scratch.tokenizer, "tokenizers", names);
            self.faults.at(at.key("tokenizer"), message, help);
        }
        self.parameters(scratch, at);
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
                self.require_count(size, at.key(key));
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

    /// Checks that the sizes of a scratch model multiply to something that can be built.
    fn parameters(&mut self, scratch: &Scratch, at: &KeyPath) {
        let sizes = [scratch.hidden, scratch.layers, scratch.feed_forward];
        if sizes.iter().any(|&size| size > LARGEST) {
            return;
        }
        let [hidden, layers, feed_forward] = sizes.map(|size| size as f64);
        // Four projections of attention, three of the feed-forward layer; embeddings are bounded by
        // their vocabulary.
        let parameters = layers * hidden * (4.0 * hidden + 3.0 * feed_forward);
        if parameters > MOST_PARAMETERS {
            let message = format!("a model of {parameters:.0e} parameters cannot be trained from scratch");
            self.faults.at(at, message, "lower `hidden`, `layers` or `feed-forward`");
        }
    }

    fn checkpoint(&mut self, checkpoint: &str, at: &KeyPath) {
        let hub = checkpoint.strip_prefix("hf:");
        let folder = match hub {
            Some(name) if !is_hub_name(name) => {
                let message = format!("`{checkpoint}` is no hub name");
                let help = "write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`";
                self.faults.at(at, message, help);
                return;
            }
            Some(name) => match (self.around.located)(name) {
                Some(folder) => folder,
                None => {
                    self.notes.push(format!("`{checkpoint}` is not downloaded here"));
                    return;
                }
            },
            None => PathBuf::from(checkpoint),
        };
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
        if folder.join("adapter_config.json").is_file() {
            // Told by the caller, who reads what is inside.
            return;
        }
        for name in ["config.json", "tokenizer.json"].into_iter().filter(|name| !folder.join(name).is_file()) {
            let message = format!("the checkpoint `{checkpoint}` has no `{name}`");
            let help = match hub {
                Some(name) => format!("download the rest of it: `hf download {name}`"),
                None => "save model and tokenizer to one folder with `save_pretrained`".to_owned(),
            };
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
