//! Tests through the public surface, in one binary.

mod cli;
mod experiments;
mod parity;
mod training;
