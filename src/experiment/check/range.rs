//! Ranges of numbers that a study can mean: wide enough for any that was published, narrow enough that a
//! slip of units or exponents is found before it trains for a day.

use super::Checking;
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;

/// Largest count that a setting may have: far above any model of today, and low enough that no product
/// of two overflows.
pub(super) const LARGEST: usize = 1 << 24;

/// Sequences that one step may have: ten times the largest batches that language models are trained with.
pub(super) const MOST_SEQUENCES: usize = 65_536;

/// Why a batch is no larger.
pub(super) const SEQUENCES_HELP: &str = "it counts sequences, not tokens: 8 to 512 are usual";

/// A range with both ends, and why a number beyond it makes no study.
pub(super) struct Range {
    least: f64,
    most: f64,
    why: &'static str,
}

pub(super) const LR: Range = Range {
    least: 1e-12,
    most: 10.0,
    why: "AdamW moves each weight by about this much a step: 1e-5 to 1e-2 are usual",
};

pub(super) const EPOCHS: Range =
    Range { least: 1e-6, most: 100_000.0, why: "one epoch shows every example once, a part of one fewer" };

pub(super) const WEIGHT_DECAY: Range =
    Range { least: 0.0, most: 100.0, why: "each step shrinks weights by this times `lr`: 0 to 0.1 are usual" };

pub(super) const CLIP: Range = Range {
    least: 1e-6,
    most: f64::INFINITY,
    why: "gradients are scaled down to this norm: 1 is usual, `inf` is none",
};

pub(super) const MINUTES: Range = Range {
    least: 0.01,
    most: 100_000.0,
    why: "a stage that is killed loses the minutes since its last save: 5 are usual",
};

pub(super) const TEMPERATURE: Range = Range {
    least: 1e-3,
    most: 1e3,
    why: "logits are divided by it: below, one token takes all probability; above, all tokens are alike",
};

pub(super) const MIN_P: Range = Range {
    least: 0.0,
    most: 1.0,
    why: "tokens less probable than this times the most probable one are not drawn: 0.05 to 0.1 are usual",
};

pub(super) const REPETITION_PENALTY: Range = Range {
    least: 1e-3,
    most: 1e3,
    why: "positive logits of tokens that were there are divided by it: 1 changes nothing, 1.1 to 1.3 are usual",
};

pub(super) const LORA_ALPHA: Range =
    Range { least: 1e-3, most: 1e6, why: "the update is scaled by `alpha / rank`: 0.01 to 4 are usual" };

pub(super) const LORAPLUS_RATIO: Range =
    Range { least: 1e-2, most: 1e4, why: "B learns at so many times the learning rate of A: 16 is usual" };

pub(super) const CPU_WATTS: Range =
    Range { least: 0.1, most: 1e4, why: "the power of one machine's processors, in watts: 15 to 800 are usual" };

pub(super) const DRAM_WATTS: Range =
    Range { least: 1e-3, most: 100.0, why: "the power of memory, in watts per GiB: 0.1 to 0.5 are usual" };

pub(super) const GRID: Range =
    Range { least: 0.0, most: 10.0, why: "in kg per kWh: 0.4 for 400 g, as an average of the world" };

pub(super) const PUE: Range =
    Range { least: 1.0, most: 10.0, why: "the energy of a site over that of its computers: 1.1 to 2 are usual" };

impl Checking<'_, '_> {
    /// Adds a fault unless the number lies in the range, ends included.
    pub(super) fn require_in(&mut self, value: f64, path: impl Into<KeyPath>, range: &Range) {
        let Range { least, most, why } = range;
        if (*least..=*most).contains(&value) {
            return;
        }
        let path = path.into();
        let expected = match (value, most.is_finite()) {
            _ if value.is_nan() => "a number".to_owned(),
            (f64::INFINITY, _) => "finite".to_owned(),
            (value, _) if value <= 0.0 && *least < 0.1 && *least > 0.0 => "above 0".to_owned(),
            (_, true) => format!("from {} to {}", shown(*least), shown(*most)),
            (_, false) => format!("at least {}", shown(*least)),
        };
        let message = format!("`{path}` should be {expected}, found {}", shown(value));
        self.faults.add(Fault::new(path, message).help(*why));
    }

    /// Adds a fault unless the count lies in `1..=most`; `why` says why not more.
    pub(super) fn require_at_most(&mut self, value: usize, path: impl Into<KeyPath>, most: usize, why: &str) {
        if value == 0 {
            self.require_some(value, path);
        } else if value > most {
            let path = path.into();
            let message = format!("`{path}` should be at most {most}, found {value}");
            self.faults.add(Fault::new(path, message).help(why));
        }
    }

    /// Adds a fault if the count is 0 or above [`LARGEST`].
    pub(super) fn require_count(&mut self, value: usize, path: impl Into<KeyPath>) {
        let expected = if value == 0 { "at least 1".to_owned() } else { format!("at most {LARGEST}") };
        self.require((1..=LARGEST).contains(&value), path, &expected, value);
    }
}

/// Writes a number with an exponent where digits would hide its size.
pub(super) fn shown(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-4..1e7).contains(&size) || !value.is_finite() {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_short() {
        for (value, text) in [(1e300, "1e300"), (1e-12, "1e-12"), (0.001, "0.001"), (100_000.0, "100000"), (-2.0, "-2")]
        {
            assert_eq!(shown(value), text);
        }
        assert_eq!(shown(f64::NAN), "NaN");
    }
}
