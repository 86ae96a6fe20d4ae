//! The smallest effect that a design can find.

use statrs::distribution::{ContinuousCDF, Normal};

/// Computes the minimum detectable mean difference of a paired, two-sided test.
///
/// `(z_(1 - alpha/2) + z_power) * error`, with `error` the standard error of the mean difference
/// (for plain means `s / sqrt(n)`). Bloom (1995), "Minimum detectable effects"; the normal
/// approximation. In the unit of `error`.
pub fn detectable(error: f64, alpha: f64, power: f64) -> f64 {
    let normal = Normal::standard();
    (normal.inverse_cdf(1.0 - alpha / 2.0) + normal.inverse_cdf(power)) * error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_per_cent_and_eighty() {
        // 1.959964 + 0.841621
        assert!((detectable(1.0, 0.05, 0.8) - 2.801_585).abs() < 1e-5);
        assert!((detectable(0.02, 0.05, 0.8) - 0.056_031_7).abs() < 1e-6);
    }
}
