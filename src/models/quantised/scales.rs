//! Scales of blocks, as they are or in eight bits.

use tch::{Kind, Tensor};

use crate::models::blocks::{by_blocks, dynamic_map, nearest, scaled};

/// Scales that share a scale of their own.
pub(super) const NESTED_BLOCK: i64 = 256;

/// Largest magnitude of each block.
#[derive(Debug)]
pub(super) enum Scales {
    /// As it is `[blocks]`, f32.
    Plain(Tensor),
    /// In eight bits.
    Nested {
        /// Codes `[blocks]`, u8.
        codes: Tensor,
        /// Scales of the codes `[ceil(blocks / 256)]`, f32.
        scales: Tensor,
        /// Mean of the scales `[1]`, f32.
        offset: Tensor,
    },
}

impl Scales {
    /// Puts scales `[blocks]` in eight bits.
    pub(super) fn nested(scales: &Tensor) -> Self {
        let offset = scales.mean(Kind::Float).view([1]);
        let (scaled, nested) = scaled(&(scales - &offset), NESTED_BLOCK);
        // The table has 65,536 places from -1 to 1.
        let places = ((scaled + 1.0) * 0.5 * 65_535.0 + 0.5).to_kind(Kind::Int).to_kind(Kind::Float);
        let codes = nearest(&(places / 65_535.0 * 2.0 - 1.0), &dynamic_map(true), scales.device());
        Self::Nested { codes: codes.to_kind(Kind::Uint8), scales: nested, offset }
    }

    /// Returns the scales in f32 `[blocks]`.
    pub(super) fn decoded(&self) -> Tensor {
        match self {
            Self::Plain(scales) => scales.shallow_clone(),
            Self::Nested { codes, scales, offset } => {
                let map = Tensor::from_slice(&dynamic_map(true)).to_device(codes.device());
                by_blocks(&map.index_select(0, &codes.to_kind(Kind::Int)), scales, NESTED_BLOCK) + offset
            }
        }
    }

    /// Says whether they are in eight bits.
    pub(super) fn are_nested(&self) -> bool {
        matches!(self, Self::Nested { .. })
    }

    /// Returns the bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Plain(scales) => 4 * scales.numel(),
            Self::Nested { codes, scales, offset } => codes.numel() + 4 * (scales.numel() + offset.numel()),
        }
    }
}
