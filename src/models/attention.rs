//! Causal attention with grouped key-value heads, within each sequence of a packed batch. On the CPU
//! short ones together under a mask that keeps them apart, longer ones one at a time; on a GPU all at
//! once, side by side in a grid.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::layers::causal_mask;
use super::packed::tail_rows;

/// Longest sequence whose scores are held whole on the CPU: at more, the fused kernel's smaller
/// memory wins over the speed of plain products.
pub const WHOLE_SCORES: i64 = 1024;

/// Queries per block on the CPU: a block skips the keys after its last query.
pub const QUERY_BLOCK: i64 = 128;

/// Tokens of short sequences that are attended to in one operation, under a mask that keeps them
/// apart: below this, starting an operation costs more than the scores that the mask throws away.
pub const GROUP_TOKENS: i64 = 128;

/// How scores of queries and keys become weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// A token sees so many tokens back, itself included; all without it.
    pub window: Option<i64>,
    /// Factor on the scores; `1 / sqrt(head_dim)` without it.
    pub scale: Option<f64>,
    /// Largest score, which is approached along a hyperbolic tangent: `cap tanh(score / cap)` (Gemma team
    /// 2024, arXiv 2408.00118, section 2).
    pub softcap: Option<f64>,
}

impl Scores {
    /// Returns the factor for heads of a width.
    pub fn factor(self, head_dim: i64) -> f64 {
        self.scale.unwrap_or_else(|| (head_dim as f64).powf(-0.5))
    }

    /// Caps scores that may be capped.
    pub fn capped(self, scores: Tensor) -> Tensor {
        match self.softcap {
            Some(cap) => (scores / cap).tanh() * cap,
            None => scores,
        }
    }

    /// Sees all where the window holds all `keys`.
    fn over(self, keys: i64) -> Self {
        Self { window: self.window.filter(|&window| window < keys), ..self }
    }

    /// The fused kernels know no cap.
    fn may_be_fused(self) -> bool {
        self.softcap.is_none()
    }
}

/// Attends within each sequence of a packed batch; the queries are the last tokens of each.
///
/// `query` is `[sum of tails, heads, head_dim]`, `key` and `value` are `[sum of lengths, kv_heads,
/// head_dim]`, `tails` and `lengths` count the queries and keys of each sequence; returns
/// `[sum of tails, heads * head_dim]`.
pub fn attend_packed(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    (tails, lengths): (&[i64], &[i64]),
    scores: Scores,
    masks: &Masks,
) -> Tensor {
    if query.device().is_cuda() && scores.may_be_fused() {
        return attend_in_grid(query, key, value, &masks.grid(tails, lengths, query.device()), scores, masks);
    }
    let groups = group(lengths);
    let total = |lengths: &[i64]| lengths.iter().sum::<i64>();
    let totals: Vec<i64> = groups.iter().map(|members| total(&lengths[members.clone()])).collect();
    let asked: Vec<i64> = groups.iter().map(|members| total(&tails[members.clone()])).collect();
    let queries = query.split_with_sizes(&asked, 0);
    let keys = key.split_with_sizes(&totals, 0);
    let values = value.split_with_sizes(&totals, 0);
    let mut parts = Vec::with_capacity(groups.len());
    for (((members, query), key), value) in groups.into_iter().zip(&queries).zip(&keys).zip(&values) {
        parts.push(if members.len() == 1 {
            attend(query, key, value, scores, masks)
        } else {
            let group = query.size()[1] / key.size()[1];
            let mask = masks.apart(&tails[members.clone()], &lengths[members], scores.window, group, query);
            weigh(query, key, value, scores, Some(&mask))
        });
    }
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0) }
}

/// Divides neighbours into groups of at most [`GROUP_TOKENS`], longer sequences on their own.
fn group(lengths: &[i64]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < lengths.len() {
        let mut total = 0;
        let fits = lengths[start..].iter().take_while(|&&length| {
            total += length;
            total <= GROUP_TOKENS
        });
        let end = start + fits.count().max(1);
        groups.push(start..end);
        start = end;
    }
    groups
}

/// Attends within one sequence; the queries are its last tokens.
///
/// `query` is `[queries, heads, head_dim]`, `key` and `value` are `[keys, kv_heads, head_dim]`
/// with `keys >= queries`; returns `[queries, heads * head_dim]`.
pub fn attend(query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores, masks: &Masks) -> Tensor {
    let (queries, heads, _) = query.size3().expect("[queries, heads, head_dim]");
    let keys = key.size()[0];
    if query.device().is_cuda() && scores.may_be_fused() {
        return attend_packed(query, key, value, (&[queries], &[keys]), scores, masks);
    }
    let scores = scores.over(keys);
    if keys > WHOLE_SCORES && scores.may_be_fused() {
        return attend_fused(query, key, value, scores);
    }
    let group = heads / key.size()[1];
    let block = |start: i64, rows: i64| {
        let seen = keys - queries + start + rows;
        let mask = (rows > 1 || scores.window.is_some()).then(|| masks.causal(rows, seen, scores.window, group, query));
        let (query, key, value) = (query.narrow(0, start, rows), key.narrow(0, 0, seen), value.narrow(0, 0, seen));
        weigh(&query, &key, &value, scores, mask.as_ref())
    };
    if queries <= QUERY_BLOCK {
        return block(0, queries);
    }
    let parts: Vec<Tensor> = (0..queries)
        .step_by(QUERY_BLOCK as usize)
        .map(|start| block(start, QUERY_BLOCK.min(queries - start)))
        .collect();
    Tensor::cat(&parts, 0)
}

/// Attends for the last token of one sequence to `keys` of its tokens, all of which it sees.
///
/// `query` is `[1, heads, head_dim]`, `key` and `value` are `[keys, kv_heads, head_dim]`; returns
/// `[1, heads * head_dim]`.
pub(super) fn attend_last(query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores) -> Tensor {
    // Small products in bf16 take twice the time of the fused kernel, those in f32 half of it.
    if query.kind() == Kind::BFloat16 && scores.may_be_fused() {
        return attend_fused(query, key, value, Scores { window: None, ..scores });
    }
    weigh(query, key, value, scores, None)
}

/// Computes `softmax(Q K^T / sqrt(head_dim) + mask) V` (Vaswani et al. 2017, arXiv 1706.03762,
/// eq. 1) with the scores held whole.
///
/// Query heads that share a key head are its rows, so keys and values are not copied for them: the
/// mask is `[heads / kv_heads * queries, keys]`. Shapes are those of [`attend`].
fn weigh(query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores, mask: Option<&Tensor>) -> Tensor {
    let (queries, heads, head_dim) = query.size3().expect("[queries, heads, head_dim]");
    let kv_heads = key.size()[1];
    let group = heads / kv_heads;
    let scaled = query * scores.factor(head_dim);
    let scaled = scaled.view([queries, kv_heads, group, head_dim]).permute([1, 2, 0, 3]);
    let products = scaled.reshape([kv_heads, group * queries, head_dim]).bmm(&key.permute([1, 2, 0]));
    let mut scores = scores.capped(products);
    if let Some(mask) = mask {
        // In place: no backward reads the result of a product.
        let _ = scores.g_add_(mask);
    }
    let attended = scores.softmax(-1, scores.kind()).bmm(&value.transpose(0, 1));
    attended.view([kv_heads, group, queries, head_dim]).permute([2, 0, 1, 3]).reshape([queries, heads * head_dim])
}

fn attend_fused(query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores) -> Tensor {
    let (queries, keys) = (query.size()[0], key.size()[0]);
    let (heads, kv_heads) = (query.size()[1], key.size()[1]);
    let causal = queries == keys && scores.window.is_none();
    let mask = (!causal && (queries > 1 || scores.window.is_some()))
        .then(|| causal_mask(queries, keys, scores.window, query.kind(), query.device()));
    let batched = |x: &Tensor| x.transpose(0, 1).unsqueeze(0);
    let attended = Tensor::scaled_dot_product_attention(
        &batched(query),
        &batched(key),
        &batched(value),
        mask.as_ref(),
        0.0,
        causal && queries > 1,
        scores.scale,
        heads != kv_heads,
    );
    attended.squeeze_dim(0).transpose(0, 1).reshape([queries, -1])
}

/// Lays sequences of several lengths side by side in `[sequences, longest]` places, each at the start
/// of its row: a GPU then attends to all of them in one operation. Behind its sequence a row is filled;
/// no token sees what comes after it, so the filler changes nothing.
#[derive(Debug)]
struct Grid {
    sequences: i64,
    longest: i64,
    /// Place of each key `[sum of lengths]`, int64; none when all places hold a key.
    keys: Option<Tensor>,
    /// Place of each query `[sum of tails]`, int64; none when all places hold a query.
    queries: Option<Tensor>,
}

impl Grid {
    fn new(tails: &[i64], lengths: &[i64], device: Device) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let places = |counts: &[i64]| {
            let rows = (0_i64..).zip(counts).zip(lengths);
            let places: Vec<i64> = rows
                .flat_map(|((row, count), length)| (length - count..*length).map(move |at| row * longest + at))
                .collect();
            let is_full = places.len() as i64 == lengths.len() as i64 * longest;
            (!is_full).then(|| Tensor::from_slice(&places).to_device(device))
        };
        Self { sequences: lengths.len() as i64, longest, keys: places(lengths), queries: places(tails) }
    }

    /// Lays `x` `[tokens, heads, head_dim]` out as `[sequences, heads, longest, head_dim]`.
    fn lay(&self, x: &Tensor, places: Option<&Tensor>) -> Tensor {
        let (_, heads, head_dim) = x.size3().expect("[tokens, heads, head_dim]");
        let laid = places.map(|places| {
            let room = x.new_zeros([self.sequences * self.longest, heads, head_dim], (x.kind(), x.device()));
            room.index_copy(0, places, x)
        });
        let laid = laid.as_ref().unwrap_or(x);
        laid.reshape([self.sequences, self.longest, heads, head_dim]).transpose(1, 2)
    }

    /// Takes the queries' rows `[sum of tails, heads * head_dim]` from what was attended to.
    fn take(&self, attended: &Tensor) -> Tensor {
        let rows = attended.transpose(1, 2).reshape([self.sequences * self.longest, -1]);
        match &self.queries {
            Some(places) => rows.index_select(0, places),
            None => rows,
        }
    }
}

/// Attends within each sequence of a packed batch, all in one operation. Shapes are those of
/// [`attend_packed`].
fn attend_in_grid(query: &Tensor, key: &Tensor, value: &Tensor, grid: &Grid, scores: Scores, masks: &Masks) -> Tensor {
    let groups = query.size()[1] / key.size()[1];
    let scores = scores.over(grid.longest);
    let mask = scores.window.map(|_| masks.causal(grid.longest, grid.longest, scores.window, 1, query));
    // The flash kernel shares keys among the heads of a group by itself, but takes neither f32 nor a mask.
    let shares = groups > 1 && mask.is_none() && query.kind() != Kind::Float;
    let lay = |x: &Tensor| {
        let laid = grid.lay(x, grid.keys.as_ref());
        if groups > 1 && !shares { laid.repeat_interleave_self_int(groups, 1, None) } else { laid }
    };
    let attended = Tensor::scaled_dot_product_attention(
        &grid.lay(query, grid.queries.as_ref()),
        &lay(key),
        &lay(value),
        mask.as_ref(),
        0.0,
        mask.is_none(),
        scores.scale,
        shares,
    );
    grid.take(&attended)
}

/// Keeps the causal masks and grids of one forward pass: its layers and sequences share them.
#[derive(Debug, Default)]
pub struct Masks {
    grids: RefCell<BTreeMap<PackedShape, Rc<Grid>>>,
    alone: RefCell<BTreeMap<MaskShape, Tensor>>,
    apart: RefCell<BTreeMap<GroupShape, Tensor>>,
}

/// Tails and lengths.
type PackedShape = (Vec<i64>, Vec<i64>);

/// Queries, keys, window and query heads per key head.
type MaskShape = (i64, i64, Option<i64>, i64);

/// Tails, lengths, window and query heads per key head.
type GroupShape = (Vec<i64>, Vec<i64>, Option<i64>, i64);

impl Masks {
    /// Returns the grid of sequences of which the last `tails` tokens ask.
    fn grid(&self, tails: &[i64], lengths: &[i64], device: Device) -> Rc<Grid> {
        let mut grids = self.grids.borrow_mut();
        let shape = (tails.to_vec(), lengths.to_vec());
        Rc::clone(grids.entry(shape).or_insert_with(|| Rc::new(Grid::new(tails, lengths, device))))
    }

    /// Returns the mask `[group * queries, keys]` in the kind and on the device of `like`.
    fn causal(&self, queries: i64, keys: i64, window: Option<i64>, group: i64, like: &Tensor) -> Tensor {
        let mut masks = self.alone.borrow_mut();
        let mask = masks
            .entry((queries, keys, window, group))
            .or_insert_with(|| causal_mask(queries, keys, window, like.kind(), like.device()).repeat([group, 1]));
        mask.shallow_clone()
    }

    /// Returns the causal mask `[group * sum of tails, sum of lengths]` that keeps sequences apart.
    fn apart(&self, tails: &[i64], lengths: &[i64], window: Option<i64>, group: i64, like: &Tensor) -> Tensor {
        let mut masks = self.apart.borrow_mut();
        let mask = masks.entry((tails.to_vec(), lengths.to_vec(), window, group)).or_insert_with(|| {
            let tokens = lengths.iter().sum();
            let owners: Vec<i64> =
                (0_i64..).zip(lengths).flat_map(|(owner, &length)| (0..length).map(move |_| owner)).collect();
            let owners = Tensor::from_slice(&owners).to_device(like.device());
            let foreign = owners.unsqueeze(1).ne_tensor(&owners);
            let whole = causal_mask(tokens, tokens, window, like.kind(), like.device())
                .masked_fill(&foreign, f64::NEG_INFINITY);
            let asked =
                if tails == lengths { whole } else { whole.index_select(0, &tail_rows(tails, lengths, like.device())) };
            asked.repeat([group, 1])
        });
        mask.shallow_clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(size: [i64; 3]) -> Tensor {
        Tensor::randn(size, (Kind::Float, Device::Cpu))
    }

    fn within(window: Option<i64>) -> Scores {
        Scores { window, ..Scores::default() }
    }

    /// The definition, one head and one query at a time.
    fn plain(query: &Tensor, key: &Tensor, value: &Tensor, scores: Scores) -> Tensor {
        let (queries, heads, head_dim) = query.size3().unwrap();
        let (keys, kv_heads) = (key.size()[0], key.size()[1]);
        let mut rows = Vec::new();
        for i in 0..queries {
            for head in 0..heads {
                let kv = head / (heads / kv_heads);
                let last = keys - queries + i;
                let first = scores.window.map_or(0, |window| (last - window + 1).max(0));
                let key = key.narrow(0, first, last - first + 1).select(1, kv);
                let value = value.narrow(0, first, last - first + 1).select(1, kv);
                let products = key.matmul(&query.get(i).get(head)) * scores.factor(head_dim);
                rows.push(scores.capped(products).softmax(0, Kind::Float).unsqueeze(0).matmul(&value));
            }
        }
        Tensor::cat(&rows, 0).view([queries, heads * head_dim])
    }

    #[test]
    fn equals_the_definition_on_every_path() {
        tch::manual_seed(3);
        for (queries, keys, window) in [
            (7, 7, None),
            (1, 9, None),
            (3, 9, None),
            (300, 300, None),
            (300, 300, Some(40)),
            (1, 9, Some(4)),
            (1100, 1100, None),
            (1030, 1030, Some(100)),
        ] {
            let (query, key, value) = (random([queries, 4, 8]), random([keys, 2, 8]), random([keys, 2, 8]));
            for (scale, softcap) in [(None, None), (Some(0.5), None), (None, Some(0.7))] {
                let scores = Scores { window, scale, softcap };
                let expected = plain(&query, &key, &value, scores);
                let got = attend(&query, &key, &value, scores, &Masks::default());
                let worst = f64::try_from((got - expected).abs().max()).unwrap();
                assert!(worst < 1e-5, "{queries} {keys} {scores:?}: {worst}");
            }
        }
    }

    #[test]
    fn a_grid_attends_as_one_sequence_at_a_time() {
        tch::manual_seed(5);
        for (lengths, window) in [(vec![9, 9, 9], None), (vec![4, 31, 17], None), (vec![40, 3, 25], Some(7))] {
            let tokens: i64 = lengths.iter().sum();
            let masks = Masks::default();
            for tails in [lengths.clone(), vec![1; 3], vec![2, 3, 1]] {
                let asked = tail_rows(&tails, &lengths, Device::Cpu);
                let inputs = [random([tokens, 4, 8]), random([tokens, 2, 8]), random([tokens, 2, 8])];
                let run = |attend: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor| {
                    let leaves = inputs.each_ref().map(|input| input.detach().set_requires_grad(true));
                    let [query, key, value] = &leaves;
                    let attended = attend(&query.index_select(0, &asked), key, value);
                    let weights = Tensor::arange(attended.numel() as i64, (Kind::Float, Device::Cpu)).cos();
                    (attended.flatten(0, -1).dot(&weights)).backward();
                    (attended.detach(), leaves.map(|leaf| leaf.grad()))
                };
                let grid = masks.grid(&tails, &lengths, Device::Cpu);
                let (found, gradients) =
                    run(&|query, key, value| attend_in_grid(query, key, value, &grid, within(window), &masks));
                let (expected, wanted) = run(&|query, key, value| {
                    attend_packed(query, key, value, (&tails, &lengths), within(window), &masks)
                });
                assert!(found.allclose(&expected, 1e-5, 1e-6, false), "{lengths:?} {tails:?}");
                for (found, wanted) in gradients.iter().zip(&wanted) {
                    assert!(found.allclose(wanted, 1e-4, 1e-5, false), "{lengths:?} {tails:?}");
                }
            }
        }
    }

    #[test]
    fn a_sequence_does_not_see_its_neighbours() {
        tch::manual_seed(4);
        // Groups of several, one of exactly the limit, one longer.
        for (lengths, window) in
            [(vec![4, 5], None), (vec![60, 60, 60, 128, 3, 200, 1], None), (vec![30, 40, 20], Some(7))]
        {
            let tokens: i64 = lengths.iter().sum();
            let (query, key, value) = (random([tokens, 4, 8]), random([tokens, 2, 8]), random([tokens, 2, 8]));
            let masks = Masks::default();
            let packed = attend_packed(&query, &key, &value, (&lengths, &lengths), within(window), &masks);
            // Every other sequence is asked for its last token only.
            let tails: Vec<i64> =
                lengths.iter().enumerate().map(|(i, &length)| if i % 2 == 0 { length } else { 1 }).collect();
            let asked = query.index_select(0, &tail_rows(&tails, &lengths, Device::Cpu));
            let ends = attend_packed(&asked, &key, &value, (&tails, &lengths), within(window), &masks);
            let (mut start, mut end) = (0, 0);
            for (length, tail) in lengths.into_iter().zip(tails) {
                let part = |tensor: &Tensor| tensor.narrow(0, start, length);
                let alone = attend(&part(&query), &part(&key), &part(&value), within(window), &Masks::default());
                assert!(part(&packed).allclose(&alone, 1e-5, 1e-6, false), "{length} from {start}");
                let last = alone.narrow(0, length - tail, tail);
                assert!(ends.narrow(0, end, tail).allclose(&last, 1e-5, 1e-6, false), "last {tail} from {start}");
                (start, end) = (start + length, end + tail);
            }
        }
    }
}
