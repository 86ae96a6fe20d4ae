//! The tensors that a quantised weight is kept as in checkpoints of transformers and bitsandbytes.
//!
//! In four bits, `P.weight` holds the codes, in bytes or in numbers of any format over the same bytes; beside it are
//! `P.weight.absmax`, the scales, `P.weight.quant_map`, what codes stand for, and the JSON text
//! `P.weight.quant_state.bitsandbytes__nf4` or `__fp4`. Scales in eight bits have `P.weight.nested_absmax` and
//! `P.weight.nested_quant_map`; their mean is in the text. In eight bits, `P.weight` holds the codes as they are,
//! `P.SCB` the scales, and `P.weight_format` says that rows are in order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Quantised;
use super::eight_bit::EightBit;
use super::four_bit::{BLOCK, FourBit};
use super::scales::{NESTED_BLOCK, Scales};
use super::tables::values;
use crate::experiment::settings::BaseFormat;
use crate::models::blocks::dynamic_map;
use crate::models::weights::Checkpoint;
use crate::models::{Misfits, ModelError};

/// Difference up to which what codes stand for is what it is here: their last digits are another machine's.
const TABLE_TOLERANCE: f64 = 1e-6;

/// The text beside a weight in four bits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    quant_type: BaseFormat,
    blocksize: i64,
    dtype: String,
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_blocksize: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_dtype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_offset: Option<f64>,
}

/// What stands where nothing is.
const NOTHING: &str = "not there";

/// Format of scales of scales.
const NESTED_FORMAT: &str = "float32";

/// Formats of numbers by the names that PyTorch gives them.
const FORMATS: [(&str, Kind); 4] =
    [("float32", Kind::Float), ("bfloat16", Kind::BFloat16), ("float16", Kind::Half), ("float64", Kind::Double)];

/// Returns PyTorch's name of a format of weights; f64, which bitsandbytes does not compute in, is f32.
pub(super) fn format_name(kind: Kind) -> &'static str {
    FORMATS.iter().find(|(_, format)| *format == kind && kind != Kind::Double).map_or("float32", |(name, _)| name)
}

/// Reads quantised weights of one checkpoint.
pub(in crate::models) struct Reading<'a> {
    /// Where they lie.
    pub(in crate::models) checkpoint: &'a Checkpoint,
    /// How its configuration says that they are kept.
    pub(in crate::models) kept: (BaseFormat, bool),
    /// Where they shall be.
    pub(in crate::models) device: Device,
    /// What does not fit.
    pub(in crate::models) misfits: &'a mut Misfits,
    /// The names of what was read.
    pub(in crate::models) used: &'a mut BTreeSet<String>,
}

impl Reading<'_> {
    /// Reads the weight `name` of `[out, in]` numbers; none where it is not quantised, or does not fit, which is
    /// told among the misfits.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(in crate::models) fn weight(&mut self, name: &str, shape: [i64; 2]) -> Result<Found, ModelError> {
        let (format, _) = self.kept;
        let told = [BaseFormat::Nf4, BaseFormat::Fp4].map(|format| (format, text_name(name, format)));
        let told = told.into_iter().find(|(_, text)| self.checkpoint.shape(text).is_some());
        let is_eight = self.checkpoint.kind(name) == Some(Kind::Int8);
        let found = match (told, self.checkpoint.shape(&scales_name(name))) {
            (Some((found, text)), _) if found == format => self.four_bit(name, &text, shape)?.map(Quantised::Four),
            (None, scales) if format == BaseFormat::Int8 && (scales.is_some() || is_eight) => {
                self.eight_bit(name, shape)?.map(Quantised::Eight)
            }
            (None, None) => return Ok(Found::Dense),
            (told, _) => {
                let found = told.map_or(BaseFormat::Int8, |(found, _)| found).name();
                self.misfits.add(format!("`{name}` is in {found}, expected {} as `config.json` says", format.name()));
                None
            }
        };
        Ok(found.map_or(Found::Misfit, Found::Quantised))
    }

    fn four_bit(&mut self, name: &str, text: &str, shape: [i64; 2]) -> Result<Option<FourBit>, ModelError> {
        let (format, doubles) = self.kept;
        self.used.insert(text.to_owned());
        let bytes = self.checkpoint.bytes(text)?.unwrap_or_default();
        let state: State = match serde_json::from_slice(&bytes) {
            Ok(state) => state,
            Err(error) => {
                self.misfits.add(format!("`{text}` is no text of bitsandbytes ({error})"));
                // What lies beside it is part of the model.
                let beside = self.checkpoint.names().filter(|other| other.starts_with(name));
                self.used.extend(beside.map(str::to_owned));
                return Ok(None);
            }
        };
        let origin = FORMATS.iter().find(|(name, _)| *name == state.dtype).map(|(_, kind)| *kind);
        let State { quant_type, blocksize, shape: found, nested_blocksize, nested_dtype, nested_offset, .. } = &state;
        let nested = |value: &dyn Fn() -> String| if doubles { value() } else { NOTHING.to_owned() };
        let told = |value: Option<String>| value.unwrap_or_else(|| NOTHING.to_owned());
        let wrong: Vec<String> = [
            ("quant_type", quant_type.name().to_owned(), format.name().to_owned()),
            ("blocksize", blocksize.to_string(), BLOCK.to_string()),
            ("shape", format!("{found:?}"), format!("{shape:?}")),
            (
                "nested_blocksize",
                told(nested_blocksize.map(|size| size.to_string())),
                nested(&|| NESTED_BLOCK.to_string()),
            ),
            ("nested_dtype", told(nested_dtype.clone()), nested(&|| NESTED_FORMAT.to_owned())),
            ("nested_offset", told(nested_offset.map(|_| "a number".to_owned())), nested(&|| "a number".to_owned())),
            (
                "dtype",
                state.dtype.clone(),
                origin.map_or_else(|| "a format of weights".to_owned(), |_| state.dtype.clone()),
            ),
        ]
        .into_iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(name, found, expected)| format!("`{text}`: `{name}` is {found}, expected {expected}"))
        .collect();
        let is_wrong = !wrong.is_empty();
        wrong.into_iter().for_each(|problem| self.misfits.add(problem));
        let numbers: i64 = shape.iter().product();
        let (codes, blocks) = (self.codes(name, (numbers + 1) / 2)?, (numbers + BLOCK - 1) / BLOCK);
        self.table(&format!("{name}.quant_map"), &values(format).unwrap_or_default())?;
        let scales = match nested_offset {
            None => self.part(&format!("{name}.absmax"), Kind::Float, &[blocks])?.map(Scales::Plain),
            Some(offset) => {
                self.table(&format!("{name}.nested_quant_map"), &dynamic_map(true))?;
                let scales = (blocks + NESTED_BLOCK - 1) / NESTED_BLOCK;
                let codes = self.part(&format!("{name}.absmax"), Kind::Uint8, &[blocks])?;
                let scales = self.part(&format!("{name}.nested_absmax"), Kind::Float, &[scales])?;
                let offset = Tensor::from_slice(&[*offset as f32]).to_device(self.device);
                codes.zip(scales).map(|(codes, scales)| Scales::Nested { codes, scales, offset })
            }
        };
        let whole = codes.zip(scales).zip(origin).filter(|_| !is_wrong);
        Ok(whole.map(|((codes, scales), origin)| FourBit { codes, scales, format, shape, origin }))
    }

    fn eight_bit(&mut self, name: &str, shape: [i64; 2]) -> Result<Option<EightBit>, ModelError> {
        let codes = self.part(name, Kind::Int8, &shape)?;
        let scales = self.part(&scales_name(name), Kind::Float, &shape[..1])?;
        let order = order_name(name);
        if self.checkpoint.shape(&order).is_some() {
            self.used.insert(order.clone());
            let found = self.checkpoint.bytes(&order)?.unwrap_or_default();
            if found.iter().any(|&byte| byte != 0) {
                self.misfits.add(format!("`{order}` is {found:?}, expected 0: rows in order"));
                return Ok(None);
            }
        }
        Ok(codes.zip(scales).map(|(codes, scales)| EightBit { codes, scales }))
    }

    /// Reads codes of four bits, which may be kept in numbers of any format.
    fn codes(&mut self, name: &str, expected: i64) -> Result<Option<Tensor>, ModelError> {
        self.used.insert(name.to_owned());
        let bytes = self.checkpoint.bytes(name)?.unwrap_or_default();
        if bytes.len() as i64 != expected {
            self.misfits.add(format!("`{name}` has {} bytes, expected {expected}", bytes.len()));
            return Ok(None);
        }
        Ok(Some(Tensor::from_slice(&bytes).to_device(self.device)))
    }

    /// Reads a part of a weight.
    fn part(&mut self, name: &str, kind: Kind, shape: &[i64]) -> Result<Option<Tensor>, ModelError> {
        self.used.insert(name.to_owned());
        let problem = match (self.checkpoint.shape(name), self.checkpoint.kind(name)) {
            (None, _) => format!("`{name}` is missing"),
            (Some(found), _) if found != shape => format!("`{name}` has shape {found:?}, expected {shape:?}"),
            (_, found) if found != Some(kind) => format!("`{name}` is stored as {found:?}, expected {kind:?}"),
            _ if kind == Kind::Float => {
                return self.checkpoint.read_weights(name, kind, self.device, self.misfits);
            }
            _ => return self.checkpoint.read(name, kind, self.device),
        };
        self.misfits.add(problem);
        Ok(None)
    }

    /// Checks that codes stand for what they stand for here.
    fn table(&mut self, name: &str, expected: &[f32]) -> Result<(), ModelError> {
        let found = self.part(name, Kind::Float, &[expected.len() as i64])?;
        let expected = Tensor::from_slice(expected).to_device(self.device);
        if found.is_some_and(|found| !found.allclose(&expected, 0.0, TABLE_TOLERANCE, false)) {
            self.misfits.add(format!("`{name}` holds other values than bitsandbytes' own"));
        }
        Ok(())
    }
}

/// What there is of a weight.
pub(in crate::models) enum Found {
    /// It is not quantised.
    Dense,
    /// It does not fit.
    Misfit,
    /// It is.
    Quantised(Quantised),
}

impl Quantised {
    /// Returns the tensors that it is kept as in checkpoints, where its name is `name`.
    pub(super) fn tensors(&self, name: &str) -> Vec<(String, Tensor)> {
        match self {
            Self::Four(weight) => four_bit_tensors(weight, name),
            Self::Eight(EightBit { codes, scales }) => vec![
                (name.to_owned(), codes.shallow_clone()),
                (scales_name(name), scales.shallow_clone()),
                (order_name(name), Tensor::zeros([0i64; 0], (Kind::Uint8, Device::Cpu))),
            ],
        }
    }
}

fn four_bit_tensors(weight: &FourBit, name: &str) -> Vec<(String, Tensor)> {
    let FourBit { codes, scales, format, shape, origin } = weight;
    let table = Tensor::from_slice(&values(*format).unwrap_or_default());
    let mut all = vec![(name.to_owned(), codes.view([-1, 1])), (format!("{name}.quant_map"), table)];
    let nested_offset = match scales {
        Scales::Plain(scales) => {
            all.push((format!("{name}.absmax"), scales.shallow_clone()));
            None
        }
        Scales::Nested { codes, scales, offset } => {
            all.push((format!("{name}.absmax"), codes.shallow_clone()));
            all.push((format!("{name}.nested_absmax"), scales.shallow_clone()));
            all.push((format!("{name}.nested_quant_map"), Tensor::from_slice(&dynamic_map(true))));
            Some(offset.double_value(&[0]))
        }
    };
    let state = State {
        quant_type: *format,
        blocksize: BLOCK,
        dtype: format_name(*origin).to_owned(),
        shape: shape.to_vec(),
        nested_blocksize: nested_offset.map(|_| NESTED_BLOCK),
        nested_dtype: nested_offset.map(|_| NESTED_FORMAT.to_owned()),
        nested_offset,
    };
    let text = serde_json::to_vec(&state).expect("names and numbers");
    all.push((text_name(name, *format), Tensor::from_slice(&text)));
    all
}

fn text_name(weight: &str, format: BaseFormat) -> String {
    format!("{weight}.quant_state.bitsandbytes__{}", format.name())
}

fn scales_name(weight: &str) -> String {
    format!("{}.SCB", weight.strip_suffix(".weight").unwrap_or(weight))
}

fn order_name(weight: &str) -> String {
    format!("{weight}_format")
}
