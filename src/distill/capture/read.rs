//! Reading a capture, any examples in any order.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::format::{
    Entry, FORMAT, HEAD, INDEX, Plan, SEAL, STATES, Seal, VERSION, checksum, checksum_of_file, read_json,
};
use super::write::checksum_of_sequences;
use super::{CaptureError, Sequence};
use crate::distill::statistics::Example;
use crate::distill::{States, Statistics};
use crate::models::head::Head;
use crate::models::weights::Checkpoint;

/// A finished capture. States stay on disk until they are asked for.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    plan: Plan,
    states: File,
    entries: Vec<Entry>,
    /// Weight of the teacher's output head `[vocab, width]`.
    pub head: Tensor,
    /// Its bias `[vocab]`.
    head_bias: Option<Tensor>,
    /// Teacher's input embedding `[vocab, width]`.
    pub embedding: Tensor,
}

/// Holds the teacher's signal for a micro-batch.
#[derive(Debug)]
pub struct Signal {
    /// Hidden states at response positions `[m, width]`.
    pub hidden: Tensor,
    /// Input ids there `[m]`, int64.
    pub inputs: Tensor,
    /// Ids to predict there `[m]`, int64.
    pub labels: Tensor,
    /// Response positions of each example.
    pub lengths: Vec<i64>,
}

impl Capture {
    /// Opens the capture in `folder`; head, embedding and states will be of `kind` on `device`.
    ///
    /// # Errors
    /// When the capture is unfinished, of another format, truncated or changed.
    pub fn open(folder: &Path, kind: Kind, device: Device) -> Result<Self, CaptureError> {
        let seal_path = folder.join(SEAL);
        if !seal_path.exists() {
            return Err(CaptureError::Unfinished { path: folder.to_owned() });
        }
        let Seal { plan, states_bytes, index } = read_json(&seal_path)?;
        if plan.format != FORMAT || plan.version != VERSION {
            let problem =
                format!("expected `{FORMAT}` version {VERSION}, found `{}` version {}", plan.format, plan.version);
            return Err(CaptureError::Foreign { path: seal_path, problem });
        }
        for (name, expected) in [(INDEX, &index), (HEAD, &plan.head)] {
            let path = folder.join(name);
            if checksum_of_file(&path)? != *expected {
                return Err(damaged(&path, "its checksum does not match"));
            }
        }
        let path = folder.join(STATES);
        let failed = |source| CaptureError::Read { path: path.clone(), source };
        let states = File::open(&path).map_err(failed)?;
        let found = states.metadata().map_err(failed)?.len();
        if found != states_bytes {
            return Err(damaged(&path, format!("expected {states_bytes} bytes, found {found}")));
        }
        let entries = read_entries(&folder.join(INDEX), &plan, states_bytes)?;
        let head_path = folder.join(HEAD);
        let file = Checkpoint::open_file(&head_path)?;
        let head = file
            .read("lm_head.weight", kind, device)?
            .ok_or_else(|| damaged(&head_path, "`lm_head.weight` is missing"))?;
        let embedding = file.read("model.embed_tokens.weight", kind, device)?.unwrap_or_else(|| head.shallow_clone());
        let head_bias = file.read("lm_head.bias", kind, device)?;
        Ok(Self { path, plan, states, entries, head, head_bias, embedding })
    }

    /// Reads token `theirs` as token `ours` and the other way round: the head's and the embedding's rows
    /// and all ids are exchanged.
    ///
    /// A teacher that ends answers with another token than the student of the same vocabulary says by it
    /// what the student says by its own; nothing else of what it says changes.
    ///
    /// # Panics
    /// When the teacher does not have both tokens.
    #[must_use]
    pub fn exchanging(mut self, theirs: u32, ours: u32) -> Self {
        let (theirs, ours) = (i64::from(theirs), i64::from(ours));
        let exchange = |id: i64| match id {
            id if id == theirs => ours,
            id if id == ours => theirs,
            other => other,
        };
        let is_tied = self.embedding.data_ptr() == self.head.data_ptr();
        let rows = self.head.size()[0];
        assert!(theirs.max(ours) < rows, "tokens {theirs} and {ours} of a teacher with {rows}");
        let order: Vec<i64> = (0..rows).map(exchange).collect();
        let order = Tensor::from_slice(&order).to_device(self.head.device());
        self.head = self.head.index_select(0, &order);
        self.head_bias = self.head_bias.map(|bias| bias.index_select(0, &order));
        self.embedding = if is_tied { self.head.shallow_clone() } else { self.embedding.index_select(0, &order) };
        for entry in &mut self.entries {
            for id in entry.inputs.iter_mut().chain(&mut entry.labels) {
                *id = exchange(*id);
            }
        }
        self
    }

    /// Returns the fingerprint of the teacher's vocabulary.
    pub fn vocabulary(&self) -> &str {
        &self.plan.vocabulary
    }

    /// Says whether this is a capture of these very sequences, in this order.
    pub fn is_of(&self, sequences: &[Sequence<'_>]) -> bool {
        self.plan.sequences == checksum_of_sequences(sequences)
    }

    /// Returns the number of examples.
    pub fn examples(&self) -> usize {
        self.entries.len()
    }

    /// Returns the width of the states.
    pub fn width(&self) -> i64 {
        self.plan.width
    }

    /// Reads the signal for `examples`, in that order.
    ///
    /// # Errors
    /// When an example is not there, or its states cannot be read or do not match their checksum.
    pub fn states(&self, examples: &[usize]) -> Result<Signal, CaptureError> {
        let (mut bytes, mut inputs, mut labels, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for &example in examples {
            let entry = self.entry(example)?;
            let start = bytes.len();
            bytes.resize(start + entry.bytes(self.plan.stored, self.plan.width) as usize, 0);
            self.states
                .read_exact_at(&mut bytes[start..], entry.offset)
                .map_err(|source| CaptureError::Read { path: self.path.clone(), source })?;
            if checksum(&bytes[start..]) != entry.checksum {
                return Err(damaged(&self.path, format!("the checksum of example {example} does not match")));
            }
            inputs.extend_from_slice(&entry.inputs);
            labels.extend_from_slice(&entry.labels);
            lengths.push(entry.labels.len() as i64);
        }
        let size = [labels.len() as i64, self.plan.width];
        let device = self.head.device();
        let hidden = Tensor::f_from_data_size(&bytes, &size, self.plan.stored.kind())
            .and_then(|tensor| tensor.f_to_kind(self.head.kind())?.f_to_device(device))
            .map_err(|source| CaptureError::Torch { doing: "reading captured states", source })?;
        Ok(Signal {
            hidden,
            inputs: Tensor::from_slice(&inputs).to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
            lengths,
        })
    }

    /// Computes the teacher's statistics over `examples`, those of a whole optimiser step.
    ///
    /// # Errors
    /// When an example is not there.
    pub fn statistics(&self, examples: &[usize]) -> Result<Statistics, CaptureError> {
        let entries: Vec<&Entry> = examples.iter().map(|&example| self.entry(example)).collect::<Result<_, _>>()?;
        let described = entries.into_iter().map(|entry| Example {
            inputs: &entry.inputs,
            labels: &entry.labels,
            positions: entry.positions,
            hidden: entry.hidden(),
        });
        Ok(Statistics::of(&self.embedding, described))
    }

    /// Returns the teacher's output head.
    pub fn head(&self) -> Head<'_> {
        let tokens = self.plan.tokens.unwrap_or_else(|| self.head.size()[0]);
        Head { weight: &self.head, bias: self.head_bias.as_ref(), softcap: self.plan.softcap, tokens }
    }

    /// Returns an objective's view of `signal`.
    pub fn view<'a>(&'a self, signal: &'a Signal) -> States<'a> {
        States {
            hidden: &signal.hidden,
            head: self.head(),
            embedding: &self.embedding,
            inputs: &signal.inputs,
            labels: &signal.labels,
            lengths: &signal.lengths,
        }
    }

    fn entry(&self, example: usize) -> Result<&Entry, CaptureError> {
        let missing = CaptureError::Example { example, examples: self.entries.len() };
        self.entries.get(example).ok_or(missing)
    }
}

fn damaged(path: &Path, problem: impl Into<String>) -> CaptureError {
    CaptureError::Damaged { path: path.to_owned(), problem: problem.into() }
}

/// Reads the index and puts it in the examples' order.
fn read_entries(path: &Path, plan: &Plan, states_bytes: u64) -> Result<Vec<Entry>, CaptureError> {
    let text = std::fs::read_to_string(path).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let entry: Entry =
            serde_json::from_str(line).map_err(|error| damaged(path, format!("line {}: {error}", number + 1)))?;
        let end = entry.offset.checked_add(entry.bytes(plan.stored, plan.width));
        if entry.inputs.len() != entry.labels.len() || end.is_none_or(|end| end > states_bytes) {
            return Err(damaged(path, format!("line {} points outside `{STATES}`", number + 1)));
        }
        entries.push(entry);
    }
    entries.sort_by_key(|entry| entry.example);
    let complete = entries.iter().enumerate().all(|(place, entry)| entry.example == place);
    if !complete || entries.len() != plan.examples {
        return Err(damaged(path, format!("expected each of {} examples once", plan.examples)));
    }
    Ok(entries)
}
