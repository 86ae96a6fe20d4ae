//! Tests through the public surface, in one binary.

mod experiments;
mod parity;
mod training;
