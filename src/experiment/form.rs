//! The form in which a distillation objective runs, which the two vocabularies decide.

use std::fmt;

use super::settings::{Algorithm, Alignment};

/// Names a form of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Divergence over one vocabulary.
    Vanilla,
    /// Divergence between ids as they are: a control.
    Naive,
    /// Distance of sorted distributions.
    Uld,
    /// DSKD over one vocabulary.
    DualSpace,
    /// DSKD with cross-model attention.
    CrossAttention,
}

impl Form {
    /// Returns the form of `algorithm` between models that share their vocabulary or do not; none where
    /// they need an alignment and none that can be computed is declared, and without a teacher.
    #[must_use]
    pub fn of(algorithm: &Algorithm, one_vocabulary: bool) -> Option<Self> {
        Some(match (algorithm, one_vocabulary) {
            (Algorithm::Vanilla { .. }, true) => Self::Vanilla,
            (Algorithm::Vanilla { alignment: Some(Alignment::Naive), .. }, false) => Self::Naive,
            (Algorithm::Vanilla { alignment: Some(Alignment::Uld), .. }, false) => Self::Uld,
            (Algorithm::Vanilla { .. }, false) | (Algorithm::CrossEntropy {}, _) => return None,
            (Algorithm::DualSpace { .. }, true) => Self::DualSpace,
            (Algorithm::DualSpace { .. }, false) => Self::CrossAttention,
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Vanilla => "vanilla KD, one vocabulary",
            Self::Naive => "vanilla KD between ids as they are (naive alignment)",
            Self::Uld => "KD of sorted distributions (ULD)",
            Self::DualSpace => "DSKD, one vocabulary",
            Self::CrossAttention => "DSKD with cross-model attention",
        })
    }
}
