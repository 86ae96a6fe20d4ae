//! Numbers of tensors as slices, for the loop of the optimiser: libtorch's binding gives no safe way to change
//! numbers in place by other means than libtorch's operations.

use tch::{Device, Kind, Tensor};

/// Returns the numbers of a tensor of f32 in the order in which they lie.
///
/// # Panics
/// When it is not on the CPU, not in one piece, or of another kind: our mistake.
pub(super) fn floats(tensor: &mut Tensor) -> &mut [f32] {
    of_kind(tensor, Kind::Float)
}

/// Returns the numbers of a tensor of bf16 by their 16 bits.
///
/// # Panics
/// As [`floats`].
pub(super) fn halves(tensor: &mut Tensor) -> &mut [u16] {
    of_kind(tensor, Kind::BFloat16)
}

/// Returns the memory of a tensor whose numbers are as wide as a `T`.
fn of_kind<T: Copy>(tensor: &mut Tensor, kind: Kind) -> &mut [T] {
    assert!(tensor.device() == Device::Cpu && tensor.is_contiguous(), "numbers of a tensor in one piece on the CPU");
    assert_eq!((tensor.kind(), kind.elt_size_in_bytes()), (kind, size_of::<T>()), "numbers of one kind");
    let count = tensor.numel();
    if count == 0 {
        return &mut [];
    }
    let start = tensor.data_ptr().cast::<T>();
    #[expect(
        unsafe_code,
        reason = "`start` begins `count` numbers of this kind in one piece, aligned by the allocator; the tensor and \
                  with it this memory is borrowed for as long as the slice. Views of it elsewhere hold no slice, and \
                  libtorch does nothing on its own while we compute"
    )]
    unsafe {
        std::slice::from_raw_parts_mut(start, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_a_part_is_in_the_whole() {
        let whole = Tensor::from_slice(&[1f32, 2.0, 3.0]);
        floats(&mut whole.narrow(0, 1, 2))[1] = 5.0;
        assert_eq!(Vec::<f32>::try_from(&whole).unwrap(), [1.0, 2.0, 5.0]);
        assert_eq!(halves(&mut whole.to_kind(Kind::BFloat16)), [0x3f80, 0x4000, 0x40a0]);
        assert!(floats(&mut whole.narrow(0, 3, 0)).is_empty());
    }

    #[test]
    #[should_panic(expected = "numbers of a tensor in one piece")]
    fn numbers_that_lie_apart_are_refused() {
        floats(&mut Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]).tr());
    }
}
