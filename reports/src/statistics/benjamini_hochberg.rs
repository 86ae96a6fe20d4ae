//! Benjamini and Hochberg's step-up adjustment of a family of p values.

/// Adjusts p values so that rejecting those below q keeps the false discovery rate below q.
///
/// Benjamini and Hochberg (1995), "Controlling the false discovery rate": the i-th smallest of m
/// becomes `min over j >= i of min(1, m p_(j) / j)`. Holds for independent or positively dependent
/// tests. The result is in the order of the input.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut running: f64 = 1.0;
    for (rank, &index) in order.iter().enumerate().rev() {
        running = running.min(p[index] * p.len() as f64 / (rank + 1) as f64);
        adjusted[index] = running;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::super::expected::{close, expected, numbers};
    use super::super::holm::holm;
    use super::*;

    #[test]
    fn agrees_with_scipy_and_is_milder_than_holm() {
        let fixture = expected();
        let p = numbers(&fixture["adjusted"]["p"]);
        let wanted = numbers(&fixture["adjusted"]["benjamini_hochberg"]);
        let strict = holm(&p);
        for (index, value) in benjamini_hochberg(&p).into_iter().enumerate() {
            close(value, wanted[index], 1e-12);
            assert!(value <= strict[index]);
        }
    }
}
