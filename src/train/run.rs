//! The training loop, top to bottom.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::checkpoint::{self, Found, Progress};
use super::event::TrainEvent;
use super::optimizer::{AdamW, clip_coefficient};
use super::schedule::learning_rate;
use super::{Objective, Parts};
use crate::data::order;
use crate::device::Seed;
use crate::experiment::settings::{Training, Validate};
use crate::models::ModelError;
use crate::tuning::flat::Flat;

/// The order in which examples are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Shuffled anew in every epoch.
    Shuffled,
    /// As they come: for comparisons with other programs.
    Data,
}

/// Everything about a stage that is not its objective.
#[derive(Debug)]
pub struct Job<'a> {
    /// Optimisation settings.
    pub training: &'a Training,
    /// Order of the examples.
    pub order: Order,
    /// Seed of order and dropout.
    pub seed: Seed,
    /// Where checkpoints go; none are written without it.
    pub folder: Option<&'a Path>,
    /// Set from outside to stop after the current step.
    pub stop: &'a AtomicBool,
}

/// How a stage ended.
#[derive(Debug)]
pub struct Finished {
    /// Trained weights, those with the lowest dev loss if that was measured.
    pub flat: Flat,
    /// Optimiser steps.
    pub steps: u64,
    /// Dev loss of these weights in nats per token, and the step it was measured at.
    pub best: Option<(u64, f64)>,
    /// The next best of `keep_best` states: dev loss with its step, and weights `[parameters]`.
    pub others: Vec<((u64, f64), Tensor)>,
}

/// Why a stage ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A loss or gradient is infinite or not a number; saved states stay as they are.
    #[error("{what} is {value} after step {step}; {}. Lower `lr`, clip, or use `precision = \"f32\"`", kept(*saved))]
    NotFinite {
        /// `loss`, `grad_norm` or `dev loss`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Steps done before it.
        step: u64,
        /// Steps that the last saved state holds.
        saved: Option<u64>,
    },
    /// The user asked to stop; run again to go on.
    #[error("stopped after step {step} of {steps}")]
    Stopped {
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
    /// There is nothing to train on.
    #[error("no training examples")]
    Empty,
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] ModelError),
    /// The objective could not read what it needs.
    #[error(transparent)]
    Objective(#[from] anyhow::Error),
}

fn kept(saved: Option<u64>) -> String {
    saved.map_or_else(
        || "no state was saved yet".to_owned(),
        |step| format!("the state saved after step {step} is kept"),
    )
}

/// Trains until the last step, an error, or a request to stop.
///
/// Goes on from the checkpoint in the job's folder if there is one; on the CPU the result is then
/// bit for bit that of an uninterrupted run.
///
/// # Errors
/// See [`TrainError`].
pub fn train(
    objective: &mut dyn Objective,
    job: &Job<'_>,
    events: &mut dyn FnMut(TrainEvent),
) -> Result<Finished, TrainError> {
    let training = job.training;
    let examples = objective.response_tokens().len();
    if examples == 0 {
        return Err(TrainError::Empty);
    }
    let steps_per_epoch = examples.div_ceil(training.batch) as u64;
    let steps = steps_of(training.epochs, steps_per_epoch);
    let kind = objective.kind();
    let mut flat = Flat::gather(objective.parameters(), kind);
    let mut adam = AdamW::new(&flat, training.optimizer_states);
    let mut progress = Progress::default();
    let mut best: Vec<Tensor> = Vec::new();
    let mut saved = None;
    if let Some(folder) = job.folder {
        match checkpoint::restore(folder, &mut flat, &mut adam)? {
            Found::Nothing => {}
            Found::Damaged(why) => {
                events(TrainEvent::Note { text: format!("the checkpoint is not used: {why}; the stage starts over") });
            }
            Found::Restored(found, weights) => {
                events(TrainEvent::Resumed { step: found.step });
                saved = Some(found.step);
                (progress, best) = (found, weights);
            }
        }
    }

    let mut epoch_order = (u64::MAX, Vec::new());
    let mut since_saved = Instant::now();
    while progress.step < steps && !is_exhausted(training, &progress, steps_per_epoch) {
        let started = Instant::now();
        let (epoch, position) = (progress.step / steps_per_epoch, progress.step % steps_per_epoch);
        if epoch_order.0 != epoch {
            epoch_order = (epoch, batches(examples, training.batch, job, epoch));
        }
        let batch = &epoch_order.1[position as usize];

        // Dropout depends on the step alone, so a resumed run draws the same.
        job.seed.stream("dropout", progress.step).seed_tensors();
        flat.zero_gradient();
        objective.begin_step(batch)?;
        let tokens: usize = batch.iter().map(|&example| objective.response_tokens()[example]).sum();
        let mut parts = Parts::new();
        let micro_batches = split(batch, training.accumulation, flat.device(), |examples| objective.tokens(examples));
        for micro in &micro_batches {
            for (name, value) in objective.backward(micro, tokens as f64)? {
                *parts.entry(name).or_default() += value;
            }
            if micro_batches.len() > 1 {
                flat.accumulate();
            }
        }
        let grad_norm = flat.gradient_norm();
        for (what, value) in [("loss", parts.get("loss").copied().unwrap_or(f64::NAN)), ("grad_norm", grad_norm)] {
            // Not saved: these weights are what gave it. The state before them stays the last one.
            if !value.is_finite() {
                return Err(TrainError::NotFinite { what, value, step: progress.step, saved });
            }
        }
        let lr = learning_rate(training.schedule, training.lr, progress.step, steps);
        adam.step(&mut flat, lr, clip_coefficient(grad_norm, training.clip));
        progress.step += 1;
        events(TrainEvent::Step {
            step: progress.step,
            steps,
            parts: parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            grad_norm,
            lr,
            examples: batch.len() as u64,
            tokens: objective.tokens(batch),
            seconds: started.elapsed().as_secs_f64(),
        });

        let mut last = progress.step == steps;
        let epoch_ends = progress.step.is_multiple_of(steps_per_epoch);
        if (last || (epoch_ends && training.validate == Validate::Epoch))
            && let Some(loss) = objective.dev_loss()?
        {
            if !loss.is_finite() {
                return Err(TrainError::NotFinite { what: "dev loss", value: loss, step: progress.step, saved });
            }
            let place = progress.add((progress.step, loss));
            progress.others.truncate(training.keep_best.saturating_sub(1));
            if place < training.keep_best.max(1) {
                best.insert(place, flat.master.copy());
                best.truncate(1 + progress.others.len());
            }
            events(TrainEvent::Validation { step: progress.step, loss, best: place == 0 });
            if !last && is_exhausted(training, &progress, steps_per_epoch) {
                last = true;
                let (step, epochs) = (progress.step, training.patience.unwrap_or_default());
                let text = format!("ended after step {step} of {steps}: no lower dev loss for {epochs} epochs");
                events(TrainEvent::Note { text });
            }
        }
        let stopping = job.stop.load(Ordering::Relaxed);
        // Also after the last step: what writes the result may fail for want of room.
        if let Some(folder) = job.folder
            && (last || stopping || is_due(training, progress.step, since_saved.elapsed()))
        {
            checkpoint::save(folder, &flat, &adam, &best, &progress)?;
            saved = Some(progress.step);
            since_saved = Instant::now();
            events(TrainEvent::Checkpoint { step: progress.step });
        }
        if stopping && !last {
            return Err(TrainError::Stopped { step: progress.step, steps });
        }
    }
    let mut best = best.into_iter();
    if let Some(best) = best.next() {
        flat.restore(&best);
    }
    let others = progress.others.iter().copied().zip(best).collect();
    Ok(Finished { flat, steps: progress.step, best: progress.best, others })
}

/// Says whether the dev loss has not been lower for as many epochs as are waited for. Between two epochs it has
/// not: training would have ended at the first of them.
fn is_exhausted(training: &Training, progress: &Progress, steps_per_epoch: u64) -> bool {
    let Some((patience, (best, _))) = training.patience.zip(progress.best) else { return false };
    (progress.step - best) / steps_per_epoch >= patience as u64
}

/// Returns the steps of so many epochs, a part of a step rounded up; 1.1 epochs of 50 steps are 55,
/// though their product in f64 is a little more.
fn steps_of(epochs: f64, steps_per_epoch: u64) -> u64 {
    ((epochs * steps_per_epoch as f64 * (1.0 - 1e-12)).ceil() as u64).max(1)
}

/// Says whether the state after a step is to be saved, so long after the last one: by steps or by time.
/// When it is saved changes nothing in what is trained.
fn is_due(training: &Training, step: u64, since_saved: Duration) -> bool {
    step.is_multiple_of(training.checkpoint_every as u64)
        || since_saved.as_secs_f64() >= 60.0 * training.checkpoint_minutes
}

fn batches(examples: usize, batch: usize, job: &Job<'_>, epoch: u64) -> Vec<Vec<usize>> {
    match job.order {
        Order::Shuffled => order::batches(examples, batch, job.seed.stream("order", 0).0, epoch),
        Order::Data => (0..examples).collect::<Vec<_>>().chunks(batch).map(<[usize]>::to_vec).collect(),
    }
}

/// Tokens of one forward and backward pass: enough that matrix products are large, few enough that
/// activations stay small. A step with more is computed in parts, which changes its gradient by
/// rounding only; dropout, where there is any, draws its masks part by part.
pub fn micro_batch_tokens(device: Device) -> u64 {
    if device.is_cuda() { 32_768 } else { 2_048 }
}

/// Divides a step into micro-batches of at most `1 / parts` of its examples, rounded up, and at most
/// [`micro_batch_tokens`]; one example alone may have more.
fn split(batch: &[usize], parts: usize, device: Device, tokens: impl Fn(&[usize]) -> u64) -> Vec<&[usize]> {
    let most = batch.len().div_ceil(parts);
    let (mut micro_batches, mut rest) = (Vec::new(), batch);
    while !rest.is_empty() {
        let fits = (1..=most.min(rest.len()))
            .take_while(|&count| tokens(&rest[..count]) <= micro_batch_tokens(device))
            .count();
        let (micro, others) = rest.split_at(fits.max(1));
        micro_batches.push(micro);
        rest = others;
    }
    micro_batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_and_not_one_too_many() {
        let cases = [(1.0, 50, 50), (1.1, 50, 55), (2.2, 25, 55), (0.5, 3, 2), (0.001, 10, 1), (3.0, 1, 3)];
        for (epochs, per_epoch, expected) in cases {
            assert_eq!(steps_of(epochs, per_epoch), expected, "{epochs} x {per_epoch}");
        }
    }

    #[test]
    fn a_state_is_saved_by_steps_and_by_time() {
        let training = Training::default();
        let due = |step, seconds| is_due(&training, step, Duration::from_secs(seconds));
        assert_eq!([due(199, 299), due(200, 0), due(7, 300)], [false, true, true]);
        let late = Training { checkpoint_minutes: 60.0, ..training.clone() };
        assert!(!is_due(&late, 7, Duration::from_secs(300)));
    }
}
