//! Wilcoxon's signed-rank test.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// Largest number of differences for which the exact distribution is used, as in SciPy.
const EXACT_LIMIT: usize = 50;
/// Largest number of differences, zeros counted, for which it is used with ties or zeros among
/// them, as in SciPy since 1.15.
const EXACT_LIMIT_WITH_TIES: usize = 13;

/// Reports a signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of positive differences.
    pub positive: f64,
    /// Sum of the ranks of negative differences.
    pub negative: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Whether the p value is from the exact distribution.
    pub exact: bool,
}

impl Wilcoxon {
    /// The test statistic T: the smaller of the two rank sums.
    pub fn statistic(&self) -> f64 {
        self.positive.min(self.negative)
    }
}

/// Tests whether paired differences are symmetric about zero, two-sided.
///
/// Wilcoxon (1945), "Individual comparisons by ranking methods". Zero differences are dropped;
/// equal absolute differences share their mean rank. Up to 50 differences without ties or zeros,
/// or up to 13 with such, the p value is exact: the share of the 2^n sign patterns of these ranks
/// whose smaller sum is no larger. Otherwise it is normal, with mean `n(n+1)/4`, variance
/// `n(n+1)(2n+1)/24 - sum(t^3 - t)/48` over groups of `t` ties, and **no** continuity correction.
/// These choices are the defaults of `scipy.stats.wilcoxon` since 1.15 (`zero_method="wilcox"`,
/// `correction=False`, `method="auto"`).
///
/// Ties are equal values, as in SciPy. Returns p = 1 when no difference is left.
pub fn wilcoxon(differences: &[f64]) -> Wilcoxon {
    let mut kept: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let zeros = differences.len() - kept.len();
    kept.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let count = kept.len();
    let (mut positive, mut negative, mut ties) = (0.0, 0.0, 0.0);
    // Twice the rank of each difference: shared ranks end in a half.
    let mut doubled = Vec::with_capacity(count);
    let mut start = 0;
    while start < count {
        let size = kept[start..].iter().take_while(|value| value.abs() == kept[start].abs()).count();
        let rank = start as f64 + (size as f64 + 1.0) / 2.0;
        doubled.extend(std::iter::repeat_n(2 * start + size + 1, size));
        for value in &kept[start..start + size] {
            *(if *value > 0.0 { &mut positive } else { &mut negative }) += rank;
        }
        ties += (size as f64).powi(3) - size as f64;
        start += size;
    }
    let limit = if ties == 0.0 && zeros == 0 { EXACT_LIMIT } else { EXACT_LIMIT_WITH_TIES };
    let exact = count > 0 && differences.len() <= limit;
    let smaller = positive.min(negative);
    let p = if count == 0 {
        1.0
    } else if exact {
        (2.0 * exact_tail(&doubled, (2.0 * smaller) as usize)).min(1.0)
    } else {
        let n = count as f64;
        let expected = n * (n + 1.0) / 4.0;
        let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
        let z = (smaller - expected) / variance.sqrt();
        (2.0 * Normal::standard().cdf(z)).min(1.0)
    };
    Wilcoxon { positive, negative, p, exact }
}

/// Computes P(sum of the positive ranks <= limit) when all 2^n sign patterns are equally likely.
fn exact_tail(ranks: &[usize], limit: usize) -> f64 {
    let largest: usize = ranks.iter().sum();
    // ways[s]: the number of subsets of the ranks that sum to s; at most 2^50, exact in f64.
    let mut ways = vec![0.0; largest + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..=largest).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways[..=limit.min(largest)].iter().sum::<f64>() / 2f64.powi(ranks.len() as i32)
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::*;

    #[test]
    fn agrees_with_scipy() {
        for case in expected()["paired"].as_array().unwrap() {
            let result = wilcoxon(&numbers(&case["differences"]));
            let wanted = &case["wilcoxon"];
            assert_eq!(result.exact, wanted["method"] == "exact");
            close(result.statistic(), wanted["statistic"].as_f64().unwrap(), 1e-12);
            close(result.p, wanted["p"].as_f64().unwrap(), 1e-10);
        }
    }

    #[test]
    fn few_differences_with_ties_and_zeros_agree_with_scipy() {
        let fixture = expected();
        let cases = fixture["small_with_ties"].as_array().unwrap();
        for case in cases {
            let result = wilcoxon(&numbers(&case["differences"]));
            assert_eq!(result.exact, case["exact"] == true);
            close(result.statistic(), case["statistic"].as_f64().unwrap(), 1e-12);
            close(result.p, case["p"].as_f64().unwrap(), 1e-12);
        }
        assert!(cases.iter().any(|case| case["exact"] == true) && cases.iter().any(|case| case["exact"] == false));
    }

    #[test]
    fn three_gains_are_one_pattern_in_four() {
        assert_eq!(wilcoxon(&[1.0, 2.0, 3.0]).p, 0.25);
    }

    #[test]
    fn a_few_ties_are_counted_and_not_approximated() {
        // No other pattern but its mirror is as one-sided: 2 / 2^5, where the normal curve says 0.025.
        assert_eq!(wilcoxon(&[0.5; 5]).p, 0.0625);
        // Mean ranks 1.5, 1.5, 3: three of 8 patterns sum to at most 1.5.
        let result = wilcoxon(&[1.0, -1.0, 2.0, 0.0]);
        assert_eq!((result.statistic(), result.p, result.exact), (1.5, 0.75, true));
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(wilcoxon(&[0.0, 0.0]).p, 1.0);
        assert_eq!(wilcoxon(&[]).p, 1.0);
    }

    #[test]
    fn sides_swap_with_the_sign() {
        let values = [0.4, -0.1, 0.3, 0.3, 0.0, -0.2];
        let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
        let (one, other) = (wilcoxon(&values), wilcoxon(&mirrored));
        assert_eq!((one.positive, one.p), (other.negative, other.p));
    }
}
