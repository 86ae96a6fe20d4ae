//! Objectives of distillation.

use serde::{Deserialize, Serialize};

/// Describes a distillation algorithm. The total loss is `(1 - rate) CE + rate KD`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Algorithm {
    /// Matches the teacher's next-token distribution.
    Vanilla {
        /// Divergence between the two distributions.
        #[serde(default)]
        divergence: Divergence,
        /// Softmax temperature of both distributions; no `temperature^2` factor is applied.
        #[serde(default = "two")]
        temperature: f64,
        /// Weight of the distillation term.
        #[serde(default = "half")]
        rate: f64,
        /// How vocabularies that differ are compared; none is a fault when they do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alignment: Option<Alignment>,
    },
    /// DSKD: distils in the student's and in the teacher's space; with cross-model attention when
    /// the vocabularies differ.
    DualSpace {
        /// Divergence in the student's space.
        #[serde(default)]
        divergence: Divergence,
        /// Softmax temperature of both distributions; no `temperature^2` factor is applied.
        #[serde(default = "two")]
        temperature: f64,
        /// Weight of the distillation terms.
        #[serde(default = "half")]
        rate: f64,
        /// Learning rate of the projectors.
        #[serde(default = "projector_lr")]
        projector_lr: f64,
    },
    /// No teacher: cross-entropy alone, for as many steps as distillation takes. The control that
    /// shows what distillation adds to seeing the answers again.
    CrossEntropy {},
}

impl Algorithm {
    /// Says whether it learns from a teacher.
    #[must_use]
    pub fn has_teacher(&self) -> bool {
        !matches!(self, Self::CrossEntropy {})
    }
}

/// Names a divergence of formulas 1.1 of DSKD's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// `sum p (ln p - ln q)`, teacher p, student q.
    #[default]
    ForwardKl,
    /// `sum q (ln q - ln p)`.
    ReverseKl,
    /// Jensen-Shannon.
    JsDivergence,
    /// `KL(p || lam p + (1 - lam) q)`, lam 0.1.
    SkewedForwardKl,
    /// `KL(q || (1 - lam) p + lam q)`, lam 0.1.
    SkewedReverseKl,
    /// Forward and reverse KL weighted by the gaps in head and tail.
    AdaptiveKl,
}

/// Says how distributions over different vocabularies are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Universal logit distillation: L1 distance of the sorted distributions.
    Uld,
    /// FuseLLM's minimum edit distance over tokens.
    MinEdit,
    /// Ids compared as they are: a control.
    Naive,
}

fn two() -> f64 {
    2.0
}

fn half() -> f64 {
    0.5
}

fn projector_lr() -> f64 {
    1e-3
}
