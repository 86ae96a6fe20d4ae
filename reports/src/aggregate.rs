//! How the values of examples become one value.
//!
//! Every aggregation is a function of summed rows, one row of sufficient statistics per example.
//! Resampling then never needs to know which metric it works on: it sums other rows.

use tutelage_metrics::ngram::{bleu, chrf};

use crate::record::Record;
use crate::study::Aggregation;

/// Says what a record must hold for its aggregation, when it does not.
pub(crate) type Needs = &'static str;

impl Aggregation {
    /// Turns a record into its row of sufficient statistics.
    ///
    /// # Errors
    /// What the record lacks, in words.
    pub fn row(self, record: &Record) -> Result<Vec<f64>, Needs> {
        let weight = || match record.counts.first() {
            Some(weight) if *weight > 0.0 => Ok(*weight),
            _ => Err("expected a positive weight in `counts[0]`"),
        };
        match self {
            Self::Mean => Ok(vec![record.value, 1.0]),
            Self::WeightedMean => weight().map(|weight| vec![record.value * weight, weight]),
            Self::WeightedGeometricMean => {
                // exp of a large logarithm is no number any more, the logarithm is.
                let logarithm = record.counts.get(1).copied().unwrap_or_else(|| record.value.ln());
                if record.value <= 0.0 {
                    return Err("expected a positive `value` for a geometric mean");
                }
                weight().map(|weight| vec![logarithm * weight, weight])
            }
            Self::Bleu if record.counts.len() == bleu::COUNTS => Ok(record.counts.clone()),
            Self::Bleu => Err("expected the 10 counts of BLEU in `counts`"),
            Self::Chrf if matches!(record.counts.len(), 18 | 24) => Ok(record.counts.clone()),
            Self::Chrf => Err("expected the 18 counts of chrF or 24 of chrF++ in `counts`"),
        }
    }

    /// Computes the value of a corpus from the sum of its rows.
    pub fn value(self, sums: &[f64]) -> f64 {
        match self {
            Self::Mean | Self::WeightedMean => sums[0] / sums[1],
            Self::WeightedGeometricMean => (sums[0] / sums[1]).exp(),
            Self::Bleu => bleu::from_counts(sums),
            Self::Chrf => chrf::from_counts(sums),
        }
    }

    /// Says how much a summed row weighs: its questions; its tokens; of BLEU the tokens and of chrF the
    /// characters of its references.
    pub fn size(self, row: &[f64]) -> f64 {
        match self {
            Self::Mean | Self::WeightedMean | Self::WeightedGeometricMean => row[1],
            Self::Bleu => row[bleu::COUNTS - 1],
            Self::Chrf => row[1],
        }
    }

    /// Whether it is a mean of values, with or without weights.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::WeightedMean)
    }

    /// Says the formula in words, for the methods section; the length of an answer is in the metric's unit.
    /// An example is called so: `question`.
    pub fn describe(self, example: &str) -> String {
        match self {
            Self::Mean => format!("mean over {example}s"),
            Self::WeightedMean => "mean weighted by length".to_owned(),
            Self::WeightedGeometricMean => "exp of the mean log over tokens".to_owned(),
            Self::Bleu | Self::Chrf => "corpus score from summed counts".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Direction;

    fn record(value: f64, counts: &[f64]) -> Record {
        Record {
            arm: "a".into(),
            seed: 1,
            set: None,
            example: "q".into(),
            group: "q".into(),
            stratum: None,
            metric: "m".into(),
            value,
            unit: "fraction".into(),
            direction: Direction::Higher,
            counts: counts.to_vec(),
        }
    }

    fn over(aggregation: Aggregation, records: &[Record]) -> f64 {
        let rows: Vec<Vec<f64>> = records.iter().map(|r| aggregation.row(r).unwrap()).collect();
        let sums: Vec<f64> = (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).sum()).collect();
        aggregation.value(&sums)
    }

    #[test]
    fn weights_count_tokens() {
        let records = [record(1.0, &[3.0]), record(4.0, &[1.0])];
        assert_eq!(over(Aggregation::Mean, &records), 2.5);
        assert_eq!(over(Aggregation::WeightedMean, &records), 7.0 / 4.0);
    }

    #[test]
    fn perplexity_is_exp_of_the_mean_loss() {
        let (short, long) = (2.0_f64, 0.5_f64);
        let records = [record(short.exp(), &[10.0]), record(long.exp(), &[30.0])];
        let perplexity = over(Aggregation::WeightedGeometricMean, &records);
        assert!((perplexity - ((20.0 + 15.0) / 40.0_f64).exp()).abs() < 1e-12);
        // exp(800) is beyond f64; its logarithm stands beside the weight.
        let records = [record(f64::INFINITY, &[1.0, 800.0]), record(1.0, &[399.0, 0.0])];
        assert!((over(Aggregation::WeightedGeometricMean, &records) - 2_f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn missing_statistics_are_named() {
        assert!(Aggregation::Bleu.row(&record(0.0, &[])).is_err());
        assert!(Aggregation::WeightedMean.row(&record(1.0, &[0.0])).is_err());
        assert!(Aggregation::WeightedGeometricMean.row(&record(0.0, &[1.0])).is_err());
    }
}
