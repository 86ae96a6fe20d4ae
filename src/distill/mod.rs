//! Objectives of distillation: from hidden states of student and teacher to a loss and its gradient.
//!
//! An objective sees response positions only, those that predict a response token or the end of
//! sequence, laid end to end. Its loss is `[(1 - rate) CE + rate KD] / N`, N the response tokens
//! of the whole optimiser step, so that neither accumulation nor batch order changes it. Logits
//! exist for one chunk of positions at a time. Knows nothing of files (but for [`capture`] and
//! [`projectors`], which are kept on disk), tokenizers, optimisers or training loops.

mod aligned;
pub mod capture;
pub mod cross_attention;
mod cross_entropy;
pub mod divergence;
pub mod dual_space;
pub mod naive;
pub mod objective;
pub mod parts;
pub mod projectors;
pub mod states;
pub mod statistics;
pub mod uld;
pub mod vanilla;

pub use objective::{Objective, Vocabularies};
pub use parts::Parts;
pub use projectors::Projectors;
pub use states::States;
pub use statistics::Statistics;

use tch::Tensor;

use crate::experiment::settings::Alignment;
use crate::models::ModelError;

/// Holds what one micro-batch adds to an optimiser step.
///
/// Gradients of the head and of projectors are not here: they are added to those tensors' `.grad`.
#[derive(Debug)]
pub struct Backward {
    /// Gradient of the loss by the student's hidden states `[n, d]`, in their kind.
    pub hidden_gradient: Tensor,
    /// The losses, divided by the step's normaliser.
    pub parts: Parts,
}

/// Why an objective cannot be built or applied.
#[derive(Debug, thiserror::Error)]
pub enum DistillError {
    /// Distributions over different vocabularies need an alignment.
    #[error(
        "vocabularies of student and teacher differ and `alignment` is not set, expected `uld`, `min-edit` or `naive`"
    )]
    NoAlignment,
    /// The algorithm learns from no teacher: fine-tuning computes it.
    #[error("`cross-entropy` learns from no teacher, expected an algorithm that distils")]
    NoTeacher,
    /// The alignment needs more than tensors of this micro-batch.
    #[error("`alignment` is `{}`, expected one that compares logits directly: `uld` or `naive`", kebab(*.0))]
    Alignment(Alignment),
    /// A number is outside its range.
    #[error("`{name}` is {found}, expected {expected}")]
    Range {
        /// The setting.
        name: &'static str,
        /// The allowed values.
        expected: &'static str,
        /// The value.
        found: f64,
    },
    /// A tensor has another shape than its neighbours.
    #[error("`{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: &'static str,
        /// The shape that fits.
        expected: Vec<i64>,
        /// The shape that was given.
        found: Vec<i64>,
    },
    /// An example's response differs between student and teacher although they share a vocabulary.
    #[error("response {example} has {student} tokens for the student, {teacher} for the teacher, expected as many")]
    Responses {
        /// Place of the example in the micro-batch.
        example: usize,
        /// Response tokens of the student.
        student: i64,
        /// Response tokens of the teacher.
        teacher: i64,
    },
    /// An example's response has other tokens for the teacher although they share a vocabulary.
    #[error("response {example} has other tokens for the teacher than for the student, expected the same")]
    Labels {
        /// Place of the example in the micro-batch.
        example: usize,
    },
    /// The micro-batches of student and teacher are not the same examples.
    #[error("student has {student} examples, teacher {teacher}, expected as many")]
    Examples {
        /// Examples of the student.
        student: usize,
        /// Examples of the teacher.
        teacher: usize,
    },
    /// Cross-model attention was used without its standard deviations.
    #[error("cross-model attention was given no statistics of the teacher, expected those of the optimiser step")]
    NoStatistics,
    /// Cross-model attention was built from projectors of one vocabulary.
    #[error("cross-model attention has no query projector, expected `query.weight` and `query.bias`")]
    NoQuery,
    /// Projectors cannot be read or written.
    #[error("projectors cannot be read or written")]
    Projectors(#[from] ModelError),
    /// A projector of a file is missing or of another shape.
    #[error("`{name}` of the projectors {}, expected shape {expected:?}", shape(found.as_deref()))]
    Projector {
        /// Name in the file.
        name: String,
        /// The shape that fits the models.
        expected: Vec<i64>,
        /// The shape in the file, if it is there.
        found: Option<Vec<i64>>,
    },
}

fn kebab(alignment: Alignment) -> &'static str {
    match alignment {
        Alignment::Uld => "uld",
        Alignment::MinEdit => "min-edit",
        Alignment::Naive => "naive",
    }
}

fn shape(found: Option<&[i64]>) -> String {
    found.map_or_else(|| "is missing".to_owned(), |shape| format!("has shape {shape:?}"))
}

#[cfg(test)]
mod reference;
