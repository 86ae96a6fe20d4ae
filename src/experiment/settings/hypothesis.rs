//! Claims that are written down before the run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fixed levels of factors; the rest is averaged over.
pub type Within = BTreeMap<String, String>;

/// Declares a claim before the run: one of its kinds, on metrics or, of `rank` and `best-differs`, on columns
/// that it names itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hypothesis {
    /// The claim in words.
    pub name: String,
    /// One level is better than another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<Contrast>,
    /// A level is not worse than another by more than a margin (non-inferiority).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse: Option<Margin>,
    /// A level differs from another by less than a margin, either way (equivalence).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<Margin>,
    /// What one level gains over another is more at one level of a second factor than at another of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// Two columns rank the arms alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Ranked>,
    /// The best arm by one column is not the best by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_differs: Option<Rivalled>,
    /// Metrics on which it is tested: `rouge-l`, or `SET/rouge-l` where several sets have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// The only stratum of the set that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
}

/// Compares two levels of a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Contrast {
    /// The factor.
    pub factor: String,
    /// The level that the claim says is better.
    pub better: String,
    /// The level it is compared with.
    pub worse: String,
    /// Fixed levels of other factors; the rest is averaged over.
    #[serde(default)]
    pub within: Within,
}

/// Compares two levels of a factor up to a margin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Margin {
    /// The factor.
    pub factor: String,
    /// The level that the claim speaks of.
    pub level: String,
    /// The level it is compared with.
    pub reference: String,
    /// What makes no difference, in the unit of the metric.
    pub margin: f64,
    /// Fixed levels of other factors; the rest is averaged over.
    #[serde(default)]
    pub within: Within,
}

/// Compares what a factor does at two levels of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interaction {
    /// The factor whose levels are compared.
    pub factor: String,
    /// Its level that gains.
    pub better: String,
    /// Its level that is gained over.
    pub worse: String,
    /// The second factor.
    pub with: String,
    /// The level of the second factor where the gain is larger.
    pub more: String,
    /// The level of the second factor where it is smaller.
    pub less: String,
    /// Fixed levels of other factors; the rest is averaged over.
    #[serde(default)]
    pub within: Within,
}

/// Compares the order of arms by two columns, best first: metrics, or `dev-loss`, `trained-parameters`,
/// `training-energy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ranked {
    /// A column.
    pub of: String,
    /// Another one.
    pub with: String,
    /// Fixed levels of factors: only arms that have them.
    #[serde(default)]
    pub within: Within,
}

/// Sets the best arm by one column against the others by a second one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rivalled {
    /// The column that the arm is the best of.
    pub of: String,
    /// The column that another one is the best by.
    pub by: String,
    /// Fixed levels of factors: only arms that have them.
    #[serde(default)]
    pub within: Within,
}
