//! Running the teacher once over all sequences.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use tch::{Device, Tensor, no_grad};

use super::CaptureError;
use super::format::{
    Entry, FORMAT, HEAD, INDEX, PLAN, Plan, SEAL, STATES, Seal, Stored, VERSION, checksum, checksum_of_file, read_json,
    write_json,
};
use crate::data::encode;
use crate::distill::statistics::Moments;
use crate::files;
use crate::models::decoder::Decoder;
use crate::models::layers::Mode;
use crate::models::packed::Packed;
use crate::models::weights::save_file;

/// Tokens of a prompt and its response, end of sequence included.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// All tokens.
    pub tokens: &'a [u32],
    /// Where the response starts.
    pub response_start: usize,
}

impl<'a> From<&'a encode::Sequence> for Sequence<'a> {
    fn from(sequence: &'a encode::Sequence) -> Self {
        Self { tokens: &sequence.tokens, response_start: sequence.response_start }
    }
}

/// Says how far a capture has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Examples on disk.
    pub examples: usize,
    /// Examples in all.
    pub total: usize,
    /// Positions computed by this run; 0 for what an earlier one left.
    pub positions: u64,
}

/// Says how a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All examples are on disk.
    Complete,
    /// `watch` asked to stop; the same call continues where it stopped.
    Stopped,
}

/// Captures the hidden states of `decoder` at the response positions of `sequences` in `folder`.
///
/// Sequences of similar length share a forward pass of at most `batch_tokens` tokens. A capture
/// that was stopped or killed continues after its last whole pass, or before the first one that is
/// damaged, and ends with the same bytes as one that was not; a finished one is left as it is.
/// `watch` is told first what is there, if anything is, and then what every pass adds.
///
/// # Errors
/// When a sequence has no prompt or no response, and when `folder` holds another capture or what is
/// no capture, or cannot be written.
pub fn capture(
    decoder: &Decoder,
    vocabulary: &str,
    sequences: &[Sequence<'_>],
    folder: &Path,
    batch_tokens: usize,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Outcome, CaptureError> {
    check(sequences)?;
    std::fs::create_dir_all(folder).map_err(|source| files::failed(folder, None, source))?;
    let plan = begin(decoder, vocabulary, sequences, folder, batch_tokens)?;
    let total = sequences.len();
    if folder.join(SEAL).exists() {
        let _ = watch(Progress { examples: total, total, positions: 0 });
        return Ok(Outcome::Complete);
    }
    let batches = batches(sequences, batch_tokens);
    let mut files = Files::resume(folder, &plan, &batches)?;
    let mut positions = 0;
    if files.examples > 0 {
        let found = Progress { examples: files.examples, total, positions };
        if watch(found).is_break() && found.examples < total {
            return Ok(Outcome::Stopped);
        }
    }
    for batch in &batches[files.batches..] {
        let packed: Vec<Sequence<'_>> = batch.iter().map(|&example| sequences[example]).collect();
        let computed = no_grad(|| states(decoder, &packed, plan.stored))?;
        for (&example, (rows, moments)) in batch.iter().zip(&computed) {
            if !moments.is_finite() {
                return Err(CaptureError::NotFinite { example });
            }
            files.append(example, sequences[example], rows, *moments)?;
        }
        files.commit()?;
        positions += packed.iter().map(|sequence| sequence.tokens.len() as u64 - 1).sum::<u64>();
        let progress = Progress { examples: files.examples, total, positions };
        if watch(progress).is_break() && progress.examples < total {
            return Ok(Outcome::Stopped);
        }
    }
    files.sync()?;
    let (states_bytes, index) = (files.offset, checksum_of_file(&folder.join(INDEX))?);
    write_json(&folder.join(SEAL), &Seal { plan, states_bytes, index })?;
    Ok(Outcome::Complete)
}

fn check(sequences: &[Sequence<'_>]) -> Result<(), CaptureError> {
    for (example, sequence) in sequences.iter().enumerate() {
        let (tokens, response_start) = (sequence.tokens.len(), sequence.response_start);
        if response_start == 0 || response_start >= tokens {
            return Err(CaptureError::Sequence { example, tokens, response_start });
        }
    }
    Ok(())
}

/// Writes head and plan, or compares them with those that are there.
fn begin(
    decoder: &Decoder,
    vocabulary: &str,
    sequences: &[Sequence<'_>],
    folder: &Path,
    batch_tokens: usize,
) -> Result<Plan, CaptureError> {
    // Under another name until it is known to belong here.
    let fresh = folder.join(format!(".{HEAD}"));
    write_head(decoder, &fresh)?;
    let plan = Plan {
        format: FORMAT.to_owned(),
        version: VERSION,
        vocabulary: vocabulary.to_owned(),
        stored: Stored::of(decoder.kind()),
        width: decoder.config.hidden_size,
        examples: sequences.len(),
        sequences: checksum_of_sequences(sequences),
        head: checksum_of_file(&fresh)?,
        tokens: Some(decoder.head().tokens).filter(|&tokens| tokens < decoder.config.vocab_size),
        softcap: decoder.head().softcap,
        batch_tokens,
    };
    let path = folder.join(PLAN);
    if path.exists() {
        let differences = plan.differences(&read_json(&path)?);
        if !differences.is_empty() {
            let _ = std::fs::remove_file(&fresh);
            let problem = format!("{} differ", differences.join(", "));
            return Err(CaptureError::Another { path: folder.to_owned(), problem });
        }
    }
    let head = folder.join(HEAD);
    std::fs::rename(&fresh, &head).map_err(|source| files::failed(&head, None, source))?;
    write_json(&path, &plan)?;
    Ok(plan)
}

/// Returns the checksum of all token ids and response starts.
pub(super) fn checksum_of_sequences(sequences: &[Sequence<'_>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for sequence in sequences {
        for number in [sequence.tokens.len() as u64, sequence.response_start as u64] {
            hasher.update(&number.to_le_bytes());
        }
        for id in sequence.tokens {
            hasher.update(&id.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn write_head(decoder: &Decoder, path: &Path) -> Result<(), CaptureError> {
    let head = decoder.head();
    let mut tensors = vec![("lm_head.weight".to_owned(), head.weight.shallow_clone())];
    tensors.extend(head.bias.map(|bias| ("lm_head.bias".to_owned(), bias.shallow_clone())));
    if decoder.lm_head.is_some() {
        tensors.push(("model.embed_tokens.weight".to_owned(), decoder.embed_tokens.shallow_clone()));
    }
    Ok(save_file(path, &tensors.iter().collect::<Vec<_>>())?)
}

/// Divides examples, shortest first, into batches of at most `tokens` tokens or of one example.
fn batches(sequences: &[Sequence<'_>], tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&example| sequences[example].tokens.len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut filled = 0;
    for example in order {
        let length = sequences[example].tokens.len();
        match batches.last_mut() {
            Some(batch) if filled + length <= tokens => batch.push(example),
            _ => {
                batches.push(vec![example]);
                filled = 0;
            }
        }
        filled += length;
    }
    batches
}

/// Returns each sequence's states at response positions `[m, width]` and the moments of all.
fn states(
    decoder: &Decoder,
    sequences: &[Sequence<'_>],
    stored: Stored,
) -> Result<Vec<(Tensor, Moments)>, CaptureError> {
    // The last token predicts nothing.
    let inputs: Vec<&[u32]> = sequences.iter().map(|sequence| &sequence.tokens[..sequence.tokens.len() - 1]).collect();
    let packed = Packed::filled(&inputs, None, decoder.device());
    let hidden = decoder.hidden(&packed, Mode::Infer);
    let mut start = 0;
    let mut all = Vec::with_capacity(sequences.len());
    for (sequence, &filled) in sequences.iter().zip(&packed.lengths) {
        let length = sequence.tokens.len() as i64 - 1;
        let rows = hidden.narrow(0, start, length);
        start += filled;
        let first = sequence.response_start as i64 - 1;
        let response = rows.narrow(0, first, length - first);
        let response = response
            .f_to_kind(stored.kind())
            .and_then(|tensor| tensor.f_to_device(Device::Cpu))
            .and_then(|tensor| tensor.f_contiguous())
            .map_err(|source| CaptureError::Torch { doing: "copying captured states", source })?;
        all.push((response, Moments::of(&rows)));
    }
    Ok(all)
}

/// The growing files of a capture; whole batches only survive a kill.
struct Files<'a> {
    folder: &'a Path,
    plan: &'a Plan,
    states: File,
    index: File,
    /// Bytes of the states.
    offset: u64,
    /// Whole batches on disk.
    batches: usize,
    /// Examples on disk.
    examples: usize,
    /// Bytes and lines of the batch that is being written.
    pending: (Vec<u8>, Vec<u8>),
}

impl<'a> Files<'a> {
    /// Opens the files and cuts them after the last whole batch of an earlier run.
    fn resume(folder: &'a Path, plan: &'a Plan, batches: &[Vec<usize>]) -> Result<Self, CaptureError> {
        let open = |name: &str| -> Result<File, CaptureError> {
            let path = folder.join(name);
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            Ok(opened.map_err(|source| files::failed(&path, None, source))?)
        };
        let mut files = Self {
            folder,
            plan,
            states: open(STATES)?,
            index: open(INDEX)?,
            offset: 0,
            batches: 0,
            examples: 0,
            pending: (Vec::new(), Vec::new()),
        };
        let mut index_bytes = 0;
        let mut lines = BufReader::new(open(INDEX)?);
        let mut states = BufReader::new(open(STATES)?);
        'batches: for batch in batches {
            let (mut offset, mut bytes) = (files.offset, 0);
            for &example in batch {
                let mut line = String::new();
                // What does not read as the expected example is the torn end of a killed run.
                let Ok(length) = lines.read_line(&mut line) else { break 'batches };
                let Ok(entry) = serde_json::from_str::<Entry>(&line) else { break 'batches };
                let mut rows = vec![0; entry.bytes(plan.stored, plan.width) as usize];
                let whole = line.ends_with('\n') && entry.example == example && entry.offset == offset;
                if !whole || states.read_exact(&mut rows).is_err() || checksum(&rows) != entry.checksum {
                    break 'batches;
                }
                offset += rows.len() as u64;
                bytes += length as u64;
            }
            files.offset = offset;
            index_bytes += bytes;
            files.batches += 1;
            files.examples += batch.len();
        }
        let end = files.offset;
        for (name, file, end) in [(STATES, &mut files.states, end), (INDEX, &mut files.index, index_bytes)] {
            file.set_len(end)
                .and_then(|()| file.seek(SeekFrom::Start(end)))
                .map_err(|source| files::failed(&folder.join(name), None, source))?;
        }
        Ok(files)
    }

    fn append(
        &mut self,
        example: usize,
        sequence: Sequence<'_>,
        rows: &Tensor,
        moments: Moments,
    ) -> Result<(), CaptureError> {
        let mut bytes = vec![0; rows.numel() * rows.kind().elt_size_in_bytes()];
        rows.f_copy_data_u8(&mut bytes, rows.numel())
            .map_err(|source| CaptureError::Torch { doing: "copying captured states", source })?;
        let (tokens, start) = (sequence.tokens, sequence.response_start);
        let ids = |tokens: &[u32]| tokens.iter().map(|&id| i64::from(id)).collect();
        let entry = Entry {
            example,
            offset: self.offset,
            checksum: checksum(&bytes),
            positions: tokens.len() as i64 - 1,
            moments: [moments.count, moments.sum, moments.squares],
            inputs: ids(&tokens[start - 1..tokens.len() - 1]),
            labels: ids(&tokens[start..]),
        };
        debug_assert_eq!(bytes.len() as u64, entry.bytes(self.plan.stored, self.plan.width));
        self.offset += bytes.len() as u64;
        self.pending.0.extend(bytes);
        let path = || self.folder.join(INDEX);
        serde_json::to_writer(&mut self.pending.1, &entry)
            .map_err(|error| files::failed(&path(), None, error.into()))?;
        self.pending.1.push(b'\n');
        self.examples += 1;
        Ok(())
    }

    /// Writes a whole batch, its states before the lines that point to them.
    fn commit(&mut self) -> Result<(), CaptureError> {
        let folder = self.folder;
        let failed = |name: &str, pending: &[u8]| {
            let path = folder.join(name);
            let needed = pending.len() as u64;
            move |source| files::failed(&path, Some(needed), source)
        };
        self.states.write_all(&self.pending.0).map_err(failed(STATES, &self.pending.0))?;
        self.index.write_all(&self.pending.1).map_err(failed(INDEX, &self.pending.1))?;
        self.pending.0.clear();
        self.pending.1.clear();
        Ok(())
    }

    fn sync(&self) -> Result<(), CaptureError> {
        for (name, file) in [(STATES, &self.states), (INDEX, &self.index)] {
            file.sync_all().map_err(|source| files::failed(&self.folder.join(name), None, source))?;
        }
        Ok(())
    }
}
