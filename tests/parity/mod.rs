//! Our models against transformers and sentence-transformers, on committed fixtures.

mod decoders;
mod ends;
mod logits;
mod misfits;
mod sentences;

use std::path::PathBuf;

/// Returns a folder that `tests/fixtures/models/make.py` wrote.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}
