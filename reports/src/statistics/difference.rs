//! Differences of paired values.

/// How far apart two distances must be to differ, as a share of the largest value: far above the
/// rounding of a mean over a few dozen values (about 2^-49), far below any step of a score.
const RESOLUTION: f64 = 1.0 / (1_u64 << 40) as f64;

/// Subtracts paired values, `first - second`, so that what is equal in exact arithmetic is equal.
///
/// 1/2 - 1/3 and 2/3 - 1/2 come out of f64 apart in the last digit, and means of the same values in
/// another order differ by 1e-17 instead of 0. Tests by rank and sign would break such ties at
/// random and count such noughts, so distances closer than 2^-40 of the largest value become the
/// smallest of them, and those as close to zero become zero. `scipy.stats.wilcoxon` leaves that to
/// its caller (documentation of `x`).
///
/// In the unit of the values and their order; as long as the shorter side.
pub fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    let largest = first.iter().chain(second).fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let mut differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let mut order: Vec<usize> = (0..differences.len()).collect();
    order.sort_by(|&a, &b| differences[a].abs().total_cmp(&differences[b].abs()));
    let (mut previous, mut shared) = (0.0, 0.0);
    for index in order {
        let distance = differences[index].abs();
        if distance - previous > RESOLUTION * largest {
            shared = distance;
        }
        previous = distance;
        differences[index] = if shared == 0.0 { 0.0 } else { shared.copysign(differences[index]) };
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_noughts_survive_rounding() {
        let (half, third) = (1.0 / 2.0, 1.0 / 3.0);
        assert_ne!(half - third, 2.0 * third - half, "f64 tells them apart");
        let found = differences(&[half, half, 2.0 * third], &[third, 2.0 * third, half]);
        assert_eq!(found[0], found[2]);
        assert_eq!(found[0], -found[1]);
        // The same three values, added in another order.
        let (up, down) = (0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1);
        assert_ne!(up, down, "f64 tells them apart");
        assert_eq!(differences(&[up, 1.0], &[down, 0.5]), [0.0, 0.5]);
    }

    #[test]
    fn small_differences_stay_apart() {
        let found = differences(&[1.0 + 1e-6, 1.0 - 2e-6], &[1.0, 1.0]);
        assert!(found[0] > 0.0 && found[1] < 0.0 && found[0] < -found[1]);
        assert_eq!(differences(&[], &[]), Vec::<f64>::new());
    }
}
