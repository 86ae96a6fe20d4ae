//! Compares means over items.

use super::pairs::{Grouping, Pair};
use super::{EffectResult, Found, TestResult, bootstrap_test, flip};
use crate::statistics::{
    Interval, P, Resampling, Units, bootstrap, effect, mcnemar::mcnemar, moments, paired_t::paired_t, sign,
    wilcoxon::wilcoxon,
};

/// Compares the means of both sides.
///
/// Over groups, ranks and signs are those of the groups' mean differences; t and d_z are of linearised
/// values, which makes their variance that of a mean over clusters ([`Units::variance`]).
pub(super) fn compare(pairs: &[Pair<'_>], grouping: &Grouping, resampling: Resampling) -> Found {
    let items: Vec<(f64, f64, usize)> =
        pairs.iter().zip(&grouping.of_pair).map(|(pair, &unit)| (pair.a.value, pair.b.value, unit)).collect();
    let units = Units::paired(items.iter().copied());
    let (sizes, means) = (grouping.sizes(), units.means());
    let difference = units.mean();
    let (ci, flips) = flip(&units, resampling);

    let sums: Vec<f64> = means.iter().zip(&sizes).map(|(mean, size)| mean * size).collect();
    let resampled = bootstrap::distribution(grouping.count, resampling, |drawn| {
        let (sum, size) = drawn.iter().fold((0.0, 0.0), |(sum, size), &unit| (sum + sums[unit], size + sizes[unit]));
        sum / size
    });
    let is_grouped = grouping.count < pairs.len();
    let linear = if is_grouped { linearised(&sums, &sizes, difference) } else { means.clone() };

    let ranks = wilcoxon(&means);
    let mut tests = vec![TestResult { test: "wilcoxon", statistic: ranks.statistic(), p: P::exact(ranks.p) }];
    if let Some(t) = paired_t(&linear, resampling.level) {
        tests.push(TestResult { test: "paired-t", statistic: t.t, p: P::exact(t.p) });
    }
    tests.push(flips);
    tests.extend(bootstrap_test(difference, &resampled));
    let counts = sign::counts(&means);
    let fewer = counts.positive.min(counts.negative) as f64;
    let p = P::exact(sign::sign(counts.positive, counts.negative));
    tests.push(TestResult { test: "sign", statistic: fewer, p });
    if !is_grouped && items.iter().all(|(a, b, _)| [a, b].into_iter().all(|&value| value == 0.0 || value == 1.0)) {
        let p = P::exact(mcnemar(counts.positive, counts.negative));
        tests.push(TestResult { test: "mcnemar", statistic: fewer, p });
    }
    let side = |of: fn(&Pair<'_>) -> f64| moments::mean(&pairs.iter().map(of).collect::<Vec<f64>>());
    Found {
        mean_a: side(|pair| pair.a.value),
        mean_b: side(|pair| pair.b.value),
        difference,
        ci,
        tests,
        effects: effects(&linear, &unit_means(&items, &sizes), resampling),
    }
}

/// Turns sums over units into one value each, whose mean is that of all items and whose variance that of
/// a ratio of sums: `mean + (sum - mean size) n / N` (Cochran 1977, "Sampling techniques", section 6.3).
fn linearised(sums: &[f64], sizes: &[f64], mean: f64) -> Vec<f64> {
    let scale = sums.len() as f64 / sizes.iter().sum::<f64>();
    sums.iter().zip(sizes).map(|(sum, size)| mean + (sum - mean * size) * scale).collect()
}

/// Returns the mean of each unit on both sides.
fn unit_means(items: &[(f64, f64, usize)], sizes: &[f64]) -> [Vec<f64>; 2] {
    let side = |of: fn(&(f64, f64, usize)) -> f64| {
        let mut members: Vec<Vec<f64>> = vec![Vec::new(); sizes.len()];
        for item in items {
            members[item.2].push(of(item));
        }
        members.iter().map(|values| moments::mean(values)).collect()
    };
    [side(|item| item.0), side(|item| item.1)]
}

fn effects(differences: &[f64], [first, second]: &[Vec<f64>; 2], resampling: Resampling) -> Vec<EffectResult> {
    let mut effects = Vec::new();
    if let Some((value, ci)) = effect::d_z(differences, resampling.level) {
        effects.push(EffectResult { effect: "d-z", value, ci });
    }
    // Each resample sorts; a tenth of the resamples is enough for limits of two digits.
    let fewer = Resampling { resamples: (resampling.resamples / 10).max(1), ..resampling };
    let deltas = bootstrap::distribution(first.len(), fewer, |drawn| {
        let pick = |side: &[f64]| drawn.iter().map(|&unit| side[unit]).collect::<Vec<f64>>();
        effect::cliffs_delta(&pick(first), &pick(second))
    });
    let delta = bootstrap::percentile(&deltas, resampling.level);
    effects.push(EffectResult { effect: "cliffs-delta", value: effect::cliffs_delta(first, second), ci: delta });
    effects.push(EffectResult {
        effect: "a12",
        value: effect::a12(first, second),
        ci: Interval { low: (delta.low + 1.0) / 2.0, high: (delta.high + 1.0) / 2.0 },
    });
    effects
}
