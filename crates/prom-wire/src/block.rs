//! A snappy block that is compressed piece by piece.
//!
//! A block is the decompressed length and elements that refer to earlier output, so the elements of two blocks one
//! after the other are those of a block of both. The encoder itself splits its input into pieces of 64 KiB:
//! <https://github.com/google/snappy/blob/main/format_description.txt>.

use std::io;

use snap::raw::{Encoder, max_compress_len};

use crate::buffer::Buffer;

/// The size of a piece that is compressed at once.
const PIECE_BYTES: usize = 64 << 10;

/// A response that cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Snappy's blocks hold up to 4 GiB.
    #[error("the result has {0} bytes, more than the 4 GiB that snappy can hold")]
    TooLarge(usize),
    /// The system has no memory.
    #[error("the system has no memory for the result: {0}")]
    Memory(#[from] io::Error),
}

/// Compresses appended bytes piece by piece; it holds one piece and the result.
#[derive(Debug)]
pub(super) struct BlockWriter {
    encoder: Encoder,
    block: Buffer,
    /// The error of an allocation for the block, after which nothing is appended.
    failed: Option<io::Error>,
    piece: Vec<u8>,
    compressed: Vec<u8>,
}

impl BlockWriter {
    /// Starts the block of `len` bytes in all.
    ///
    /// # Errors
    /// They exceed the size of a block, 4 GiB, or there is no memory.
    pub(super) fn new(len: usize) -> Result<Self, EncodeError> {
        if u32::try_from(len).is_err() {
            return Err(EncodeError::TooLarge(len));
        }
        let mut head = Vec::new();
        prost::encode_length_delimiter(len, &mut head).expect("a Vec has room for everything");
        let mut block = Buffer::with_capacity(0)?;
        block.append(&head, 0)?;
        Ok(Self {
            encoder: Encoder::new(),
            block,
            failed: None,
            piece: Vec::with_capacity(PIECE_BYTES),
            compressed: vec![0; max_compress_len(PIECE_BYTES)],
        })
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let free = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(free.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES {
                self.compress_piece();
            }
        }
    }

    /// Returns the complete block.
    ///
    /// # Errors
    /// There was no memory for it.
    pub(super) fn finish(mut self) -> Result<Buffer, EncodeError> {
        if !self.piece.is_empty() {
            self.compress_piece();
        }
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.block),
        }
    }

    fn compress_piece(&mut self) {
        let written = self.encoder.compress(&self.piece, &mut self.compressed);
        let written = written.expect("there is room for the largest result of a piece");
        let length = prost::length_delimiter_len(self.piece.len());
        if self.failed.is_none() {
            let appended = self.block.append(&self.compressed[length..written], 0);
            self.failed = appended.err();
        }
        self.piece.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compress(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = BlockWriter::new(pieces.iter().map(Vec::len).sum()).unwrap();
        for piece in pieces {
            writer.write(piece);
        }
        writer.finish().unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn a_block_decompresses_to_the_appended_bytes(
            pieces in prop::collection::vec((any::<u8>(), 0_usize..200_000, 1_usize..9), 0..6),
        ) {
            // Some of it repeats, some does not.
            let bytes = |&(seed, len, step): &(u8, usize, usize)| -> Vec<u8> {
                (0..len).map(|i| (i / step * i).wrapping_add(usize::from(seed)) as u8).collect()
            };
            let pieces: Vec<_> = pieces.iter().map(bytes).collect();
            let block = compress(&pieces);
            let whole = pieces.concat();
            prop_assert_eq!(&snap::raw::Decoder::new().decompress_vec(&block).unwrap(), &whole);
            // As good as at once.
            prop_assert_eq!(block, Encoder::new().compress_vec(&whole).unwrap());
        }
    }

    #[test]
    fn a_block_has_a_largest_size() {
        assert!(BlockWriter::new(5 << 30).is_err());
    }
}
