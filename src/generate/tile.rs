//! Sequences that are decoded together.

use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use super::sampling::{Row, choose};
use super::{GenerateError, Generated, GenerationSettings, StopReason};
use crate::models::cache::{Place, TileCache};
use crate::models::decoder::Decoder;
use crate::models::packed::{Packed, rounded};

/// Rows of a tile on the CPU. Measured on one core with 5.4 million parameters: a row's step takes
/// 0.72 ms of a tile of 4, 0.46 ms of 8, 0.37 ms of 16, 0.40 ms of 32.
pub(super) const CPU_ROWS: usize = 16;

/// Rows of a tile on a GPU, which computes them in the time of one.
const CUDA_ROWS: usize = 32;

/// Returns the tokens of a block of a prompt: enough that products are large, few enough that prompts with a
/// common beginning read little of it again.
fn block(device: Device) -> usize {
    if device.is_cuda() { 512 } else { 64 }
}

/// A sequence that is being decoded.
#[derive(Debug)]
struct Sequence {
    example: usize,
    /// Prompt and answer so far; all but the last token are in the cache.
    tokens: Vec<u32>,
    /// Tokens of the prompt.
    prompt: usize,
    generator: ChaCha8Rng,
}

impl Sequence {
    fn answer(&self) -> &[u32] {
        &self.tokens[self.prompt..]
    }

    fn row(&mut self) -> Row<'_> {
        Row { context: &self.tokens, generator: &mut self.generator }
    }

    /// Adds a token to the answer, unless it ends it; returns the answer if it ends.
    fn extend(&mut self, token: u32, settings: &GenerationSettings<'_>) -> Option<Generated> {
        let is_end = settings.ends.is_end(token);
        if !is_end {
            self.tokens.push(token);
        }
        let answer = self.answer();
        let stopped = match () {
            () if is_end => StopReason::Eos,
            () if settings.ends.has_text(answer) => StopReason::Stop,
            () if answer.len() >= settings.max_new_tokens => StopReason::Length,
            () => return None,
        };
        Some(Generated { tokens: answer.to_vec(), stopped })
    }
}

/// Rows that are decoded together; the batch limits how many are in use, not what a step costs.
#[derive(Debug)]
pub(super) struct Tile<'a> {
    decoder: &'a Decoder,
    settings: &'a GenerationSettings<'a>,
    cache: TileCache,
    rows: Vec<Option<Sequence>>,
    /// Whole blocks of a prompt that the cache holds in each row; after its answer, too.
    beginnings: Vec<Vec<u32>>,
}

impl<'a> Tile<'a> {
    /// Makes room for `room` tokens in every row.
    pub(super) fn new(decoder: &'a Decoder, room: usize, settings: &'a GenerationSettings) -> Self {
        let rows = if decoder.device().is_cuda() { CUDA_ROWS } else { CPU_ROWS };
        let cache = decoder.tile(rows as i64, room as i64);
        let beginnings = vec![Vec::new(); rows];
        Self { decoder, settings, cache, rows: (0..rows).map(|_| None).collect(), beginnings }
    }

    /// Returns a row without a sequence, within the batch that the settings allow.
    pub(super) fn free_row(&self) -> Option<usize> {
        self.rows.iter().take(self.settings.batch.max(1)).position(Option::is_none)
    }

    /// Says whether no row has a sequence.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.iter().all(Option::is_none)
    }

    /// Returns the answers that go on, each with its index.
    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.rows.iter().flatten().map(|sequence| (sequence.example, sequence.answer()))
    }

    /// Reads a prompt into a row and chooses its first token; returns the answer if it ends there.
    pub(super) fn enter(
        &mut self,
        row: usize,
        example: usize,
        prompt: &[u32],
        generator: ChaCha8Rng,
    ) -> Result<Option<Generated>, GenerateError> {
        let logits = self.read(row, prompt);
        let mut sequence = Sequence { example, tokens: prompt.to_vec(), prompt: prompt.len(), generator };
        let token = choose(&self.settings.decoding, &logits, &mut [Some(sequence.row())])[0]
            .ok_or(GenerateError::NotFinite { example })?;
        let ended = sequence.extend(token, self.settings);
        if ended.is_none() {
            self.rows[row] = Some(sequence);
        }
        Ok(ended)
    }

    /// Reads a prompt into a row, but for the blocks that a row holds already, and returns the logits after it
    /// `[1, vocab]`.
    fn read(&mut self, row: usize, prompt: &[u32]) -> Tensor {
        let (size, device) = (block(self.decoder.device()), self.decoder.device());
        let (from, blocks) = self.held(prompt);
        self.cache.copy(from as i64, row as i64, (blocks * size) as i64);
        let mut hidden = None;
        for start in (blocks * size..prompt.len()).step_by(size) {
            let tokens = &prompt[start..prompt.len().min(start + size)];
            // What the filler leaves in the cache is masked until a token of the answer takes its place.
            let batch = Packed::filled(&[tokens], Some(&[start as i64]), device);
            let after = batch.lengths[0] as usize - tokens.len();
            let tail = rounded(after + 1);
            let tails = batch.tails(&[tail as i64]);
            let place = Place { row: row as i64, start: start as i64 };
            let states = self.decoder.hidden_block(&batch, &tails, prompt.len(), &mut self.cache, place);
            hidden = Some(states.narrow(0, (tail - after - 1) as i64, 1));
        }
        self.beginnings[row] = prompt[..prompt.len() / size * size].to_vec();
        self.decoder.head().of_few(&hidden.expect("a prompt has a token that no row holds"))
    }

    /// Returns the row that holds most blocks of a prompt from its beginning, and how many; never all of the
    /// prompt: its last token is read for what follows.
    fn held(&self, prompt: &[u32]) -> (usize, usize) {
        let size = block(self.decoder.device());
        let shared = |beginning: &Vec<u32>| {
            let equal = beginning.iter().zip(&prompt[..prompt.len() - 1]).take_while(|(a, b)| a == b).count();
            if self.decoder.shares_beginnings() { equal / size } else { 0 }
        };
        let rows = self.beginnings.iter().map(shared).enumerate();
        rows.max_by_key(|&(_, blocks)| blocks).unwrap_or_default()
    }

    /// Chooses the next token of every row and returns the answers that end, each with its index.
    pub(super) fn step(&mut self) -> Result<Vec<(usize, Generated)>, GenerateError> {
        let last = |row: &Option<Sequence>| row.as_ref()?.tokens.last().map(|&token| i64::from(token));
        let ids: Vec<i64> = self.rows.iter().map(|row| last(row).unwrap_or(0)).collect();
        let position = |row: &Option<Sequence>| row.as_ref().map(|sequence| sequence.tokens.len() as i64 - 1);
        let positions: Vec<Option<i64>> = self.rows.iter().map(position).collect();
        let hidden = self.decoder.hidden_tile(&ids, &positions, &mut self.cache);
        let logits = self.decoder.head().of_few(&hidden);
        let mut rows: Vec<Option<Row<'_>>> = self.rows.iter_mut().map(|row| row.as_mut().map(Sequence::row)).collect();
        let tokens = choose(&self.settings.decoding, &logits, &mut rows);
        let mut finished = Vec::new();
        for (row, token) in self.rows.iter_mut().zip(tokens) {
            let Some(sequence) = row else { continue };
            let example = sequence.example;
            let token = token.ok_or(GenerateError::NotFinite { example })?;
            if let Some(answer) = sequence.extend(token, self.settings) {
                finished.push((example, answer));
                *row = None;
            }
        }
        Ok(finished)
    }
}
