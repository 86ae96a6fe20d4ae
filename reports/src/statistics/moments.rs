//! Sums, mean and variance.

/// Adds values up without rounding on the way: the exact sum, rounded once.
///
/// Shewchuk (1997), "Adaptive precision floating-point arithmetic and fast robust geometric
/// predicates", as `math.fsum` of Python. The order of the values does not matter, so that means over
/// the same values are equal, and `x + y - y - x` is zero. Values that are not finite, or whose sum
/// is not, are added up plainly.
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut plain = 0.0;
    // Parts of the sum that share no bit, smallest first.
    let mut parts: Vec<f64> = Vec::new();
    for value in values {
        plain += value;
        let mut rest = value;
        let mut kept = 0;
        for index in 0..parts.len() {
            let (larger, smaller) =
                if parts[index].abs() > rest.abs() { (parts[index], rest) } else { (rest, parts[index]) };
            let total = larger + smaller;
            let error = smaller - (total - larger);
            if error != 0.0 {
                parts[kept] = error;
                kept += 1;
            }
            rest = total;
        }
        parts.truncate(kept);
        parts.push(rest);
    }
    let Some(mut total) = parts.pop() else { return 0.0 };
    let mut error = 0.0;
    while let Some(part) = parts.pop() {
        let before = total;
        total = before + part;
        error = part - (total - before);
        if error != 0.0 {
            break;
        }
    }
    // Half of a last digit is rounded by what lies below it.
    if parts.last().is_some_and(|below| (*below < 0.0) == (error < 0.0) && error != 0.0) {
        let corrected = total + 2.0 * error;
        if corrected - total == 2.0 * error {
            total = corrected;
        }
    }
    if total.is_finite() { total } else { plain }
}

/// Adds rows up, column by column; no column for no row.
pub fn columns<'r>(rows: impl IntoIterator<Item = &'r [f64]>) -> Vec<f64> {
    let mut rows = rows.into_iter();
    let mut sums = rows.next().map(<[f64]>::to_vec).unwrap_or_default();
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}

/// Computes the arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / values.len() as f64
}

/// Computes the unbiased sample variance (denominator n - 1); NaN for fewer than two values.
///
/// Exactly 0 where all values are equal: the mean of ten times 0.1 is not 0.1 in f64, and what is
/// divided by such a deviation would be huge instead of undefined.
pub fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    if values.iter().all(|value| *value == values[0]) {
        return 0.0;
    }
    let centre = mean(values);
    sum(values.iter().map(|value| (value - centre).powi(2))) / (values.len() - 1) as f64
}

/// Computes the sample standard deviation.
pub fn deviation(values: &[f64]) -> f64 {
    variance(values).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), 5.0);
        assert!((variance(&values) - 32.0 / 7.0).abs() < 1e-12);
        assert!(variance(&[1.0]).is_nan());
        assert_eq!(variance(&[0.1; 10]), 0.0);
    }

    #[test]
    fn sums_are_rounded_once() {
        // From the tests of Python's `math.fsum`.
        assert_eq!(sum([1e100, 1.0, -1e100, 1e-100, 1e50, -1.0, -1e50]), 1e-100);
        assert_eq!(sum([1e16, 1.0, 1e-16]), 10_000_000_000_000_002.0);
        assert_eq!(sum([0.1; 10]), 1.0);
        assert_eq!((sum([]), sum([f64::INFINITY, 1.0])), (0.0, f64::INFINITY));
        assert!(sum([f64::NAN, 1.0]).is_nan());
        assert_eq!(sum([f64::MAX, f64::MAX]), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn the_order_of_values_does_not_matter(values in prop::collection::vec(-1e9..1e9f64, 0..30)) {
            let mut reversed = values.clone();
            reversed.reverse();
            prop_assert_eq!(sum(values.clone()), sum(reversed.clone()));
            prop_assert_eq!(sum(values.into_iter().chain(reversed.into_iter().map(|value| -value))), 0.0);
        }
    }
}
