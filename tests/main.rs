//! Tests through the public surface, in one binary.

mod cli;
mod distill;
mod experiments;
mod parity;
mod training;
