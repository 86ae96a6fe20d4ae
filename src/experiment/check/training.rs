//! Training and tuning: numbers in range, and in proportion to data and models.

use super::{Checking, LARGEST};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Lora, Model, Schedule, Training, Tuning};

/// Linear layers of a decoder that can carry an adapter.
pub(super) const TARGET_MODULES: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl Checking<'_, '_> {
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

    /// Checks that what is trained and decoded fits the positions of every scratch model.
    fn positions(&mut self) {
        let experiment = self.experiment;
        let plan = &experiment.training;
        let lengths = [
            ("training.pretrain.max-length", plan.pretrain.max_length),
            ("training.sft.max-length", plan.sft.max_length),
            ("training.distill.max-length", plan.distill.max_length),
            ("evaluation.max-new-tokens", experiment.evaluation.max_new_tokens),
        ];
        let path = |name: &str| KeyPath::from("models").key(name).key("scratch").key("positions");
        let scratch: Vec<(&str, usize)> = experiment
            .models
            .iter()
            .filter_map(|(name, model)| match model {
                Model::Scratch(scratch) => Some((name.as_str(), scratch.positions)),
                Model::Checkpoint(_) => None,
            })
            .filter(|(name, _)| self.faults.is_sound(path(name)))
            .collect();
        for (key, length) in lengths {
            let short = scratch.iter().filter(|(_, positions)| *positions < length);
            let Some(most) = short.clone().map(|(_, positions)| *positions).min() else {
                continue;
            };
            if self.faults.is_stated(key) {
                let models: Vec<String> =
                    short.clone().map(|(name, positions)| format!("`{name}` ({positions})")).collect();
                let message = format!("{length} tokens exceed the positions of {}", models.join(", "));
                let fault = Fault::new(key, message)
                    .help(format!("choose at most {most}, or give these models more `positions`"));
                let context: Vec<_> = short.map(|(name, _)| (path(name), "positions")).collect();
                self.faults.add_with(fault, &context);
            } else {
                for (name, positions) in short {
                    let message = format!("{positions} positions are fewer than the default of `{key}`, {length}");
                    self.faults.at(path(name), message, format!("raise it, or lower `{key}`"));
                }
            }
        }
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
