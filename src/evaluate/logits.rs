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

/// What the input may hold; `logits` are those to compare with, and are passed over.
const KNOWN: [&str; 4] = ["input_ids", "attention_mask", "position_ids", "logits"];

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

impl LogitsError {
    /// Says what to do about it, where that is not plain from what it says.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Model(error) => error.hint(),
            Self::Input { .. } => None,
        }
    }
}

/// Says what was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// Shape of the logits: `[batch, sequence, vocab]`.
    pub shape: [i64; 3],
    /// What the user should know of them.
    pub warnings: Vec<String>,
}

/// One row of the input: the tokens that are read.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    ids: Vec<u32>,
    /// Place of each token in the row.
    places: Vec<i64>,
    /// Position of each token.
    positions: Vec<i64>,
}

/// Computes the logits of `input_ids` `[batch, sequence]` (int64) in the file `input` and writes
/// `logits` `[batch, sequence, vocab]` (f32) to the file `output`.
///
/// The model is the checkpoint folder `model`, with the PEFT adapter in the folder `adapter` if
/// one is given. As in transformers, no token sees those at which `attention_mask` `[batch, sequence]` is
/// 0; their own logits mean nothing, and are written as 0. Positions are the places in the row unless
/// `position_ids` `[batch, sequence]` says otherwise.
///
/// # Errors
/// When a file is missing, damaged or does not fit, when an id is outside the vocabulary, and when the
/// input asks for something else: another tensor, padding between tokens of a model with a window,
/// positions that jump without a mask, which transformers takes for several sequences in one row.
pub fn logits(
    model: &Path,
    adapter: Option<&Path>,
    input: &Path,
    output: &Path,
    compute: Compute,
) -> Result<Computed, LogitsError> {
    let wrong = |problem: String| LogitsError::Input { path: input.to_owned(), problem };
    let file = Checkpoint::open_file(input)?;
    let read = |name: &str| file.read(name, Kind::Int64, tch::Device::Cpu);
    let ids = read("input_ids")?.ok_or_else(|| wrong("`input_ids` is missing".to_owned()))?;
    let unknown: Vec<String> =
        file.names().filter(|name| !KNOWN.contains(name)).map(|name| format!("`{name}`")).collect();
    if !unknown.is_empty() {
        let expected = "`input_ids`, `attention_mask` and `position_ids`";
        return Err(wrong(format!("it holds {}, which are not read: expected {expected}", unknown.join(", "))));
    }
    let shape = ids.size();
    let [batch, sequence] = shape[..] else {
        return Err(wrong(format!("`input_ids` has shape {shape:?}, expected [batch, sequence]")));
    };
    if ids.numel() == 0 {
        return Err(wrong(format!("`input_ids` has shape {shape:?}, expected at least one id")));
    }
    let beside = |name: &str| -> Result<Option<Vec<i64>>, LogitsError> {
        let Some(tensor) = read(name)? else { return Ok(None) };
        if tensor.size() != shape {
            return Err(wrong(format!("`{name}` has shape {:?}, expected {shape:?} as `input_ids`", tensor.size())));
        }
        Ok(Some(numbers(&tensor)))
    };
    let (mask, positions) = (beside("attention_mask")?, beside("position_ids")?);
    let mut decoder = Decoder::load(model, compute.kind(), compute.device)?;
    if let Some(adapter) = adapter {
        peft::load(&mut decoder, compute.kind(), adapter)?;
    }
    let (vocabulary, longest) = (decoder.config.vocab_size, decoder.config.max_position_embeddings);
    let windowed = decoder.config.sliding_window.is_some();
    let ids = numbers(&ids);
    let part = |all: &'_ Option<Vec<i64>>, range: std::ops::Range<usize>| all.as_ref().map(|all| all[range].to_vec());
    let mut rows = Vec::new();
    for number in 0..batch as usize {
        let range = number * sequence as usize..(number + 1) * sequence as usize;
        let row = row(&ids[range.clone()], part(&mask, range.clone()), part(&positions, range), windowed);
        rows.push(row.map_err(|problem| wrong(format!("row {number}: {problem}")))?);
    }
    if let Some(id) = rows.iter().flat_map(|row| &row.ids).find(|&&id| i64::from(id) >= vocabulary) {
        return Err(wrong(format!("`input_ids` holds {id}, expected 0 to {}", vocabulary - 1)));
    }
    let mut warnings = Vec::new();
    let last = rows.iter().flat_map(|row| &row.positions).max().map(|last| last + 1).unwrap_or_default();
    if last > longest {
        warnings
            .push(format!("sequences reach position {last}, the model was made for {longest}: the logits mean little"));
    }
    // One sequence at a time: the same numbers for any batch.
    let computed: Vec<Tensor> = no_grad(|| {
        let compute = |row: &Row| {
            let all = Tensor::zeros([sequence, vocabulary], (Kind::Float, tch::Device::Cpu));
            let positions = Tensor::from_slice(&row.positions).to_device(compute.device);
            let packed = Packed { positions, ..Packed::new(&[&row.ids], None, compute.device) };
            let logits = decoder.logits(&decoder.hidden(&packed, Mode::Infer));
            all.index_copy(
                0,
                &Tensor::from_slice(&row.places),
                &logits.to_kind(Kind::Float).to_device(tch::Device::Cpu),
            )
        };
        rows.iter().map(compute).collect()
    });
    save_file_about(output, &[&("logits".to_owned(), Tensor::stack(&computed, 0))], MAKER)?;
    Ok(Computed { shape: [batch, sequence, vocabulary], warnings })
}

fn numbers(tensor: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(tensor.flatten(0, -1)).expect("int64 numbers")
}

/// Reads one row; says what it asks for that is not computed.
fn row(ids: &[i64], mask: Option<Vec<i64>>, positions: Option<Vec<i64>>, windowed: bool) -> Result<Row, String> {
    let mut places = Vec::new();
    for (place, &seen) in (0..).zip(mask.as_deref().unwrap_or(&vec![1; ids.len()])) {
        match seen {
            0 => {}
            1 => places.push(place),
            other => return Err(format!("`attention_mask` holds {other}, expected 0 or 1")),
        }
    }
    let (Some(start), Some(end)) = (places.first(), places.last()) else {
        return Err("`attention_mask` is 0 everywhere, expected a token that is seen".to_owned());
    };
    let has_gaps = end - start + 1 != places.len() as i64;
    if has_gaps && windowed {
        return Err(
            "`attention_mask` is 0 between tokens, expected padding at the ends: the model has a window".to_owned()
        );
    }
    let at = |all: &[i64]| -> Vec<i64> { places.iter().map(|&place| all[place as usize]).collect() };
    // Masked tokens keep their places: those after them are as far apart as with them.
    let positions = at(&positions.unwrap_or_else(|| (0..ids.len() as i64).collect()));
    if let Some(position) = positions.iter().find(|&&position| position < 0) {
        return Err(format!("`position_ids` holds {position}, expected 0 or more"));
    }
    let jump = positions.windows(2).find(|pair| pair[1] != pair[0] + 1);
    if let Some(pair) = jump.filter(|_| mask.is_none()) {
        return Err(format!(
            "`position_ids` go from {} to {}, expected one after another or an `attention_mask` beside them",
            pair[0], pair[1]
        ));
    }
    let ids =
        at(ids).into_iter().map(|id| u32::try_from(id).map_err(|_| format!("`input_ids` holds {id}, expected an id")));
    Ok(Row { ids: ids.collect::<Result<_, _>>()?, places, positions })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_left_out_and_positions_are_kept() {
        let read = |mask: Option<&[i64]>, positions: Option<&[i64]>, windowed| {
            row(&[5, 6, 7, 8], mask.map(<[i64]>::to_vec), positions.map(<[i64]>::to_vec), windowed)
        };
        let expected = |ids: &[u32], places: &[i64], positions: &[i64]| {
            Ok(Row { ids: ids.to_vec(), places: places.to_vec(), positions: positions.to_vec() })
        };
        assert_eq!(read(None, None, true), expected(&[5, 6, 7, 8], &[0, 1, 2, 3], &[0, 1, 2, 3]));
        assert_eq!(read(Some(&[0, 0, 1, 1]), None, true), expected(&[7, 8], &[2, 3], &[2, 3]));
        assert_eq!(read(Some(&[0, 0, 1, 1]), Some(&[1, 1, 0, 1]), true), expected(&[7, 8], &[2, 3], &[0, 1]));
        assert_eq!(read(Some(&[1, 0, 1, 0]), None, false), expected(&[5, 7], &[0, 2], &[0, 2]));
        for (mask, positions, windowed, problem) in [
            (Some([0, 0, 0, 0]), None, false, "0 everywhere"),
            (Some([1, 1, 2, 1]), None, false, "holds 2"),
            (Some([1, 0, 1, 1]), None, true, "has a window"),
            (None, Some([0, 1, 0, 1]), false, "from 1 to 0"),
            (None, Some([-1, 0, 1, 2]), false, "holds -1"),
        ] {
            let found = read(mask.as_ref().map(|mask| &mask[..]), positions.as_ref().map(|all| &all[..]), windowed);
            assert!(found.as_ref().is_err_and(|found| found.contains(problem)), "{found:?}");
        }
    }
}
