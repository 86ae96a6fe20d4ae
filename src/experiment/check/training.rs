//! Training and tuning: numbers in range, and in proportion to data and models.

use super::Checking;
use super::range::{CLIP, EPOCHS, LARGEST, LR, MINUTES, MOST_SEQUENCES, SEQUENCES_HELP, WEIGHT_DECAY, shown};
use crate::experiment::course::{Course, LessonKind};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::listed;
use crate::experiment::settings::{Model, Schedule, Training, Tuning, Validate};

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
        // Pretraining packs texts into sequences, so examples say nothing about its batch.
        let by_example = |stage: &str| self.uses(stage) && stage != "pretrain";
        let stages = [("pretrain", &plan.pretrain), ("sft", &plan.sft), ("distill", &plan.distill)]
            .map(|(stage, training)| (stage, training, self.around.train_examples.filter(|_| by_example(stage))));
        for (stage, training, examples) in stages {
            let at = KeyPath::from("training").key(stage);
            self.optimisation(training, examples, &at);
            self.lengths(training, &at);
            if let Some(examples) = examples.filter(|&examples| training.batch > examples) {
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

    /// Says whether the design has a stage of training: what is stated for others has to make sense, but
    /// what is left at its default has not.
    fn uses(&self, stage: &str) -> bool {
        let is_scratch = |(name, model): (&String, &Model)| matches!(model, Model::Scratch(_)) && self.is_used(name);
        match stage {
            "pretrain" => {
                self.experiment.models.iter().any(is_scratch)
                    || self.lesson_kinds().any(|kind| *kind == LessonKind::Pretrain)
            }
            "sft" => self.lesson_kinds().any(|kind| *kind == LessonKind::Sft),
            // Where nothing is trained, models answer at its lengths.
            _ => {
                let distils = |kind: &LessonKind| matches!(kind, LessonKind::Distill { .. });
                self.lesson_kinds().any(distils) || self.lesson_kinds().next().is_none()
            }
        }
    }

    fn lesson_kinds(&self) -> impl Iterator<Item = &LessonKind> {
        self.design.courses().flat_map(Course::all).flat_map(|course| &course.lessons).map(|lesson| &lesson.kind)
    }

    /// Checks the numbers of one stage; `examples` is its training split, where that is known.
    fn optimisation(&mut self, training: &Training, examples: Option<usize>, at: &KeyPath) {
        self.require_in(training.epochs, at.key("epochs"), &EPOCHS);
        self.require_in(training.lr, at.key("lr"), &LR);
        self.require_at_most(training.batch, at.key("batch"), MOST_SEQUENCES, SEQUENCES_HELP);
        self.require_some(training.accumulation, at.key("accumulation"));
        self.require_some(training.checkpoint_every, at.key("checkpoint-every"));
        self.require_in(training.checkpoint_minutes, at.key("checkpoint-minutes"), &MINUTES);
        self.require_in(training.weight_decay, at.key("weight-decay"), &WEIGHT_DECAY);
        // Infinity is no clipping.
        self.require_in(training.clip.unwrap_or(f64::INFINITY), at.key("clip"), &CLIP);
        // What could not be read stands for nothing: see `Value::Hole`.
        let batch_is_read = training.batch > 0 && self.faults.is_sound(at.key("batch"));
        if batch_is_read && training.accumulation > training.batch {
            let (parts, batch) = (training.accumulation, training.batch);
            let message = format!("a batch of {batch} cannot be computed in {parts} parts");
            self.faults.at(at.key("accumulation"), message, format!("choose at most {batch}"));
        }
        self.require_some(training.keep_best, at.key("keep-best"));
        if training.keep_best > 1 && training.validate == Validate::End {
            let message = format!("`{}` chooses by a dev loss that is measured at the end only", at.key("keep-best"));
            self.faults.at(at.key("keep-best"), message, "write `validate = \"epoch\"`, or leave `keep-best` out");
        }
        if let Some(patience) = training.patience {
            self.require_some(patience, at.key("patience"));
            if training.validate == Validate::End {
                let message = format!("`{}` waits for a dev loss that is measured at the end only", at.key("patience"));
                self.faults.at(at.key("patience"), message, "write `validate = \"epoch\"`, or leave `patience` out");
            }
        }
        self.schedule(training, examples, at);
    }

    fn schedule(&mut self, training: &Training, examples: Option<usize>, at: &KeyPath) {
        let (name, warmup, floor) = match training.schedule {
            Schedule::Constant { warmup } => ("constant", warmup, 0.0),
            Schedule::Linear { warmup, floor } => ("linear", warmup, floor),
            Schedule::Cosine { warmup, floor } => ("cosine", warmup, floor),
            Schedule::Wsd { warmup, floor, .. } => ("wsd", warmup, floor),
        };
        let schedule = at.key("schedule").key(name);
        if !(0.0..1.0).contains(&warmup) {
            let path = schedule.key("warmup");
            let message =
                format!("`{path}` should be a share of all steps, from 0 to below 1, found {}", shown(warmup));
            self.faults.at(path, message, warmup_help(warmup, training, examples));
        }
        if let Schedule::Wsd { decay, .. } = training.schedule
            && (!(0.0..=1.0).contains(&decay) || warmup + decay > 1.0 && (0.0..1.0).contains(&warmup))
        {
            let path = schedule.key("decay");
            let message = format!(
                "`{path}` should be a share of the steps after warm-up, from 0 to {}, found {}",
                shown(1.0 - warmup),
                shown(decay)
            );
            self.faults.at(path, message, "0.1 or 0.2 are usual");
        }
        let lr = training.lr;
        if lr.is_nan() || lr <= 0.0 || !self.faults.is_sound(at.key("lr")) || (0.0..=lr).contains(&floor) {
            return;
        }
        if self.faults.is_stated(at.key("schedule")) {
            let floor_at = schedule.key("floor");
            let message = format!("`{floor_at}` should be from 0 to the peak of {}, found {}", shown(lr), shown(floor));
            self.faults.at(floor_at, message, "the learning rate falls from `lr` to it");
        } else if self.faults.is_sound(at.key("schedule")) {
            let message = format!(
                "`{}` of {} is below the default floor of its schedule, {}",
                at.key("lr"),
                shown(lr),
                shown(floor)
            );
            let value = format!("schedule = {{ {name} = {{ warmup = {warmup:?}, floor = 0.0 }} }}");
            let help = format!("the learning rate would rise: write `{value}` in `[{at}]`");
            self.faults.at(at.key("lr"), message, help);
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

    /// Checks that what is trained and decoded fits the positions of every model of the design.
    fn positions(&mut self) {
        let plan = &self.experiment.training;
        let lengths = [
            ("pretrain", PRETRAINED, plan.pretrain.max_length),
            ("sft", "training.sft.max-length", plan.sft.max_length),
            ("distill", "training.distill.max-length", plan.distill.max_length),
            ("", "evaluation.max-new-tokens", self.experiment.evaluation.max_new_tokens),
        ];
        let used = |(stage, key, _): &(&str, &str, usize)| self.uses(stage) && self.faults.is_sound(*key);
        let (stated, defaults): (Vec<_>, Vec<_>) = lengths
            .into_iter()
            .filter(used)
            .map(|(_, key, length)| (key, length))
            .partition(|(key, _)| self.faults.is_stated(*key));
        let reaches = self.reaches();
        // A checkpoint is not pretrained.
        let is_short = |reach: &Reach<'_>, key: &str, length: usize| {
            reach.positions < length && (reach.is_scratch || key != PRETRAINED)
        };
        for (key, length) in stated.into_iter().filter(|(_, length)| *length <= LARGEST) {
            let short: Vec<&Reach<'_>> = reaches.iter().filter(|reach| is_short(reach, key, length)).collect();
            let Some(most) = short.iter().map(|reach| reach.positions).min() else {
                continue;
            };
            let models: Vec<String> =
                short.iter().map(|reach| format!("`{}` ({})", reach.name, reach.positions)).collect();
            let message = format!("{length} tokens exceed the positions of {}", models.join(", "));
            let help = match short.iter().all(|reach| reach.is_scratch) {
                true => format!("choose at most {most}, or give these models more `positions`"),
                false => format!("choose at most {most}"),
            };
            let context: Vec<_> = short.iter().map(|reach| (reach.at.clone(), "positions")).collect();
            self.faults.add_with(Fault::new(key, message).help(help), &context);
        }
        for reach in &reaches {
            let long: Vec<_> = defaults.iter().filter(|(key, length)| is_short(reach, key, *length)).collect();
            if long.is_empty() {
                continue;
            }
            let lengths: Vec<String> = long.iter().map(|(key, length)| format!("`{key}` ({length})")).collect();
            let plural = if long.len() == 1 { "" } else { "s" };
            let message =
                format!("{} positions are fewer than the default{plural} of {}", reach.positions, lengths.join(", "));
            let raise = if reach.is_scratch { "raise it, or " } else { "" };
            let keys = listed(long.iter().map(|(key, _)| *key));
            self.faults.at(&reach.at, message, format!("{raise}set {keys} to at most {}", reach.positions));
        }
    }

    /// Lists how far the models of the design reach, of those where it is known.
    fn reaches(&self) -> Vec<Reach<'a>> {
        let reach = |(name, model): (&'a String, &'a Model)| {
            let at = KeyPath::from("models").key(name);
            let (at, positions, is_scratch) = match model {
                Model::Scratch(scratch) => (at.key("scratch").key("positions"), scratch.positions, true),
                Model::Checkpoint(checkpoint) => (at.key("checkpoint"), (self.around.positions)(checkpoint)?, false),
            };
            (self.is_used(name) && self.faults.is_sound(&at)).then_some(Reach { name, at, positions, is_scratch })
        };
        self.experiment.models.iter().filter_map(reach).collect()
    }

    /// Checks that a prompt is left beside the longest answer: a model answers within the length that it
    /// was trained with, and a prompt that does not fit loses its left end.
    fn room_for_prompts(&mut self) {
        const ANSWER: &str = "evaluation.max-new-tokens";
        let answer = self.experiment.evaluation.max_new_tokens;
        let plan = &self.experiment.training;
        let lengths = [("sft", plan.sft.max_length), ("distill", plan.distill.max_length)];
        let mut short = Vec::new();
        for (stage, length) in lengths {
            let at = KeyPath::from("training").key(stage).key("max-length");
            if self.uses(stage) && (2..=answer.min(LARGEST)).contains(&length) && self.faults.is_sound(&at) {
                short.push((at, length));
            }
        }
        // An answer beyond the positions of a model has been told.
        let is_told = self.reaches().iter().any(|reach| reach.positions < answer);
        if short.is_empty() || is_told || !self.faults.is_sound(ANSWER) {
            return;
        }
        let lengths: Vec<String> = short.iter().map(|(at, length)| format!("`{at}` ({length})")).collect();
        let message = format!("answers of {answer} tokens leave no room for prompts in {}", lengths.join(", "));
        let keys: Vec<String> = short.iter().map(|(at, _)| format!("`{at}`")).collect();
        let help = format!("lower `{ANSWER}`, or raise {}", keys.join(", "));
        let at = if self.faults.is_stated(ANSWER) { KeyPath::from(ANSWER) } else { short[0].0.clone() };
        self.faults.at(at, message, help);
    }
}

/// Says what share a number of steps, or of percent, is.
fn warmup_help(warmup: f64, training: &Training, examples: Option<usize>) -> String {
    let usual = "0.05 is 5 %".to_owned();
    let Some(examples) = examples.filter(|_| warmup > 1.0 && training.batch > 0) else { return usual };
    let steps = (examples.div_ceil(training.batch) as f64 * training.epochs).ceil();
    if warmup < steps {
        format!("{usual}; {warmup} of this stage's {steps} steps are {:.3}", warmup / steps)
    } else {
        format!("{usual}; the steps of this stage are {steps}")
    }
}
