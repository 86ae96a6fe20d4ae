//! One layer of Llama, TinyLlama, Mistral and Qwen2: grouped-query attention with rotary
//! positions, then SwiGLU, each behind RMSNorm and around a residual.
//!
//! Field names are those of the checkpoints (`model.layers.N.self_attn.q_proj.weight`, ...).

use tch::Tensor;

use super::attention::{Masks, attend, attend_packed};
use super::layers::{Linear, Mode, RmsNorm, Rotary};
use super::packed::Tails;
use super::tile::{TileLayer, TileStep};

/// One decoder layer.
#[derive(Debug)]
pub struct Layer {
    /// Norm before attention.
    pub input_layernorm: RmsNorm,
    /// Query projection `[heads * head_dim, hidden]`.
    pub q_proj: Linear,
    /// Key projection `[kv_heads * head_dim, hidden]`.
    pub k_proj: Linear,
    /// Value projection `[kv_heads * head_dim, hidden]`.
    pub v_proj: Linear,
    /// Output projection `[hidden, heads * head_dim]`.
    pub o_proj: Linear,
    /// Norm before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
    /// Gate `[intermediate, hidden]`.
    pub gate_proj: Linear,
    /// Up projection `[intermediate, hidden]`.
    pub up_proj: Linear,
    /// Down projection `[hidden, intermediate]`.
    pub down_proj: Linear,
    /// Width of one head.
    pub head_dim: i64,
    /// How far back a token sees.
    pub sliding_window: Option<i64>,
}

/// What all layers of one forward pass share.
#[derive(Debug)]
pub struct Shared {
    /// Angles of the positions.
    pub rotary: Rotary,
    /// Causal masks by shape.
    pub masks: Masks,
}

/// Returns the selected rows of `x` `[tokens, width]`, or all.
fn select(x: &Tensor, tails: Option<&Tails>) -> Tensor {
    tails.map_or_else(|| x.shallow_clone(), |tails| x.index_select(0, &tails.rows))
}

/// Says what the new tokens attend to.
#[derive(Debug)]
pub enum Past<'a> {
    /// Nothing but their own sequence, of these lengths.
    None(&'a [i64]),
    /// Nothing either: the prompt of an answer, which this row of a tile keeps.
    Prompt(&'a mut TileLayer, i64),
    /// What each row of a tile has seen before; one new token of each.
    Tile(&'a mut TileLayer, &'a TileStep),
}

/// Names of the projections, as checkpoints and adapters use them.
pub const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

impl Layer {
    /// Lists the projections in the order of [`PROJECTIONS`].
    pub fn linears(&self) -> [(&'static str, &Linear); 7] {
        let [q, k, v, o, gate, up, down] = PROJECTIONS;
        [
            (q, &self.q_proj),
            (k, &self.k_proj),
            (v, &self.v_proj),
            (o, &self.o_proj),
            (gate, &self.gate_proj),
            (up, &self.up_proj),
            (down, &self.down_proj),
        ]
    }

    /// Lists the projections and the norms, to be changed.
    #[expect(clippy::type_complexity, reason = "two named lists, used once")]
    pub fn parts_mut(&mut self) -> ([(&'static str, &mut Linear); 7], [(&'static str, &mut RmsNorm); 2]) {
        let [q, k, v, o, gate, up, down] = PROJECTIONS;
        (
            [
                (q, &mut self.q_proj),
                (k, &mut self.k_proj),
                (v, &mut self.v_proj),
                (o, &mut self.o_proj),
                (gate, &mut self.gate_proj),
                (up, &mut self.up_proj),
                (down, &mut self.down_proj),
            ],
            [
                ("input_layernorm", &mut self.input_layernorm),
                ("post_attention_layernorm", &mut self.post_attention_layernorm),
            ],
        )
    }

    /// Maps hidden states `[tokens, hidden]` to those after this layer: of all tokens, or
    /// `[selected, hidden]` of the tails only, which is all that a last layer owes anybody.
    pub fn forward(&self, x: &Tensor, shared: &Shared, past: Past<'_>, tails: Option<&Tails>, mode: Mode) -> Tensor {
        let attended = self.attention(&self.input_layernorm.forward(x), shared, past, tails, mode);
        let x = select(x, tails) + attended;
        let feed_forward = self.feed_forward(&self.post_attention_layernorm.forward(&x), mode);
        x + feed_forward
    }

    fn attention(&self, x: &Tensor, shared: &Shared, past: Past<'_>, tails: Option<&Tails>, mode: Mode) -> Tensor {
        let Shared { rotary, masks } = shared;
        let heads = |projected: Tensor| projected.view([projected.size()[0], -1, self.head_dim]);
        let key = rotary.rotate(&heads(self.k_proj.forward(x, mode)));
        let value = heads(self.v_proj.forward(x, mode));
        let query = heads(self.q_proj.forward(&select(x, tails), mode));
        let query = match tails {
            Some(tails) => rotary.at(&tails.rows).rotate(&query),
            None => rotary.rotate(&query),
        };
        let attended = match past {
            Past::None(lengths) => {
                let asked = tails.map_or(lengths, |tails| &tails.lengths);
                attend_packed(&query, &key, &value, (asked, lengths), self.sliding_window, masks)
            }
            Past::Prompt(tile, row) => {
                tile.keep(row, &key, &value);
                attend(&query, &key, &value, self.sliding_window, masks)
            }
            Past::Tile(tile, step) => tile.attend(&query, &key, &value, step),
        };
        self.o_proj.forward(&attended, mode)
    }

    fn feed_forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let gated = self.gate_proj.forward(x, mode).silu() * self.up_proj.forward(x, mode);
        self.down_proj.forward(&gated, mode)
    }
}
