//! Naive alignment: ids are compared as they are at the same place of the response.
//!
//! A control for experiments with different vocabularies, not a method: id k means another token
//! to the teacher than to the student. Positions past the shorter response have no counterpart
//! and only their cross-entropy counts.

use tch::Tensor;

use super::states::check;
use super::vanilla::Vanilla;
use super::{Backward, DistillError, States};

/// Computes the vanilla loss between positions at the same place of each response, over the
/// columns that both heads have.
///
/// # Errors
/// When student and teacher do not hold the same number of examples.
pub fn backward(
    settings: &Vanilla,
    student: &States<'_>,
    teacher: &States<'_>,
    normaliser: f64,
) -> Result<Backward, DistillError> {
    check(student, teacher)?;
    let pairs = pairs(student, teacher);
    Ok(settings.aligned(student, teacher, Some(&pairs), normaliser))
}

/// Returns the positions of student and of teacher `[pairs]` that share a place in their response.
pub(super) fn pairs(student: &States<'_>, teacher: &States<'_>) -> (Tensor, Tensor) {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for ((student, n), (teacher, m)) in student.spans().into_iter().zip(teacher.spans()) {
        let shared = n.min(m);
        mine.extend(student..student + shared);
        theirs.extend(teacher..teacher + shared);
    }
    let device = student.hidden.device();
    (Tensor::from_slice(&mine).to_device(device), Tensor::from_slice(&theirs).to_device(device))
}
