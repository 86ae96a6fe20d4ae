//! Which values may stand side by side: a value per token compares models of one vocabulary only.
//!
//! Cut into more tokens, the same text with the same probability has less nats in each of them. Between
//! vocabularies the likelihood of whole answers compares, or that of a byte (`bits-per-byte`).

use std::collections::BTreeMap;

use tutelage_metrics::metric::is_per_token;

use crate::study::{Metric, Study};

/// The metric that compares likelihoods across vocabularies.
const REMEDY: &str = "bits-per-byte";

/// Vocabulary of an arm's model: its id or, where that is not known, the model alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Vocabulary<'s> {
    Known(&'s str),
    OfModel(&'s str),
}

/// Returns the model of an arm and its vocabulary.
fn of<'s>(study: &'s Study, arm: &'s str) -> (&'s str, Vocabulary<'s>) {
    let model = study.arms.iter().find(|known| known.name == arm).map_or(arm, |arm| arm.model.as_str());
    let known = study.models.iter().find(|known| known.name == model).map(|model| model.vocabulary_id.as_str());
    let vocabulary = known.filter(|id| !id.is_empty()).map_or(Vocabulary::OfModel(model), Vocabulary::Known);
    (model, vocabulary)
}

/// Divides arms into those whose values on a metric compare with one another, by place among `arms`: all
/// of them, but by vocabulary where the metric is per token.
pub fn groups(study: &Study, metric: &Metric, arms: &[&str]) -> Vec<Vec<usize>> {
    if !is_per_token(&metric.unit) {
        return vec![(0..arms.len()).collect()];
    }
    let mut groups: BTreeMap<Vocabulary<'_>, Vec<usize>> = BTreeMap::new();
    for (place, arm) in arms.iter().enumerate() {
        groups.entry(of(study, arm).1).or_default().push(place);
    }
    groups.into_values().collect()
}

/// Says whether two arms' values on a metric compare.
pub fn compares(study: &Study, metric: &Metric, first: &str, second: &str) -> bool {
    !is_per_token(&metric.unit) || of(study, first).1 == of(study, second).1
}

/// Checks that the arms of each pair compare on a metric.
///
/// # Errors
/// Which two models do not, and on what they would.
pub fn check(study: &Study, metric: &Metric, pairs: &[(&str, &str)]) -> Result<(), String> {
    check_unit(study, &study.label(metric), &metric.unit, pairs)
}

/// As [`check`] for any value by its name in tables and its unit.
///
/// # Errors
/// Which two models do not compare, and on what they would.
pub fn check_unit(study: &Study, label: &str, unit: &str, pairs: &[(&str, &str)]) -> Result<(), String> {
    let differ = |(first, second): &&(&str, &str)| of(study, first).1 != of(study, second).1;
    let Some((first, second)) = pairs.iter().find(differ).filter(|_| is_per_token(unit)) else {
        return Ok(());
    };
    let (first, second) = (of(study, first).0, of(study, second).0);
    Err(format!(
        "{label} is per token and the vocabularies of `{first}` and `{second}` differ: compare them on `{REMEDY}`"
    ))
}

/// Says whether the study's arms have values on a metric that do not all compare.
pub fn spans(study: &Study, metric: &Metric) -> bool {
    let arms: Vec<&str> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
    groups(study, metric, &arms).len() > 1
}

/// Returns what a table or figure of metrics has to say about vocabularies; none where all arms compare on
/// each.
pub fn note<'m>(study: &Study, metrics: impl IntoIterator<Item = &'m Metric>) -> Option<String> {
    let spanning = metrics.into_iter().filter(|metric| spans(study, metric));
    let labels: Vec<String> = spanning.map(|metric| study.label(metric)).collect();
    let words = match labels.as_slice() {
        [] => return None,
        [one] => format!("{one} is per token and compares"),
        several => format!("{} are per token and compare", several.join(" and ")),
    };
    let mut models: BTreeMap<Vocabulary<'_>, Vec<&str>> = BTreeMap::new();
    for arm in &study.arms {
        let (model, vocabulary) = of(study, &arm.name);
        let models = models.entry(vocabulary).or_default();
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let mut groups: Vec<String> = models.into_values().map(|models| models.join(", ")).collect();
    groups.sort();
    Some(format!(
        "{words} within one vocabulary only ({}): marks are given within each; across vocabularies, compare \
         {REMEDY}.",
        groups.join(" | ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Direction;
    use crate::study::tests::{arm, empty};
    use crate::study::{self, Aggregation, Arm, Model, Role};

    fn study() -> Study {
        let model = |name: &str, id: &str| Model {
            name: name.into(),
            architecture: "llama".into(),
            parameters: 1,
            vocabulary: 300,
            vocabulary_id: id.into(),
            origin: "trained from scratch".into(),
        };
        let of = |name: &str, model: &str| Arm { model: model.into(), ..arm(name, Role::Cell) };
        let mut study = empty();
        study.models = vec![model("s1", "a"), model("s2", "b"), model("s3", "a")];
        study.arms = vec![of("one", "s1"), of("two", "s2"), of("three", "s3"), of("four", "elsewhere")];
        study
    }

    fn metric(unit: &str) -> Metric {
        Metric {
            label: "Loss".into(),
            unit: unit.into(),
            direction: Direction::Lower,
            aggregation: Aggregation::WeightedMean,
            ..study::tests::metric("nll")
        }
    }

    #[test]
    fn values_per_token_compare_within_one_vocabulary() {
        let (study, loss, bits) = (study(), metric("nats/token"), metric("bits/byte"));
        assert!(compares(&study, &loss, "one", "three") && !compares(&study, &loss, "one", "two"));
        // Of a model that is not here nothing is known but that it is itself.
        assert!(compares(&study, &loss, "four", "four") && !compares(&study, &loss, "four", "one"));
        assert!(compares(&study, &bits, "one", "two") && !spans(&study, &bits));
        assert_eq!(groups(&study, &loss, &["one", "two", "three"]), [vec![0, 2], vec![1]]);
        assert_eq!(groups(&study, &bits, &["one", "two"]), [vec![0, 1]]);
        let problem = check(&study, &loss, &[("one", "three"), ("three", "two")]).unwrap_err();
        assert_eq!(
            problem,
            "Loss is per token and the vocabularies of `s3` and `s2` differ: compare them on `bits-per-byte`"
        );
        assert!(check(&study, &bits, &[("one", "two")]).is_ok());
    }

    #[test]
    fn a_table_says_which_models_compare() {
        let study = study();
        let (loss, bits) = (metric("nats/token"), metric("bits/byte"));
        let one = note(&study, [&bits, &loss]).unwrap();
        assert!(one.starts_with("Loss is per token and compares within") && one.contains("bits-per-byte"), "{one}");
        assert!(one.contains("(elsewhere | s1, s3 | s2)"), "{one}");
        let perplexity = Metric { label: "Perplexity".into(), ..metric("perplexity/token") };
        let both = note(&study, [&loss, &perplexity]).unwrap();
        assert!(both.starts_with("Loss and Perplexity are per token and compare within"), "{both}");
        assert_eq!(note(&study, [&bits]), None);
    }
}
