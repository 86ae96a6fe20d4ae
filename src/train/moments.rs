//! The moments of AdamW: in f32, or in eight bits (Dettmers et al. 2022, arXiv 2110.02861).
//!
//! Eight bits are those of bitsandbytes' AdamW8bit: 256 numbers of a parameter share a scale, their largest
//! magnitude, and each is the nearest of 256 values, the first moment's with a sign. As there, the moments of
//! parameters with fewer than 4,096 numbers stay in f32. So do those of embeddings, as transformers' trainer
//! asks: a row whose token does not come up has no gradient, and where its second moment has become zero and its
//! first has not, a step would be divided by nothing.

use tch::{Kind, Tensor};

use crate::experiment::settings::OptimizerStates;
use crate::models::blocks::{by_blocks, dynamic_map, nearest, scaled};
use crate::tuning::flat::{Flat, Group, Place};

/// Numbers that share a scale.
pub const BLOCK: i64 = 256;

/// Parameters with fewer numbers keep their moments in f32.
pub const LEAST: i64 = 4_096;

/// Running means of gradients and of squared gradients.
#[derive(Debug)]
pub(super) enum Moments {
    /// In f32.
    Whole {
        /// Of gradients `[parameters]`.
        first: Tensor,
        /// Of squared gradients `[parameters]`.
        second: Tensor,
    },
    /// In eight bits.
    EightBits(EightBits),
}

impl Moments {
    /// Starts with zeros.
    pub(super) fn new(flat: &Flat, states: OptimizerStates) -> Self {
        match states {
            OptimizerStates::F32 => Self::Whole { first: flat.master.zeros_like(), second: flat.master.zeros_like() },
            OptimizerStates::EightBits => Self::EightBits(EightBits::new(flat)),
        }
    }

    /// Names what they are kept in, as in saved states.
    pub(super) fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Whole { first, second } => vec![("first", first), ("second", second)],
            Self::EightBits(EightBits { moments: [first, second], .. }) => vec![
                ("first", &first.rest),
                ("first.codes", &first.codes),
                ("first.scales", &first.scales),
                ("second", &second.rest),
                ("second.codes", &second.codes),
                ("second.scales", &second.scales),
            ],
        }
    }
}

/// Moments in eight bits.
#[derive(Debug)]
pub(super) struct EightBits {
    segments: Vec<Segment>,
    /// First and second.
    moments: [Moment; 2],
}

/// One of two moments.
#[derive(Debug)]
struct Moment {
    /// Places of the nearest values `[256 blocks]`, u8; a last block that is not full ends with zeros.
    codes: Tensor,
    /// Largest magnitude of each block `[blocks]`, f32.
    scales: Tensor,
    /// What is kept in f32.
    rest: Tensor,
    /// The values, ascending.
    map: Vec<f32>,
}

/// Consecutive numbers of the buffer whose moments are kept alike.
#[derive(Debug, Clone, PartialEq)]
struct Segment {
    start: i64,
    count: i64,
    group: Group,
    is_coded: bool,
    /// Where their moments begin, in the codes or among those in f32.
    at: i64,
}

impl EightBits {
    fn new(flat: &Flat) -> Self {
        let (segments, coded, rest) = divide(&flat.layout);
        let moment = |is_signed: bool| Moment {
            codes: Tensor::zeros([coded], (Kind::Uint8, flat.device())),
            scales: Tensor::zeros([coded / BLOCK], (Kind::Float, flat.device())),
            rest: Tensor::zeros([rest], (Kind::Float, flat.device())),
            map: dynamic_map(is_signed),
        };
        Self { segments, moments: [moment(true), moment(false)] }
    }

    /// Calls `update` for all numbers of the buffer, at most `piece` at a time: with where they begin, how many
    /// they are, their group, and both moments, to be changed in place.
    pub(super) fn update(&mut self, piece: i64, mut update: impl FnMut(i64, i64, Group, &[Tensor; 2])) {
        let piece = (piece / BLOCK).max(1) * BLOCK;
        for segment in &self.segments {
            for offset in (0..segment.count).step_by(piece as usize) {
                let count = piece.min(segment.count - offset);
                let at = segment.at + offset;
                let moments = self.moments.each_ref().map(|moment| match segment.is_coded {
                    true => moment.decoded(at, count),
                    false => moment.rest.narrow(0, at, count),
                });
                update(segment.start + offset, count, segment.group, &moments);
                if segment.is_coded {
                    for (moment, numbers) in self.moments.iter().zip(&moments) {
                        moment.encode(at, numbers);
                    }
                }
            }
        }
    }
}

impl Moment {
    fn decoded(&self, at: i64, count: i64) -> Tensor {
        let blocks = (count as u64).div_ceil(BLOCK as u64) as i64;
        let map = Tensor::from_slice(&self.map).to_device(self.codes.device());
        let values = map.index_select(0, &self.codes.narrow(0, at, count).to_kind(Kind::Int));
        by_blocks(&values, &self.scales.narrow(0, at / BLOCK, blocks), BLOCK)
    }

    fn encode(&self, at: i64, numbers: &Tensor) {
        let (scaled, scales) = scaled(numbers, BLOCK);
        let codes = nearest(&scaled, &self.map, self.codes.device()).to_kind(Kind::Uint8);
        self.codes.narrow(0, at, codes.size()[0]).copy_(&codes);
        self.scales.narrow(0, at / BLOCK, scales.size()[0]).copy_(&scales);
    }
}

/// Divides parameters by how their moments are kept; returns the codes, in whole blocks of each parameter, and the
/// numbers in f32, too.
fn divide(layout: &[Place]) -> (Vec<Segment>, i64, i64) {
    let mut segments: Vec<Segment> = Vec::new();
    let (mut coded, mut rest) = (0, 0);
    for place in layout {
        let count: i64 = place.shape.iter().product();
        let is_coded = !place.is_table && count >= LEAST;
        let at = if is_coded { coded } else { rest };
        match segments.last_mut() {
            // Blocks do not reach over the end of a parameter.
            Some(last)
                if (last.group, last.is_coded) == (place.group, is_coded) && (!is_coded || last.count % BLOCK == 0) =>
            {
                last.count += count;
            }
            _ => segments.push(Segment { start: place.offset, count, group: place.group, is_coded, at }),
        }
        match is_coded {
            true => coded += (count as u64).next_multiple_of(BLOCK as u64) as i64,
            false => rest += count,
        }
    }
    (segments, coded, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_with_their_parameter() {
        let group = Group { lr_factor: 1.0, weight_decay: 0.0 };
        let mut offset = 0;
        let mut place = |count: i64, is_table: bool| {
            offset += count;
            Place { name: String::new(), offset: offset - count, shape: vec![count], group, is_table }
        };
        let layout =
            [place(8192, true), place(4095, false), place(4096, false), place(5000, false), place(4096, false)];
        let segment = |start, count, is_coded, at| Segment { start, count, group, is_coded, at };
        // 5,000 numbers are 20 blocks, the last of them not full.
        let expected = [
            segment(0, 12_287, false, 0),
            segment(12_287, 9_096, true, 0),
            segment(21_383, 4_096, true, 4_096 + 5_120),
        ];
        assert_eq!(divide(&layout), (expected.to_vec(), 4_096 + 5_120 + 4_096, 12_287));
    }
}
