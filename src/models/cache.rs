//! Keys and values of what sequences have seen, a fixed number of sequences at a time: a tile.
//!
//! A product of matrices may round differently with another number of rows. A tile always has the
//! same rows, used or not. On a CPU each row attends alone to what it has seen; on a GPU all do at once,
//! with the same room in the cache. So every product has the same shape whoever else is decoded: in f32
//! a sequence's tokens depend on nothing but itself.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::attention::{Scores, attend_last};
use super::config::Config;

/// Says what the new tokens attend to.
#[derive(Debug)]
pub enum Past<'a> {
    /// Nothing but their own sequence, of these lengths.
    None(&'a [i64]),
    /// What a row of a tile holds of their sequence, where they are kept, too: a block of a prompt.
    Block(&'a mut TileLayer, Place),
    /// What each row of a tile has seen before; one new token of each.
    Rows(&'a mut TileLayer, &'a TileStep),
}

/// Where a block of a prompt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Row of the tile.
    pub row: i64,
    /// Tokens of the prompt before the block.
    pub start: i64,
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
    seen: Seen,
}

/// Which tokens of the cache the new tokens see.
#[derive(Debug)]
enum Seen {
    /// Additive mask `[rows * kv_heads, 1, capacity]`: a GPU attends for all rows in one operation.
    Masked(Tensor),
    /// Those of each row: a CPU reads no others.
    Spans(Vec<Range<i64>>),
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

    /// Has row `to` hold the first `tokens` tokens of row `from`.
    pub fn copy(&mut self, from: i64, to: i64, tokens: i64) {
        for layer in self.layers.iter().filter(|_| from != to) {
            for cache in [&layer.keys, &layer.values] {
                let part = |row: i64| cache.narrow(0, row * self.kv_heads, self.kv_heads).narrow(1, 0, tokens);
                part(to).copy_(&part(from));
            }
        }
    }

    /// Returns where the tokens at `positions` go, one of each row, and what they see within `window`. That of an
    /// unused row goes to the end, where no prompt is, and sees itself.
    pub(super) fn step(
        &self,
        positions: &[Option<i64>],
        window: Option<i64>,
        (kind, device): (Kind, Device),
    ) -> TileStep {
        let (rows, heads, capacity) = (self.rows, self.kv_heads, self.capacity);
        let window = window.filter(|&window| window < capacity);
        let span = |&position: &Option<i64>| match position {
            Some(last) => window.map_or(0, |window| (last + 1 - window).max(0))..last + 1,
            None => capacity - 1..capacity,
        };
        let spans: Vec<Range<i64>> = positions.iter().map(span).collect();
        let ends: Vec<i64> = spans.iter().map(|span| span.end - 1).collect();
        let positions = Tensor::from_slice(&ends).to_device(device);
        let integers = (Kind::Int64, device);
        let per_head = positions.repeat_interleave_self_int(heads, 0, rows * heads);
        let places = Tensor::arange(rows * heads, integers) * capacity + &per_head;
        if !device.is_cuda() {
            return TileStep { places, seen: Seen::Spans(spans) };
        }
        let (slots, last) = (Tensor::arange(capacity, integers), per_head.view([-1, 1, 1]));
        let mut hidden = slots.gt_tensor(&last);
        if let Some(window) = window {
            hidden = hidden.logical_or(&slots.le_tensor(&(last - window)));
        }
        let mask = Tensor::zeros([rows * heads, 1, capacity], (kind, device)).masked_fill(&hidden, f64::NEG_INFINITY);
        TileStep { places, seen: Seen::Masked(mask) }
    }
}

impl TileLayer {
    /// Stores the tokens of a block, and returns keys and values of all tokens up to the block's last one
    /// `[start + tokens, kv_heads, head_dim]`.
    ///
    /// `key` and `value` are `[tokens, kv_heads, head_dim]`.
    pub fn keep(&mut self, Place { row, start }: Place, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let (tokens, kv_heads, _) = key.size3().expect("[tokens, kv_heads, head_dim]");
        let keep = |cache: &Tensor, new: &Tensor| {
            let row = cache.narrow(0, row * kv_heads, kv_heads);
            row.narrow(1, start, tokens).copy_(&new.transpose(0, 1));
            row.narrow(1, 0, start + tokens).transpose(0, 1)
        };
        (keep(&self.keys, key), keep(&self.values, value))
    }

    /// Stores one new token of each row and attends to all that the row has seen.
    ///
    /// `query` is `[rows, heads, head_dim]`, `key` and `value` are `[rows, kv_heads, head_dim]`;
    /// returns `[rows, heads * head_dim]`.
    pub fn attend(&mut self, query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores, step: &TileStep) -> Tensor {
        let (_, kv_heads, head_dim) = key.size3().expect("[rows, kv_heads, head_dim]");
        let store = |cache: &Tensor, new: &Tensor| {
            let _ = cache.view([-1, head_dim]).index_copy_(0, &step.places, &new.reshape([-1, head_dim]));
        };
        store(&self.keys, key);
        store(&self.values, value);
        match &step.seen {
            Seen::Masked(mask) => self.attend_masked(query, scores, mask),
            Seen::Spans(spans) => {
                let attend = |(row, span): (usize, &Range<i64>)| {
                    let part = |cache: &Tensor| {
                        let row = cache.narrow(0, row as i64 * kv_heads, kv_heads);
                        row.narrow(1, span.start, span.end - span.start).transpose(0, 1)
                    };
                    attend_last(&query.narrow(0, row as i64, 1), &part(&self.keys), &part(&self.values), scores)
                };
                Tensor::cat(&spans.iter().enumerate().map(attend).collect::<Vec<_>>(), 0)
            }
        }
    }

    fn attend_masked(&self, query: &Tensor, scores: Scores, mask: &Tensor) -> Tensor {
        let (rows, heads, head_dim) = query.size3().expect("[rows, heads, head_dim]");
        // [rows * kv_heads, group, head_dim]: the queries of a group are neighbours.
        let query = query.reshape([self.keys.size()[0], -1, head_dim]);
        let (keys, factor) = (self.keys.transpose(1, 2), scores.factor(head_dim));
        let scores = match scores.softcap {
            Some(_) => scores.capped(query.bmm(&keys) * factor) + mask,
            None => mask.baddbmm(&query, &keys, 1.0, factor),
        };
        scores.softmax(-1, scores.kind()).bmm(&self.values).view([rows, heads * head_dim])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_and_a_gpu_attend_to_the_same() {
        tch::manual_seed(2);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (rows, kv_heads, capacity) = (3, 2, 12);
        let cache = TileCache { layers: Vec::new(), rows, kv_heads, capacity };
        for (window, softcap) in [(None, None), (Some(4), None), (None, Some(0.7))] {
            let mut layer = TileLayer { keys: random(&[6, 12, 8]), values: random(&[6, 12, 8]) };
            let scores = Scores { window, softcap, ..Scores::default() };
            let [query, key, value] = [4, 2, 2].map(|heads| random(&[rows, heads, 8]));
            let step = cache.step(&[Some(0), Some(5), None], window, (Kind::Float, Device::Cpu));
            let by_spans = layer.attend(&query, &key, &value, scores, &step);
            let Seen::Spans(spans) = &step.seen else { panic!("{step:?}") };
            let hidden = Tensor::ones([rows * kv_heads, 1, capacity], (Kind::Float, Device::Cpu)) * f64::NEG_INFINITY;
            for (row, span) in (0..).zip(spans) {
                let row = hidden.narrow(0, row * kv_heads, kv_heads);
                let _ = row.narrow(2, span.start, span.end - span.start).zero_();
            }
            assert!(by_spans.allclose(&layer.attend_masked(&query, scores, &hidden), 1e-5, 1e-6, false), "{window:?}");
        }
    }
}
