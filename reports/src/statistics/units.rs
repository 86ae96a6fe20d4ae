//! Units: what was drawn independently of each other, such as documents that several questions are on.

use super::moments;

/// Rounding of one operation, as a share of its result.
const EPSILON: f64 = f64::EPSILON / 2.0;

/// Holds what is compared, added up within units.
///
/// The effect is `sum of sums / sum of sizes`: with a difference per question, their mean over all
/// questions. Questions of one unit stay together in whatever is resampled, because they may share
/// what makes them hard (Cameron and Miller 2015, "A practitioner's guide to cluster-robust
/// inference").
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    /// Sum of the unit's differences.
    pub(super) sums: Vec<f64>,
    /// Number, or weight, of its questions.
    pub(super) sizes: Vec<f64>,
    /// Bound on the rounding of each unit's sum.
    pub(super) own_rounding: Vec<f64>,
    /// Bound on the rounding of any sum over units: sums closer than this are equal.
    pub(super) rounding: f64,
}

impl Units {
    /// Adds up paired values within units, `first - second`; an item is `(first, second, unit)` with
    /// units counted from 0.
    pub fn paired(items: impl IntoIterator<Item = (f64, f64, usize)>) -> Self {
        Self::of(items.into_iter().map(|(first, second, unit)| Item {
            unit,
            sum: first - second,
            size: 1.0,
            magnitude: first.abs() + second.abs(),
        }))
    }

    /// Takes every difference as a unit of its own.
    pub fn each(differences: &[f64]) -> Self {
        Self::paired(differences.iter().enumerate().map(|(unit, difference)| (*difference, 0.0, unit)))
    }

    /// Adds up items within units.
    pub fn of(items: impl IntoIterator<Item = Item>) -> Self {
        let (mut sums, mut sizes): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        let mut rounding = Vec::new();
        for item in items {
            if sums.len() <= item.unit {
                sums.resize(item.unit + 1, Vec::new());
                sizes.resize(item.unit + 1, Vec::new());
                rounding.resize(item.unit + 1, 0.0);
            }
            sums[item.unit].push(item.sum);
            sizes[item.unit].push(item.size);
            // Equal values differ by exactly nothing, however large they are.
            if item.sum != 0.0 {
                rounding[item.unit] += 4.0 * EPSILON * item.magnitude;
            }
        }
        let added = |lists: Vec<Vec<f64>>| lists.into_iter().map(moments::sum).collect();
        Self::new(added(sums), added(sizes), rounding)
    }

    /// Takes the units of a difference that is no mean, such as of two corpus scores.
    ///
    /// Each unit stands for its jackknife pseudo-value `h D - (h - 1) D_without`, with `D` the difference over
    /// all units, `D_without` that over all others and `h` the whole size over the unit's; Busing, Meijer and
    /// van der Leeden (1999), "Delete-m jackknife for unequal m". Of a mean these are the means of the units.
    /// They are shifted so that their mean is `D`. `without` holds `D_without` and the size of every unit;
    /// `magnitude` says how large the scores are that were subtracted, for the bound on rounding.
    pub fn jackknife(whole: f64, without: &[(f64, f64)], magnitude: f64) -> Self {
        let sizes: Vec<f64> = without.iter().map(|(_, size)| *size).collect();
        let total = moments::sum(sizes.iter().copied());
        let moved: Vec<f64> = without.iter().map(|(without, size)| (total - size) * (whole - without)).collect();
        let shift = moments::sum(moved.iter().copied()) / total;
        let sums = moved.into_iter().zip(&sizes).map(|(moved, size)| size * (whole - shift) + moved).collect();
        let rounding = vec![8.0 * EPSILON * total * magnitude; without.len()];
        Self::new(sums, sizes, rounding)
    }

    fn new(mut sums: Vec<f64>, mut sizes: Vec<f64>, mut own_rounding: Vec<f64>) -> Self {
        // A unit without questions says nothing.
        for list in [&mut sums, &mut own_rounding] {
            let mut sizes = sizes.iter();
            list.retain(|_| sizes.next().is_some_and(|size| *size > 0.0));
        }
        sizes.retain(|size| *size > 0.0);
        let total: f64 = sums.iter().map(|sum| sum.abs()).sum();
        let rounding = own_rounding.iter().sum::<f64>() + sums.len() as f64 * EPSILON * total;
        Self { sums, sizes, own_rounding, rounding }
    }

    /// Number of units.
    pub fn count(&self) -> usize {
        self.sums.len()
    }

    /// The effect: the mean difference over all questions. NaN without any.
    pub fn mean(&self) -> f64 {
        moments::sum(self.sums.iter().copied()) / self.size()
    }

    /// Mean difference of each unit; 0 where only rounding keeps its differences from cancelling out, so
    /// that tests of ranks and signs see a tie.
    pub fn means(&self) -> Vec<f64> {
        let sums = self.sums.iter().zip(&self.own_rounding);
        let sums = sums.map(|(sum, rounding)| if sum.abs() <= *rounding { 0.0 } else { *sum });
        sums.zip(&self.sizes).map(|(sum, size)| sum / size).collect()
    }

    /// Variance of the mean over units, `n / (n - 1) sum (U - mean n_u)^2 / N^2`; NaN for fewer than
    /// two units.
    ///
    /// The linearised variance of a ratio of cluster totals; Cochran (1977), "Sampling techniques",
    /// equation 6.13. With one question per unit it is `s^2 / n`.
    pub fn variance(&self) -> f64 {
        let (mean, count) = (self.mean(), self.count() as f64);
        let squares = self.sums.iter().zip(&self.sizes).map(|(sum, size)| {
            let residual = sum - mean * size;
            if residual.abs() <= self.rounding { 0.0 } else { residual * residual }
        });
        if self.count() < 2 {
            return f64::NAN;
        }
        count / (count - 1.0) * moments::sum(squares) / self.size().powi(2)
    }

    fn size(&self) -> f64 {
        moments::sum(self.sizes.iter().copied())
    }
}

/// One question's part of its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// Its unit, counted from 0.
    pub unit: usize,
    /// First side minus second, times the size.
    pub sum: f64,
    /// How much it counts: 1, or the number of its tokens.
    pub size: f64,
    /// How large the values are that were subtracted to give `sum`, for the bound on rounding.
    pub magnitude: f64,
}

/// Numbers groups from 0 in the order of their first item.
pub fn number<'g>(groups: impl IntoIterator<Item = &'g str>) -> Vec<usize> {
    let mut known = std::collections::HashMap::new();
    let number = |group| {
        let next = known.len();
        *known.entry(group).or_insert(next)
    };
    groups.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_count_alike_whatever_their_unit() {
        let units = Units::paired([(1.0, 0.0, 0), (0.0, 0.0, 0), (1.0, 0.0, 1)]);
        assert_eq!((units.count(), units.mean(), units.means()), (2, 2.0 / 3.0, vec![0.5, 1.0]));
        // Residuals 1 - 4/3 and 1 - 2/3: 2 (2/9) / 9.
        assert!((units.variance() - 4.0 / 81.0).abs() < 1e-15);
    }

    #[test]
    fn single_questions_have_the_variance_of_a_mean() {
        let values = [0.4, 0.1, -0.3, 0.9, 0.2];
        assert!((Units::each(&values).variance() - moments::variance(&values) / 5.0).abs() < 1e-15);
        assert_eq!(Units::each(&[0.1; 7]).variance(), 0.0);
        assert!(Units::each(&[0.1]).variance().is_nan());
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_values() {
        let wanted = Units::paired([(0.4, 0.0, 0), (0.1, 0.0, 0), (-0.3, 0.0, 1), (0.9, 0.0, 2), (0.7, 0.0, 2)]);
        let without = [(1.3 / 3.0, 2.0), (2.1 / 4.0, 1.0), (0.2 / 3.0, 2.0)];
        let found = Units::jackknife(1.8 / 5.0, &without, 1.0);
        assert!(found.means().iter().zip(wanted.means()).all(|(found, wanted)| (found - wanted).abs() < 1e-12));
        assert!((found.variance() - wanted.variance()).abs() < 1e-12);
        assert_eq!(Units::jackknife(0.0, &[(0.0, 1.0); 3], 1.0).means(), [0.0; 3]);
    }

    #[test]
    fn a_tie_within_a_unit_is_none_of_rounding() {
        // 1/2 - 1/3 and 1/2 - 2/3 come to 5.6e-17 in f64.
        let (half, third) = (1.0 / 2.0, 1.0 / 3.0);
        let tied = [(half, third, 0), (half, 2.0 * third, 0), (0.0, 0.0, 1), (0.3, 0.3 - 1e-12, 2)];
        let means = Units::paired(tied).means();
        assert_eq!(means[..2], [0.0, 0.0]);
        assert!(means[2] > 9e-13, "a small difference is one: {means:?}");
        // Units without questions take their bound along.
        let empty = Item { unit: 0, sum: 0.0, size: 0.0, magnitude: 0.0 };
        let large = Item { unit: 1, sum: 1e-9, size: 1.0, magnitude: 1e9 };
        let small = Item { unit: 2, sum: 1e-9, size: 1.0, magnitude: 1.0 };
        assert_eq!(Units::of([empty, large, small]).means(), [0.0, 1e-9]);
    }

    #[test]
    fn groups_are_numbered_as_they_come() {
        assert_eq!(number(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }
}
