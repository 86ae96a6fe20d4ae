//! The smallest effect that a design can find.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal, StudentsT};

/// Points at which a distribution of variances is looked at, at equal steps of probability.
const POINTS: usize = 40;

/// A part of the variance of a mean, and the degrees of freedom that it is estimated with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// Variance of the mean, in the squared unit of the effect.
    pub variance: f64,
    /// Number of what it is estimated from, less one.
    pub degrees: f64,
}

impl Component {
    /// Half-width of the two-sided interval of level `1 - alpha`, if this were the only part.
    pub fn reach(self, alpha: f64) -> f64 {
        self.quantile(alpha) * self.variance.sqrt()
    }

    /// Student's two-sided quantile for its degrees of freedom.
    pub fn quantile(self, alpha: f64) -> f64 {
        let student = StudentsT::new(0.0, 1.0, self.degrees);
        student.map_or(f64::NAN, |student| -student.inverse_cdf(alpha / 2.0))
    }

    /// Values that its estimate takes, equally likely, if the variance is as given.
    fn estimates(self) -> Vec<f64> {
        let Ok(chi) = ChiSquared::new(self.degrees) else { return vec![self.variance; POINTS] };
        (0..POINTS)
            .map(|point| self.variance * chi.inverse_cdf((point as f64 + 0.5) / POINTS as f64) / self.degrees)
            .collect()
    }
}

/// Computes the minimum detectable difference of the two-sided test of [`super::inference`].
///
/// Bloom (1995), "Minimum detectable effects", for a test that estimates its variances: the effect that
/// exceeds `sqrt(t_u^2 B + t_s^2 A)` with probability `power`, the effect being normal with variance
/// `A + B` and the estimates of `A` (seeds) and `B` (units) following their chi-squared distributions. With
/// units alone it is the noncentral t. In the unit of the effect; NaN for fewer than two units.
pub fn detectable(units: Component, seeds: Option<Component>, alpha: f64, power: f64) -> f64 {
    let total = units.variance + seeds.map_or(0.0, |seeds| seeds.variance);
    if total == 0.0 || !total.is_finite() || units.degrees < 1.0 {
        return if total == 0.0 { 0.0 } else { f64::NAN };
    }
    let squares = |component: Component| -> Vec<f64> {
        let unit = Component { variance: 1.0, ..component }.reach(alpha).powi(2);
        component.estimates().into_iter().map(|estimate| unit * estimate).collect()
    };
    let of_units = squares(units);
    let of_seeds = seeds.map_or_else(|| vec![0.0], squares);
    let limits: Vec<f64> =
        of_units.iter().flat_map(|unit| of_seeds.iter().map(move |seed| ((unit + seed) / total).sqrt())).collect();
    let normal = Normal::standard();
    // In standard errors.
    let found = |effect: f64| {
        let tails = limits.iter().map(|limit| normal.cdf(effect - limit) + normal.cdf(-effect - limit));
        tails.sum::<f64>() / limits.len() as f64
    };
    let (mut low, mut high) = (0.0, 4.0);
    while found(high) < power {
        high *= 2.0;
    }
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if found(middle) < power { low = middle } else { high = middle }
    }
    high * total.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_units_come_to_the_normal_approximation() {
        // 1.959964 + 0.841621
        let units = Component { variance: 0.0004, degrees: 1e5 };
        assert!((detectable(units, None, 0.05, 0.8) / 0.02 - 2.801_585).abs() < 2e-3);
    }

    #[test]
    fn few_units_need_more_as_the_noncentral_t_says() {
        // scipy: brentq(lambda d: nct.sf(t.ppf(.975, 9), 9, d) - .8, 1, 6)
        let found = detectable(Component { variance: 1.0, degrees: 9.0 }, None, 0.05, 0.8);
        assert!((found / 3.149_636 - 1.0).abs() < 3e-3, "{found}");
    }

    #[test]
    fn seeds_add_to_it_and_two_add_most() {
        let units = Component { variance: 1.0, degrees: 40.0 };
        let with =
            |seeds: f64| detectable(units, Some(Component { variance: 1.0 / seeds, degrees: seeds - 1.0 }), 0.05, 0.8);
        assert!(with(2.0) > 10.0 && with(3.0) < 6.0 && with(5.0) > detectable(units, None, 0.05, 0.8));
        let none = Component { variance: 0.0, degrees: 2.0 };
        assert_eq!(detectable(none, Some(none), 0.05, 0.8), 0.0);
    }
}
