//! One decoding step of a fixed number of sequences: a tile.
//!
//! A product of matrices may round differently with another number of rows. A tile always has the
//! same rows, used or not, and its sequences the same room in the cache, so every product has the
//! same shape whoever else is decoded: in f32 a sequence's tokens depend on nothing but itself.

use tch::{Kind, Tensor, no_grad};

use super::decoder::Decoder;
use super::layers::Mode;
use super::llama::Past;
use super::packed::{Packed, Tails};

/// Keeps keys and values of every row of a tile, layer by layer.
#[derive(Debug)]
pub struct TileCache {
    layers: Vec<TileLayer>,
    rows: i64,
    kv_heads: i64,
    capacity: i64,
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct TileLayer {
    /// `[rows * kv_heads, capacity, head_dim]`.
    keys: Tensor,
    /// `[rows * kv_heads, capacity, head_dim]`.
    values: Tensor,
}

/// Where the new tokens of one step go and what they see: the same in all layers of one window.
#[derive(Debug)]
pub struct TileStep {
    /// Row of each key in a cache flattened to `[rows * kv_heads * capacity, head_dim]`, int64.
    places: Tensor,
    /// Additive mask `[rows * kv_heads, 1, capacity]`.
    mask: Tensor,
}

impl TileCache {
    /// Makes room for `capacity` tokens in each of `rows` sequences.
    pub fn new(decoder: &Decoder, rows: i64, capacity: i64) -> Self {
        let config = &decoder.config;
        let kv_heads = config.num_key_value_heads;
        // Zeros: a masked value is multiplied by zero, and must be a number.
        let zeros = || Tensor::zeros([rows * kv_heads, capacity, config.head_dim], (decoder.kind(), decoder.device()));
        let layers = decoder.layers.iter().map(|_| TileLayer { keys: zeros(), values: zeros() }).collect();
        Self { layers, rows, kv_heads, capacity }
    }

    fn step(&self, positions: &Tensor, window: Option<i64>, kind: Kind) -> TileStep {
        let (rows, heads, capacity) = (self.rows, self.kv_heads, self.capacity);
        let integers = (Kind::Int64, positions.device());
        let per_head = positions.repeat_interleave_self_int(heads, 0, rows * heads);
        let places = Tensor::arange(rows * heads, integers) * capacity + &per_head;
        let (slots, last) = (Tensor::arange(capacity, integers), per_head.view([-1, 1, 1]));
        let mut hidden = slots.gt_tensor(&last);
        if let Some(window) = window.filter(|&window| window < capacity) {
            hidden = hidden.logical_or(&slots.le_tensor(&(last - window)));
        }
        let mask = Tensor::zeros([rows * heads, 1, capacity], (kind, positions.device()))
            .masked_fill(&hidden, f64::NEG_INFINITY);
        TileStep { places, mask }
    }
}

impl TileLayer {
    /// Stores the tokens of a prompt as all that `row` has seen.
    ///
    /// `key` and `value` are `[tokens, kv_heads, head_dim]`.
    pub fn keep(&mut self, row: i64, key: &Tensor, value: &Tensor) {
        let (tokens, kv_heads, _) = key.size3().expect("[tokens, kv_heads, head_dim]");
        for (cache, new) in [(&self.keys, key), (&self.values, value)] {
            cache.narrow(0, row * kv_heads, kv_heads).narrow(1, 0, tokens).copy_(&new.transpose(0, 1));
        }
    }

    /// Stores one new token of each row and attends to all that the row has seen.
    ///
    /// `query` is `[rows, heads, head_dim]`, `key` and `value` are `[rows, kv_heads, head_dim]`;
    /// returns `[rows, heads * head_dim]`.
    pub fn attend(&mut self, query: &Tensor, key: &Tensor, value: &Tensor, step: &TileStep) -> Tensor {
        let (rows, heads, head_dim) = query.size3().expect("[rows, heads, head_dim]");
        let store = |cache: &Tensor, new: &Tensor| {
            let _ = cache.view([-1, head_dim]).index_copy_(0, &step.places, &new.reshape([-1, head_dim]));
        };
        store(&self.keys, key);
        store(&self.values, value);
        // [rows * kv_heads, group, head_dim]: the queries of a group are neighbours.
        let query = query.reshape([key.size()[0] * key.size()[1], -1, head_dim]);
        let scale = (head_dim as f64).powf(-0.5);
        let scores = step.mask.baddbmm(&query, &self.keys.transpose(1, 2), 1.0, scale);
        scores.softmax(-1, scores.kind()).bmm(&self.values).view([rows, heads * head_dim])
    }
}

impl Decoder {
    /// Computes the hidden states `[selected, hidden]` of the last tokens of a prompt, alone in its
    /// batch, and keeps it in `row` of a tile.
    pub fn hidden_prompt(&self, prompt: &Packed, tails: &Tails, cache: &mut TileCache, row: i64) -> Tensor {
        no_grad(|| {
            let shared = self.prepare(&prompt.positions);
            let mut x = Tensor::embedding(&self.embed_tokens, &prompt.ids, -1, false, false);
            for (i, (layer, tile)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
                x = layer.forward(&x, &shared, Past::Prompt(tile, row), self.last(i, Some(tails)), Mode::Infer);
            }
            self.norm.forward(&x)
        })
    }

    /// Computes the hidden states `[rows, hidden]` of one new token in every row of a tile.
    ///
    /// `ids` and `positions` are `[rows]`, int64; an unused row may hold any token at position 0.
    pub fn hidden_tile(&self, ids: &Tensor, positions: &Tensor, cache: &mut TileCache) -> Tensor {
        no_grad(|| {
            let step = |window| cache.step(positions, window, self.kind());
            let mut steps: Vec<(Option<i64>, TileStep)> = Vec::new();
            for layer in &self.layers {
                if steps.iter().all(|(window, _)| *window != layer.sliding_window) {
                    steps.push((layer.sliding_window, step(layer.sliding_window)));
                }
            }
            let shared = self.prepare(positions);
            let mut x = Tensor::embedding(&self.embed_tokens, ids, -1, false, false);
            for (layer, tile) in self.layers.iter().zip(&mut cache.layers) {
                let step = steps.iter().find(|(window, _)| *window == layer.sliding_window);
                let (_, step) = step.expect("a step for every layer's window");
                x = layer.forward(&x, &shared, Past::Tile(tile, step), None, Mode::Infer);
            }
            self.norm.forward(&x)
        })
    }
}
