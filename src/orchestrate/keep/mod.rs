//! What a run leaves behind, and in which state it is found again.

pub mod board;
pub mod environment;
pub mod event;
pub mod failure;
pub mod manifest;
pub mod store;
