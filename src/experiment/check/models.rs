//! Tokenizers and models: defined, buildable, and there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::range::LARGEST;
use super::{Checking, Sought};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::{listed, remedy};
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
            let names_it = |model: &Model| matches!(model, Model::Scratch(scratch) if scratch.tokenizer == *name);
            let is_needed = experiment.models.iter().any(|(model, source)| self.is_used(model) && names_it(source));
            self.tokenizer(tokenizer, is_needed, &KeyPath::from("tokenizers").key(name));
            if !experiment.models.values().any(names_it) {
                self.notes.push(format!("no model uses the tokenizer `{name}`"));
            }
        }
        for (name, model) in &experiment.models {
            let at = KeyPath::from("models").key(name);
            match model {
                Model::Scratch(scratch) => self.scratch(scratch, &at.key("scratch")),
                Model::Checkpoint(checkpoint) => {
                    self.checkpoint(checkpoint, self.is_used(name), &at.key("checkpoint"));
                }
            }
            if !self.is_used(name) {
                self.notes.push(format!("no factor uses the model `{name}`"));
            }
        }
        self.undefined_tokenizers();
    }

    /// Reports each tokenizer that models name and nothing defines once, and none as one fault.
    fn undefined_tokenizers(&mut self) {
        let mut named: BTreeMap<&str, Vec<KeyPath>> = BTreeMap::new();
        for (model, source) in &self.experiment.models {
            let at = KeyPath::from("models").key(model).key("scratch").key("tokenizer");
            let Model::Scratch(Scratch { tokenizer, .. }) = source else { continue };
            if self.faults.is_sound(&at) && self.faults.lacks("tokenizers", tokenizer) {
                named.entry(tokenizer).or_default().push(at);
            }
        }
        let defined = self.experiment.tokenizers.keys().map(String::as_str);
        let is_none = defined.len() == 0;
        let names: Vec<&str> = named.keys().copied().collect();
        let mut groups: Vec<Vec<KeyPath>> = named.values().cloned().collect();
        if is_none && !groups.is_empty() {
            groups = vec![groups.concat()];
        }
        for (name, places) in names.iter().zip(groups) {
            let (message, help) = if is_none {
                let message =
                    format!("the experiment defines no tokenizers, models name {}", listed(names.iter().copied()));
                (message, format!("add `[tokenizers]` with `{name} = {{ byte-level-bpe = {{ vocabulary = 4096 }} }}`"))
            } else {
                let help = format!("{}; or define `[tokenizers.{name}]`", remedy(name, "tokenizers", defined.clone()));
                (format!("no tokenizer is named `{name}`"), help)
            };
            let context: Vec<_> = places[1..].iter().map(|at| (at.clone(), "here, too")).collect();
            self.faults.add_with(Fault::new(&places[0], message).help(help), &context);
        }
    }

    fn tokenizer(&mut self, tokenizer: &TokenizerSource, is_needed: bool, at: &KeyPath) {
        match tokenizer {
            TokenizerSource::File { path } if path.to_string_lossy().starts_with("hf:") => {
                let at = at.key("file").key("path");
                self.of_hub(&path.to_string_lossy(), Sought::Tokenizer, is_needed, &at);
            }
            TokenizerSource::File { .. } if !is_needed => {}
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
            TokenizerSource::ByteLevelBpe { vocabulary, .. } => {
                let expected = format!("at least {SMALLEST_BYTE_LEVEL} (256 bytes and special tokens)");
                self.vocabulary(*vocabulary, SMALLEST_BYTE_LEVEL, &expected, &at.key("byte-level-bpe"));
            }
            TokenizerSource::Unigram { vocabulary, .. } => {
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
        let levels = experiment.factors.free.iter().flat_map(|(_, levels)| levels);
        let levels = levels.map(|level| ("factors", &level.name));
        let mut sound = true;
        for (table, name) in models.chain(algorithms).chain(levels) {
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
        let mut seen: BTreeSet<String> = self.design.arms.iter().map(|arm| arm.name.clone()).collect();
        for control in &self.design.controls {
            if !seen.insert(control.name.clone()) {
                let message = format!("two results would be named `{}`", control.name);
                let at = KeyPath::from("algorithms").key(&control.levels["algorithm"]);
                self.faults.at(at, message, "rename the algorithm");
            }
        }
        for reference in &self.design.references {
            if !seen.insert(reference.name.clone()) {
                let message = format!("two results would be named `{}`", reference.name);
                let at = KeyPath::from("models").key(&reference.course.model);
                self.faults.at(at, message, "rename the model or the algorithm");
            }
        }
    }

    fn scratch(&mut self, scratch: &Scratch, at: &KeyPath) {
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
        if [hidden, heads, kv_heads].iter().any(|size| !(1..=LARGEST).contains(size)) {
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

    /// Checks how something of the hub is named. The caller reads what is inside where it is here.
    fn of_hub(&mut self, name: &str, sought: Sought, is_used: bool, at: &KeyPath) {
        match (self.around.in_cache)(name, sought) {
            Ok(false) if is_used => {
                let what = if sought == Sought::Tokenizer { "the tokenizer of " } else { "" };
                self.notes.push(format!("{what}`{name}` is not on this machine: `tutelage run` downloads it"));
            }
            Ok(_) => {}
            Err((message, help)) => self.faults.at(at, message, help),
        }
    }

    /// Checks how a checkpoint is named, and where something uses it that it is there.
    fn checkpoint(&mut self, checkpoint: &str, is_used: bool, at: &KeyPath) {
        if checkpoint.starts_with("hf:") {
            self.of_hub(checkpoint, Sought::Model, is_used, at);
            return;
        }
        if !is_used {
            return;
        }
        let folder = PathBuf::from(checkpoint);
        if checkpoint.is_empty() || !folder.is_dir() {
            let message = format!("no checkpoint folder at `{checkpoint}`");
            let typed = self.faults.typed(at).unwrap_or_default();
            let help = if (self.around.in_cache)(&format!("hf:{typed}"), Sought::Model).is_ok() {
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
            self.faults.at(at, message, "save model and tokenizer to one folder with `save_pretrained`");
        }
    }
}
