//! Tests through the public surface, in one binary.

#![expect(clippy::disallowed_methods, reason = "tests spoil files and draw random tensors")]

mod cli;
mod distill;
mod experiments;
mod fixtures;
mod hub;
mod layers;
mod parity;
mod training;
