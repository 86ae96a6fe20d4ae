//! Mean and variance.

/// Computes the arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
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
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

/// Computes the sample standard deviation.
pub fn deviation(values: &[f64]) -> f64 {
    variance(values).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), 5.0);
        assert!((variance(&values) - 32.0 / 7.0).abs() < 1e-12);
        assert!(variance(&[1.0]).is_nan());
        assert_eq!(variance(&[0.1; 10]), 0.0);
    }
}
