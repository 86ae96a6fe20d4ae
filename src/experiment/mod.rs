//! The experiment file: what it may say, what it means, what is wrong with it.
//!
//! In order: [`mod@load`] reads the file with its bases and overrides into [`settings`], reporting every
//! fault of structure; [`mod@design`] crosses the [`factors`], each combination
//! with the [`course`] of what happens to its models; [`mod@check`] looks for faults of meaning;
//! [`mod@resolve`] writes the settings back with every default; [`mod@identity`] hashes what can change a
//! result. Faults are collected and shown at once by [`faults`]. Knows nothing of tensors,
//! tokenizers or data: what needs them is asked of the caller.

mod beside;
mod deserialize;
mod document;
pub(crate) mod importers;
mod lay;
mod misplaced;
pub(crate) mod nearest;
mod remedy;
mod structure;
mod syntax;

pub mod check;
pub mod claim;
pub mod course;
pub mod datasets;
pub mod design;
pub mod evaluation;
pub mod factors;
pub mod faults;
pub mod form;
pub mod identity;
pub mod load;
pub mod resolve;
pub mod settings;

pub use check::{Checked, Compared, Ends, Sought, Surroundings, check};
pub use claim::Claim;
pub use course::{Course, Lesson, LessonKind};
pub use datasets::{Need, meant};
pub use design::{Arm, Design, Part, Reference};
pub use document::{KeyPath, Place, Source, Step};
pub use evaluation::{EvaluationSet, evaluation_sets};
pub use faults::{Fault, Faults};
pub use form::Form;
pub use identity::{Key, identity};
pub use load::{Loaded, load};
pub use resolve::resolve;
