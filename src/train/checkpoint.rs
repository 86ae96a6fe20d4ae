//! The state of an unfinished training stage on disk: weights, moments, best weights, progress.
//!
//! `checkpoint.json` names the file that holds the tensors and its checksum; it is replaced last,
//! so that at any instant it names a whole file.

use std::path::{Path, PathBuf};

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
    let text = serde_json::to_vec_pretty(&index).map_err(|source| ModelError::Json { path: path.clone(), source })?;
    let place = folder.join(INDEX);
    files::write(&place, &text)?;
    remove_others(folder, &file);
    Ok(())
}

/// Restores the state from `folder` if there is a whole one.
///
/// # Errors
/// When a file that should be readable is not.
pub fn restore(folder: &Path, flat: &mut Flat, adam: &mut AdamW) -> Result<Found, ModelError> {
    let place = folder.join(INDEX);
    let Ok(text) = std::fs::read(&place) else {
        return Ok(Found::Nothing);
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

/// Removes older checkpoints: best effort, a file that stays costs room and nothing else.
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

fn checksum(path: &PathBuf) -> Result<String, ModelError> {
    let failed = |source| ModelError::Read { path: path.clone(), source };
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    hasher.update_reader(file).map_err(failed)?;
    Ok(hasher.finalize().to_hex().to_string())
}
