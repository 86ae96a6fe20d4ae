//! Scales and their ticks.

use crate::number;

/// How values map to positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// Evenly in the logarithm; values are positive.
    Log,
}

/// Maps values to points along one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) scale: Scale,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Axis {
    /// Spans the values with a margin, mapped from position `from` to position `to`.
    pub(super) fn spanning(
        values: impl IntoIterator<Item = f64>,
        scale: Scale,
        margin: f64,
        (from, to): (f64, f64),
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (1.0, 2.0);
        }
        match scale {
            Scale::Linear => {
                let mut reach = (high - low) * margin;
                if reach == 0.0 {
                    reach = low.abs() * 0.1;
                    // Less than the labels of ticks can show.
                    if reach < 1e-5 {
                        reach = 0.1;
                    }
                }
                (low, high) = (low - reach, high + reach);
            }
            Scale::Log => {
                let factor = (high / low).powf(margin).max(1.05);
                (low, high) = (low / factor, high * factor);
            }
        }
        Self { low, high, scale, from, to }
    }

    /// Position of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// About `count` round values with their labels.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let values = match self.scale {
            Scale::Linear => linear(self.low, self.high, count),
            Scale::Log => logarithmic(self.low, self.high, count),
        };
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        values
            .iter()
            .map(|&value| {
                let fine = if self.scale == Scale::Log { value } else { step };
                (value, number::fixed(value, decimals(fine)))
            })
            .collect()
    }
}

/// Decimals that show a step of this size.
fn decimals(step: f64) -> usize {
    if !step.is_finite() || step <= 0.0 {
        return 0;
    }
    // A step of 0.25 needs two decimals although its logarithm asks for one.
    (0..6)
        .find(|&digits| {
            let scaled = step * 10_f64.powi(digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0) && scaled.round() >= 1.0
        })
        .unwrap_or(6) as usize
}

fn linear(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    // The round step whose number of ticks is nearest to the one asked for.
    let distance = |step: f64| ((high - low) / step - count as f64).abs();
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

fn logarithmic(low: f64, high: f64, count: usize) -> Vec<f64> {
    let within = |factors: &[f64]| -> Vec<f64> {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
            .filter(|value| *value >= low && *value <= high)
            .collect()
    };
    for factors in [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]] {
        let ticks = within(factors);
        if ticks.len() >= count.min(4) {
            return ticks;
        }
    }
    linear(low, high, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, scale: Scale) -> Vec<String> {
        let axis = Axis { low, high, scale, from: 0.0, to: 100.0 };
        axis.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.0, 1.0, Scale::Linear), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-3.1, 9.0, Scale::Linear), ["\u{2212}2.5", "0.0", "2.5", "5.0", "7.5"]);
        // Not two ticks, as the next larger step would give.
        assert_eq!(labels(0.005, 0.056, Scale::Linear), ["0.01", "0.02", "0.03", "0.04", "0.05"]);
        assert_eq!(labels(0.1, 1000.0, Scale::Log), ["0.1", "1", "10", "100", "1000"]);
    }

    #[test]
    fn a_single_value_still_spans_something() {
        let axis = Axis::spanning([2.0], Scale::Linear, 0.05, (0.0, 10.0));
        assert!(axis.low < 2.0 && axis.high > 2.0);
        assert!((axis.at(2.0) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_but_zeros_has_labels_that_differ() {
        let axis = Axis::spanning([0.0, 0.0], Scale::Linear, 0.1, (0.0, 10.0));
        let labels: Vec<String> = axis.ticks(5).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["\u{2212}0.10", "\u{2212}0.05", "0.00", "0.05", "0.10"]);
    }
}
