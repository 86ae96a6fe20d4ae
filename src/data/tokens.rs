//! Tokens of many texts on disk, and the blocks that training reads of them: a corpus is never in memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::encode::Sequence;
use super::example::SplitName;

/// Bytes of a token: little-endian u32.
const TOKEN: u64 = 4;

fn paths(folder: &Path, split: SplitName) -> (PathBuf, PathBuf) {
    (folder.join(format!("{split}.tokens")), folder.join(format!("{split}.ends")))
}

/// Writes the tokens of texts, one after the other.
#[derive(Debug)]
pub struct TokenWriter {
    tokens: BufWriter<File>,
    ends: BufWriter<File>,
    written: u64,
}

impl TokenWriter {
    /// Begins the files of a split in `folder`.
    ///
    /// # Errors
    /// Files that cannot be made.
    #[expect(clippy::disallowed_methods, reason = "they count when both are whole and sealed; a kill begins anew")]
    pub fn new(folder: &Path, split: SplitName) -> io::Result<Self> {
        let (tokens, ends) = paths(folder, split);
        let open = |path| File::create(path).map(|file| BufWriter::with_capacity(1 << 20, file));
        Ok(Self { tokens: open(tokens)?, ends: open(ends)?, written: 0 })
    }

    /// Appends a text, its end included.
    ///
    /// # Errors
    /// A disk that takes no more.
    pub fn push(&mut self, tokens: &[u32]) -> io::Result<()> {
        for token in tokens {
            self.tokens.write_all(&token.to_le_bytes())?;
        }
        self.written += tokens.len() as u64;
        self.ends.write_all(&self.written.to_le_bytes())
    }

    /// Ends the files, and returns the tokens in them.
    ///
    /// # Errors
    /// A disk that takes no more.
    pub fn finish(self) -> io::Result<u64> {
        for file in [self.tokens, self.ends] {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(self.written)
    }
}

/// Tokens of a split on disk.
#[derive(Debug)]
pub struct Tokens {
    file: File,
    /// Where each text ends, in tokens.
    ends: Vec<u64>,
}

impl Tokens {
    /// Opens the files of a split.
    ///
    /// # Errors
    /// Files that are not there, or do not fit each other.
    pub fn open(folder: &Path, split: SplitName) -> io::Result<Self> {
        let (tokens, ends) = paths(folder, split);
        let mut bytes = Vec::new();
        File::open(&ends)?.read_to_end(&mut bytes)?;
        let ends: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let file = File::open(&tokens)?;
        let (held, told) = (file.metadata()?.len(), ends.last().copied().unwrap_or_default() * TOKEN);
        if held != told {
            let message = format!("`{}` has {held} bytes, expected {told}", tokens.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self { file, ends })
    }

    /// Returns the tokens of all texts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Reads some of the tokens.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u32>> {
        let mut bytes = vec![0; ((range.end - range.start) * TOKEN) as usize];
        self.file.read_exact_at(&mut bytes, range.start * TOKEN)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    /// Divides all texts into blocks of `length` tokens; see [`Block`].
    #[must_use]
    pub fn blocks(&self, length: usize) -> Vec<Block> {
        let length = length as u64;
        let mut blocks = Vec::new();
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let mut held = 0;
        let mut start = 0;
        for &end in &self.ends {
            while start < end {
                let piece = start..end.min(start + length - held);
                start = piece.end;
                held += piece.end - piece.start;
                // One token by itself predicts nothing.
                if piece.end - piece.start > 1 {
                    pieces.push(piece);
                }
                if held == length {
                    blocks.push(Block { pieces: std::mem::take(&mut pieces) });
                    held = 0;
                }
            }
        }
        blocks.push(Block { pieces });
        blocks.retain(|block| !block.pieces.is_empty());
        blocks
    }

    /// Reads the sequences of a block: a piece each, in which every token but the first is predicted.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn sequences(&self, block: &Block) -> io::Result<Vec<Sequence>> {
        let sequence = |(example, piece): (usize, &Range<u64>)| {
            Ok(Sequence { example, tokens: self.read(piece.clone())?, response_start: 1 })
        };
        block.pieces.iter().enumerate().map(sequence).collect()
    }
}

/// As many texts, or parts of texts, as fill a length: no piece sees another one, positions begin anew with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where they lie, in tokens.
    pieces: Vec<Range<u64>>,
}

impl Block {
    /// Returns its tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.pieces.iter().map(|piece| (piece.end - piece.start) as usize).sum()
    }

    /// Returns the tokens that are predicted.
    #[must_use]
    pub fn predicted(&self) -> usize {
        self.tokens() - self.pieces.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(folder: &Path, texts: &[&[u32]]) -> Tokens {
        let mut writer = TokenWriter::new(folder, SplitName::Train).unwrap();
        texts.iter().for_each(|text| writer.push(text).unwrap());
        assert_eq!(writer.finish().unwrap(), texts.iter().map(|text| text.len() as u64).sum::<u64>());
        Tokens::open(folder, SplitName::Train).unwrap()
    }

    #[test]
    fn blocks_are_of_one_length_and_pieces_of_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(folder.path(), &[&[1, 2, 3], &[4, 5, 6, 7, 8, 9], &[10], &[11, 12]]);
        let blocks = tokens.blocks(4);
        let read: Vec<Vec<Vec<u32>>> = blocks
            .iter()
            .map(|block| tokens.sequences(block).unwrap().into_iter().map(|sequence| sequence.tokens).collect())
            .collect();
        // 4 stands alone at the end of the first block, 10 in the third.
        assert_eq!(read, [vec![vec![1, 2, 3]], vec![vec![5, 6, 7, 8]], vec![vec![11, 12]]]);
        assert_eq!((blocks[0].tokens(), blocks[0].predicted()), (3, 2));
        assert_eq!(tokens.count(), 12);
    }

    #[test]
    fn a_file_that_was_cut_is_told() {
        let folder = tempfile::tempdir().unwrap();
        tokens(folder.path(), &[&[1, 2, 3]]);
        let path = folder.path().join("train.tokens");
        std::fs::write(&path, [0; 8]).unwrap();
        let error = Tokens::open(folder.path(), SplitName::Train).unwrap_err().to_string();
        assert_eq!(error, format!("`{}` has 8 bytes, expected 12", path.display()));
    }
}
