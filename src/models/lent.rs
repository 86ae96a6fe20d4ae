//! Numbers of weights in few bits, lent to autograd.
//!
//! Autograd keeps the matrix of a product for the way back. Here the tensor that it keeps is emptied once its layer has
//! been computed, and filled again when the layer's turn comes on the way back: the numbers of one layer are there
//! at a time, and no activation is computed twice.

use tch::{Tensor, no_grad};

use super::block::{Layer, Shared};
use super::cache::Past;
use super::layers::{Mode, Weight};
use super::packed::Tails;

/// Whether a projection lends the numbers of its weight.
#[derive(Debug, Default)]
pub(super) enum Lending {
    /// It does not.
    #[default]
    Off,
    /// It will.
    On,
    /// It has: the weight, turned `[in, out]`, as autograd keeps it.
    Lent(Tensor),
}

impl Lending {
    /// Lends a weight `[out, in]`.
    pub(super) fn of(weight: &Tensor) -> Self {
        // Not a view: it would keep the weight, emptied or not.
        let mut turned = Tensor::empty([0], (weight.kind(), weight.device()));
        turned.set_data(&no_grad(|| weight.tr()));
        Self::Lent(turned)
    }
}

/// What the projections of a layer have lent.
#[derive(Debug)]
pub(super) struct Lent(Vec<(usize, Tensor)>);

impl Layer {
    /// Computes [`Self::forward`] in training and takes back the numbers of weights in few bits: before the way
    /// back they are lent again.
    pub(super) fn forward_lending(
        &self,
        x: &Tensor,
        shared: &Shared,
        past: Past<'_>,
        tails: Option<&Tails>,
    ) -> (Tensor, Lent) {
        let linears = self.linears();
        for linear in linears.iter().filter(|linear| matches!(linear.weight, Weight::Quantised(_))) {
            linear.lending.replace(Lending::On);
        }
        let y = self.forward(x, shared, past, tails, Mode::Train);
        let mut lent = Vec::new();
        for (place, linear) in linears.iter().enumerate() {
            if let Lending::Lent(mut tensor) = linear.lending.take() {
                tensor.set_data(&Tensor::empty([0], (tensor.kind(), tensor.device())));
                lent.push((place, tensor));
            }
        }
        (y, Lent(lent))
    }
}

impl Lent {
    /// Lends the numbers again.
    pub(super) fn again(&mut self, layer: &Layer) {
        let linears = layer.linears();
        for (place, tensor) in &mut self.0 {
            let numbers = linears[*place].weight.dense(tensor.kind());
            tensor.set_data(&no_grad(|| numbers.tr()));
        }
    }
}
