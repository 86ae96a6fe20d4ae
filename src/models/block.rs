//! One layer of a decoder, made of parts: attention and a feed-forward layer, each with norms around it
//! and a residual beside it. What a family's layers are made of is in its file in `families`.

use tch::Tensor;

use super::ModelError;
use super::attention::{Masks, Scores, attend, attend_packed};
use super::cache::Past;
use super::config::{Config, Part};
use super::families::Maker;
use super::layers::{Activation, Linear, Mode, Norm, Rotary};
use super::packed::Tails;

/// One decoder layer.
#[derive(Debug)]
pub struct Layer {
    /// Attention.
    pub attention: Attention,
    /// Feed-forward layer.
    pub feed_forward: FeedForward,
    /// Norms of attention.
    pub around_attention: Around,
    /// Norms of the feed-forward layer.
    pub around_feed_forward: Around,
    /// The feed-forward layer reads what attention reads, beside it.
    pub is_parallel: bool,
}

/// Norms of what a part reads and of what it gives.
#[derive(Debug, Default)]
pub struct Around {
    /// Before the part.
    pub before: Option<Norm>,
    /// After it, before the residual is added.
    pub after: Option<Norm>,
}

/// Attention of a layer: its projections, and how scores become weights.
#[derive(Debug)]
pub struct Attention {
    inputs: Inputs,
    output: Linear,
    /// Norms of queries and keys.
    pub norms: Option<HeadNorms>,
    /// Width of the queries, and of the keys as of the values.
    widths: (i64, i64),
    head_dim: i64,
    /// Which rotary positions it has.
    rope: Option<usize>,
    /// How far back a token sees, scale and cap.
    pub scores: Scores,
}

/// Projections of what attention reads.
#[derive(Debug)]
enum Inputs {
    /// Query, key and value.
    Separate(Box<[Linear; 3]>),
    /// All in one, in this order.
    Fused(Box<Linear>),
}

/// Norms of queries and keys, before they are turned.
#[derive(Debug)]
pub struct HeadNorms {
    /// Of the queries.
    pub query: Norm,
    /// Of the keys.
    pub key: Norm,
    /// Over all heads together, not over each.
    pub is_whole: bool,
}

/// Feed-forward layer.
#[derive(Debug)]
pub enum FeedForward {
    /// `down(act(gate(x)) up(x))` (Shazeer 2020, arXiv 2002.05202, eq. 6).
    Gated(Box<[Linear; 3]>, Activation),
    /// The same with gate and up in one projection, in this order.
    Fused(Box<[Linear; 2]>, Activation),
    /// `down(act(up(x)))`.
    Plain(Box<[Linear; 2]>, Activation),
}

/// What all layers of one forward pass share.
#[derive(Debug)]
pub struct Shared {
    /// Angles of the positions, for each kind of layer.
    pub rotaries: Vec<Rotary>,
    /// Causal masks by shape.
    pub masks: Masks,
}

/// Returns the selected rows of `x` `[tokens, width]`, or all.
fn select(x: &Tensor, tails: Option<&Tails>) -> Tensor {
    tails.map_or_else(|| x.shallow_clone(), |tails| x.index_select(0, &tails.rows))
}

impl Layer {
    /// Lists the projections.
    pub fn linears(&self) -> Vec<&Linear> {
        let mut all = self.attention.linears();
        all.extend(self.feed_forward.linears());
        all
    }

    /// Lists the projections, to be changed; same order as [`Self::linears`].
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        self.parts_mut().0
    }

    /// Returns the projection of a name.
    pub fn linear(&self, name: &str) -> Option<&Linear> {
        self.linears().into_iter().find(|linear| linear.name == name)
    }

    /// Lists the norms.
    pub fn norms(&self) -> Vec<&Norm> {
        let mut all = Vec::new();
        for around in [&self.around_attention, &self.around_feed_forward] {
            all.extend(around.before.iter().chain(&around.after));
        }
        if let Some(norms) = &self.attention.norms {
            all.extend([&norms.query, &norms.key]);
        }
        all
    }

    /// Lists projections and norms, to be changed; same orders as [`Self::linears`] and [`Self::norms`].
    pub fn parts_mut(&mut self) -> (Vec<&mut Linear>, Vec<&mut Norm>) {
        let mut linears: Vec<&mut Linear> = match &mut self.attention.inputs {
            Inputs::Separate(three) => three.iter_mut().collect(),
            Inputs::Fused(one) => vec![&mut **one],
        };
        linears.push(&mut self.attention.output);
        match &mut self.feed_forward {
            FeedForward::Gated(three, _) => linears.extend(three.iter_mut()),
            FeedForward::Fused(two, _) | FeedForward::Plain(two, _) => linears.extend(two.iter_mut()),
        }
        let mut norms = Vec::new();
        for around in [&mut self.around_attention, &mut self.around_feed_forward] {
            norms.extend(around.before.iter_mut().chain(&mut around.after));
        }
        if let Some(of_heads) = &mut self.attention.norms {
            norms.extend([&mut of_heads.query, &mut of_heads.key]);
        }
        (linears, norms)
    }

    /// Maps hidden states `[tokens, hidden]` to those after this layer: of all tokens, or
    /// `[selected, hidden]` of the tails only, which is all that is read of a last layer.
    pub fn forward(&self, x: &Tensor, shared: &Shared, past: Past<'_>, tails: Option<&Tails>, mode: Mode) -> Tensor {
        let read = self.around_attention.read(x);
        let attended = self.around_attention.give(self.attention.forward(&read, shared, past, tails, mode));
        if self.is_parallel {
            let beside = self.feed_forward.forward(&select(&read, tails), mode);
            return select(x, tails) + attended + self.around_feed_forward.give(beside);
        }
        let x = select(x, tails) + attended;
        let read = self.around_feed_forward.read(&x);
        let fed = self.feed_forward.forward(&read, mode);
        x + self.around_feed_forward.give(fed)
    }
}

impl Around {
    /// A norm before the part only.
    pub(super) fn before(norm: Norm) -> Self {
        Self { before: Some(norm), after: None }
    }

    /// A norm after the part only.
    pub(super) fn after(norm: Norm) -> Self {
        Self { before: None, after: Some(norm) }
    }
}

impl Around {
    fn read(&self, x: &Tensor) -> Tensor {
        self.before.as_ref().map_or_else(|| x.shallow_clone(), |norm| norm.forward(x))
    }

    fn give(&self, x: Tensor) -> Tensor {
        self.after.as_ref().map_or_else(|| x.shallow_clone(), |norm| norm.forward(&x))
    }
}

impl Attention {
    /// Makes attention with three projections of what it reads, by the names that most families give them.
    pub(super) fn separate(
        config: &Config,
        index: i64,
        make: &mut Maker<'_>,
        output: &'static str,
    ) -> Result<Self, ModelError> {
        let (query, key) = widths(config);
        let mut input = |name, part, width| make.linear((name, part), width, config.hidden_size, config.qkv_bias);
        let inputs = [
            input("self_attn.q_proj", Part::Query, query)?,
            input("self_attn.k_proj", Part::Key, key)?,
            input("self_attn.v_proj", Part::Value, key)?,
        ];
        let output = make.linear((output, Part::AttentionOutput), config.hidden_size, query, config.output_bias)?;
        Ok(Self::new(config, index, Inputs::Separate(Box::new(inputs)), output))
    }

    /// Makes attention with one projection of what it reads.
    pub(super) fn fused(
        config: &Config,
        index: i64,
        make: &mut Maker<'_>,
        [input, output]: [&'static str; 2],
    ) -> Result<Self, ModelError> {
        let (query, key) = widths(config);
        let input = make.linear((input, Part::QueryKeyValue), query + 2 * key, config.hidden_size, config.qkv_bias)?;
        let output = make.linear((output, Part::AttentionOutput), config.hidden_size, query, config.output_bias)?;
        Ok(Self::new(config, index, Inputs::Fused(Box::new(input)), output))
    }

    fn new(config: &Config, index: i64, inputs: Inputs, output: Linear) -> Self {
        let scale = match (config.attention_scale, config.scales_by_layer) {
            (scale, false) => scale,
            (scale, true) => Some(scale.unwrap_or_else(|| (config.head_dim as f64).powf(-0.5)) / (index + 1) as f64),
        };
        Self {
            inputs,
            output,
            norms: None,
            widths: widths(config),
            head_dim: config.head_dim,
            rope: config.rope(index),
            scores: Scores { window: config.window(index), scale, softcap: config.attention_softcap },
        }
    }

    fn linears(&self) -> Vec<&Linear> {
        let mut all: Vec<&Linear> = match &self.inputs {
            Inputs::Separate(three) => three.iter().collect(),
            Inputs::Fused(one) => vec![&**one],
        };
        all.push(&self.output);
        all
    }

    fn forward(&self, x: &Tensor, shared: &Shared, past: Past<'_>, tails: Option<&Tails>, mode: Mode) -> Tensor {
        let Shared { rotaries, masks } = shared;
        let (query, key, value) = self.project(x, tails, mode);
        let rotary = self.rope.map(|rope| &rotaries[rope]);
        let key = rotary.map_or_else(|| key.shallow_clone(), |rotary| rotary.rotate(&key));
        let query = match (rotary, tails) {
            (None, _) => query,
            (Some(rotary), Some(tails)) => rotary.at(&tails.rows).rotate(&query),
            (Some(rotary), None) => rotary.rotate(&query),
        };
        let attended = match past {
            Past::None(lengths) => {
                let asked = tails.map_or(lengths, |tails| &tails.lengths);
                attend_packed(&query, &key, &value, (asked, lengths), self.scores, masks)
            }
            Past::Block(cache, place) => {
                let (keys, values) = cache.keep(place, &key, &value);
                attend(&query, &keys, &values, self.scores, masks)
            }
            Past::Rows(cache, step) => cache.attend(&query, &key, &value, self.scores, step),
        };
        self.output.forward(&attended, mode)
    }

    /// Computes queries of the tails, or of all tokens, and keys and values of all, `[.., heads, head_dim]`
    /// each.
    fn project(&self, x: &Tensor, tails: Option<&Tails>, mode: Mode) -> (Tensor, Tensor, Tensor) {
        let heads = |projected: &Tensor| projected.reshape([projected.size()[0], -1, self.head_dim]);
        let normed = |projected: Tensor, norm: &dyn Fn(&HeadNorms) -> &Norm| match &self.norms {
            None => heads(&projected),
            Some(norms) if norms.is_whole => heads(&norm(norms).forward(&projected)),
            Some(norms) => norm(norms).forward(&heads(&projected)),
        };
        let (query, key, value) = match &self.inputs {
            Inputs::Separate(three) => {
                let [q, k, v] = &**three;
                let (key, value) = (k.forward(x, mode), v.forward(x, mode));
                (q.forward(&select(x, tails), mode), key, value)
            }
            Inputs::Fused(all) => {
                let (query, key) = self.widths;
                let parts = all.forward(x, mode).split_with_sizes([query, key, key], 1);
                (select(&parts[0], tails), parts[1].shallow_clone(), parts[2].shallow_clone())
            }
        };
        (normed(query, &|norms| &norms.query), normed(key, &|norms| &norms.key), heads(&value))
    }
}

/// Returns the widths of all queries and of all keys.
fn widths(config: &Config) -> (i64, i64) {
    (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim)
}

impl FeedForward {
    /// Makes a gated layer by the names that most families give its parts.
    pub(super) fn gated(config: &Config, make: &mut Maker<'_>) -> Result<Self, ModelError> {
        let (hidden, wide, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let gate = make.linear(("mlp.gate_proj", Part::Widening), wide, hidden, bias)?;
        let up = make.linear(("mlp.up_proj", Part::Widening), wide, hidden, bias)?;
        let down = make.linear(("mlp.down_proj", Part::Narrowing), hidden, wide, bias)?;
        Ok(Self::Gated(Box::new([gate, up, down]), config.activation))
    }

    /// Makes a gated layer with gate and up in one projection.
    pub(super) fn fused(config: &Config, make: &mut Maker<'_>) -> Result<Self, ModelError> {
        let (hidden, wide, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let both = make.linear(("mlp.gate_up_proj", Part::Widening), 2 * wide, hidden, bias)?;
        let down = make.linear(("mlp.down_proj", Part::Narrowing), hidden, wide, bias)?;
        Ok(Self::Fused(Box::new([both, down]), config.activation))
    }

    /// Makes a layer without gate.
    pub(super) fn plain(
        config: &Config,
        make: &mut Maker<'_>,
        [up, down]: [&'static str; 2],
    ) -> Result<Self, ModelError> {
        let (hidden, wide, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let up = make.linear((up, Part::Widening), wide, hidden, bias)?;
        let down = make.linear((down, Part::Narrowing), hidden, wide, bias)?;
        Ok(Self::Plain(Box::new([up, down]), config.activation))
    }

    fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Gated(three, _) => three.iter().collect(),
            Self::Fused(two, _) | Self::Plain(two, _) => two.iter().collect(),
        }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        match self {
            Self::Gated(three, activation) => {
                let [gate, up, down] = &**three;
                let gated = activation.of(&gate.forward(x, mode)) * up.forward(x, mode);
                down.forward(&gated, mode)
            }
            Self::Fused(two, activation) => {
                let [both, down] = &**two;
                let halves = both.forward(x, mode).chunk(2, 1);
                down.forward(&(activation.of(&halves[0]) * &halves[1]), mode)
            }
            Self::Plain(two, activation) => {
                let [up, down] = &**two;
                down.forward(&activation.of(&up.forward(x, mode)), mode)
            }
        }
    }
}
