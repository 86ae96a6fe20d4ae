//! Naive alignment: the vanilla loss between ids as they are, at the same place of the response.
//!
//! A control for experiments with different vocabularies, not a method, and of no paper: id k means
//! another token to the teacher than to the student. Positions past the shorter response have no
//! counterpart and only their cross-entropy counts; columns past the smaller head likewise.

use super::aligned::{self, Block, Positions};
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
    let compare = |block: &Block<'_>| settings.compare(block);
    Ok(aligned::backward(student, teacher, Positions::Shared, settings.rate, normaliser, compare))
}
