//! Data of four kinds (questions with answers, conversations, questions with options, texts): import, division,
//! tokenizers and token sequences.
//!
//! The way of an example or a text: `import` reads it, `split` assigns it (`overlap` tells what is asked twice),
//! `window` cuts its passage, by the words of the question where `retrieve` finds them (`divided` does all
//! three), `wording` words its prompt (`template` as this program does, `chat` as the model was trained to
//! read), `encode` turns it into tokens, `encoded` keeps them, `order` places it in a batch, `sample` draws
//! those that are answered; `facts` words what a reader must know of all this, `learned` shows what a model
//! reads. `corpus` and `tokenizer` serve models trained from scratch; `json` and `names` serve whatever reads
//! rows of people. Knows nothing of tensors, models or stores.

pub mod chat;
pub mod corpus;
pub mod divided;
pub mod encode;
pub mod encoded;
pub mod example;
pub mod facts;
pub mod glossary;
pub mod import;
pub(crate) mod json;
pub mod learned;
pub(crate) mod names;
pub mod order;
pub mod overlap;
mod retrieve;
pub mod sample;
mod shuffle;
pub mod sizes;
pub mod split;
pub mod template;
pub mod tokenizer;
pub mod tokens;
pub mod window;
pub mod wording;

pub use divided::{Characters, DivideError, Divided};
pub use encode::{Encoded, Sequence};
pub use example::{Document, Example, Role, SplitName, Turn};
pub use import::{ImportError, Imported, Texts, embedded, import, is_text, text_bytes, texts};
pub use sample::sample;
pub use split::{Assigned, SplitError, Splits, split, split_texts};
pub use tokenizer::{Tokenizer, TokenizerError};
pub use wording::{Worded, Wording, WordingError};
