//! Bytes of a request or a response, large ones in memory of their own.
//!
//! An allocator holds on to what it gets back. A mapping goes back to the system when it is dropped, and of
//! one that is larger than its content only what is written occupies memory.

use std::io;
use std::ops::Deref;

use memmap2::MmapMut;

/// From this size on a buffer is a mapping: making one costs a few microseconds, and a page for each
/// 4 KiB that are written.
const MAPPED_BYTES: usize = 1 << 20;

/// A growing buffer of bytes.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Memory {
    fn new(capacity: usize) -> io::Result<Self> {
        Ok(match capacity >= MAPPED_BYTES {
            true => Self::Mapped(MmapMut::map_anon(capacity)?),
            false => Self::Heap(vec![0; capacity]),
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl Buffer {
    /// Returns an empty buffer with room for `capacity` bytes.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            memory: Memory::new(capacity)?,
            len: 0,
        })
    }

    /// Returns a buffer of `len` zeros.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn zeros(len: usize) -> io::Result<Self> {
        let memory = Memory::new(len)?;
        Ok(Self { memory, len })
    }

    /// Returns the number of bytes that fit without an allocation.
    fn capacity(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Appends `bytes`. Where there is no room for them, it is doubled; a mapping is made for the
    /// `expected` bytes at once. Before the buffer is one, what is expected alone occupies nothing.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn append(&mut self, bytes: &[u8], expected: usize) -> io::Result<()> {
        let len = self.len + bytes.len();
        if len > self.capacity() {
            let mut capacity = len.max(2 * self.capacity());
            if len >= MAPPED_BYTES {
                capacity = capacity.max(expected);
            }
            let mut memory = Memory::new(capacity)?;
            memory.bytes_mut()[..self.len].copy_from_slice(self);
            self.memory = memory;
        }
        self.memory.bytes_mut()[self.len..len].copy_from_slice(bytes);
        self.len = len;
        Ok(())
    }

    /// Returns the bytes as a mutable slice.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[..self.len]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_are_read_back() {
        for step in [1, 1_000, MAPPED_BYTES - 1, MAPPED_BYTES, 3 * MAPPED_BYTES] {
            let mut buffer = Buffer::with_capacity(0).unwrap();
            let bytes: Vec<u8> = (0..4 * MAPPED_BYTES).map(|i| (i % 251) as u8).collect();
            let mut expected = 0;
            for chunk in bytes.chunks(step).take(3_000) {
                buffer.append(chunk, 0).unwrap();
                expected += chunk.len();
            }
            assert_eq!(&*buffer, &bytes[..expected], "{step}");
            let is_mapped = matches!(buffer.memory, Memory::Mapped(_));
            assert_eq!(is_mapped, buffer.capacity() >= MAPPED_BYTES);
        }
    }

    #[test]
    fn expected_bytes_occupy_nothing_before_there_is_a_mapping() {
        let mut buffer = Buffer::with_capacity(0).unwrap();
        buffer.append(b"a", 3 * MAPPED_BYTES).unwrap();
        assert_eq!(buffer.capacity(), 1);
        buffer
            .append(&vec![0; MAPPED_BYTES], 3 * MAPPED_BYTES)
            .unwrap();
        assert_eq!(buffer.capacity(), 3 * MAPPED_BYTES);
    }

    #[test]
    fn zeros_can_be_changed() {
        for len in [0, 10, 2 * MAPPED_BYTES] {
            let mut buffer = Buffer::zeros(len).unwrap();
            assert_eq!(buffer.len(), len);
            buffer.as_mut_slice().fill(1);
            assert!(buffer.iter().all(|byte| *byte == 1));
        }
    }
}
