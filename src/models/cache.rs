//! Keys and values of what sequences have seen, a fixed number of sequences at a time: a tile.
//!
//! A product of matrices may round differently with another number of rows. A tile always has the
//! same rows, used or not, and its sequences the same room in the cache, so every product has the
//! same shape whoever else is decoded: in f32 a sequence's tokens depend on nothing but itself.

use tch::{Device, Kind, Tensor};

use super::attention::Scores;
use super::config::Config;

/// Says what the new tokens attend to.
#[derive(Debug)]
pub enum Past<'a> {
    /// Nothing but their own sequence, of these lengths.
    None(&'a [i64]),
    /// Nothing either: the prompt of an answer, which this row of a tile keeps.
    Prompt(&'a mut TileLayer, i64),
    /// What each row of a tile has seen before; one new token of each.
    Rows(&'a mut TileLayer, &'a TileStep),
}

/// Keeps keys and values of every row of a tile, layer by layer.
#[derive(Debug)]
pub struct TileCache {
    pub(super) layers: Vec<TileLayer>,
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
    pub(super) fn new(config: &Config, (kind, device): (Kind, Device), rows: i64, capacity: i64) -> Self {
        let kv_heads = config.num_key_value_heads;
        // Zeros: a masked value is multiplied by zero, and must be a number.
        let zeros = || Tensor::zeros([rows * kv_heads, capacity, config.head_dim], (kind, device));
        let layers = (0..config.num_hidden_layers).map(|_| TileLayer { keys: zeros(), values: zeros() }).collect();
        Self { layers, rows, kv_heads, capacity }
    }

    /// Returns where the tokens at `positions` `[rows]` go, and what they see within `window`.
    pub(super) fn step(&self, positions: &Tensor, window: Option<i64>, kind: Kind) -> TileStep {
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
    pub fn attend(&mut self, query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores, step: &TileStep) -> Tensor {
        let (rows, heads, head_dim) = query.size3().expect("[rows, heads, head_dim]");
        let store = |cache: &Tensor, new: &Tensor| {
            let _ = cache.view([-1, head_dim]).index_copy_(0, &step.places, &new.reshape([-1, head_dim]));
        };
        store(&self.keys, key);
        store(&self.values, value);
        // [rows * kv_heads, group, head_dim]: the queries of a group are neighbours.
        let query = query.reshape([key.size()[0] * key.size()[1], -1, head_dim]);
        let (keys, factor) = (self.keys.transpose(1, 2), scores.factor(head_dim));
        let scores = match scores.softcap {
            Some(_) => scores.capped(query.bmm(&keys) * factor) + &step.mask,
            None => step.mask.baddbmm(&query, &keys, 1.0, factor),
        };
        scores.softmax(-1, scores.kind()).bmm(&self.values).view([rows, heads * head_dim])
    }
}
