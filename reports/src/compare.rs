//! Two lists of scores, compared without a study.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::statistics::{
    Interval, Resampling, Units, bootstrap, effect, mcnemar::mcnemar, moments, paired_t::paired_t,
    permutation::permutation, sign, wilcoxon::wilcoxon,
};
use crate::{Error, Result};

/// Compares two lists of scores of the same items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Number of paired items.
    pub n: usize,
    /// Mean of the first list over paired items.
    pub mean_a: f64,
    /// Mean of the second list over paired items.
    pub mean_b: f64,
    /// `mean_a - mean_b`.
    pub difference: f64,
    /// Paired BCa bootstrap interval of the difference.
    pub ci: Interval,
    /// Two-sided tests that are defined for these scores.
    pub tests: Vec<TestResult>,
    /// Sizes of the effect.
    pub effects: Vec<EffectResult>,
    /// Items that only one list has; they take no part.
    pub unpaired: usize,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestResult {
    /// `wilcoxon`, `paired-t`, `permutation`, `bootstrap`, `sign` or `mcnemar`.
    pub test: &'static str,
    /// The statistic; its meaning goes by the test.
    pub statistic: f64,
    /// Two-sided p value.
    pub p: f64,
}

/// One effect size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectResult {
    /// `d-z`, `cliffs-delta` or `a12`.
    pub effect: &'static str,
    /// Its value.
    pub value: f64,
    /// Its confidence interval.
    pub ci: Interval,
}

/// Pairs two lists by identifier and compares them.
///
/// # Errors
/// When an identifier is given twice in one list, or fewer than two are in both.
pub fn compare(a: &[(String, f64)], b: &[(String, f64)], resampling: Resampling) -> Result<Comparison> {
    let (a, b) = (by_id(a, "first")?, by_id(b, "second")?);
    let shared: Vec<(f64, f64)> = a.iter().filter_map(|(id, value)| b.get(id).map(|other| (*value, *other))).collect();
    if shared.len() < 2 {
        return Err(Error::Comparison(format!(
            "the lists share {} of {} and {} identifiers, expected at least 2",
            shared.len(),
            a.len(),
            b.len()
        )));
    }
    let unpaired = a.len() + b.len() - 2 * shared.len();
    let (first, second): (Vec<f64>, Vec<f64>) = shared.into_iter().unzip();
    let differences = first.iter().zip(&second).map(|(a, b)| a - b).collect::<Vec<f64>>();
    Ok(Comparison {
        n: first.len(),
        mean_a: moments::mean(&first),
        mean_b: moments::mean(&second),
        difference: moments::mean(&differences),
        ci: bootstrap::mean_interval(&differences, resampling),
        tests: tests(&first, &second, &differences, resampling),
        effects: effects(&first, &second, &differences, resampling),
        unpaired,
    })
}

fn by_id<'a>(list: &'a [(String, f64)], which: &str) -> Result<BTreeMap<&'a str, f64>> {
    let mut values = BTreeMap::new();
    for (id, value) in list {
        if !value.is_finite() {
            return Err(Error::Comparison(format!(
                "`{id}` in the {which} list: expected a finite number, found {value}"
            )));
        }
        if values.insert(id.as_str(), *value).is_some() {
            return Err(Error::Comparison(format!("identifier `{id}` twice in the {which} list")));
        }
    }
    Ok(values)
}

fn tests(first: &[f64], second: &[f64], differences: &[f64], resampling: Resampling) -> Vec<TestResult> {
    let mut tests = Vec::new();
    let ranks = wilcoxon(differences);
    tests.push(TestResult { test: "wilcoxon", statistic: ranks.statistic(), p: ranks.p });
    if let Some(t) = paired_t(differences, resampling.level) {
        tests.push(TestResult { test: "paired-t", statistic: t.t, p: t.p });
    }
    let signs = permutation(&Units::each(differences), resampling);
    tests.push(TestResult { test: "permutation", statistic: signs.mean, p: signs.p().value });
    tests.extend(bootstrap_test(differences, resampling));
    let counts = sign::counts(differences);
    tests.push(TestResult {
        test: "sign",
        statistic: counts.positive.min(counts.negative) as f64,
        p: sign::sign(counts.positive, counts.negative),
    });
    if first.iter().chain(second).all(|&value| value == 0.0 || value == 1.0) {
        tests.push(TestResult {
            test: "mcnemar",
            statistic: counts.positive.min(counts.negative) as f64,
            p: mcnemar(counts.positive, counts.negative),
        });
    }
    tests
}

/// Tests whether the mean difference is zero by a bootstrap shifted to that hypothesis, two-sided.
///
/// Efron and Tibshirani (1993), "An introduction to the bootstrap", section 16.4, with the mean as
/// statistic: p is the share of `m` resampled means that are as far from the observed mean as that
/// is from zero, `(b + 1) / (m + 1)`. None where differences do not vary: nothing is resampled then.
fn bootstrap_test(differences: &[f64], resampling: Resampling) -> Option<TestResult> {
    if moments::variance(differences) == 0.0 {
        return None;
    }
    let observed = moments::mean(differences);
    let means = bootstrap::distribution(differences.len(), resampling, |items| {
        items.iter().map(|&item| differences[item]).sum::<f64>() / items.len() as f64
    });
    let reach = observed.abs() * (1.0 - 1e-12);
    let hits = means.iter().filter(|mean| (*mean - observed).abs() >= reach).count();
    Some(TestResult { test: "bootstrap", statistic: observed, p: (hits + 1) as f64 / (means.len() + 1) as f64 })
}

fn effects(first: &[f64], second: &[f64], differences: &[f64], resampling: Resampling) -> Vec<EffectResult> {
    let mut effects = Vec::new();
    if let Some((value, ci)) = effect::d_z(differences, resampling.level) {
        effects.push(EffectResult { effect: "d-z", value, ci });
    }
    // Each resample sorts; a tenth of the resamples is enough for limits of two digits.
    let fewer = Resampling { resamples: (resampling.resamples / 10).max(1), ..resampling };
    let deltas = bootstrap::distribution(first.len(), fewer, |items| {
        let pick = |side: &[f64]| items.iter().map(|&item| side[item]).collect::<Vec<f64>>();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::expected::{close, expected, numbers};

    fn list(values: &[f64]) -> Vec<(String, f64)> {
        let named = values.iter().enumerate();
        named.map(|(index, value)| (format!("q{index}"), *value)).collect()
    }

    #[test]
    fn tests_agree_with_scipy_whatever_the_order() {
        for case in expected()["paired"].as_array().unwrap() {
            let a = list(&numbers(&case["a"]));
            let mut b = list(&numbers(&case["b"]));
            b.reverse();
            let result = compare(&a, &b, Resampling::default()).unwrap();
            let p = |name: &str| result.tests.iter().find(|test| test.test == name).unwrap().p;
            assert_eq!(result.n, a.len());
            // As SciPy gives it for the same numbers: ties are equal differences.
            close(p("wilcoxon"), case["wilcoxon"]["p"].as_f64().unwrap(), 1e-9);
            close(p("paired-t"), case["paired_t"]["p"].as_f64().unwrap(), 1e-9);
            close(p("sign"), case["sign"]["p"].as_f64().unwrap(), 1e-9);
            assert!((p("bootstrap") - p("paired-t")).abs() < 0.03, "{} {}", p("bootstrap"), p("paired-t"));
            assert!(result.ci.low < result.difference && result.difference < result.ci.high);
            assert!(result.tests.iter().all(|test| test.test != "mcnemar"));
            assert_eq!(result.effects.len(), 3);
        }
    }

    #[test]
    fn differences_that_do_not_vary_have_no_t_no_bootstrap_test_and_no_d() {
        let (a, b) = (list(&[0.3; 10]), list(&[0.2; 10]));
        let result = compare(&a, &b, Resampling::default()).unwrap();
        let tests: Vec<&str> = result.tests.iter().map(|test| test.test).collect();
        assert_eq!(tests, ["wilcoxon", "permutation", "sign"]);
        // All ten point one way: 2 / 2^10 whichever way it is counted.
        assert!(result.tests.iter().all(|test| (test.p - 2.0 / 1024.0).abs() < 1e-12));
        assert_eq!(result.ci.low, result.ci.high);
        assert!(result.effects.iter().all(|effect| effect.effect != "d-z"));
        let same = compare(&a, &a, Resampling::default()).unwrap();
        assert!(same.tests.iter().all(|test| test.p == 1.0), "{:?}", same.tests);
    }

    #[test]
    fn right_and_wrong_also_get_mcnemar() {
        let a = list(&[1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        let b = list(&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        let result = compare(&a, &b, Resampling::default()).unwrap();
        let test = result.tests.last().unwrap();
        assert_eq!(test.test, "mcnemar");
        close(test.p, 0.25, 1e-12);
    }

    #[test]
    fn strangers_and_doubles_are_told() {
        let a = list(&[0.1, 0.2, 0.3]);
        let b = vec![("q0".to_owned(), 0.5), ("z".to_owned(), 0.1)];
        let error = compare(&a, &b, Resampling::default()).unwrap_err().to_string();
        assert_eq!(error, "the lists share 1 of 3 and 2 identifiers, expected at least 2");
        let twice = [a.clone(), a.clone()].concat();
        let error = compare(&twice, &a, Resampling::default()).unwrap_err().to_string();
        assert_eq!(error, "identifier `q0` twice in the first list");
    }
}
