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
use crate::experiment::Form;
use crate::experiment::settings::Algorithm;

/// Says whether student and teacher mean the same token by an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabularies {
    /// Every id that text is encoded to means the same token to both. How each ends an answer, and the
    /// columns of its head beyond the vocabulary, may differ.
    Same,
    /// Some do not.
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
    /// When the vocabularies differ and no usable alignment is declared, when a temperature is not
    /// positive or a rate not in 0 to 1, and for an algorithm without a teacher.
    pub fn new(
        algorithm: &Algorithm,
        vocabularies: Vocabularies,
        widths: Widths,
        seed: Seed,
        device: Device,
    ) -> Result<Self, DistillError> {
        let (divergence, temperature, rate, alignment) = match *algorithm {
            Algorithm::Vanilla { divergence, temperature, rate, alignment } => {
                (divergence, temperature, rate, alignment)
            }
            Algorithm::DualSpace { divergence, temperature, rate, .. } => (divergence, temperature, rate, None),
            Algorithm::CrossEntropy {} => return Err(DistillError::NoTeacher),
        };
        check(temperature, rate)?;
        let form = Form::of(algorithm, vocabularies == Vocabularies::Same);
        let form = form.ok_or_else(|| alignment.map_or(DistillError::NoAlignment, DistillError::Alignment))?;
        let vanilla = Vanilla { divergence, temperature, rate };
        let settings = Settings { divergence, temperature, rate };
        let projectors = |query| Projectors::initialise(widths, query, seed, device);
        Ok(match form {
            Form::Vanilla => Self::Vanilla(vanilla),
            Form::Naive => Self::Naive(vanilla),
            Form::Uld => Self::Uld(Uld { rate }),
            Form::DualSpace => Self::DualSpace(DualSpace { settings, projectors: projectors(Query::Absent) }),
            Form::CrossAttention => {
                Self::CrossAttention(CrossAttention { settings, projectors: projectors(Query::Projected) })
            }
        })
    }

    /// Returns the form in which the objective runs.
    pub fn form(&self) -> Form {
        match self {
            Self::Vanilla(_) => Form::Vanilla,
            Self::Naive(_) => Form::Naive,
            Self::Uld(_) => Form::Uld,
            Self::DualSpace(_) => Form::DualSpace,
            Self::CrossAttention(_) => Form::CrossAttention,
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
        if let Some(projectors) = self.projectors() {
            let (expected, found) = (vec![student.width(), teacher.width()], projectors.t2s.weight.size());
            if found != expected {
                return Err(DistillError::Shape { name: "t2s.weight", expected, found });
            }
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

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::experiment::settings::{Alignment, Divergence};
    use crate::models::head::Head;

    const WIDTHS: Widths = Widths { student: 2, teacher: 3 };

    fn vanilla(temperature: f64, rate: f64, alignment: Option<Alignment>) -> Algorithm {
        Algorithm::Vanilla { divergence: Divergence::ForwardKl, temperature, rate, alignment }
    }

    fn dual_space() -> Algorithm {
        Algorithm::DualSpace { divergence: Divergence::ForwardKl, temperature: 2.0, rate: 0.5, projector_lr: 1e-3 }
    }

    fn new(algorithm: &Algorithm, vocabularies: Vocabularies) -> Result<Objective, DistillError> {
        Objective::new(algorithm, vocabularies, WIDTHS, Seed(1), Device::Cpu)
    }

    #[test]
    fn vocabularies_and_alignment_choose_the_objective() {
        use Vocabularies::{Different, Same};
        let (naive, uld) = (Some(Alignment::Naive), Some(Alignment::Uld));
        assert!(matches!(new(&vanilla(2.0, 0.5, None), Same), Ok(Objective::Vanilla(_))));
        assert!(matches!(new(&vanilla(2.0, 0.5, naive), Different), Ok(Objective::Naive(_))));
        assert!(matches!(new(&vanilla(2.0, 0.5, uld), Different), Ok(Objective::Uld(_))));
        let names = |objective: &Objective| objective.projectors().map_or(0, |all| all.parameters().len());
        assert_eq!(names(&new(&dual_space(), Same).unwrap()), 4);
        assert_eq!(names(&new(&dual_space(), Different).unwrap()), 6);
    }

    #[test]
    fn settings_that_cannot_be_honoured_are_named() {
        let message = |algorithm: Algorithm| new(&algorithm, Vocabularies::Different).unwrap_err().to_string();
        assert!(message(vanilla(2.0, 0.5, None)).contains("`alignment` is not set"));
        assert!(message(vanilla(2.0, 0.5, Some(Alignment::MinEdit))).starts_with("`alignment` is `min-edit`"));
        assert_eq!(message(vanilla(0.0, 0.5, None)), "`temperature` is 0, expected a positive number");
        assert_eq!(message(vanilla(f64::NAN, 0.5, None)), "`temperature` is NaN, expected a positive number");
        assert_eq!(message(vanilla(2.0, 1.5, None)), "`rate` is 1.5, expected a number from 0 to 1");
    }

    #[test]
    fn a_step_without_tokens_or_statistics_is_refused() {
        let float = |size: [i64; 2]| Tensor::ones(size, (Kind::Float, Device::Cpu));
        let (hidden, head, wide_hidden, wide_head) = (float([1, 2]), float([5, 2]), float([1, 3]), float([5, 3]));
        let ids = Tensor::from_slice(&[1i64]);
        let student = States {
            hidden: &hidden,
            head: Head::new(&head),
            embedding: &head,
            inputs: &ids,
            labels: &ids,
            lengths: &[1],
        };
        let teacher = States { hidden: &wide_hidden, head: Head::new(&wide_head), embedding: &wide_head, ..student };
        let objective = new(&dual_space(), Vocabularies::Different).unwrap();
        let message = |normaliser| objective.backward(&student, &teacher, None, normaliser).unwrap_err().to_string();
        assert_eq!(message(0.0), "`normaliser` is 0, expected a positive number");
        assert!(message(1.0).contains("statistics"));
        let swapped = objective.backward(&teacher, &student, None, 1.0).unwrap_err();
        assert_eq!(swapped.to_string(), "`t2s.weight` has shape [2, 3], expected [3, 2]");
    }
}
