//! The interval of a share.

use super::Interval;

/// Computes the interval of a share in 0..=1 from `count` independent values, with the quantile `t`.
///
/// Wilson (1927), "Probable inference, the law of succession, and statistical inference": the shares that lie
/// within `t` of their own standard errors of the observed one. It stays within 0 and 1 and has a width also
/// where all values are equal. For values in groups, or that are no mere 0 or 1, `count` is the effective one,
/// [`effective_count`], and `t` Student's; Dean and Pagano (2015), "Evaluating confidence interval methods for
/// binomial proportions in clustered surveys".
pub fn wilson(share: f64, count: f64, t: f64) -> Interval {
    let square = t * t / count;
    let centre = (share + square / 2.0) / (1.0 + square);
    let reach = t / (1.0 + square) * ((share * (1.0 - share) / count).max(0.0) + square / (4.0 * count)).sqrt();
    // At 0 and 1 a limit is the share itself, but for rounding.
    Interval { low: (centre - reach).min(share), high: (centre + reach).max(share) }
}

/// Returns how many independent answers, right or wrong, would know a share as exactly as `units` units with
/// this `variance` of their mean; the number of units where they do not vary.
pub fn effective_count(share: f64, variance: f64, units: usize) -> f64 {
    let count = share * (1.0 - share) / variance;
    if count > 0.0 && count.is_finite() { count } else { units as f64 }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, ContinuousCDF, Discrete, StudentsT};

    use super::super::units::Units;
    use super::*;

    #[test]
    fn by_hand() {
        // statsmodels: proportion_confint(8, 10, method="wilson")
        let Interval { low, high } = wilson(0.8, 10.0, 1.959_963_984_540_054);
        assert!((low - 0.490_162_4).abs() < 1e-6 && (high - 0.943_317_8).abs() < 1e-6, "{low} {high}");
        let all = wilson(1.0, 30.0, 2.0);
        assert!((all.low - 30.0 / 34.0).abs() < 1e-12 && all.high == 1.0);
        assert_eq!(wilson(0.0, 30.0, 2.0).low, 0.0);
    }

    #[test]
    fn a_group_of_equal_answers_counts_once() {
        // Nine of twelve groups right, each of one or of five questions that agree: s^2 / 12 is 9/12 3/12 / 11.
        for size in [1, 5] {
            let items = (0..12 * size).map(|question| (f64::from(u8::from(question / size < 9)), 0.0, question / size));
            let units = Units::paired(items);
            assert!((effective_count(units.mean(), units.variance(), 12) - 11.0).abs() < 1e-9);
        }
        assert_eq!((effective_count(1.0, 0.0, 12), effective_count(0.4, 0.0, 12)), (12.0, 12.0));
    }

    #[test]
    fn it_covers_about_as_often_as_it_says_where_answers_are_few_and_nearly_all_right() {
        for questions in [20_u64, 30, 100] {
            let t = StudentsT::new(0.0, 1.0, questions as f64 - 1.0).unwrap().inverse_cdf(0.975);
            for share in [0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.95, 0.98] {
                let law = Binomial::new(share, questions).unwrap();
                let covers = |right: &u64| {
                    let values: Vec<f64> = (0..questions).map(|q| f64::from(u8::from(q < *right))).collect();
                    let units = Units::each(&values);
                    let count = effective_count(units.mean(), units.variance(), values.len());
                    let Interval { low, high } = wilson(units.mean(), count, t);
                    low <= share && share <= high
                };
                let covered: f64 = (0..=questions).filter(covers).map(|right| law.pmf(right)).sum();
                assert!(covered > 0.93, "{share} of {questions}: {covered}");
            }
        }
    }
}
