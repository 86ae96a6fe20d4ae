//! Our models against transformers and sentence-transformers, on committed fixtures.

mod chat;
mod decoders;
mod ends;
mod logits;
mod misfits;
mod quantised;
mod rules;
mod sentences;
