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
    Restored(Progress, Option<Tensor>),
    /// A checkpoint that cannot be used, and why: start from the beginning and say so.
    Damaged(String),
}

/// Writes the state; `best` are the weights with the lowest dev loss `[parameters]`.
///
/// # Errors
/// When a file cannot be written; the previous checkpoint is then still whole.
pub fn save(
    folder: &Path,
    flat: &Flat,
    adam: &AdamW,
    best: Option<&Tensor>,
    progress: &Progress,
) -> Result<(), ModelError> {
    let file = format!("checkpoint-{}.safetensors", progress.step);
    let path = folder.join(&file);
    let mut tensors = vec![
        ("master".to_owned(), flat.master.shallow_clone()),
        ("first".to_owned(), adam.first.shallow_clone()),
        ("second".to_owned(), adam.second.shallow_clone()),
    ];
    if let Some(best) = best {
        tensors.push(("best".to_owned(), best.shallow_clone()));
    }
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
    let read = |name: &str| stored.read(name, Kind::Float, Device::Cpu);
    let (Some(master), Some(first), Some(second)) = (read("master")?, read("first")?, read("second")?) else {
        return Ok(Found::Damaged(format!("`{}` lacks a tensor", index.file)));
    };
    flat.restore(&master);
    no_grad(|| {
        adam.first.copy_(&first);
        adam.second.copy_(&second);
    });
    adam.steps = index.progress.step;
    let best = read("best")?.map(|best| best.to_device(flat.device()));
    Ok(Found::Restored(index.progress, best))
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
    use crate::tuning::flat::{Group, Parameter};

    fn state() -> (Flat, AdamW) {
        let mut weight = Tensor::from_slice(&[1f32, 2.0]);
        let group = Group { lr_factor: 1.0, weight_decay: 0.0 };
        let flat = Flat::gather(vec![Parameter { name: "weight".to_owned(), tensor: &mut weight, group }], Kind::Float);
        let adam = AdamW::new(&flat);
        (flat, adam)
    }

    #[test]
    fn a_state_reads_back_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut flat, mut adam) = state();
        let best = Tensor::from_slice(&[7f32, 8.0]);
        save(folder.path(), &flat, &adam, None, &Progress { step: 3, best: None }).unwrap();
        flat.restore(&Tensor::from_slice(&[5f32, 6.0]));
        adam.second = Tensor::from_slice(&[0.25f32, 0.5]);
        // A loss without a short decimal form.
        let progress = Progress { step: 4, best: Some((2, 1.0 / 3.0)) };
        save(folder.path(), &flat, &adam, Some(&best), &progress).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

        let (mut found_flat, mut found_adam) = state();
        let found = restore(folder.path(), &mut found_flat, &mut found_adam).unwrap();
        let Found::Restored(found_progress, Some(found_best)) = found else { panic!("{found:?}") };
        assert_eq!(found_progress, progress);
        assert_eq!(found_adam.steps, 4);
        for (found, written) in [
            (&found_flat.master, &flat.master),
            (&found_adam.first, &adam.first),
            (&found_adam.second, &adam.second),
            (&found_best, &best),
        ] {
            assert!(found.equal(written));
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
