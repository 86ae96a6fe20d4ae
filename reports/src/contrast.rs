//! The comparison of two sides on one metric: effect, interval and test.

use serde::Serialize;

use crate::number;
use crate::record::Direction;
use crate::scores::Paired;
use crate::statistics::inference::Inference;
use crate::statistics::moments::{self, columns};
use crate::statistics::randomisation::{Randomisation, randomisation};
use crate::statistics::units::Item;
use crate::statistics::{Interval, P, Resampling, Units, mcnemar::mcnemar, wilcoxon::wilcoxon};

/// Power that the minimum detectable effect is stated for.
pub const POWER: f64 = 0.8;

/// Names a test that stands beside the one that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Wilcoxon's signed-rank test of the means of units.
    Wilcoxon,
    /// McNemar's exact test, for 0/1 values of one pair with a question per unit.
    Mcnemar,
    /// Approximate randomisation of the corpus value, whole units at a time.
    Randomisation,
}

impl Test {
    /// Name in running text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Wilcoxon => "Wilcoxon signed-rank",
            Self::Mcnemar => "McNemar (exact)",
            Self::Randomisation => "approximate randomisation",
        }
    }

    /// What it tests.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Wilcoxon => "check of a claim: ranks of differences over units",
            Self::Mcnemar => "check of a claim: right and wrong answers of one pair",
            Self::Randomisation => "check of a claim: corpus values, units swapped at random",
        }
    }

    /// The publication that defines it.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Wilcoxon => "Wilcoxon 1945, Individual comparisons by ranking methods",
            Self::Mcnemar => {
                "McNemar 1947, Note on the sampling error of the difference between correlated proportions"
            }
            Self::Randomisation => "Noreen 1989, Computer-Intensive Methods for Testing Hypotheses",
        }
    }
}

/// Holds a second opinion: it is shown beside the p value of the contrast and decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Check {
    /// The test.
    pub test: Test,
    /// Its two-sided p value, not adjusted.
    pub p: P,
}

/// Holds what comparing a first side with a second one gives.
///
/// Effect, interval, error and p are of one statistic, the mean difference (for a corpus metric the
/// difference of corpus values): see [`Inference`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contrast {
    /// Number of paired examples.
    pub n: usize,
    /// Number of units that they belong to: what intervals and p values count as independent.
    pub units: usize,
    /// Number of pairs (arm against arm at one seed) averaged over.
    pub pairs: usize,
    /// Number of seeds; from two on, interval and p speak of models trained again.
    pub seeds: usize,
    /// Value of the first side.
    pub first: f64,
    /// Value of the second side.
    pub second: f64,
    /// Difference signed so that positive means the first side is better.
    pub effect: f64,
    /// Interval of the effect at the level of the resampling, by itself.
    pub interval: Interval,
    /// Standard error of the effect.
    pub error: f64,
    /// Standard deviation over units of what the effect is the mean of.
    pub spread: f64,
    /// The effect over that; with a question per unit, Cohen's d_z. Absent when units do not vary.
    pub standardised: Option<f64>,
    /// Two-sided p value, not adjusted: below alpha if and only if the interval of level 1 - alpha leaves
    /// zero out.
    pub p: P,
    /// Other tests of the same sides.
    pub checks: Vec<Check>,
    /// Smallest effect that 80 % of such experiments would find at the study's alpha, unadjusted; absent
    /// where units are too few to say.
    pub detectable: Option<f64>,
    /// Smallest p value that so few units can give.
    pub least_p: f64,
    /// Examples without a partner.
    pub unpaired: usize,
}

impl Contrast {
    /// Decimals that show both sides, the effect and its interval.
    pub fn decimals(&self) -> usize {
        number::decimals([self.first, self.second], [self.interval])
    }

    /// Multiplies the effect, and what is in its unit, by a positive factor; both sides stay as they are.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            effect: factor * self.effect,
            interval: Interval { low: factor * self.interval.low, high: factor * self.interval.high },
            error: factor * self.error,
            spread: factor * self.spread,
            detectable: self.detectable.map(|effect| factor * effect),
            ..self
        }
    }

    /// Puts a value in the unit of the effect on the scale of [`Contrast::standardised`].
    pub fn standardise(&self, value: f64) -> Option<f64> {
        (self.spread > 0.0).then(|| value / self.spread)
    }
}

/// Compares the two sides of `paired`; `alpha` is the level of the minimum detectable effect.
///
/// # Errors
/// Why they cannot be compared, in words.
pub fn contrast(
    paired: &Paired,
    direction: Direction,
    alpha: f64,
    resampling: Resampling,
) -> Result<(Contrast, Inference), String> {
    let sides = Sides::new(paired, direction);
    let first = paired.value(&sides.first);
    let second = paired.value(&sides.second);
    let units = sides.units();
    let effect = units.mean();
    if !effect.is_finite() {
        return Err(format!("the difference is not a finite number: {effect}"));
    }
    if units.count() < 2 {
        return Err("all questions belong to one unit: nothing says how others would differ".to_owned());
    }
    let inference = Inference::new(&units, &sides.by_seed(), resampling);
    let spread = inference.spread();
    let contrast = Contrast {
        n: paired.first.len(),
        units: units.count(),
        pairs: paired.pairs,
        seeds: paired.seeds.len(),
        first,
        second,
        effect,
        interval: inference.interval(1.0 - resampling.level),
        error: inference.error(),
        spread,
        standardised: (spread > 0.0).then(|| effect / spread),
        p: inference.p(),
        checks: sides.checks(&units, resampling),
        detectable: Some(inference.detectable(alpha, POWER)).filter(|effect| effect.is_finite()),
        least_p: inference.least_p(),
        unpaired: paired.unpaired,
    };
    Ok((contrast, inference))
}

/// Infers the difference of the two sides and nothing beside it.
pub fn infer(paired: &Paired, direction: Direction, resampling: Resampling) -> Inference {
    let sides = Sides::new(paired, direction);
    Inference::new(&sides.units(), &sides.by_seed(), resampling)
}

/// Returns the units and the values per seed of a first side by itself, as if the second were nothing.
pub fn alone(paired: &Paired) -> (Units, Vec<f64>) {
    let sides = Sides { alone: true, ..Sides::new(paired, Direction::Higher) };
    (sides.units(), sides.by_seed())
}

/// The sides of a comparison with their sums.
pub(crate) struct Sides<'p> {
    paired: &'p Paired,
    sign: f64,
    /// Whether the second side is left out.
    alone: bool,
    /// Sums of rows over all examples, `[pair * width]`.
    first: Vec<f64>,
    second: Vec<f64>,
}

impl<'p> Sides<'p> {
    pub(crate) fn new(paired: &'p Paired, direction: Direction) -> Self {
        Self {
            paired,
            sign: direction.sign(),
            alone: false,
            first: columns(paired.first.iter().map(Vec::as_slice)),
            second: columns(paired.second.iter().map(Vec::as_slice)),
        }
    }

    /// The difference of both sides over some pairs of summed rows; positive where the first is better.
    fn difference_over(&self, pairs: &[usize], first: &[f64], second: &[f64]) -> f64 {
        if self.alone {
            return self.paired.value_over(pairs, first);
        }
        self.sign * self.paired.difference_over(pairs, first, second)
    }

    /// The difference of both sides over all pairs of summed rows.
    pub(crate) fn difference(&self, first: &[f64], second: &[f64]) -> f64 {
        self.difference_over(&(0..self.paired.pairs).collect::<Vec<_>>(), first, second)
    }

    fn by_seed(&self) -> Vec<f64> {
        self.paired.seeds.iter().map(|pairs| self.difference_over(pairs, &self.first, &self.second)).collect()
    }

    /// Takes the units of the effect: sums of differences where it is a mean of such, pseudo-values
    /// otherwise.
    pub(crate) fn units(&self) -> Units {
        match self.items() {
            Some(items) => Units::of(items),
            None => self.pseudo_values(),
        }
    }

    /// Returns the difference of every example, if both sides are means over the same weights.
    fn items(&self) -> Option<Vec<Item>> {
        let paired = self.paired;
        let rows = paired.first.iter().zip(&paired.second).zip(&paired.units);
        rows.map(|((first, second), &unit)| {
            let weight = paired.aggregation.is_mean().then(|| first[1])?;
            let alike = |row: &[f64]| row.chunks_exact(2).all(|pair| pair[1] == weight);
            if !alike(first) || !alike(second) {
                return None;
            }
            let firsts = first.iter().step_by(2).map(|value| self.sign * value);
            let seconds = second.iter().step_by(2).map(|value| if self.alone { 0.0 } else { -self.sign * value });
            let values: Vec<f64> = firsts.chain(seconds).collect();
            Some(Item {
                unit,
                size: weight * paired.pairs as f64,
                magnitude: values.iter().map(|value| value.abs()).sum(),
                sum: moments::sum(values),
            })
        })
        .collect()
    }

    fn pseudo_values(&self) -> Units {
        let less = |sums: &[f64], unit: &[f64]| sums.iter().zip(unit).map(|(sum, part)| sum - part).collect::<Vec<_>>();
        let [first, second] = self.by_unit();
        let without: Vec<(f64, f64)> = first
            .iter()
            .zip(&second)
            .map(|(one, other)| {
                let without = self.difference(&less(&self.first, one), &less(&self.second, other));
                (without, self.size(one, other))
            })
            .collect();
        let magnitude = self.paired.value(&self.first).abs() + self.paired.value(&self.second).abs();
        Units::jackknife(self.difference(&self.first, &self.second), &without, magnitude)
    }

    /// Size of a unit: the mean of both sides, which may go by different references, and of all pairs. One
    /// without a word counts as one, as pseudo-values divide by it.
    fn size(&self, first: &[f64], second: &[f64]) -> f64 {
        let width = first.len() / self.paired.pairs;
        let rows = first.chunks_exact(width).chain(second.chunks_exact(width));
        let sizes: Vec<f64> = rows.map(|row| self.paired.aggregation.size(row)).collect();
        moments::mean(&sizes).max(1.0)
    }

    /// Adds the rows of both sides up within units.
    pub(crate) fn by_unit(&self) -> [Vec<Vec<f64>>; 2] {
        let count = self.paired.units.iter().max().map_or(0, |last| last + 1);
        [&self.paired.first, &self.paired.second].map(|rows| {
            let mut members: Vec<Vec<&[f64]>> = vec![Vec::new(); count];
            for (row, &unit) in rows.iter().zip(&self.paired.units) {
                members[unit].push(row);
            }
            members.into_iter().map(columns).collect()
        })
    }

    /// Swaps the sides of whole units at random.
    pub(crate) fn randomisation(&self, resampling: Resampling) -> Randomisation {
        let [first, second] = self.by_unit();
        randomisation(&first, &second, resampling, |first, second| self.difference(first, second))
    }

    fn checks(&self, units: &Units, resampling: Resampling) -> Vec<Check> {
        let Some(items) = self.items() else {
            return vec![Check { test: Test::Randomisation, p: self.randomisation(resampling).p }];
        };
        let mut checks = vec![Check { test: Test::Wilcoxon, p: P::exact(wilcoxon(&units.means()).p) }];
        if self.paired.pairs == 1 && units.count() == items.len() && self.is_binary() {
            let count = |wanted: f64| items.iter().filter(|item| item.sum == wanted).count() as u64;
            checks.insert(0, Check { test: Test::Mcnemar, p: P::exact(mcnemar(count(1.0), count(-1.0))) });
        }
        checks
    }

    /// Whether every value is 0 or 1: rows of a mean are `[value, 1]`.
    fn is_binary(&self) -> bool {
        let mut rows = self.paired.first.iter().chain(&self.paired.second);
        rows.all(|row| row.chunks_exact(2).all(|pair| pair[1] == 1.0 && (pair[0] == 0.0 || pair[0] == 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use tutelage_metrics::ngram::bleu;
    use tutelage_metrics::ngram::tokenizer::Tokenizer;

    use super::*;
    use crate::study::Aggregation;

    fn paired(aggregation: Aggregation, first: Vec<Vec<f64>>, second: Vec<Vec<f64>>) -> Paired {
        let units = (0..first.len()).collect();
        Paired { aggregation, pairs: 1, seeds: vec![vec![0]], first, second, units, unpaired: 0 }
    }

    fn compared(paired: &Paired, direction: Direction) -> Contrast {
        contrast(paired, direction, 0.05, Resampling { resamples: 1_000, ..Resampling::default() }).unwrap().0
    }

    /// Counts of an answer whose words are right or wrong.
    fn answer(length: usize, wrong: usize) -> Vec<f64> {
        let text = |wrong: usize| {
            let word = |place: usize| if place < wrong { format!("x{place}") } else { format!("w{place}") };
            (0..length).map(word).collect::<Vec<_>>().join(" ")
        };
        bleu::counts(Tokenizer::default(), &text(wrong), &[text(0)])
    }

    #[test]
    fn corpus_scores_are_compared_as_such() {
        // Better on twenty short answers, worse on ten long ones: of the mean of sentences the first side would win.
        let long = |question: usize| question.is_multiple_of(3);
        let side = |good: usize, bad: usize| {
            (0..30).map(|q| if long(q) { answer(60, bad + q % 4) } else { answer(8, good + q % 2) }).collect()
        };
        let (first, second): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (side(0, 25), side(3, 4));
        let corpus = |rows: &[Vec<f64>]| bleu::from_counts(&columns(rows.iter().map(Vec::as_slice)));
        let wanted = corpus(&first) - corpus(&second);
        let found = compared(&paired(Aggregation::Bleu, first, second), Direction::Higher);
        assert!(wanted < -10.0 && (found.effect - wanted).abs() < 1e-9, "{wanted} {}", found.effect);
        assert!((found.first - found.second - wanted).abs() < 1e-9);
        assert!(found.p.value < 0.05 && found.interval.high < 0.0);
        let [check] = found.checks[..] else { panic!("{:?}", found.checks) };
        assert!(check.test == Test::Randomisation && check.p.value < 0.05);
    }

    #[test]
    fn equal_corpora_are_equal() {
        let rows: Vec<Vec<f64>> = (0..20).map(|question| answer(10 + question % 3, question % 5)).collect();
        let found = compared(&paired(Aggregation::Bleu, rows.clone(), rows), Direction::Higher);
        assert_eq!((found.effect, found.p.value, found.error), (0.0, 1.0, 0.0));
    }

    #[test]
    fn p_does_not_depend_on_which_side_comes_first() {
        // The closest reference goes by the answer, and so does the length that sizes a unit.
        let side = |lengths: [usize; 2], wrong: usize| -> Vec<Vec<f64>> {
            (0..14).map(|question| answer(lengths[question % 2], (wrong + question) % 5)).collect()
        };
        let (first, second) = (side([6, 30], 0), side([20, 8], 2));
        for aggregation in [Aggregation::Bleu, Aggregation::WeightedGeometricMean] {
            let rows = |rows: &[Vec<f64>]| match aggregation {
                Aggregation::Bleu => rows.to_vec(),
                _ => rows.iter().map(|row| vec![row[0], row[9]]).collect(),
            };
            let (first, second) = (rows(&first), rows(&second));
            let one = compared(&paired(aggregation, first.clone(), second.clone()), Direction::Higher);
            let other = compared(&paired(aggregation, second, first), Direction::Higher);
            assert_eq!((one.effect, one.p, one.error), (-other.effect, other.p, other.error));
            assert!(one.p.value < 1.0 && one.effect != 0.0, "{one:?}");
        }
    }

    #[test]
    fn a_loss_per_token_weighs_questions_by_their_tokens() {
        let rows = |losses: [f64; 3]| {
            (0..30).map(move |q| vec![losses[q % 3] * [1.0, 2.0, 6.0][q % 3], [1.0, 2.0, 6.0][q % 3]])
        };
        let sides = (rows([2.0, 2.5, 3.0]).collect(), rows([1.0, 2.5, 3.3]).collect());
        let found = compared(&paired(Aggregation::WeightedMean, sides.0, sides.1), Direction::Lower);
        // (1 * 1 + 2 * 0 - 6 * 0.3) / 9, and lower is better.
        assert!((found.effect - 0.8 / 9.0).abs() < 1e-12, "{}", found.effect);
        assert_eq!(found.checks[0].test, Test::Wilcoxon);
    }

    #[test]
    fn an_outlier_in_both_takes_nothing_away() {
        let large = 25_f64.exp();
        let values = |shift: f64| {
            (0..40).map(move |q| vec![2.0 + 0.1 * f64::from(q) + shift * (1.0 + 0.03 * f64::from(q)), 1.0])
        };
        let first = values(0.1).chain([vec![large, 1.0]]).collect();
        let second = values(0.0).chain([vec![large, 1.0]]).collect();
        let found = compared(&paired(Aggregation::Mean, first, second), Direction::Lower);
        assert!(found.p.is_at_floor() && found.checks[0].p.value < 1e-7, "{found:?}");
    }
}
