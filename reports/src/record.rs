//! The contract between running and reporting: one row per measured value.

use serde::{Deserialize, Deserializer, Serialize};
pub use tutelage_metrics::metric::Direction;

/// Holds one value of one metric for one example of one trial (an arm at a seed).
///
/// A metric that is no mean over examples (BLEU, chrF) carries the example's sufficient
/// statistics in `counts`; its `value` is then the sentence-level score, and the corpus score is
/// computed from the summed counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the arm, as in [`crate::study::Arm::name`].
    pub arm: String,
    /// Seed of the trial.
    pub seed: u64,
    /// Evaluation set, as in [`crate::study::EvaluationSet::name`]; none where the experiment names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Identifier of the test example, unique in its set.
    pub example: String,
    /// What the example belongs to that others may belong to as well: a document, a term. Examples of one
    /// group are not independent of each other. The example's own identifier where there is no such thing.
    pub group: String,
    /// What the results of the set are divided by, such as a use-case; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
    /// Name of the metric, as in [`crate::study::Metric::name`].
    pub metric: String,
    /// The value, in `unit`. Not finite where the model diverged; `null` in JSON.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// Unit of the value (`fraction`, `0-100`, `nats/token`, ...).
    pub unit: String,
    /// Which way the metric improves.
    pub direction: Direction,
    /// Sufficient statistics of a corpus metric, or weights of a weighted mean; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<f64>,
}

/// Reads what JSON writes for a number that is not finite.
///
/// # Errors
/// Neither a number nor `null`.
pub fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(from).map(|value| value.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_set_and_stratum_say_nothing_of_them() {
        let row = concat!(
            r#"{"arm":"a","seed":1,"example":"q","group":"d","metric":"f1","value":0.5,"unit":"fraction","#,
            r#""direction":"higher"}"#
        );
        let record: Record = serde_json::from_str(row).unwrap();
        assert_eq!(
            (serde_json::to_string(&record).unwrap().as_str(), &record.set, &record.stratum),
            (row, &None, &None)
        );
        let whole =
            serde_json::to_string(&Record { set: Some("s".into()), stratum: Some("u".into()), ..record }).unwrap();
        assert!(whole.contains(r#""seed":1,"set":"s","example":"q","group":"d","stratum":"u","metric""#), "{whole}");
    }
}
