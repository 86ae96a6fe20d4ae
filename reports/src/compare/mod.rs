//! Two lists of scores, compared without a study.
//!
//! `pairs` brings the lists together and says what counts as independent; then either `means` of
//! examples are compared or the scores of a `corpus`.

mod corpus;
mod means;
mod pairs;

use serde::Serialize;

use crate::number::counted;
use crate::statistics::permutation::permutation;
use crate::statistics::{Interval, P, Resampling, Units, moments};
use crate::{Error, Result};

/// Holds the value of one item on one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// Identifier, by which the sides are paired.
    pub id: String,
    /// Value of the item; of BLEU and chrF, the sentence score.
    pub value: f64,
    /// What items share that do not count as independent, such as a document.
    pub group: Option<String>,
    /// Sufficient statistics of a corpus metric, else empty.
    pub counts: Vec<f64>,
}

/// Says what counts as independent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Independent {
    /// Groups where items have them, else items.
    #[default]
    Groups,
    /// Items, whatever group they are of.
    Items,
}

/// Says what is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The score of the whole corpus, from summed counts.
    Corpus,
    /// The mean of the values of examples.
    Example,
}

/// Compares two lists of scores of the same items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of what is compared: `sentence-bleu` for the mean of sentence scores, where `bleu` is the
    /// score of a corpus.
    pub metric: String,
    /// Whether corpus scores or means over examples are compared.
    pub level: Level,
    /// What counts as independent: `group` or `question`.
    pub unit: &'static str,
    /// Number of units.
    pub units: usize,
    /// Number of paired items.
    pub n: usize,
    /// Corpus score of the first list, or its mean, over paired items.
    pub mean_a: f64,
    /// Corpus score of the second list, or its mean, over paired items.
    pub mean_b: f64,
    /// `mean_a - mean_b`.
    pub difference: f64,
    /// The differences that the permutation test does not reject; without limits (null in JSON) where
    /// there are too few units to reject any.
    pub ci: Interval,
    /// Two-sided tests that are defined for these scores.
    pub tests: Vec<TestResult>,
    /// Sizes of the effect.
    pub effects: Vec<EffectResult>,
    /// Items that only one list has; they take no part.
    pub unpaired: usize,
    /// What a reader of the numbers must know.
    pub notes: Vec<String>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestResult {
    /// `wilcoxon`, `paired-t`, `permutation`, `bootstrap`, `sign` or `mcnemar`; of a corpus score
    /// `permutation`, `randomisation`, `bootstrap` or `sacrebleu-bootstrap`.
    pub test: &'static str,
    /// The statistic; its meaning goes by the test.
    pub statistic: f64,
    /// Two-sided p value.
    pub p: P,
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

/// Pairs two lists of values of `metric` by identifier and compares them.
///
/// BLEU and chrF are compared as scores of the corpus where all items carry their counts, else by the
/// mean of sentence scores, which a note and another name of the metric then say. Units are flipped,
/// resampled and ranked whole: groups where items have them, else items.
///
/// # Errors
/// When an identifier is given twice in one list, fewer than two are in both or more than half are not,
/// the lists disagree on a group or name one for some items only, or all items are of one group.
pub fn compare(
    metric: &str,
    a: &[Item],
    b: &[Item],
    independent: Independent,
    resampling: Resampling,
) -> Result<Comparison> {
    let mut notes = Vec::new();
    let pairs = pairs::pair(a, b, &mut notes)?;
    let grouping = pairs::group(&pairs, independent, &mut notes)?;
    if grouping.count < 2 {
        let text = format!("all {} are of one group: nothing says how others would differ", pairs.len());
        return Err(Error::Comparison(text));
    }
    let aggregation = corpus::aggregation(metric, &pairs, &mut notes)?;
    let found = match aggregation {
        Some(aggregation) => corpus::compare(&pairs, &grouping, aggregation, resampling),
        None => means::compare(&pairs, &grouping, resampling),
    };
    if !(found.ci.low.is_finite() && found.ci.high.is_finite()) {
        let (units, alpha) = (counted(grouping.count, grouping.unit), 1.0 - resampling.level);
        notes.push(format!("{units} are too few for an interval and for p below {alpha:.2}"));
    }
    let is_sentence = aggregation.is_none() && corpus::is_of_corpus(metric);
    Ok(Comparison {
        metric: if is_sentence { format!("sentence-{metric}") } else { metric.to_owned() },
        level: if aggregation.is_some() { Level::Corpus } else { Level::Example },
        unit: grouping.unit,
        units: grouping.count,
        n: pairs.len(),
        mean_a: found.mean_a,
        mean_b: found.mean_b,
        difference: found.difference,
        ci: found.ci,
        tests: found.tests,
        effects: found.effects,
        unpaired: a.len() + b.len() - 2 * pairs.len(),
        notes,
    })
}

/// The numbers of a comparison.
struct Found {
    mean_a: f64,
    mean_b: f64,
    difference: f64,
    ci: Interval,
    tests: Vec<TestResult>,
    effects: Vec<EffectResult>,
}

/// The test that effect and interval belong to, by flipping the signs of units.
fn flip(units: &Units, resampling: Resampling) -> (Interval, TestResult) {
    let flips = permutation(units, resampling);
    let test = TestResult { test: "permutation", statistic: flips.mean, p: flips.p() };
    (flips.interval(1.0 - resampling.level), test)
}

/// Tests whether a difference is zero by a bootstrap shifted to that hypothesis, two-sided.
///
/// Efron and Tibshirani (1993), "An introduction to the bootstrap", section 16.4: p is the share of `m`
/// `resampled` differences that are as far from the observed one as that is from zero,
/// `(b + 1) / (m + 1)`. None where resampling changes nothing.
fn bootstrap_test(observed: f64, resampled: &[f64]) -> Option<TestResult> {
    if moments::variance(resampled) == 0.0 {
        return None;
    }
    let reach = observed.abs() * (1.0 - 1e-12);
    let hits = resampled.iter().filter(|value| (*value - observed).abs() >= reach).count();
    Some(TestResult { test: "bootstrap", statistic: observed, p: P::resampled(hits, resampled.len()) })
}
#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tutelage_metrics::ngram::tokenizer::Tokenizer;
    use tutelage_metrics::ngram::{bleu, chrf};

    use super::*;
    use crate::statistics::expected::{close, expected, numbers};

    fn list(values: &[f64]) -> Vec<Item> {
        let named = values.iter().enumerate();
        named.map(|(index, value)| Item { id: format!("q{index}"), value: *value, ..Item::default() }).collect()
    }

    fn grouped(values: &[f64], group: impl Fn(usize) -> usize) -> Vec<Item> {
        let mut items = list(values);
        for (index, item) in items.iter_mut().enumerate() {
            item.group = Some(format!("g{}", group(index)));
        }
        items
    }

    fn compared(a: &[Item], b: &[Item]) -> Comparison {
        compare("f1", a, b, Independent::Groups, Resampling::default()).unwrap()
    }

    fn told(a: &[Item], b: &[Item]) -> String {
        compare("f1", a, b, Independent::Groups, Resampling::default()).unwrap_err().to_string()
    }

    fn p(result: &Comparison, name: &str) -> f64 {
        result.tests.iter().find(|test| test.test == name).unwrap().p.value
    }

    #[test]
    fn tests_agree_with_scipy_whatever_the_order() {
        for case in expected()["paired"].as_array().unwrap() {
            let a = list(&numbers(&case["a"]));
            let mut b = list(&numbers(&case["b"]));
            b.reverse();
            let result = compared(&a, &b);
            assert_eq!(
                (result.n, result.units, result.unit, result.level),
                (a.len(), a.len(), "question", Level::Example)
            );
            // As SciPy gives it for the same numbers: ties are equal differences.
            close(p(&result, "wilcoxon"), case["wilcoxon"]["p"].as_f64().unwrap(), 1e-9);
            close(p(&result, "paired-t"), case["paired_t"]["p"].as_f64().unwrap(), 1e-9);
            close(p(&result, "sign"), case["sign"]["p"].as_f64().unwrap(), 1e-9);
            assert!((p(&result, "bootstrap") - p(&result, "paired-t")).abs() < 0.03);
            assert!(result.ci.low < result.difference && result.difference < result.ci.high);
            assert_eq!(p(&result, "permutation") < 0.05, result.ci.low > 0.0 || result.ci.high < 0.0);
            assert!(result.tests.iter().all(|test| test.test != "mcnemar"));
            assert_eq!((result.effects.len(), result.notes.len()), (3, 0));
        }
    }

    #[test]
    fn one_huge_value_hides_no_small_difference() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut b: Vec<f64> = (0..40).map(|_| random.random_range(2.0..6.0)).collect();
        let mut a: Vec<f64> = b.iter().map(|value| value + random.random_range(0.05..0.3)).collect();
        let mean = a.iter().zip(&b).map(|(a, b)| a - b).sum::<f64>() / 41.0;
        a.push(25_f64.exp());
        b.push(25_f64.exp());
        let result = compared(&list(&a), &list(&b));
        assert!((result.difference - mean).abs() < 1e-9);
        // All forty of one sign, one zero: z of rank sums 0 and 820.
        close(p(&result, "wilcoxon"), 3.57e-8, 1e-9);
        assert!(p(&result, "permutation") < 1e-3 && result.ci.low > 0.1);
    }

    #[test]
    fn differences_that_do_not_vary_have_no_t_no_bootstrap_test_and_no_d() {
        let (a, b) = (list(&[0.3; 10]), list(&[0.2; 10]));
        let result = compared(&a, &b);
        let tests: Vec<&str> = result.tests.iter().map(|test| test.test).collect();
        assert_eq!(tests, ["wilcoxon", "permutation", "sign"]);
        // All ten point one way: 2 / 2^10 whichever way it is counted.
        assert!(result.tests.iter().all(|test| (test.p.value - 2.0 / 1024.0).abs() < 1e-12), "{:?}", result.tests);
        assert!((result.ci.high - result.ci.low).abs() < 1e-12);
        assert!(result.effects.iter().all(|effect| effect.effect != "d-z"));
        let same = compared(&a, &a);
        assert!(same.tests.iter().all(|test| test.p.value == 1.0), "{:?}", same.tests);
    }

    #[test]
    fn right_and_wrong_also_get_mcnemar() {
        let (a, b) = ([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        close(p(&compared(&list(&a), &list(&b)), "mcnemar"), 0.25, 1e-12);
        let of_groups = compared(&grouped(&a, |index| index / 2), &grouped(&b, |index| index / 2));
        assert!(of_groups.tests.iter().all(|test| test.test != "mcnemar"), "{:?}", of_groups.tests);
    }

    #[test]
    fn few_units_reject_nothing_and_say_so() {
        let result = compared(&list(&[1.0, 0.9, 0.8, 0.7]), &list(&[0.0; 4]));
        assert_eq!((result.ci.low, result.ci.high), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(result.notes, ["4 questions are too few for an interval and for p below 0.05"]);
    }

    #[test]
    fn a_question_in_each_group_is_no_group() {
        let case = &expected()["paired"][1];
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        let plain = compared(&list(&a), &list(&b));
        let single = compared(&grouped(&a, |index| index), &list(&b));
        assert_eq!((single.unit, single.units), ("group", a.len()));
        assert_eq!((plain.tests, plain.effects, plain.ci), (single.tests, single.effects, single.ci));
    }

    /// 25 groups of 6 questions whose differences share 60 % of their variance, and no effect.
    fn correlated(random: &mut ChaCha8Rng) -> [Vec<f64>; 2] {
        let mut normal = || (0..12).map(|_| random.random_range(-0.5..0.5)).sum::<f64>();
        let mut sides = [Vec::new(), Vec::new()];
        for _ in 0..25 {
            let shared = normal() * 0.6_f64.sqrt();
            for _ in 0..6 {
                let ease = normal();
                sides[0].push(ease + shared + normal() * 0.4_f64.sqrt());
                sides[1].push(ease);
            }
        }
        sides
    }

    #[test]
    fn questions_of_one_group_do_not_count_as_independent() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let resampling = Resampling { resamples: 400, ..Resampling::default() };
        let mut found: std::collections::BTreeMap<&str, [u32; 2]> = std::collections::BTreeMap::new();
        for _ in 0..200 {
            let [a, b] = correlated(&mut random).map(|values| grouped(&values, |index| index / 6));
            for (side, independent) in [Independent::Groups, Independent::Items].into_iter().enumerate() {
                let result = compare("f1", &a, &b, independent, resampling).unwrap();
                for test in &result.tests {
                    found.entry(test.test).or_default()[side] += u32::from(test.p.value < 0.05);
                }
            }
        }
        let names: Vec<&str> = found.keys().copied().collect();
        assert_eq!(names, ["bootstrap", "paired-t", "permutation", "sign", "wilcoxon"]);
        // 5 % of 200 are 10, and three standard errors are 9.
        for (test, [groups, items]) in found {
            assert!(groups <= 19, "{test}: {groups} of 200 by groups");
            assert!(items > 40, "{test}: {items} of 200 by questions, which the simulation should show to be wrong");
        }
    }

    #[test]
    fn units_are_told_and_must_agree() {
        let values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.6];
        let (a, b) = (grouped(&values, |index| index / 2), list(&[0.2; 8]));
        let result = compared(&a, &b);
        assert_eq!((result.unit, result.units, result.n), ("group", 4, 8));
        let items = compare("f1", &a, &b, Independent::Items, Resampling::default()).unwrap();
        assert_eq!((items.unit, items.units), ("question", 8));
        assert_eq!(items.notes, ["questions are counted as independent, though they are of 4 groups"]);
        let other = grouped(&values, |index| index / 3);
        assert_eq!(told(&a, &other), "`q2` is of group `g1` in the first list, of `g0` in the second");
        let mut some = a.clone();
        assert_eq!(told(&grouped(&values, |_| 0), &b), "all 8 are of one group: nothing says how others would differ");
        some[5].group = None;
        assert_eq!(told(&some, &b), "7 of 8 ids have a group, `q5` has none: expected all or none");
    }

    #[test]
    fn groups_of_unequal_size_weigh_by_their_questions() {
        // Means 1 and -0.2 over 1 and 5 questions: 0 over all.
        let values = [1.0, -0.2, -0.2, -0.2, -0.2, -0.2];
        let result = compared(&grouped(&values, |index| index.min(1)), &list(&[0.0; 6]));
        assert!(result.difference.abs() < 1e-12 && (result.mean_a - result.difference).abs() < 1e-12);
        assert_eq!(p(&result, "permutation"), 1.0);
    }

    /// The sides of a case of the fixture from sacrebleu, by metric.
    fn corpus(case: &serde_json::Value, metric: &str) -> [Vec<Item>; 2] {
        let texts = |name: &str| case[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
        ["a", "b"].map(|side| {
            texts(side)
                .zip(texts("references"))
                .enumerate()
                .map(|(index, (prediction, reference))| {
                    let counts = match metric {
                        "bleu" => bleu::counts(Tokenizer::default(), prediction, &[reference]),
                        "chrf" => chrf::counts(chrf::Variant::Characters, prediction, &[reference]),
                        _ => chrf::counts(chrf::Variant::CharactersAndWords, prediction, &[reference]),
                    };
                    let value =
                        if metric == "bleu" { bleu::sentence_from_counts(&counts) } else { chrf::from_counts(&counts) };
                    Item { id: index.to_string(), value, counts, group: None }
                })
                .collect()
        })
    }

    fn cases() -> Vec<serde_json::Value> {
        serde_json::from_str(include_str!("../../tests/fixtures/corpus/paired.json")).unwrap()
    }

    #[test]
    fn scores_of_a_corpus_are_compared_as_by_sacrebleu() {
        let resampling = Resampling::default();
        for case in cases() {
            for metric in ["bleu", "chrf", "chrf++"] {
                let [a, b] = corpus(&case, metric);
                let result = compare(metric, &a, &b, Independent::Groups, resampling).unwrap();
                let wanted = |name: &str| case["expected"][metric][name].as_f64().unwrap();
                assert_eq!((result.metric.as_str(), result.level), (metric, Level::Corpus));
                close(result.mean_a, wanted("a"), 1e-9);
                close(result.mean_b, wanted("b"), 1e-9);
                close(result.difference, wanted("a") - wanted("b"), 1e-9);
                // Both are random: four standard errors of two shares of 10,000 and 20,000.
                for (ours, theirs) in [("randomisation", "randomisation"), ("sacrebleu-bootstrap", "bootstrap")] {
                    let (found, wanted) = (p(&result, ours), wanted(theirs));
                    let error = (wanted * (1.0 - wanted) * (1e-4 + 5e-5)).sqrt();
                    assert!((found - wanted).abs() < 4.0 * error + 2e-4, "{metric} {ours}: {found}, {wanted}");
                }
                let [flips, swaps] = ["permutation", "randomisation"].map(|name| p(&result, name));
                assert!((flips - swaps).abs() < 0.05, "{metric}: {flips} {swaps}");
                assert!(result.ci.low <= result.difference && result.difference <= result.ci.high);
                assert!(result.tests.iter().all(|test| !["wilcoxon", "sign", "paired-t"].contains(&test.test)));
            }
        }
    }

    #[test]
    fn without_counts_the_mean_of_sentences_is_called_so() {
        let [a, mut b] = corpus(&cases()[0], "bleu");
        let whole = compare("bleu", &a, &b, Independent::Groups, Resampling::default()).unwrap();
        b[3].counts = Vec::new();
        let sentences = compare("bleu", &a, &b, Independent::Groups, Resampling::default()).unwrap();
        assert_eq!((sentences.metric.as_str(), sentences.level), ("sentence-bleu", Level::Example));
        assert_eq!(
            sentences.notes,
            [
                "sentence-level: the mean of sentence scores, not the bleu of the corpus, for which all rows need `counts`"
            ]
        );
        assert!(whole.difference < -10.0 && sentences.difference > 5.0, "they disagree on who is better");
        b[3].counts = vec![1.0; 18];
        let error = compare("bleu", &a, &b, Independent::Groups, Resampling::default()).unwrap_err().to_string();
        assert!(error.starts_with("`3`: expected the 10 counts of bleu, none negative, found [1.0, "), "{error}");
    }

    #[test]
    fn groups_widen_the_comparison_of_a_corpus() {
        let [a, b] = corpus(&cases()[2], "chrf");
        let copies = |side: &[Item]| -> Vec<Item> {
            let copy = |copy: usize| {
                side.iter().map(move |item| Item {
                    id: format!("{} {copy}", item.id),
                    group: Some(item.id.clone()),
                    ..item.clone()
                })
            };
            (0..4).flat_map(copy).collect()
        };
        let single = compare("chrf", &a, &b, Independent::Groups, Resampling::default()).unwrap();
        let grouped = compare("chrf", &copies(&a), &copies(&b), Independent::Groups, Resampling::default()).unwrap();
        assert_eq!((grouped.n, grouped.units), (4 * single.n, single.n));
        // Four copies of each question know no more than one.
        close(grouped.ci.high - grouped.ci.low, single.ci.high - single.ci.low, 0.05);
        close(p(&grouped, "randomisation"), p(&single, "randomisation"), 0.02);
        let apart = compare("chrf", &copies(&a), &copies(&b), Independent::Items, Resampling::default()).unwrap();
        assert!(apart.ci.high - apart.ci.low < 0.6 * (single.ci.high - single.ci.low));
    }

    #[test]
    fn strangers_and_doubles_are_told() {
        let a = list(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
        let mut b = list(&[0.5, 0.1, 0.2, 0.4]);
        b.push(Item { id: "z".to_owned(), ..Item::default() });
        let result = compared(&a, &b);
        assert_eq!((result.n, result.unpaired), (4, 3));
        assert_eq!(
            result.notes[..2],
            [
                "2 of 6 ids are in the first list only and are left out: `q4`, `q5`",
                "1 of 5 ids are in the second list only and are left out: `z`"
            ]
        );
        let two = list(&[0.1, 0.2]);
        assert_eq!(told(&a, &two), "the lists share 2 of 6 and 2 identifiers, expected at least half of all");
        assert_eq!(told(&a, &two[..1]), "the lists share 1 of 6 and 1 identifiers, expected at least 2");
        let twice = [a.clone(), a.clone()].concat();
        assert_eq!(told(&twice, &a), "identifier `q0` twice in the first list");
    }
}
