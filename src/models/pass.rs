//! A forward pass of training, and the way back through it.
//!
//! Plain, the whole graph of operations is kept. With recomputation (Chen et al. 2016, arXiv 1604.06174,
//! section 3: gradient checkpointing) only what each layer reads is kept, and its graph is built again when
//! its turn comes on the way back: one layer's activations at a time, for one more forward pass. Of a model in few
//! bits each layer has a graph of its own, without the numbers of weights: these are lent to it at its turn.

use tch::{Kind, Tensor, no_grad};

use super::cache::Past;
use super::decoder::Decoder;
use super::layers::Mode;
use super::lent::Lent;
use super::packed::{Packed, Tails};
use super::product::is_convolution;
use crate::device::Seed;

/// Hidden states of a batch with what it takes to go back.
#[derive(Debug)]
pub struct Pass<'a> {
    decoder: &'a Decoder,
    batch: &'a Packed,
    tails: Option<&'a Tails>,
    /// After the last norm `[selected, hidden]`.
    hidden: Tensor,
    kept: Kept,
}

/// What is kept for the way back.
#[derive(Debug)]
enum Kept {
    /// The graph of everything.
    Graph,
    /// What every layer reads, then what the last norm reads, and the seed of dropout.
    Read(Vec<Tensor>, Seed),
    /// The graph of every layer, then what the last norm reads.
    Layers(Vec<Passed>, Tensor),
}

/// A layer that has been computed.
#[derive(Debug)]
struct Passed {
    /// What it read, where its graph starts.
    read: Tensor,
    /// What it gave, where its graph ends.
    given: Tensor,
    lent: Lent,
}

impl Decoder {
    /// Computes the hidden states `[selected, hidden]` after the last norm where `tails` asks for them, in
    /// training; with `recomputes`, layers keep what they read and nothing else.
    pub fn pass<'a>(&'a self, batch: &'a Packed, tails: &'a Tails, recomputes: bool) -> Pass<'a> {
        let asked = Some(tails).filter(|tails| tails.lengths != batch.lengths);
        let pass = |hidden, kept| Pass { decoder: self, batch, tails: asked, hidden, kept };
        let is_quantised = self.is_quantised();
        if !recomputes && !is_quantised {
            return pass(self.hidden_at(batch, tails, Mode::Train), Kept::Graph);
        }
        // Drawn from the stream that dropout draws from, so that a resumed run draws the same.
        let drawn = Tensor::randint(i64::from(i32::MAX), [1], (Kind::Int64, tch::Device::Cpu)).int64_value(&[0]);
        let seed = Seed(drawn.unsigned_abs());
        let shared = self.share(batch);
        let embedded = no_grad(|| self.embed(&batch.ids, &batch.positions));
        // A convolution keeps its weight in a form of its own, which cannot be lent.
        if recomputes || is_convolution(self.kind(), self.device().is_cuda()) {
            let mut read = vec![embedded];
            let hidden = no_grad(|| {
                for (i, layer) in self.layers.iter().enumerate() {
                    seed.stream("layer", i as u64).seed_tensors();
                    let past = Past::None(&batch.lengths);
                    read.push(layer.forward(&read[i], &shared, past, self.last(i, asked), Mode::Train));
                }
                self.norm.forward(&read[self.layers.len()])
            });
            return pass(hidden, Kept::Read(read, seed));
        }
        let (mut passed, mut x) = (Vec::new(), embedded);
        for (i, layer) in self.layers.iter().enumerate() {
            seed.stream("layer", i as u64).seed_tensors();
            let (read, past) = (leaf(&x), Past::None(&batch.lengths));
            let (given, lent) = layer.forward_lending(&read, &shared, past, self.last(i, asked));
            x = given.detach();
            passed.push(Passed { read, given, lent });
        }
        pass(no_grad(|| self.norm.forward(&x)), Kept::Layers(passed, x))
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
        let (decoder, batch) = (self.decoder, self.batch);
        let through_norm = |read: &Tensor| {
            let read = leaf(read);
            back(&decoder.norm.forward(&read), gradient);
            read
        };
        let input = match self.kept {
            Kept::Graph => return back(&self.hidden, gradient),
            Kept::Read(mut read, seed) => {
                let shared = decoder.share(batch);
                let mut input = through_norm(&read.pop().expect("what the norm reads"));
                for (i, layer) in decoder.layers.iter().enumerate().rev() {
                    let gradient = input.grad();
                    input = leaf(&read.pop().expect("what each layer reads"));
                    seed.stream("layer", i as u64).seed_tensors();
                    let past = Past::None(&batch.lengths);
                    back(&layer.forward(&input, &shared, past, decoder.last(i, self.tails), Mode::Train), &gradient);
                }
                input
            }
            Kept::Layers(passed, last) => {
                let mut input = through_norm(&last);
                for (layer, Passed { read, given, mut lent }) in decoder.layers.iter().zip(passed).rev() {
                    lent.again(layer);
                    back(&given, &input.grad());
                    input = read;
                }
                input
            }
        };
        if decoder.embeds_with_gradient() {
            back(&decoder.embed(&batch.ids, &batch.positions), &input.grad());
        }
    }
}

/// Returns a tensor where a graph starts.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

/// Goes back from `gradient` of `output`.
fn back(output: &Tensor, gradient: &Tensor) {
    // libtorch's binding starts from scalars only; the gradient of this product is `gradient`.
    (output * gradient).sum(Kind::Float).backward();
}
