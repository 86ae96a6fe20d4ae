//! The state of an unfinished training stage on disk: weights, moments, best weights, progress.
//!
//! `checkpoint.json` names the file that holds the tensors and its checksum; it is replaced last,
//! so that at any instant it names a whole file. Whoever keeps the stage removes both when it is done.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::optimizer::AdamW;
use crate::files;
use crate::models::ModelError;
use crate::models::weights::{Checkpoint, save_file};
use crate::tuning::flat::Flat;

const INDEX: &str = "checkpoint.json";

/// How far a stage has come; everything a resumed run needs beside the tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// Lowest dev loss so far and the step it was measured at.
    pub best: Option<(u64, f64)>,
    /// The next lowest of those whose weights are kept, too, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(u64, f64)>,
}

impl Progress {
    /// Adds a dev loss with its step, behind those that are as low; returns its place among them.
    pub fn add(&mut self, state: (u64, f64)) -> usize {
        if self.best.is_none_or(|(_, lowest)| state.1 < lowest) {
            self.others.splice(0..0, self.best.replace(state));
            return 0;
        }
        let place = self.others.partition_point(|(_, loss)| *loss <= state.1);
        self.others.insert(place, state);
        place + 1
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    file: String,
    blake3: String,
    parameters: i64,
    progress: Progress,
}

/// What a folder holds.
#[derive(Debug)]
pub enum Found {
    /// No checkpoint: start from the beginning.
    Nothing,
    /// A checkpoint that was restored.
    Restored(Progress, Vec<Tensor>),
    /// A checkpoint that cannot be used, and why: start from the beginning and say so.
    Damaged(String),
}

/// Writes the state; `best` are the weights with the lowest dev losses, each `[parameters]`, the lowest first.
///
/// # Errors
/// When a file cannot be written; the previous checkpoint is then still whole.
pub fn save(folder: &Path, flat: &Flat, adam: &AdamW, best: &[Tensor], progress: &Progress) -> Result<(), ModelError> {
    let file = format!("checkpoint-{}.safetensors", progress.step);
    let path = folder.join(&file);
    let mut tensors = vec![("master".to_owned(), flat.master.shallow_clone())];
    tensors.extend(adam.tensors().into_iter().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())));
    tensors.extend(best.iter().enumerate().map(|(place, best)| (name(place), best.shallow_clone())));
    save_file(&path, &tensors.iter().collect::<Vec<_>>())?;
    let blake3 = checksum(&path)?;
    let index = Index { file: file.clone(), blake3, parameters: flat.count(), progress: progress.clone() };
    files::write_json(&folder.join(INDEX), &index)?;
    remove_others(folder, &file);
    Ok(())
}

/// Restores the state from `folder` if there is a whole one.
///
/// # Errors
/// When a file that should be readable is not.
pub fn restore(folder: &Path, flat: &mut Flat, adam: &mut AdamW) -> Result<Found, ModelError> {
    let place = folder.join(INDEX);
    let text = match std::fs::read(&place) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(ModelError::Read { path: place, source }),
    };
    let index: Index = match serde_json::from_slice(&text) {
        Ok(index) => index,
        Err(error) => return Ok(Found::Damaged(format!("`{INDEX}` does not parse ({error})"))),
    };
    let path = folder.join(&index.file);
    if !path.exists() {
        return Ok(Found::Damaged(format!("`{}` is not there", index.file)));
    }
    if checksum(&path)? != index.blake3 {
        return Ok(Found::Damaged(format!("`{}` does not match its checksum", index.file)));
    }
    if index.parameters != flat.count() {
        return Ok(Found::Damaged(format!("it holds {} parameters, expected {}", index.parameters, flat.count())));
    }
    let stored = Checkpoint::open_file(&path)?;
    let lacking = || Ok(Found::Damaged(format!("`{}` lacks a tensor", index.file)));
    let mut moments = Vec::new();
    for (name, place) in adam.tensors() {
        let found = stored.read(name, place.kind(), Device::Cpu)?.filter(|found| found.size() == place.size());
        let Some(found) = found else { return lacking() };
        moments.push((place.shallow_clone(), found));
    }
    let read = |name: &str| stored.read(name, Kind::Float, Device::Cpu);
    let Some(master) = read("master")? else { return lacking() };
    let count = usize::from(index.progress.best.is_some()) + index.progress.others.len();
    let mut best = Vec::new();
    for place in 0..count {
        let Some(found) = read(&name(place))? else { return lacking() };
        best.push(found.to_device(flat.device()));
    }
    flat.restore(&master);
    no_grad(|| moments.iter_mut().for_each(|(place, found)| place.copy_(found)));
    adam.steps = index.progress.step;
    Ok(Found::Restored(index.progress, best))
}

/// Names the weights with the lowest dev loss, and the next ones.
fn name(place: usize) -> String {
    if place == 0 { "best".to_owned() } else { format!("best-{}", place + 1) }
}

/// Removes the files of earlier states. Best effort: one that stays costs space, not correctness.
fn remove_others(folder: &Path, keep: &str) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in files {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("checkpoint-") && name.ends_with(".safetensors") && name != keep {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn checksum(path: &Path) -> Result<String, ModelError> {
    files::checksum(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::OptimizerStates;
    use crate::tuning::flat::{Group, Parameter};

    fn state() -> (Flat, AdamW) {
        let mut weight = Tensor::from_slice(&[1f32, 2.0]);
        let group = Group { lr_factor: 1.0, weight_decay: 0.0 };
        let parameter = Parameter { name: "weight".to_owned(), tensor: &mut weight, group, is_table: false };
        let flat = Flat::gather(vec![parameter], Kind::Float);
        let adam = AdamW::new(&flat, OptimizerStates::F32);
        (flat, adam)
    }

    #[test]
    fn a_state_reads_back_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut flat, adam) = state();
        let best = [[7f32, 8.0], [9.0, 10.0]].map(|weights| Tensor::from_slice(&weights));
        save(folder.path(), &flat, &adam, &[], &Progress { step: 3, ..Progress::default() }).unwrap();
        flat.restore(&Tensor::from_slice(&[5f32, 6.0]));
        let (_, second) = adam.tensors()[1];
        no_grad(|| second.shallow_clone().copy_(&Tensor::from_slice(&[0.25f32, 0.5])));
        // A loss without a short decimal form.
        let progress = Progress { step: 4, best: Some((2, 1.0 / 3.0)), others: vec![(1, 2.0 / 3.0)] };
        save(folder.path(), &flat, &adam, &best, &progress).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

        let (mut found_flat, mut found_adam) = state();
        let found = restore(folder.path(), &mut found_flat, &mut found_adam).unwrap();
        let Found::Restored(found_progress, found_best) = found else { panic!("{found:?}") };
        assert_eq!(found_progress, progress);
        assert_eq!(found_adam.steps, 4);
        assert!(found_flat.master.equal(&flat.master));
        assert!(found_best.len() == 2 && found_best.iter().zip(&best).all(|(found, best)| found.equal(best)));
        for ((name, found), (_, written)) in found_adam.tensors().into_iter().zip(adam.tensors()) {
            assert!(found.equal(written), "{name}");
        }
    }

    #[test]
    fn no_state_a_damaged_one_and_one_that_cannot_be_read_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (mut flat, mut adam) = state();
        assert!(matches!(restore(folder.path(), &mut flat, &mut adam), Ok(Found::Nothing)));
        files::write(&folder.path().join(INDEX), b"{").unwrap();
        assert!(matches!(restore(folder.path(), &mut flat, &mut adam), Ok(Found::Damaged(_))));
        std::fs::remove_file(folder.path().join(INDEX)).unwrap();
        std::fs::create_dir(folder.path().join(INDEX)).unwrap();
        assert!(matches!(restore(folder.path(), &mut flat, &mut adam), Err(ModelError::Read { .. })));
    }
}
