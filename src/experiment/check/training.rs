//! Training and tuning: numbers in range, and in proportion to data and models.

use super::{Checking, LARGEST};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Lora, Model, Schedule, Training, Tuning};

/// Linear layers of a decoder that can carry an adapter.
pub(in crate::experiment) const TARGET_MODULES: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Where the length of pretraining stands.
const PRETRAINED: &str = "training.pretrain.max-length";

/// Says how long the sequences of a model may be.
struct Reach<'a> {
    name: &'a str,
    /// Where that was stated.
    at: KeyPath,
    positions: usize,
    is_scratch: bool,
}

impl<'a> Checking<'a, '_> {
    pub(super) fn training(&mut self) {
        let plan = &self.experiment.training;
        let sft = &self.experiment.factors.sft;
        let tuned = sft.iter().any(|level| level.tunes_teacher() || level.tunes_student());
        // Pretraining packs texts into sequences, so examples say nothing about its batch.
        let stages = [("pretrain", &plan.pretrain, false), ("sft", &plan.sft, tuned), ("distill", &plan.distill, true)];
        for (kind, training, by_example) in stages {
            let at = KeyPath::from("training").key(kind);
            self.optimisation(training, &at);
            self.lengths(training, &at);
            if let (true, Some(examples)) = (by_example, self.around.train_examples)
                && training.batch > examples
            {
                let batch = training.batch;
                let message = format!("`{}` of {batch} is larger than the training set of {examples}", at.key("batch"));
                let help = format!("choose at most {examples}, or use more data");
                self.faults.at(at.key("batch"), message, help);
            }
        }
        self.positions();
        self.room_for_prompts();
        if let Tuning::Lora(lora) = &self.experiment.tuning {
            self.lora(lora);
        }
    }

    fn optimisation(&mut self, training: &Training, at: &KeyPath) {
        self.require_positive(training.epochs, at.key("epochs"));
        self.require_positive(training.lr, at.key("lr"));
        self.require_count(training.batch, at.key("batch"));
        self.require_some(training.accumulation, at.key("accumulation"));
        self.require_some(training.checkpoint_every, at.key("checkpoint-every"));
        let decay = training.weight_decay;
        self.require(decay >= 0.0 && decay.is_finite(), at.key("weight-decay"), "0 or above", decay);
        if let Some(clip) = training.clip {
            // Infinity is no clipping.
            self.require(clip > 0.0, at.key("clip"), "above 0 (`inf` for none)", clip);
        }
        // What could not be read stands for nothing: see `Value::Hole`.
        let batch_is_read = training.batch > 0 && self.faults.is_sound(at.key("batch"));
        if batch_is_read && training.accumulation > training.batch {
            let (parts, batch) = (training.accumulation, training.batch);
            let message = format!("a batch of {batch} cannot be computed in {parts} parts");
            self.faults.at(at.key("accumulation"), message, format!("choose at most {batch}"));
        }
        let (name, warmup, floor) = match training.schedule {
            Schedule::Constant { warmup } => ("constant", warmup, 0.0),
            Schedule::Linear { warmup, floor } => ("linear", warmup, floor),
            Schedule::Cosine { warmup, floor } => ("cosine", warmup, floor),
        };
        let schedule = at.key("schedule").key(name);
        self.require_share(warmup, schedule.key("warmup"));
        if training.lr > 0.0 && self.faults.is_sound(at.key("lr")) {
            let expected = format!("from 0 to the peak of {}", training.lr);
            self.require((0.0..=training.lr).contains(&floor), schedule.key("floor"), &expected, floor);
        }
    }

    fn lengths(&mut self, training: &Training, at: &KeyPath) {
        let length = training.max_length;
        self.require(length >= 2, at.key("max-length"), "at least 2", length);
        self.require(length <= LARGEST, at.key("max-length"), &format!("at most {LARGEST}"), length);
        if let Some(prompt) = training.max_prompt {
            self.require_some(prompt, at.key("max-prompt"));
            if prompt >= length && self.faults.is_sound(at.key("max-length")) {
                let message = format!("a prompt of {prompt} tokens leaves no room in {length}");
                let help = "make `max-prompt` smaller than `max-length`";
                self.faults.at(at.key("max-prompt"), message, help);
            }
        }
    }

    /// Checks that what is trained and decoded fits the positions of every model.
    fn positions(&mut self) {
        let plan = &self.experiment.training;
        let lengths = [
            (PRETRAINED, plan.pretrain.max_length),
            ("training.sft.max-length", plan.sft.max_length),
            ("training.distill.max-length", plan.distill.max_length),
            ("evaluation.max-new-tokens", self.experiment.evaluation.max_new_tokens),
        ];
        let reaches = self.reaches();
        for (key, length) in lengths {
            // A checkpoint is not pretrained.
            let affected = |reach: &&Reach<'_>| reach.is_scratch || key != PRETRAINED;
            let short: Vec<&Reach<'_>> =
                reaches.iter().filter(|reach| reach.positions < length).filter(affected).collect();
            let Some(most) = short.iter().map(|reach| reach.positions).min() else {
                continue;
            };
            if self.faults.is_stated(key) {
                let models: Vec<String> =
                    short.iter().map(|reach| format!("`{}` ({})", reach.name, reach.positions)).collect();
                let message = format!("{length} tokens exceed the positions of {}", models.join(", "));
                let help = match short.iter().all(|reach| reach.is_scratch) {
                    true => format!("choose at most {most}, or give these models more `positions`"),
                    false => format!("choose at most {most}"),
                };
                let context: Vec<_> = short.iter().map(|reach| (reach.at.clone(), "positions")).collect();
                self.faults.add_with(Fault::new(key, message).help(help), &context);
            } else {
                for Reach { at, positions, is_scratch, .. } in short {
                    let message = format!("{positions} positions are fewer than the default of `{key}`, {length}");
                    let raise = if *is_scratch { "raise it, or " } else { "" };
                    self.faults.at(at, message, format!("{raise}lower `{key}`"));
                }
            }
        }
    }

    /// Lists how far the models reach, of those where it is known.
    fn reaches(&self) -> Vec<Reach<'a>> {
        let reach = |(name, model): (&'a String, &'a Model)| {
            let at = KeyPath::from("models").key(name);
            let (at, positions, is_scratch) = match model {
                Model::Scratch(scratch) => (at.key("scratch").key("positions"), scratch.positions, true),
                Model::Checkpoint(checkpoint) => (at.key("checkpoint"), (self.around.positions)(checkpoint)?, false),
            };
            self.faults.is_sound(&at).then_some(Reach { name, at, positions, is_scratch })
        };
        self.experiment.models.iter().filter_map(reach).collect()
    }

    /// Checks that a prompt is left beside the longest answer: answers are decoded within the
    /// length of fine-tuning, and a prompt that does not fit loses its left end.
    fn room_for_prompts(&mut self) {
        const ANSWER: &str = "evaluation.max-new-tokens";
        const LENGTH: &str = "training.sft.max-length";
        let answer = self.experiment.evaluation.max_new_tokens;
        let length = self.experiment.training.sft.max_length;
        if answer < length || length < 2 || !self.faults.is_sound(ANSWER) || !self.faults.is_sound(LENGTH) {
            return;
        }
        let message = format!("answers of {answer} tokens leave no room for prompts in `{LENGTH}`, {length}");
        let help = format!("lower `{ANSWER}`, or raise `{LENGTH}`");
        let at = if self.faults.is_stated(ANSWER) { ANSWER } else { LENGTH };
        self.faults.at(at, message, help);
    }

    fn lora(&mut self, lora: &Lora) {
        let at = KeyPath::from("tuning.lora");
        self.require_count(lora.rank, at.key("rank"));
        self.require_positive(lora.alpha, at.key("alpha"));
        self.require_share(lora.dropout, at.key("dropout"));
        let modules = &lora.target_modules;
        let at = at.key("target-modules");
        if modules.is_empty() {
            self.faults.at(&at, "no module gets an adapter", remedy("", "modules", TARGET_MODULES));
        }
        self.require_distinct(modules, &at);
        for (index, module) in modules.iter().enumerate() {
            if !TARGET_MODULES.contains(&module.as_str()) {
                let message = format!("no module is named `{module}`");
                self.faults.at(at.index(index), message, remedy(module, "modules", TARGET_MODULES));
            }
        }
    }
}
