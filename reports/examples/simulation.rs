//! How often verdicts are false where there is no effect, and how often an effect of the promised size is found.
//!
//! `cargo run -p tutelage-reports --example simulation [STUDIES]` prints four tables in Markdown; 1,000 studies
//! per cell unless told otherwise. Seeded: it always prints the same.
//!
//! A study compares two arms on 150 questions in 25 groups. The quality of an answer is the sum of independent
//! normal parts: how hard the group is for everybody, how well the arm does on this group and on this question, how
//! well this seed's model turned out, and noise. At one seed, groups hold 60 % of the variance of the difference
//! between two arms. Qualities are taken as they are, as right or wrong, or as the chance of getting a word of an
//! answer right, which corpus BLEU then counts.
//!
//! With no shift both arms have the same law, so that differences are symmetric and flipping their signs is exact.
//! Where it is not, one arm is rarely better than the other by much and else a little worse, with the same mean.

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::f64::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tutelage_reports::contrast::infer;
use tutelage_reports::record::Direction;
use tutelage_reports::scores::Paired;
use tutelage_reports::statistics::detectable::{Component, detectable};
use tutelage_reports::statistics::holm::holm;
use tutelage_reports::statistics::inference::Inference;
use tutelage_reports::statistics::{Resampling, moments};
use tutelage_reports::study::Aggregation;

const ALPHA: f64 = 0.05;
const POWER: f64 = 0.8;
const GROUPS: usize = 25;
/// Variance of the difference of two arms over seeds, where seeds matter; over groups it is 0.6 at one seed.
const SEED_VARIANCE: f64 = 0.1;
const RESAMPLING: Resampling = Resampling { resamples: 1_999, level: 0.95, seed: 5 };

/// What is measured of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    Continuous,
    Binary,
    Bleu,
    /// As [`Measure::Continuous`], but what the first arm does on a group is skewed, and the second does the same
    /// on all.
    Skewed,
}

impl Measure {
    fn label(self) -> &'static str {
        match self {
            Self::Continuous => "mean of a score",
            Self::Binary => "right or wrong",
            Self::Bleu => "corpus BLEU",
            Self::Skewed => "mean of a score, one arm rarely better by much",
        }
    }
}

/// How many questions each group holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sizes {
    Equal,
    Unequal,
}

impl Sizes {
    fn label(self) -> &'static str {
        match self {
            Self::Equal => "25 groups of 6",
            Self::Unequal => "25 groups of 1 to 40",
        }
    }

    /// Group of every question.
    fn groups(self) -> Vec<usize> {
        let size = |group: usize| match self {
            Self::Equal => 6,
            // 12 of one question, then growing: 150 in all.
            Self::Unequal => [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 10, 15, 20, 25, 40][group],
        };
        (0..GROUPS).flat_map(|group| vec![group; size(group)]).collect()
    }
}

/// One design.
#[derive(Debug, Clone, Copy)]
struct Cell {
    measure: Measure,
    sizes: Sizes,
    seeds: usize,
    seed_variance: f64,
}

impl Cell {
    /// Seed of its studies: no two designs share their luck.
    fn key(self) -> u64 {
        let parts = [self.measure as u64, self.sizes as u64, self.seeds as u64, u64::from(self.seed_variance > 0.0)];
        parts.into_iter().fold(7, |key, part| 10 * key + part)
    }

    /// Draws a study in which the first arm's quality is better by `shift`.
    fn draw(self, shift: f64, study: u64) -> Paired {
        let mut rng = ChaCha8Rng::seed_from_u64(self.key());
        rng.set_stream(study);
        let groups = self.sizes.groups();
        let mut normal = |variance: f64| variance.sqrt() * standard_normal(&mut rng);
        let hardness: Vec<f64> = (0..GROUPS).map(|_| normal(0.5)).collect();
        // Half of each variance of a difference comes from either arm; all of it from the first if that is skewed.
        let mut quality = |shift: f64, is_first: bool| -> Vec<Vec<f64>> {
            let of_group: Vec<f64> = (0..GROUPS)
                .map(|_| match self.measure {
                    Measure::Skewed if is_first => rarely(normal(1.0), 0.6),
                    Measure::Skewed => 0.0,
                    _ => normal(0.3),
                })
                .collect();
            let of_seed: Vec<f64> = (0..self.seeds).map(|_| normal(self.seed_variance / 2.0)).collect();
            let mut question = |&group: &usize| {
                let fixed = shift + hardness[group] + of_group[group] + normal(0.1);
                of_seed.iter().map(|seed| fixed + seed + normal(0.1)).collect()
            };
            groups.iter().map(&mut question).collect()
        };
        let (first, second) = (quality(shift, true), quality(0.0, false));
        let mut rows = |side: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            side.into_iter()
                .map(|seeds| seeds.into_iter().flat_map(|value| self.row(value, &mut rng)).collect())
                .collect()
        };
        Paired {
            aggregation: if self.measure == Measure::Bleu { Aggregation::Bleu } else { Aggregation::Mean },
            pairs: self.seeds,
            seeds: (0..self.seeds).map(|seed| vec![seed]).collect(),
            first: rows(first),
            second: rows(second),
            units: groups,
            unpaired: 0,
        }
    }

    /// Measures an answer of a quality.
    fn row(self, quality: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match self.measure {
            Measure::Continuous | Measure::Skewed => vec![quality, 1.0],
            Measure::Binary => vec![f64::from(quality > 0.0), 1.0],
            Measure::Bleu => {
                let chance = 1.0 / (1.0 + (-1.0 - quality).exp());
                let length = rng.random_range(6..18_usize);
                let right: Vec<bool> = (0..length).map(|_| rng.random_bool(chance)).collect();
                let correct = (1..=4).map(|order| right.windows(order).filter(|words| !words.contains(&false)).count());
                let totals = (1..=4).map(|order| length + 1 - order);
                correct.chain(totals).chain([length, length]).map(|count| count as f64).collect()
            }
        }
    }

    fn infer(self, shift: f64, study: u64) -> Inference {
        infer(&self.draw(shift, study), Direction::Higher, RESAMPLING)
    }

    fn studies(self, shift: f64, studies: u64) -> Vec<Inference> {
        (0..studies).into_par_iter().map(|study| self.infer(shift, study)).collect()
    }
}

fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

/// Turns a standard normal value into one of two: in one case of ten far above zero, else a little below, with mean
/// zero and the given variance.
fn rarely(normal: f64, variance: f64) -> f64 {
    const CHANCE: f64 = 0.1;
    // Upper tenth of the normal distribution.
    let (is_high, odds) = (normal > 1.281_551_565_545, (1.0 - CHANCE) / CHANCE);
    if is_high { (variance * odds).sqrt() } else { -(variance / odds).sqrt() }
}

/// A share in per cent with its 95 % interval (Wilson 1927).
fn share(hits: usize, of: u64) -> String {
    let (n, p, z) = (of as f64, hits as f64 / of as f64, 1.96_f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let reach = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * p, 100.0 * (centre - reach), 100.0 * (centre + reach))
}

fn significant(inferences: &[Inference]) -> usize {
    inferences.iter().filter(|inference| inference.p().value < ALPHA).count()
}

/// The same study with every question as a unit of its own and its seeds as if there were no others.
fn by_question(cell: Cell, studies: u64) -> usize {
    let p = |study| {
        let mut paired = cell.draw(0.0, study);
        paired.units = (0..paired.first.len()).collect();
        paired.seeds = vec![(0..paired.pairs).collect()];
        infer(&paired, Direction::Higher, RESAMPLING).p().value
    };
    (0..studies).into_par_iter().filter(|&study| p(study) < ALPHA).count()
}

fn false_verdicts(studies: u64, measures: &[Measure], what: &str) {
    println!(
        "False verdicts in {studies} studies without an effect, {what}, in per cent with 95 % intervals; nominal 5:\n"
    );
    println!(
        "| Metric | Questions | Seeds differ | 1 seed | 2 seeds | 3 seeds | 4 seeds | 5 seeds | 5 seeds, question by question |"
    );
    println!("|---|---|---|--:|--:|--:|--:|--:|--:|");
    for &measure in measures {
        for sizes in [Sizes::Equal, Sizes::Unequal] {
            for seed_variance in [0.0, SEED_VARIANCE] {
                let cell = |seeds| Cell { measure, sizes, seeds, seed_variance };
                let rate = |seeds: usize| match seeds {
                    // What one seed says is about its models, which do differ.
                    1 if seed_variance > 0.0 => "\u{2013}".to_owned(),
                    seeds => share(significant(&cell(seeds).studies(0.0, studies)), studies),
                };
                let rates: Vec<String> =
                    (1..=5).map(rate).chain([share(by_question(cell(5), studies), studies)]).collect();
                let differ = if seed_variance > 0.0 { "yes" } else { "no" };
                println!("| {} | {} | {differ} | {} |", measure.label(), sizes.label(), rates.join(" | "));
            }
        }
    }
    println!();
}

/// How often an effect as large as the margin is taken for none.
fn false_margins(studies: u64) {
    const MARGIN: f64 = 1.0;
    println!(
        "False claims of \"not worse\" and \"equivalent\" in {studies} studies with an effect of just the margin, in per cent with 95 % intervals; nominal 5:\n"
    );
    println!("| Claim | Seeds differ | 1 seed | 2 seeds | 3 seeds | 5 seeds |");
    println!("|---|---|--:|--:|--:|--:|");
    for (name, shift) in [("not worse", -MARGIN), ("equivalent", MARGIN)] {
        for seed_variance in [0.0, SEED_VARIANCE] {
            let holds = |inference: &&Inference| {
                let inside = |margin: f64| inference.one_sided(margin).value < ALPHA;
                let above = inference.effect() > -MARGIN && inside(-MARGIN);
                above && (name == "not worse" || (inference.effect() < MARGIN && inside(MARGIN)))
            };
            let rate = |seeds: usize| {
                let cell = Cell { measure: Measure::Continuous, sizes: Sizes::Equal, seeds, seed_variance };
                match seeds {
                    1 if seed_variance > 0.0 => "\u{2013}".to_owned(),
                    _ => share(cell.studies(shift, studies).iter().filter(holds).count(), studies),
                }
            };
            let differ = if seed_variance > 0.0 { "yes" } else { "no" };
            println!("| {name} | {differ} | {} |", [1, 2, 3, 5].map(rate).join(" | "));
        }
    }
    println!();
}

fn false_families(studies: u64) {
    let cell = Cell { measure: Measure::Continuous, sizes: Sizes::Equal, seeds: 3, seed_variance: SEED_VARIANCE };
    let any = |study: u64| {
        let raw: Vec<f64> = (0..5).map(|claim| cell.infer(0.0, 5 * study + claim).p().value).collect();
        holm(&raw).into_iter().any(|p| p < ALPHA)
    };
    let hits = (0..studies).into_par_iter().filter(|&study| any(study)).count();
    println!("Any false verdict on five claims, three seeds that differ, after Holm: {}.\n", share(hits, studies));
}

/// Finds the shift of quality that moves the measure by `effect`; none where its scale ends before.
fn shift_for(cell: Cell, effect: f64) -> Option<f64> {
    let mean = |shift: f64| {
        let effects: Vec<f64> = (0..400_u64).into_par_iter().map(|study| cell.infer(shift, study).effect()).collect();
        moments::mean(&effects)
    };
    if cell.measure == Measure::Continuous {
        return Some(effect);
    }
    let none = mean(0.0);
    let (mut low, mut high) = (0.0, 8.0);
    if mean(high) - none < effect {
        return None;
    }
    for _ in 0..10 {
        let middle = f64::midpoint(low, high);
        if mean(middle) - none < effect { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

fn power(studies: u64) {
    println!(
        "Power at the minimum detectable effect, in {studies} studies, in per cent with 95 % intervals; promised 80:\n"
    );
    println!("| Metric | Seeds | Minimum detectable effect | Found |");
    println!("|---|--:|--:|--:|");
    for measure in [Measure::Continuous, Measure::Binary, Measure::Bleu] {
        for seeds in [1, 2, 3, 5] {
            let seed_variance = if seeds > 1 { SEED_VARIANCE } else { 0.0 };
            let cell = Cell { measure, sizes: Sizes::Equal, seeds, seed_variance };
            // What a study estimates, averaged over many: the components as they are.
            let components: Vec<_> = cell.studies(0.0, studies).iter().map(Inference::components).collect();
            let average =
                |variances: Vec<f64>, degrees: f64| Component { variance: moments::mean(&variances), degrees };
            let units = average(components.iter().map(|(units, _)| units.variance).collect(), components[0].0.degrees);
            let of_seeds = components[0].1.map(|first| {
                average(
                    components.iter().filter_map(|(_, seeds)| Some(seeds.as_ref()?.variance)).collect(),
                    first.degrees,
                )
            });
            let effect = detectable(units, of_seeds, ALPHA, POWER);
            let found = shift_for(cell, effect).map(|shift| significant(&cell.studies(shift, studies)));
            let found = found.map_or("no effect can be so large".to_owned(), |found| share(found, studies));
            println!("| {} | {seeds} | {effect:.3} | {found} |", measure.label());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let studies = match std::env::args().nth(1) {
        None => 1_000,
        Some(text) => {
            let number = text.parse::<u64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("STUDIES: expected a whole number above 0, found `{text}`"))?
        }
    };
    let alike = [Measure::Continuous, Measure::Binary, Measure::Bleu];
    false_verdicts(studies, &alike, "both arms of one law");
    false_families(studies);
    false_margins(studies);
    false_verdicts(studies, &[Measure::Skewed], "one arm of a skewed law with the same mean");
    power(studies);
    Ok(())
}
