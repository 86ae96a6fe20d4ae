//! The comparison of two sides on one metric: effect, interval and test.

use serde::Serialize;

use crate::number;
use crate::record::Direction;
use crate::scores::{Paired, sum};
use crate::statistics::{
    Interval, Resampling, Units, bootstrap, difference, hierarchical, mcnemar::mcnemar, moments,
    permutation::permutation, randomisation::randomisation, wilcoxon::wilcoxon,
};
use crate::study::Aggregation;

/// Names the test behind a p value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Wilcoxon's signed-rank test over questions.
    Wilcoxon,
    /// Random signs over questions, for averaged 0/1 values.
    Permutation,
    /// McNemar's exact test, for 0/1 values of one pair.
    Mcnemar,
    /// Approximate randomisation of the corpus value.
    Randomisation,
}

impl Test {
    /// Name in running text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Wilcoxon => "Wilcoxon signed-rank",
            Self::Permutation => "paired permutation",
            Self::Mcnemar => "McNemar (exact)",
            Self::Randomisation => "approximate randomisation",
        }
    }

    /// Letter that stands for it on a p value.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Wilcoxon => "W",
            Self::Permutation => "P",
            Self::Mcnemar => "M",
            Self::Randomisation => "R",
        }
    }
}

/// Holds what comparing a first side with a second one gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contrast {
    /// Number of paired examples.
    pub n: usize,
    /// Number of pairs (arm against arm at one seed) averaged over.
    pub pairs: usize,
    /// Value of the first side.
    pub first: f64,
    /// Value of the second side.
    pub second: f64,
    /// Difference signed so that positive means the first side is better.
    pub effect: f64,
    /// Bootstrap interval of the effect over questions, seeds as they are.
    pub interval: Interval,
    /// Interval that resamples seeds as well, where it was asked for; absent with one seed.
    pub interval_with_seeds: Option<Interval>,
    /// Bootstrap standard error of the effect over questions.
    pub error: f64,
    /// `effect / (error * sqrt(n))`: for a mean, Cohen's d_z but for the noise of resampling
    /// ([`crate::statistics::effect::d_z`]). Absent when resampling never changes the effect.
    pub standardised: Option<f64>,
    /// The test.
    pub test: Test,
    /// Two-sided p value, not adjusted.
    pub p: f64,
    /// Whether the test leans to the side that the effect favours; ranks and means can disagree.
    pub agrees: bool,
    /// Smallest effect that 80 % of such experiments would find at 5 %, unadjusted.
    pub detectable: f64,
    /// Examples without a partner.
    pub unpaired: usize,
}

impl Contrast {
    /// Decimals that show both sides, the effect and its interval.
    pub fn decimals(&self) -> usize {
        number::decimals([self.first, self.second], [self.interval])
    }
}

/// Compares the two sides of `paired`.
///
/// The effect is the difference of corpus values, averaged over pairs. The test goes by the
/// metric: approximate randomisation where the value is not a plain mean; McNemar for 0/1 values
/// of a single pair; random signs for 0/1 values averaged over pairs; Wilcoxon otherwise.
pub fn contrast(paired: &Paired, direction: Direction, resampling: Resampling) -> Contrast {
    let sign = direction.sign();
    let all: Vec<usize> = (0..paired.pairs).collect();
    let difference = |first: &[f64], second: &[f64]| sign * paired.difference_over(&all, first, second);
    let first_sums = sum(paired.first.iter().map(Vec::as_slice));
    let second_sums = sum(paired.second.iter().map(Vec::as_slice));
    let effect = difference(&first_sums, &second_sums);
    let n = paired.first.len();

    let mut differences = difference::differences(&paired.first_values, &paired.second_values);
    differences.iter_mut().for_each(|difference| *difference *= sign);
    let values = bootstrap::distribution(n, resampling, |items| {
        if paired.aggregation == Aggregation::Mean {
            // The same number as below, without summing rows.
            return items.iter().map(|&item| differences[item]).sum::<f64>() / n as f64;
        }
        difference(&over(items, &paired.first), &over(items, &paired.second))
    });
    let error = moments::deviation(&values);
    let (test, p, agrees) = if paired.aggregation != Aggregation::Mean {
        let result = randomisation(&paired.first, &paired.second, resampling, difference);
        (Test::Randomisation, result.p.value, true)
    } else if binary(paired) && paired.pairs == 1 {
        let count = |wanted: f64| differences.iter().filter(|&&d| d == wanted).count() as u64;
        (Test::Mcnemar, mcnemar(count(1.0), count(-1.0)), true)
    } else if binary(paired) {
        (Test::Permutation, permutation(&Units::each(&differences), resampling).p().value, true)
    } else {
        let result = wilcoxon(&differences);
        let leaning = result.positive - result.negative;
        (Test::Wilcoxon, result.p, leaning * effect >= 0.0)
    };
    Contrast {
        n,
        pairs: paired.pairs,
        first: paired.value(&first_sums),
        second: paired.value(&second_sums),
        effect,
        interval: bootstrap::percentile(&values, resampling.level),
        interval_with_seeds: None,
        error,
        standardised: (error > 0.0).then(|| effect / (error * (n as f64).sqrt())),
        test,
        p,
        agrees,
        detectable: 2.801_585 * error,
        unpaired: paired.unpaired,
    }
}

/// Bootstraps the effect over seeds as well as questions; nothing with a single seed.
pub fn interval_with_seeds(paired: &Paired, direction: Direction, resampling: Resampling) -> Option<Interval> {
    if paired.seeds.len() < 2 {
        return None;
    }
    let (seeds, items) = (paired.seeds.len(), paired.first.len());
    let values = hierarchical::distribution(seeds, items, resampling, |seeds, items| {
        let pairs: Vec<usize> = seeds.iter().flat_map(|&seed| paired.seeds[seed].iter().copied()).collect();
        let (first, second) = (over(items, &paired.first), over(items, &paired.second));
        direction.sign() * paired.difference_over(&pairs, &first, &second)
    });
    Some(bootstrap::percentile(&values, resampling.level))
}

fn over(items: &[usize], rows: &[Vec<f64>]) -> Vec<f64> {
    sum(items.iter().map(|&item| rows[item].as_slice()))
}

/// Whether every value of every pair is 0 or 1: rows of a mean are `[value, 1]`.
fn binary(paired: &Paired) -> bool {
    paired.aggregation == Aggregation::Mean
        && paired
            .first
            .iter()
            .chain(&paired.second)
            .flat_map(|row| row.iter().step_by(2))
            .all(|&value| value == 0.0 || value == 1.0)
}
