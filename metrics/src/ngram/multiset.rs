//! Multisets of n-grams, packed into integers and sorted.
//!
//! An n-gram of up to four words (32 bits each) or six characters (21 bits each) fits into 128
//! bits, so counting is a sort and clipping is a merge: no hashing of slices, and the same order
//! on every run.

use std::collections::HashMap;

/// Bits one interned word takes in a packed n-gram.
pub const WORD_BITS: u32 = 32;

/// Bits one character takes in a packed n-gram: the largest scalar value is U+10FFFF.
pub const CHARACTER_BITS: u32 = 21;

/// Numbers the distinct words of one example, so that n-grams of words pack into integers.
#[derive(Debug, Default)]
pub struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    /// Returns the number of `word`, the same for equal words of this interner.
    pub fn intern(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        // One example has fewer than 2^32 words: its text would not fit into memory otherwise.
        let number = self.numbers.len() as u32;
        self.numbers.insert(word.into(), number);
        number
    }
}

/// Holds how often each n-gram of one order occurs in one sequence of symbols.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multiset {
    /// Packed n-gram and its count, sorted by n-gram.
    entries: Vec<(u128, u32)>,
}

impl Multiset {
    /// Counts the n-grams of `order` symbols; each symbol must fit into `bits` bits.
    ///
    /// # Panics
    /// If `order` symbols do not fit into 128 bits.
    pub fn of(symbols: &[u32], order: usize, bits: u32) -> Self {
        assert!(order as u32 * bits <= 128, "an n-gram of {order} symbols of {bits} bits does not pack");
        let mut packed: Vec<u128> = symbols
            .windows(order)
            .map(|gram| gram.iter().fold(0, |packed, &symbol| (packed << bits) | u128::from(symbol)))
            .collect();
        packed.sort_unstable();
        let mut entries: Vec<(u128, u32)> = Vec::with_capacity(packed.len());
        for gram in packed {
            match entries.last_mut() {
                Some((last, count)) if *last == gram => *count += 1,
                _ => entries.push((gram, 1)),
            }
        }
        Self { entries }
    }

    /// Returns the number of n-grams, repeats included.
    pub fn total(&self) -> u64 {
        self.entries.iter().map(|&(_, count)| u64::from(count)).sum()
    }

    /// Returns the size of the intersection: each n-gram counts as often as in the poorer side.
    pub fn overlap(&self, other: &Self) -> u64 {
        let (mut left, mut right) = (self.entries.iter().peekable(), other.entries.iter().peekable());
        let mut shared = 0;
        while let (Some(&&(a, a_count)), Some(&&(b, b_count))) = (left.peek(), right.peek()) {
            if a == b {
                shared += u64::from(a_count.min(b_count));
            }
            if a <= b {
                left.next();
            }
            if b <= a {
                right.next();
            }
        }
        shared
    }

    /// Returns the union: each n-gram counts as often as in the richer side.
    pub fn union(&self, other: &Self) -> Self {
        let mut entries: Vec<(u128, u32)> = self.entries.iter().chain(&other.entries).copied().collect();
        entries.sort_unstable();
        // Equal n-grams are neighbours now, the larger count last.
        entries.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            if equal {
                kept.1 = next.1;
            }
            equal
        });
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_clipped_and_union_takes_the_larger_count() {
        let a = Multiset::of(&[1, 1, 1, 2], 1, WORD_BITS);
        let b = Multiset::of(&[1, 1, 3], 1, WORD_BITS);
        assert_eq!((a.total(), b.total()), (4, 3));
        assert_eq!(a.overlap(&b), 2);
        assert_eq!(b.overlap(&a), 2);
        assert_eq!(a.union(&b), Multiset::of(&[1, 1, 1, 2, 3], 1, WORD_BITS));
    }

    #[test]
    fn order_matters_within_an_ngram() {
        let a = Multiset::of(&[1, 2, 1], 2, WORD_BITS);
        let b = Multiset::of(&[2, 1, 2, 1], 2, WORD_BITS);
        assert_eq!(a.overlap(&b), 2);
        assert_eq!(Multiset::of(&[1, 2], 3, WORD_BITS).total(), 0);
    }
}
