//! Rotary positions: the base of their angles, how much of a head is turned, and how angles are scaled
//! to reach beyond the context that a model was first trained on.

use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::keys::Keys;

/// Base of the angles where a file does not say it.
pub const THETA: f64 = 10_000.0;

/// How positions turn queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the angles.
    pub theta: f64,
    /// Numbers of a head that are turned, in pairs; the rest stays as it is.
    pub rotated: i64,
    /// How angles are scaled.
    pub scaling: Scaling,
}

/// How angles are scaled, by the names of transformers.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// `default`: not at all.
    None,
    /// `linear`: all angles are divided (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// What they are divided by.
        factor: f64,
    },
    /// `dynamic`: a sequence longer than `longest` has a larger base.
    Dynamic {
        /// How much longer a sequence may be.
        factor: f64,
        /// Longest sequence that is not scaled.
        longest: i64,
    },
    /// `llama3`: slow angles are divided, fast ones stay, those between are blended (Llama 3.1).
    Llama3 {
        /// What slow angles are divided by.
        factor: f64,
        /// Turns within the first context below which an angle is slow.
        low: f64,
        /// Turns within it from which an angle is fast.
        high: f64,
        /// Context of the first training.
        original: i64,
    },
    /// `yarn` (Peng et al. 2023, arXiv 2309.00071, section 3).
    Yarn {
        /// What slow angles are divided by.
        factor: f64,
        /// Factor on cosines and sines.
        attention: f64,
        /// Pairs up to this one keep their angles.
        low: f64,
        /// Pairs from this one on have theirs divided.
        high: f64,
    },
    /// `longrope` (Ding et al. 2024, arXiv 2402.13753): a divisor for every pair, by the sequence's length.
    Long {
        /// Divisors up to the first context.
        short: Vec<f64>,
        /// Divisors beyond it.
        long: Vec<f64>,
        /// Context of the first training.
        original: i64,
        /// Factor on cosines and sines.
        attention: f64,
    },
}

/// Sizes of a model that its positions depend on.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Width of a head.
    pub head_dim: i64,
    /// Longest sequence the model was made for.
    pub longest: i64,
    /// Share of a head that is turned where the file does not say it.
    pub rotated: f64,
    /// Base of the angles where the file does not say it.
    pub theta: f64,
}

impl Rope {
    /// Turns whole heads by angles that are not scaled.
    pub fn plain(theta: f64, head_dim: i64) -> Self {
        Self { theta, rotated: head_dim, scaling: Scaling::None }
    }

    /// Reads the base, at top level (transformers 4) or in `rope_parameters` (transformers 5, which also
    /// takes `rope_scaling` for that), with scaling and the turned share of a head.
    ///
    /// # Errors
    /// When they contradict each other, or angles are scaled in a way that is not known.
    pub fn read(keys: &Keys<'_>, sizes: Sizes) -> Result<Self, String> {
        let is_flat = |value: &&Value| value.as_object().is_some_and(|table| table.values().all(|v| !v.is_object()));
        let table = |name| keys.read(name, "one table for all layers", |value| Some(value).filter(is_flat));
        let tables = [table("rope_parameters")?, table("rope_scaling")?];
        Self::of(keys, "rope_theta", &tables.into_iter().flatten().map(Keys::new).collect::<Vec<_>>(), sizes)
    }

    /// Reads what `tables` say, or else the key `theta` and others at top level.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn of(keys: &Keys<'_>, theta: &str, tables: &[Keys<'_>], sizes: Sizes) -> Result<Self, String> {
        // Where nothing is scaled it says nothing.
        let _ = keys.size("original_max_position_embeddings")?;
        let mut stated = vec![keys.positive(theta)?];
        let mut shares = vec![keys.positive("partial_rotary_factor")?];
        let mut scaled = None;
        for table in tables {
            stated.push(table.positive("rope_theta")?);
            shares.push(table.positive("partial_rotary_factor")?);
            let (new, old) = (table.text("rope_type")?, table.text("type")?);
            let kind = new.or(old).unwrap_or("default");
            match (kind, scaled) {
                ("default", _) => {}
                (_, None) => scaled = Some((kind, table)),
                (_, Some((other, _))) if other == kind => {}
                (_, Some((other, _))) => {
                    return Err(format!("rotary angles are scaled in two ways (`{other}`, `{kind}`), expected one"));
                }
            }
        }
        let theta = one(theta, stated)?.unwrap_or(sizes.theta);
        let share = one("partial_rotary_factor", shares)?.unwrap_or(sizes.rotated);
        let rotated = (sizes.head_dim as f64 * share) as i64;
        if share > 1.0 || rotated == 0 || rotated % 2 != 0 {
            return Err(format!(
                "`partial_rotary_factor` is {share}, expected an even number of a head's {} to turn",
                sizes.head_dim
            ));
        }
        let scaling = match scaled {
            None => Scaling::None,
            Some((kind, table)) => {
                let told = |problem| format!("rotary angles are scaled (`{kind}`), and {problem}");
                let rope = Self { theta, rotated, scaling: Scaling::None };
                let scaling = Scaling::read(kind, keys, table, rope, sizes).map_err(told)?;
                if let Some(note) = table.rest().map_err(told)?.into_iter().next() {
                    return Err(told(note));
                }
                scaling
            }
        };
        Ok(Self { theta, rotated, scaling })
    }

    /// Says whether the angles of a token depend on how long its sequence is.
    pub fn depends_on_length(&self) -> bool {
        matches!(self.scaling, Scaling::Dynamic { .. } | Scaling::Long { .. })
    }

    /// Returns the factor on cosines and sines.
    pub fn attention_factor(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { attention, .. } | Scaling::Long { attention, .. } => attention,
            _ => 1.0,
        }
    }

    /// Returns the angles `[tokens, rotated / 2]` in f32 of tokens at `positions` `[tokens]`, whose
    /// sequences have `lengths` `[tokens]`, int64 both; these count only where
    /// [`Self::depends_on_length`].
    pub fn angles(&self, positions: &Tensor, lengths: &Tensor) -> Tensor {
        let device = positions.device();
        let positions = positions.to_kind(Kind::Float);
        let outer = |frequencies: Tensor| positions.outer(&frequencies);
        let base = || (exponents(self.rotated, device) * self.theta.ln()).exp().reciprocal();
        match &self.scaling {
            Scaling::None => outer(base()),
            Scaling::Linear { factor } => outer(base() / *factor),
            Scaling::Dynamic { factor, longest } => {
                let length = lengths.clamp_min(*longest).to_kind(Kind::Float);
                let width = self.rotated as f64;
                let growth = length * (factor / *longest as f64) - (factor - 1.0);
                let theta = growth.pow_tensor_scalar(width / (width - 2.0)) * self.theta;
                positions.unsqueeze(1) * (-theta.log().outer(&exponents(self.rotated, device))).exp()
            }
            Scaling::Llama3 { factor, low, high, original } => {
                let frequencies = base();
                // Turns within the first context.
                let turns = &frequencies * (*original as f64 / std::f64::consts::TAU);
                let kept = ((turns - *low) / (high - low)).clamp(0.0, 1.0);
                outer(blend(&frequencies, &(&frequencies / *factor), &kept))
            }
            Scaling::Yarn { factor, low, high, .. } => {
                let frequencies = base();
                let pairs = Tensor::arange(self.rotated / 2, (Kind::Float, device));
                let kept = 1.0 - ((pairs - *low) / (high - low)).clamp(0.0, 1.0);
                outer(blend(&frequencies, &(&frequencies / *factor), &kept))
            }
            Scaling::Long { short, long, original, .. } => {
                let divided = |by: &[f64]| {
                    let by: Vec<f32> = by.iter().map(|&by| by as f32).collect();
                    outer(base() / Tensor::from_slice(&by).to_device(device))
                };
                divided(long).where_self(&lengths.gt(*original).unsqueeze(1), &divided(short))
            }
        }
    }
}

/// Returns `2 i / rotated` for every pair i.
fn exponents(rotated: i64, device: Device) -> Tensor {
    Tensor::arange_start_step(0, rotated, 2, (Kind::Float, device)) / rotated as f64
}

/// Returns `share * kept + (1 - share) * other`.
fn blend(kept: &Tensor, other: &Tensor, share: &Tensor) -> Tensor {
    kept * share + other * (1.0 - share)
}

/// Returns the one value that is stated, maybe in several places.
fn one(name: &str, stated: Vec<Option<f64>>) -> Result<Option<f64>, String> {
    let stated: Vec<f64> = stated.into_iter().flatten().collect();
    match stated[..] {
        [] => Ok(None),
        [first, ..] if stated.iter().any(|&value| value != first) => {
            Err(format!("`{name}` is {stated:?} in different places, expected one value"))
        }
        [first, ..] => Ok(Some(first)),
    }
}

impl Scaling {
    fn read(kind: &str, keys: &Keys<'_>, table: &Keys<'_>, rope: Rope, sizes: Sizes) -> Result<Self, String> {
        // Phi-3 keeps it at top level, where it counts first.
        let (outside, inside) =
            (keys.size("original_max_position_embeddings")?, table.size("original_max_position_embeddings")?);
        let original = outside.or(inside).unwrap_or(sizes.longest);
        let factor = || table.positive("factor")?.ok_or_else(|| "`factor` is missing".to_owned());
        let attention = table.positive("attention_factor")?;
        match kind {
            "linear" => Ok(Self::Linear { factor: factor()? }),
            "dynamic" => Ok(Self::Dynamic { factor: factor()?, longest: sizes.longest }),
            "llama3" => {
                let turns = |name: &str| table.positive(name)?.ok_or_else(|| format!("`{name}` is missing"));
                let (low, high) = (turns("low_freq_factor")?, turns("high_freq_factor")?);
                if low >= high {
                    return Err(format!("`low_freq_factor` is {low}, expected less than `high_freq_factor`, {high}"));
                }
                Ok(Self::Llama3 { factor: factor()?, low, high, original })
            }
            // What early files of Phi-3 call their own scaling.
            "yarn" if !table.has("short_factor") => Self::yarn(table, rope, (original, sizes.longest), attention),
            "longrope" | "su" | "yarn" => {
                let pairs = rope.rotated / 2;
                let factor = table.positive("factor")?.unwrap_or(sizes.longest as f64 / original as f64);
                let computed = || match factor {
                    ..=1.0 => 1.0,
                    factor => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
                };
                Ok(Self::Long {
                    short: table.numbers("short_factor", pairs)?,
                    long: table.numbers("long_factor", pairs)?,
                    original,
                    attention: attention.unwrap_or_else(computed),
                })
            }
            _ => Err("only `linear`, `dynamic`, `llama3`, `yarn` and `longrope` are computed here".to_owned()),
        }
    }

    /// Finds the pairs between which angles are blended: those that turn 32 times and once within the
    /// first context (equations 17 and 18, in transformers' form).
    fn yarn(
        table: &Keys<'_>,
        rope: Rope,
        (original, longest): (i64, i64),
        attention: Option<f64>,
    ) -> Result<Self, String> {
        let factor = table.positive("factor")?.unwrap_or(longest as f64 / original as f64);
        let scale = |factor: f64, weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
        let weights = (table.number("mscale")?, table.number("mscale_all_dim")?);
        let attention = attention.unwrap_or(match weights {
            (Some(one), Some(all)) if one > 0.0 && all > 0.0 => scale(factor, one) / scale(factor, all),
            _ => scale(factor, 1.0),
        });
        let width = rope.rotated as f64;
        let pair =
            |turns: f64| width * (original as f64 / (turns * std::f64::consts::TAU)).ln() / (2.0 * rope.theta.ln());
        let fast = table.positive("beta_fast")?.unwrap_or(32.0);
        let slow = table.positive("beta_slow")?.unwrap_or(1.0);
        let truncates = table.read("truncate", "true or false", Value::as_bool)?.unwrap_or(true);
        let (mut low, mut high) = (pair(fast), pair(slow));
        if truncates {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(width - 1.0));
        if low == high {
            high += 0.001;
        }
        Ok(Self::Yarn { factor, attention, low, high })
    }
}
