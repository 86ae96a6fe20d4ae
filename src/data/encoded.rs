//! Sequences in a file: questions are encoded once for all that learn from them.

use std::io::{self, Write};

use super::encode::{Misfits, Sequence};

/// Begins a file, and tells its layout: what follows is four counts, three numbers of each sequence, all
/// tokens, and the BLAKE3 hash of all this; numbers are little-endian u64, tokens u32.
const MAGIC: &[u8; 8] = b"tutelseq";

/// Bytes of a hash.
const HASH: usize = blake3::OUT_LEN;

/// Holds the sequences of a split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodedSplit {
    /// What a model reads, in the order of the examples.
    pub sequences: Vec<Sequence>,
    /// What did not fit.
    pub misfits: Misfits,
    /// Examples of the split, those that were left out among them.
    pub examples: usize,
}

impl EncodedSplit {
    /// Writes a file that [`read`](Self::read) reads.
    ///
    /// # Errors
    /// A disk that takes no more.
    pub fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let mut hashing = Hashing { file, hasher: blake3::Hasher::new() };
        hashing.write_all(MAGIC)?;
        let Misfits { clipped_prompts, rejected_responses } = self.misfits;
        let counts = [self.examples, clipped_prompts, rejected_responses, self.sequences.len()];
        let each = self.sequences.iter();
        let numbers = each.flat_map(|sequence| [sequence.example, sequence.tokens.len(), sequence.response_start]);
        for number in counts.into_iter().chain(numbers) {
            hashing.write_all(&(number as u64).to_le_bytes())?;
        }
        for token in self.sequences.iter().flat_map(|sequence| &sequence.tokens) {
            hashing.write_all(&token.to_le_bytes())?;
        }
        let hash = hashing.hasher.finalize();
        file.write_all(hash.as_bytes())
    }

    /// Reads what [`write`](Self::write) wrote; none if a byte differs.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        if *blake3::hash(body).as_bytes() != *hash {
            return None;
        }
        let mut numbers = Numbers(body.strip_prefix(MAGIC)?);
        let [examples, clipped_prompts, rejected_responses, count] = numbers.take()?;
        let lengths: Vec<[usize; 3]> = (0..count).map(|_| numbers.take()).collect::<Option<_>>()?;
        let mut tokens = numbers.0;
        let mut sequences = Vec::with_capacity(count);
        for [example, length, response_start] in lengths {
            let own = tokens.split_off(..length.checked_mul(4)?)?;
            let tokens = own.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            sequences.push(Sequence { example, tokens, response_start });
        }
        tokens.is_empty().then_some(())?;
        Some(Self { sequences, misfits: Misfits { clipped_prompts, rejected_responses }, examples })
    }
}

/// Hashes what passes through to a file.
struct Hashing<'a, W> {
    file: &'a mut W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The numbers that are not read yet.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> Option<[usize; N]> {
        let bytes = self.0.split_off(..8 * N)?;
        let (numbers, _) = bytes.as_chunks();
        let mut taken = [0; N];
        for (number, bytes) in taken.iter_mut().zip(numbers) {
            *number = u64::from_le_bytes(*bytes).try_into().ok()?;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_byte_may_differ() {
        let sequence =
            |example, length: u32| Sequence { example, tokens: (7..7 + length).collect(), response_start: 2 };
        let encoded = EncodedSplit {
            sequences: vec![sequence(0, 5), sequence(2, 3)],
            misfits: Misfits { clipped_prompts: 1, rejected_responses: 4 },
            examples: 9,
        };
        for encoded in [encoded, EncodedSplit::default()] {
            let mut bytes = Vec::new();
            encoded.write(&mut bytes).unwrap();
            assert_eq!(EncodedSplit::read(&bytes), Some(encoded));
            for place in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1;
                assert_eq!(EncodedSplit::read(&flipped), None, "byte {place}");
                assert_eq!(EncodedSplit::read(&bytes[..place]), None, "{place} bytes");
            }
        }
    }
}
