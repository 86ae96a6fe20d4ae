//! What the stages that train have in common: the loop with its events, keeping the result, and telling the settings.

use std::path::Path;

use serde::Serialize;

use super::around::Surroundings;
use super::stop::Stopped;
use crate::data::Tokenizer;
use crate::data::encode::Limits;
use crate::device::{self, Precision, Seed};
use crate::experiment::settings::{
    BaseFormat, Initialisation, Lora, OptimizerStates, Schedule, Training, Tuning, Validate,
};
use crate::files;
use crate::orchestrate::keep::event::{Event, Step};
use crate::train::Objective;
use crate::train::event::TrainEvent;
use crate::train::run::{Finished, Job, Order, TrainError, train};
use crate::train::student::Student;
use crate::tuning::peft;

/// Returns the version of a stage that trains: `version`, and one more where all weights are trained in bf16,
/// since the head's gradients of several chunks are added up in f32.
pub(super) fn version(version: u32, precision: Precision, tuning: &Tuning) -> u32 {
    version + u32::from(precision == Precision::Bf16 && matches!(tuning, Tuning::Full {}))
}

/// Resets what says only how training is computed.
pub(super) fn reset(training: &mut Training) {
    training.accumulation = 1;
    training.gradient_checkpointing = false;
    training.checkpoint_every = 0;
    training.checkpoint_minutes = 0.0;
}

/// Returns how long the sequences are that it reads.
pub(super) fn limits(training: &Training) -> Limits {
    Limits { max_length: training.max_length, max_prompt: training.max_prompt }
}

impl Surroundings<'_> {
    /// Notes that the state of the lowest dev loss cannot be kept where there is no dev split.
    pub(super) fn tell_of_dev(&mut self, is_there: bool, training: &Training) {
        if !is_there && training.validate == Validate::Epoch {
            let text = "the data set has no dev split: the last state is kept, not that of the lowest dev loss";
            (self.events)(Event::Note { text: text.to_owned() });
        }
    }

    pub(super) fn train(
        &mut self,
        objective: &mut dyn Objective,
        training: &Training,
        seed: u64,
    ) -> anyhow::Result<Finished> {
        let checkpoints = self.folder.checkpoint();
        std::fs::create_dir_all(&checkpoints)?;
        let job = Job {
            training,
            order: Order::Shuffled,
            seed: Seed(seed),
            folder: Some(&checkpoints),
            stop: self.stop.flag(),
        };
        let mut clock = Clock::default();
        let events = &mut *self.events;
        train(objective, &job, &mut |event| events(clock.translate(event))).map_err(|error| match error {
            TrainError::Stopped { .. } => Stopped.into(),
            other => other.into(),
        })
    }

    /// Writes what fine-tuning left: a model, or adapters for the model of input `base`, and beside it the other
    /// states that are kept, each with its dev loss. The saved state stays until the stage is sealed: killed
    /// before that, it need not be trained again.
    pub(super) fn keep(
        &self,
        mut student: Student,
        mut finished: Finished,
        tokenizer: &Tokenizer,
        tuning: &Tuning,
        base: &str,
    ) -> anyhow::Result<()> {
        student.adopt(&finished.flat);
        let base = self.inputs.get(base)?.display().to_string();
        let mut write = |folder: &Path| -> anyhow::Result<()> {
            match tuning {
                Tuning::Full {} => write_model(&student, tokenizer, folder),
                Tuning::Lora(settings) => Ok(peft::save(&mut student.decoder, settings, &base, folder)?),
            }
        };
        write(&self.folder.output())?;
        for (place, ((step, loss), weights)) in finished.others.into_iter().enumerate() {
            let folder = self.folder.best(place + 2);
            std::fs::create_dir_all(&folder)?;
            // What is written are views of it.
            finished.flat.restore(&weights);
            write(&folder)?;
            files::write_json(&folder.join("dev-loss.json"), &Measured { step, loss })?;
        }
        Ok(())
    }

    pub(super) fn keep_model(
        &self,
        mut student: Student,
        finished: &Finished,
        tokenizer: &Tokenizer,
    ) -> anyhow::Result<()> {
        student.adopt(&finished.flat);
        write_model(&student, tokenizer, &self.folder.output())
    }
}

fn write_model(student: &Student, tokenizer: &Tokenizer, folder: &Path) -> anyhow::Result<()> {
    student.decoder.save(folder)?;
    Ok(tokenizer.save(folder)?)
}

/// Dev loss of a state that is kept beside the result.
#[derive(Serialize)]
struct Measured {
    /// Optimiser steps before it.
    step: u64,
    /// Mean over response tokens, in nats.
    loss: f64,
}

/// Turns the loop's events into the stage's, with speed and time left.
#[derive(Default)]
struct Clock {
    seconds: f64,
    steps: u64,
}

impl Clock {
    fn translate(&mut self, event: TrainEvent) -> Event {
        match event {
            TrainEvent::Step { step, steps, parts, grad_norm, lr, examples, tokens, seconds } => {
                self.seconds += seconds;
                self.steps += 1;
                let mean = self.seconds / self.steps as f64;
                Event::Step(Step {
                    step,
                    steps,
                    losses: parts,
                    lr: Some(lr),
                    grad_norm: Some(grad_norm),
                    examples: Some(examples),
                    tokens: Some(tokens),
                    tokens_per_second: Some(tokens as f64 / seconds),
                    memory_bytes: device::resident_memory_bytes(),
                    eta_seconds: Some(mean * (steps - step) as f64),
                })
            }
            TrainEvent::Validation { step, loss, .. } => Event::Validation { step, loss },
            TrainEvent::Checkpoint { step } => Event::Saved { step },
            TrainEvent::Resumed { step } => Event::Resumed { step },
            TrainEvent::Note { text } => Event::Note { text },
        }
    }
}

/// Says how a stage trains, in words: name and value. `answers` says that it learns to answer questions, and
/// measures dev.
pub fn in_words(training: &Training, tuning: &Tuning, answers: bool) -> Vec<(String, String)> {
    let tokens = |count: usize| format!("{count} tokens");
    let mut words = vec![
        ("epochs", training.epochs.to_string()),
        ("batch", training.batch.to_string()),
        ("learning rate", learning_rate(training)),
        ("weight decay", training.weight_decay.to_string()),
        ("gradient norm", training.clip.map_or("not clipped".to_owned(), |norm| format!("clipped at {norm}"))),
        ("longest sequence", tokens(training.max_length)),
    ];
    if answers {
        words.push(("longest prompt", training.max_prompt.map_or("no limit of its own".to_owned(), tokens)));
    }
    words.push((
        "trained weights",
        match tuning {
            Tuning::Full {} => "all".to_owned(),
            Tuning::Lora(lora) => adapters(lora),
        },
    ));
    if training.optimizer_states == OptimizerStates::EightBits {
        words.push(("optimiser states", "8 bits".to_owned()));
    }
    words.push((
        "kept state",
        match (answers, training.validate) {
            (false, _) | (_, Validate::End) => "the last".to_owned(),
            (true, Validate::Epoch) => match training.patience {
                None => "the epoch of the lowest dev loss".to_owned(),
                Some(1) => "the epoch of the lowest dev loss; ends at the first without a lower one".to_owned(),
                Some(epochs) => format!("the epoch of the lowest dev loss; ends after {epochs} without a lower one"),
            },
        },
    ));
    if answers && training.keep_best > 1 {
        words.push(("further states kept", format!("the next {} by dev loss", training.keep_best - 1)));
    }
    words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Says which adapters are trained.
fn adapters(lora: &Lora) -> String {
    let Lora { rank, alpha, dropout, target_modules, .. } = lora;
    let name = if lora.dora { "DoRA" } else { "LoRA" };
    let mut parts =
        vec![format!("{name}, rank {rank}, alpha {alpha}, dropout {dropout}, on {}", target_modules.join(", "))];
    parts.extend(lora.rank_pattern.iter().map(|(module, rank)| format!("rank {rank} on {module}")));
    parts.extend(lora.alpha_pattern.iter().map(|(module, alpha)| format!("alpha {alpha} on {module}")));
    if lora.rslora {
        parts.push("scaled by alpha / \u{221a}rank (rsLoRA)".to_owned());
    }
    parts.extend(lora.loraplus_lr_ratio.map(|ratio| format!("B at {ratio} times the learning rate of A (LoRA+)")));
    match lora.initialisation {
        Initialisation::Kaiming => {}
        Initialisation::Gaussian => parts.push("A starts normal".to_owned()),
        Initialisation::Pissa => parts.push("started by singular values (PiSSA)".to_owned()),
        Initialisation::Olora => parts.push("started by QR (OLoRA)".to_owned()),
    }
    if !lora.modules_to_save.is_empty() {
        parts.push(format!("{} as a whole", lora.modules_to_save.join(", ")));
    }
    let format = match lora.base {
        BaseFormat::Full => None,
        BaseFormat::Nf4 => Some("NF4"),
        BaseFormat::Fp4 => Some("FP4"),
        BaseFormat::Int8 => Some("int8"),
    };
    let is_doubled = lora.double_quantisation && lora.base != BaseFormat::Int8;
    let doubled = if is_doubled { " with double quantisation" } else { "" };
    parts.extend(format.map(|format| format!("base in {format}{doubled}")));
    parts.join(", ")
}

fn learning_rate(training: &Training) -> String {
    let number = |value: f64| if value != 0.0 && value.abs() < 0.01 { format!("{value:e}") } else { value.to_string() };
    let peak = number(training.lr);
    let (course, warmup) = match training.schedule {
        Schedule::Constant { warmup } => ("constant".to_owned(), warmup),
        Schedule::Linear { warmup, floor } => (format!("linear to {}", number(floor)), warmup),
        Schedule::Cosine { warmup, floor } => (format!("cosine to {}", number(floor)), warmup),
        Schedule::Wsd { warmup, decay, floor } => {
            (format!("constant, over the last {} % linear to {}", 100.0 * decay, number(floor)), warmup)
        }
    };
    let warmup = if warmup > 0.0 { format!(", warm-up {} %", 100.0 * warmup) } else { String::new() };
    format!("{peak}, {course}{warmup}").replace("e-", "e\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_in_words() {
        let words = |training: &Training| in_words(training, &Tuning::default(), true);
        let told = words(&Training::default());
        let value = |name: &str| told.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(value("learning rate"), "1e\u{2212}3, cosine to 1e\u{2212}7");
        assert_eq!((value("gradient norm"), value("kept state")), ("clipped at 1", "the epoch of the lowest dev loss"));
        let schedule = Schedule::Linear { warmup: 0.05, floor: 0.0 };
        let training = Training { lr: 0.02, schedule, max_prompt: Some(64), ..Training::default() };
        assert_eq!(learning_rate(&training), "0.02, linear to 0, warm-up 5 %");
        assert!(words(&training).contains(&("longest prompt".to_owned(), "64 tokens".to_owned())));
        let schedule = Schedule::Wsd { warmup: 0.0, decay: 0.2, floor: 0.0 };
        let training = Training { schedule, patience: Some(3), ..Training::default() };
        assert_eq!(learning_rate(&training), "1e\u{2212}3, constant, over the last 20 % linear to 0");
        let kept = "the epoch of the lowest dev loss; ends after 3 without a lower one";
        assert!(words(&training).contains(&("kept state".to_owned(), kept.to_owned())));
    }
}
