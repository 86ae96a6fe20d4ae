//! Holm's step-down adjustment of a family of p values.

/// Adjusts p values so that rejecting those below alpha keeps the family-wise error below alpha.
///
/// Holm (1979), "A simple sequentially rejective multiple test procedure": the i-th smallest of m
/// becomes `max over j <= i of min(1, (m - j + 1) p_(j))`. Holds under any dependence. The result
/// is in the order of the input.
pub fn holm(p: &[f64]) -> Vec<f64> {
    steps(p).into_iter().map(|step| step.min(1.0)).collect()
}

/// Returns what each p value is multiplied by when [`holm`] adjusts it, at least 1.
///
/// An interval of level `1 - alpha / multiplier` leaves zero out exactly where the adjusted p value is
/// below alpha.
pub fn multipliers(p: &[f64]) -> Vec<f64> {
    let multiplier = |(step, p): (f64, &f64)| if *p > 0.0 { (step / p).max(1.0) } else { f64::from(u32::MAX) };
    steps(p).into_iter().zip(p).map(multiplier).collect()
}

/// The adjusted values before they are cut at 1.
fn steps(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut steps = vec![0.0; p.len()];
    let mut running: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        running = running.max(p[index] * (p.len() - rank) as f64);
        steps[index] = running;
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_family() {
        // Sorted .005 .01 .03 .04 times 4 3 2 1, then the running maximum.
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (value, wanted) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((value - wanted).abs() < 1e-12);
        }
        assert!(holm(&[]).is_empty());
        // The third falls in with the second: 0.06 / 0.04.
        for (value, wanted) in multipliers(&[0.01, 0.04, 0.03, 0.005]).iter().zip([3.0, 1.5, 2.0, 4.0]) {
            assert!((value - wanted).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn between_raw_and_bonferroni_and_in_order(p in prop::collection::vec(0.0..=1.0f64, 1..30)) {
            let adjusted = holm(&p);
            for (one, &raw) in p.iter().enumerate() {
                prop_assert!(adjusted[one] >= raw);
                prop_assert!(adjusted[one] <= (raw * p.len() as f64).min(1.0) + 1e-12);
                for (other, &rival) in p.iter().enumerate() {
                    prop_assert!(raw > rival || adjusted[one] <= adjusted[other]);
                }
            }
        }
    }
}
