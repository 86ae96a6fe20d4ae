//! A forward pass of training, and the way back through it.
//!
//! Plain, the whole graph of operations is kept. With recomputation (Chen et al. 2016, arXiv 1604.06174,
//! section 3: gradient checkpointing) only what each layer reads is kept, and its graph is built again when
//! its turn comes on the way back: one layer's activations at a time, for one more forward pass.

use tch::{Kind, Tensor, no_grad};

use super::cache::Past;
use super::decoder::Decoder;
use super::layers::Mode;
use super::packed::{Packed, Tails};
use crate::device::Seed;

/// Hidden states of a batch with what it takes to go back.
#[derive(Debug)]
pub struct Pass<'a> {
    decoder: &'a Decoder,
    batch: &'a Packed,
    tails: Option<&'a Tails>,
    /// After the last norm `[selected, hidden]`.
    hidden: Tensor,
    /// What every layer reads, then what the last norm reads; none where the graph is kept.
    read: Option<(Vec<Tensor>, Seed)>,
}

impl Decoder {
    /// Computes the hidden states `[selected, hidden]` after the last norm where `tails` asks for them, in
    /// training; with `recomputes`, layers keep what they read and nothing else.
    pub fn pass<'a>(&'a self, batch: &'a Packed, tails: &'a Tails, recomputes: bool) -> Pass<'a> {
        let asked = Some(tails).filter(|tails| tails.lengths != batch.lengths);
        if !recomputes {
            let hidden = self.hidden_at(batch, tails, Mode::Train);
            return Pass { decoder: self, batch, tails: asked, hidden, read: None };
        }
        // Drawn from the stream that dropout draws from, so that a resumed run draws the same.
        let drawn = Tensor::randint(i64::from(i32::MAX), [1], (Kind::Int64, tch::Device::Cpu)).int64_value(&[0]);
        let seed = Seed(drawn.unsigned_abs());
        let (read, hidden) = no_grad(|| {
            let shared = self.share(batch);
            let mut read = vec![self.embed(&batch.ids, &batch.positions)];
            for (i, layer) in self.layers.iter().enumerate() {
                seed.stream("layer", i as u64).seed_tensors();
                let past = Past::None(&batch.lengths);
                read.push(layer.forward(&read[i], &shared, past, self.last(i, asked), Mode::Train));
            }
            let hidden = self.norm.forward(&read[self.layers.len()]);
            (read, hidden)
        });
        Pass { decoder: self, batch, tails: asked, hidden, read: Some((read, seed)) }
    }
}

impl Pass<'_> {
    /// Returns the hidden states `[selected, hidden]`.
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// Goes back through the model from the gradient of [`Self::hidden`], whose shape it has; parameters in
    /// training get theirs.
    pub fn backward(self, gradient: &Tensor) {
        let Some((mut read, seed)) = self.read else {
            return back(&self.hidden, gradient);
        };
        let (decoder, batch) = (self.decoder, self.batch);
        let shared = decoder.share(batch);
        let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
        let mut input = leaf(&read.pop().expect("what the norm reads"));
        back(&decoder.norm.forward(&input), gradient);
        for (i, layer) in decoder.layers.iter().enumerate().rev() {
            let gradient = input.grad();
            input = leaf(&read.pop().expect("what each layer reads"));
            seed.stream("layer", i as u64).seed_tensors();
            let past = Past::None(&batch.lengths);
            back(&layer.forward(&input, &shared, past, decoder.last(i, self.tails), Mode::Train), &gradient);
        }
        if decoder.embeds_with_gradient() {
            back(&decoder.embed(&batch.ids, &batch.positions), &input.grad());
        }
    }
}

/// Goes back from `gradient` of `output`.
fn back(output: &Tensor, gradient: &Tensor) {
    // libtorch's binding starts from scalars only; the gradient of this product is `gradient`.
    (output * gradient).sum(Kind::Float).backward();
}
