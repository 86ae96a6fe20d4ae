//! Logits of given ids: the check that a checkpoint loads right.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Kind, Tensor, no_grad};

use crate::device::Compute;
use crate::models::ModelError;
use crate::models::decoder::Decoder;
use crate::models::layers::Mode;
use crate::models::packed::Packed;
use crate::models::weights::{Checkpoint, save_file_about};
use crate::tuning::peft;

/// Why logits cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum LogitsError {
    /// A model, an adapter or a tensor file cannot be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The input is not what it should be.
    #[error("`{}`: {problem}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong, with what was expected.
        problem: String,
    },
}

/// Computes the logits of `input_ids` `[batch, sequence]` (int64) in the file `input` and writes
/// `logits` `[batch, sequence, vocab]` (f32) to the file `output`; returns that shape.
///
/// The model is the checkpoint folder `model`, with the PEFT adapter in the folder `adapter` if
/// one is given. Every sequence is taken whole: ids are not padding.
///
/// # Errors
/// When a file is missing, damaged or does not fit, or an id is outside the vocabulary.
pub fn logits(
    model: &Path,
    adapter: Option<&Path>,
    input: &Path,
    output: &Path,
    compute: Compute,
) -> Result<[i64; 3], LogitsError> {
    let wrong = |problem: String| LogitsError::Input { path: input.to_owned(), problem };
    let ids = Checkpoint::open_file(input)?
        .read("input_ids", Kind::Int64, tch::Device::Cpu)?
        .ok_or_else(|| wrong("`input_ids` is missing".to_owned()))?;
    let shape = ids.size();
    let [batch, sequence] = shape[..] else {
        return Err(wrong(format!("`input_ids` has shape {shape:?}, expected [batch, sequence]")));
    };
    if ids.numel() == 0 {
        return Err(wrong(format!("`input_ids` has shape {shape:?}, expected at least one id")));
    }
    let mut decoder = Decoder::load(model, compute.kind(), compute.device)?;
    if let Some(adapter) = adapter {
        peft::load(&mut decoder, compute.kind(), adapter)?;
    }
    let vocabulary = decoder.config.vocab_size;
    let ids = Vec::<i64>::try_from(ids.flatten(0, 1)).expect("int64 ids");
    if let Some(id) = ids.iter().find(|&&id| id < 0 || id >= vocabulary) {
        return Err(wrong(format!("`input_ids` holds {id}, expected 0 to {}", vocabulary - 1)));
    }
    let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
    // One sequence at a time: the same numbers for any batch.
    let rows: Vec<Tensor> = no_grad(|| {
        ids.chunks(sequence as usize)
            .map(|tokens| {
                let batch = Packed::new(&[tokens], None, compute.device);
                decoder.logits(&decoder.hidden(&batch, Mode::Infer)).to_kind(Kind::Float).to_device(tch::Device::Cpu)
            })
            .collect()
    });
    save_file_about(output, &[&("logits".to_owned(), Tensor::stack(&rows, 0))], MAKER)?;
    Ok([batch, sequence, vocabulary])
}

/// Says who wrote a file, in its metadata.
const MAKER: (&str, &str) = ("made_by", "tutelage logits");

/// Largest header that is read to tell whose file it is: one tensor takes a hundred bytes.
const MOST_HEADER: u64 = 4096;

/// Says whether a file is one that [`logits`] wrote, by its metadata.
#[must_use]
pub fn is_logits(path: &Path) -> bool {
    let header = || {
        let mut file = File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let mut header = Vec::new();
        file.take(u64::from_le_bytes(length).min(MOST_HEADER)).read_to_end(&mut header).ok()?;
        serde_json::from_slice::<Value>(&header).ok()
    };
    header().is_some_and(|header| header["__metadata__"][MAKER.0] == MAKER.1)
}
