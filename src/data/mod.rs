//! Question-answer data: import, division, tokenizers and token sequences.
//!
//! The way of an example: `import` reads it, `split` assigns it, `template` words its prompt,
//! `encode` turns it into tokens, `order` places it in a batch; `corpus` and `tokenizer` serve
//! models trained from scratch. Knows nothing of tensors, models or stores.

pub mod corpus;
pub mod encode;
pub mod example;
pub mod glossary;
pub mod import;
pub mod order;
mod shuffle;
pub mod split;
pub mod template;
pub mod tokenizer;

pub use encode::{Encoded, Sequence};
pub use example::{Example, SplitName};
pub use import::{ImportError, Imported, import};
pub use split::{SplitError, Splits, split};
pub use tokenizer::{Tokenizer, TokenizerError};
