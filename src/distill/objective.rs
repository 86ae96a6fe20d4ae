//! The objective that an experiment's algorithm means for a pair of models.

use tch::Device;

use super::cross_attention::CrossAttention;
use super::dual_space::{DualSpace, Settings};
use super::naive;
use super::projectors::{Query, Widths};
use super::uld::Uld;
use super::vanilla::Vanilla;
use super::{Backward, DistillError, Projectors, States, Statistics};
use crate::device::Seed;
use crate::experiment::settings::{Algorithm, Alignment};

/// Says whether student and teacher mean the same token by an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabularies {
    /// They share their tokenizer.
    Same,
    /// They do not.
    Different,
}

/// A distillation objective with its projectors.
#[derive(Debug)]
pub enum Objective {
    /// Divergence over one vocabulary.
    Vanilla(Vanilla),
    /// Divergence between ids as they are: a control.
    Naive(Vanilla),
    /// Distance of sorted distributions.
    Uld(Uld),
    /// DSKD over one vocabulary.
    DualSpace(DualSpace),
    /// DSKD with cross-model attention.
    CrossAttention(CrossAttention),
}

impl Objective {
    /// Builds the objective of `algorithm`, its projectors drawn from `seed`.
    ///
    /// An alignment is used when the vocabularies differ and has no effect otherwise.
    ///
    /// # Errors
    /// When the vocabularies differ and no usable alignment is declared, and when a temperature is
    /// not positive or a rate not in 0 to 1.
    pub fn new(
        algorithm: &Algorithm,
        vocabularies: Vocabularies,
        widths: Widths,
        seed: Seed,
        device: Device,
    ) -> Result<Self, DistillError> {
        match *algorithm {
            Algorithm::Vanilla { divergence, temperature, rate, alignment } => {
                check(temperature, rate)?;
                let vanilla = Vanilla { divergence, temperature, rate };
                match (vocabularies, alignment) {
                    (Vocabularies::Same, _) => Ok(Self::Vanilla(vanilla)),
                    (Vocabularies::Different, Some(Alignment::Naive)) => Ok(Self::Naive(vanilla)),
                    (Vocabularies::Different, Some(Alignment::Uld)) => Ok(Self::Uld(Uld { rate })),
                    (Vocabularies::Different, Some(other)) => Err(DistillError::Alignment(other)),
                    (Vocabularies::Different, None) => Err(DistillError::NoAlignment),
                }
            }
            Algorithm::DualSpace { divergence, temperature, rate, .. } => {
                check(temperature, rate)?;
                let settings = Settings { divergence, temperature, rate };
                let projectors = |query| Projectors::initialise(widths, query, seed, device);
                Ok(match vocabularies {
                    Vocabularies::Same => {
                        Self::DualSpace(DualSpace { settings, projectors: projectors(Query::Absent) })
                    }
                    Vocabularies::Different => {
                        Self::CrossAttention(CrossAttention { settings, projectors: projectors(Query::Projected) })
                    }
                })
            }
        }
    }

    /// Says whether [`Self::backward`] needs the teacher's statistics of the step.
    pub fn needs_statistics(&self) -> bool {
        matches!(self, Self::CrossAttention(_))
    }

    /// Returns the projectors, if the objective trains any.
    pub fn projectors(&self) -> Option<&Projectors> {
        match self {
            Self::DualSpace(objective) => Some(&objective.projectors),
            Self::CrossAttention(objective) => Some(&objective.projectors),
            Self::Vanilla(_) | Self::Naive(_) | Self::Uld(_) => None,
        }
    }

    /// Returns the projectors, to be trained or replaced.
    pub fn projectors_mut(&mut self) -> Option<&mut Projectors> {
        match self {
            Self::DualSpace(objective) => Some(&mut objective.projectors),
            Self::CrossAttention(objective) => Some(&mut objective.projectors),
            Self::Vanilla(_) | Self::Naive(_) | Self::Uld(_) => None,
        }
    }

    /// Computes the loss of one micro-batch divided by `normaliser`, the response tokens of the
    /// student in the whole optimiser step, and its gradient.
    ///
    /// Gradients of the student's head, when it is trainable, and of projectors are added to those
    /// tensors; that of the hidden states is returned.
    ///
    /// # Errors
    /// When the micro-batches of student and teacher do not fit together, the normaliser is not
    /// positive, or statistics are needed and not given.
    pub fn backward(
        &self,
        student: &States<'_>,
        teacher: &States<'_>,
        statistics: Option<&Statistics>,
        normaliser: f64,
    ) -> Result<Backward, DistillError> {
        if normaliser.is_nan() || normaliser <= 0.0 {
            return Err(DistillError::Range { name: "normaliser", expected: "a positive number", found: normaliser });
        }
        match self {
            Self::Vanilla(objective) => objective.backward(student, teacher, normaliser),
            Self::Naive(settings) => naive::backward(settings, student, teacher, normaliser),
            Self::Uld(objective) => objective.backward(student, teacher, normaliser),
            Self::DualSpace(objective) => objective.backward(student, teacher, normaliser),
            Self::CrossAttention(objective) => {
                let statistics = statistics.ok_or(DistillError::NoStatistics)?;
                objective.backward(student, teacher, statistics, normaliser)
            }
        }
    }
}

fn check(temperature: f64, rate: f64) -> Result<(), DistillError> {
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(DistillError::Range { name: "temperature", expected: "a positive number", found: temperature });
    }
    if !(0.0..=1.0).contains(&rate) {
        return Err(DistillError::Range { name: "rate", expected: "a number from 0 to 1", found: rate });
    }
    Ok(())
}
