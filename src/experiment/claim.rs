//! Claims as their kinds, and the columns that they name.

use super::evaluation::{EvaluationSet, SEPARATOR};
use super::nearest::{listed, remedy};
use super::settings::{Contrast, Hypothesis, Interaction, Margin, Ranked, Rivalled};

/// Values that an arm has at a seed and no example has.
pub const QUANTITIES: [&str; 3] = ["dev-loss", "trained-parameters", "training-energy"];

/// Says what a hypothesis claims.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Claim<'h> {
    /// One level is better than another.
    Better(&'h Contrast),
    /// A level is not worse than another by more than a margin.
    NotWorse(&'h Margin),
    /// A level differs from another by less than a margin.
    Equivalent(&'h Margin),
    /// A gain is larger at one level of a second factor than at another.
    Interaction(&'h Interaction),
    /// Two columns rank the arms alike.
    Rank(&'h Ranked),
    /// The best arm by one column is not the best by another.
    BestDiffers(&'h Rivalled),
}

impl Claim<'_> {
    /// Names the kinds as an experiment file does.
    pub const KINDS: [&'static str; 6] = ["contrast", "not-worse", "equivalent", "interaction", "rank", "best-differs"];

    /// Returns the key of its kind.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Better(_) => "contrast",
            Self::NotWorse(_) => "not-worse",
            Self::Equivalent(_) => "equivalent",
            Self::Interaction(_) => "interaction",
            Self::Rank(_) => "rank",
            Self::BestDiffers(_) => "best-differs",
        }
    }
}

impl Hypothesis {
    /// Lists what it claims; exactly one where nothing is wrong.
    pub fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        [
            self.contrast.as_ref().map(Claim::Better),
            self.not_worse.as_ref().map(Claim::NotWorse),
            self.equivalent.as_ref().map(Claim::Equivalent),
            self.interaction.as_ref().map(Claim::Interaction),
            self.rank.as_ref().map(Claim::Rank),
            self.best_differs.as_ref().map(Claim::BestDiffers),
        ]
        .into_iter()
        .flatten()
    }
}

/// Finds the metric that a claim names: the set that has it, and its name there.
///
/// # Errors
/// What is wrong, and the remedy.
pub fn column<'s>(named: &'s str, sets: &'s [EvaluationSet]) -> Result<(&'s EvaluationSet, &'s str), (String, String)> {
    column_or(named, sets, &[])
}

/// Finds a metric as [`column()`] does; where there is none, `others` could be meant as well.
///
/// # Errors
/// What is wrong, and the remedy.
pub fn column_or<'s>(
    named: &'s str,
    sets: &'s [EvaluationSet],
    others: &[&str],
) -> Result<(&'s EvaluationSet, &'s str), (String, String)> {
    let others = || others.iter().map(|&name| name.to_owned());
    let all = || sets.iter().flat_map(|set| set.metrics.iter().map(|metric| set.column(metric))).chain(others());
    if let Some((set, metric)) = named.split_once(SEPARATOR)
        && let Some(set) = sets.iter().find(|other| other.name.as_deref() == Some(set))
    {
        return match set.metrics.iter().any(|known| known == metric) {
            true => Ok((set, metric)),
            false => {
                let columns: Vec<String> = all().collect();
                let message =
                    format!("`{metric}` is tested but not computed on `{}`", set.name.as_deref().unwrap_or(""));
                Err((message, remedy(named, "columns", columns.iter().map(String::as_str))))
            }
        };
    }
    let having: Vec<&EvaluationSet> =
        sets.iter().filter(|set| set.metrics.iter().any(|known| known == named)).collect();
    match having[..] {
        [set] => Ok((set, named)),
        [] => {
            let columns: Vec<String> = all().collect();
            let message = format!("no evaluation set has the metric `{named}`");
            Err((message, remedy(named, "columns", columns.iter().map(String::as_str))))
        }
        _ => {
            let names: Vec<String> = having.iter().map(|set| set.column(named)).collect();
            let message = format!("several evaluation sets have the metric `{named}`");
            Err((message, format!("write one of {}", listed(names.iter().map(String::as_str)))))
        }
    }
}
