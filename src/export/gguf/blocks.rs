//! Numbers as GGUF keeps them: f32, f16, and Q8_0, blocks of 32 numbers of eight bits with a scale in f16
//! (github.com/ggml-org/llama.cpp, `quantize_row_q8_0_ref`).

use anyhow::bail;
use gguf_rs_lib::format::types::GGUFTensorType;
use tch::{Kind, Tensor, no_grad};

use super::tensors::Named;
use super::{bytes_of, tensor_of};
use crate::export::settings::Blocks;

/// Numbers that share a scale.
const BLOCK: i64 = 32;

/// Bytes of a block: a scale in f16 and a byte for each number.
const BLOCK_BYTES: i64 = 2 + BLOCK;

/// Decides how a tensor is kept: matrices as asked, but in f16 where rows are no whole blocks; what is small, in f32.
pub(super) fn kind(named: &Named, blocks: Blocks) -> GGUFTensorType {
    match named.tensor.size()[..] {
        [_, width] if !named.is_exact => match blocks {
            Blocks::Q8_0 if width % BLOCK == 0 => GGUFTensorType::Q8_0,
            Blocks::Q8_0 | Blocks::F16 => GGUFTensorType::F16,
        },
        _ => GGUFTensorType::F32,
    }
}

/// Returns the bytes of a tensor in f32.
///
/// # Errors
/// Numbers beyond the range of f16, a kind that is not written here.
pub(super) fn encoded(tensor: &Tensor, kind: GGUFTensorType) -> anyhow::Result<Vec<u8>> {
    let encoded = no_grad(|| match kind {
        GGUFTensorType::F32 => Ok(tensor.to_kind(Kind::Float)),
        GGUFTensorType::F16 => Ok(tensor.to_kind(Kind::Half)),
        GGUFTensorType::Q8_0 => {
            let (scales, codes) = quantised(tensor);
            let is_finite = scales.isfinite().all().int64_value(&[]) == 1;
            let bytes = |tensor: Tensor| tensor.view_dtype(Kind::Uint8);
            Ok(if is_finite { Tensor::cat(&[bytes(scales), bytes(codes)], 1) } else { scales })
        }
        other => bail!("`{}` is not written here", other.name()),
    })?;
    let is_finite = !encoded.is_floating_point() || encoded.isfinite().all().int64_value(&[]) == 1;
    if !is_finite {
        bail!("it holds numbers beyond the range of f16\nhint: `--as safetensors` has room for them");
    }
    Ok(bytes_of(&encoded)?)
}

/// Returns the scales `[blocks, 1]` in f16 and the codes `[blocks, 32]` in i8.
fn quantised(tensor: &Tensor) -> (Tensor, Tensor) {
    let blocks = tensor.to_kind(Kind::Float).contiguous().view([-1, BLOCK]);
    let scales = blocks.abs().amax([1], true) / 127.0;
    // Codes are found with the scale in f32. Of nothing but zeros it is 0.
    let inverse = scales.reciprocal().where_self(&scales.not_equal(0.0), &scales);
    let scaled = blocks * inverse;
    // Halves are rounded away from zero.
    let whole = scaled.abs().floor();
    let rounded = (&whole + ((scaled.abs() - &whole) * 2.0).floor()) * scaled.sign();
    (scales.to_kind(Kind::Half), rounded.to_kind(Kind::Int8))
}

/// Returns the tensor `[shape]` in f32 that bytes stand for; none where they are too few or too many.
pub(super) fn decoded(bytes: &[u8], kind: GGUFTensorType, shape: &[i64]) -> Option<Tensor> {
    match kind {
        GGUFTensorType::F32 => tensor_of(bytes, shape, Kind::Float),
        GGUFTensorType::F16 => Some(tensor_of(bytes, shape, Kind::Half)?.to_kind(Kind::Float)),
        GGUFTensorType::Q8_0 => {
            let blocks = tensor_of(bytes, &[bytes.len() as i64 / BLOCK_BYTES, BLOCK_BYTES], Kind::Uint8)?;
            let part = |start, length| blocks.narrow(1, start, length).contiguous();
            let scales = part(0, 2).view_dtype(Kind::Half).to_kind(Kind::Float);
            let codes = part(2, BLOCK).view_dtype(Kind::Int8).to_kind(Kind::Float);
            let fits = codes.numel() as i64 == shape.iter().product::<i64>();
            fits.then(|| (codes * scales).view(shape))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(numbers: &[f32]) -> Tensor {
        let mut row = numbers.to_vec();
        row.resize(32, 0.0);
        Tensor::from_slice(&row).view([1, 32])
    }

    #[test]
    fn a_block_has_a_scale_and_codes_rounded_away_from_zero() {
        // The scale is 2 / 127: 1.0 is 63.5 of them.
        let bytes = encoded(&row(&[2.0, 1.0, -1.0, -2.0, 0.003]), GGUFTensorType::Q8_0).unwrap();
        assert_eq!(bytes.len(), 34);
        let codes: Vec<i8> = bytes[2..8].iter().map(|&byte| byte.cast_signed()).collect();
        assert_eq!(codes, [127, 64, -64, -127, 0, 0]);
        // 2 / 127 in f16 is 1032 / 65536.
        assert_eq!(&bytes[..2], [0x08, 0x24]);
        let read = decoded(&bytes, GGUFTensorType::Q8_0, &[1, 32]).unwrap();
        assert_eq!(f64::try_from(read.get(0).get(1)).unwrap(), 64.0 * 1032.0 / 65536.0);
        let zeros = encoded(&row(&[]), GGUFTensorType::Q8_0).unwrap();
        assert_eq!(zeros, [0; 34]);
    }

    #[test]
    fn what_has_no_place_is_told() {
        let large = encoded(&row(&[70_000.0]), GGUFTensorType::F16).unwrap_err().to_string();
        assert!(large.starts_with("it holds numbers beyond the range of f16"), "{large}");
        assert!(encoded(&row(&[1e8]), GGUFTensorType::Q8_0).is_err());
        assert!(encoded(&row(&[70_000.0]), GGUFTensorType::Q8_0).is_ok());
        assert!(decoded(&[0; 33], GGUFTensorType::Q8_0, &[1, 32]).is_none());
        assert!(decoded(&[0; 34], GGUFTensorType::Q8_0, &[2, 32]).is_none());
        assert!(decoded(&[0; 7], GGUFTensorType::F32, &[2]).is_none());
    }
}
