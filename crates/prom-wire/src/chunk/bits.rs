//! Streams of bits, the most significant bit of each byte first.

/// Appends bits one after the other.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet: the lowest `pending_bits`.
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`; at most 64.
    pub(super) fn write(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.write(value >> 32, count - 32);
            self.write(value, 32);
            return;
        }
        self.pending = (self.pending << count) | (value & ((1 << count) - 1));
        self.pending_bits += count;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            self.bytes.push((self.pending >> self.pending_bits) as u8);
        }
    }

    /// Appends a number in groups of 7 bits, the lowest first, as protobuf does.
    pub(super) fn write_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Returns the number of bytes, a started one included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.pending_bits > 0)
    }

    /// Returns all bytes, the last one filled with zeros, and clears the writer without freeing its memory.
    pub(super) fn take(&mut self) -> Box<[u8]> {
        if self.pending_bits > 0 {
            self.write(0, 8 - self.pending_bits);
        }
        let bytes = Box::from(&self.bytes[..]);
        self.bytes.clear();
        bytes
    }
}

/// Reads bits one after the other.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'b> {
    rest: &'b [u8],
    /// Bits that were split off `rest` and not read yet: the lowest `pending_bits`.
    pending: u64,
    pending_bits: u32,
}

impl<'b> BitReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self {
            rest: bytes,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// Reads the next `count` bits, at most 64; `None` if there are fewer.
    pub(super) fn read(&mut self, count: u32) -> Option<u64> {
        if count > 32 {
            let high = self.read(count - 32)?;
            return Some(high << 32 | self.read(32)?);
        }
        while self.pending_bits < count {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            self.pending = self.pending << 8 | u64::from(*first);
            self.pending_bits += 8;
        }
        self.pending_bits -= count;
        Some(self.pending >> self.pending_bits & ((1 << count) - 1))
    }

    /// Reads the next bit.
    pub(super) fn read_bit(&mut self) -> Option<bool> {
        Some(self.read(1)? == 1)
    }

    /// Reads what [`BitWriter::write_varint`] wrote.
    pub(super) fn read_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn written_numbers_are_read(
            all in prop::collection::vec((any::<u64>(), 1_u32..=64), 0..50),
            varint: u64,
        ) {
            let mut writer = BitWriter::default();
            for (value, count) in &all {
                writer.write(*value, *count);
            }
            writer.write_varint(varint);
            let len = writer.len();
            let bytes = writer.take();
            prop_assert_eq!(bytes.len(), len);
            let mut reader = BitReader::new(&bytes);
            for (value, count) in all {
                prop_assert_eq!(reader.read(count), Some(value & (u64::MAX >> (64 - count))));
            }
            prop_assert_eq!(reader.read_varint(), Some(varint));
            // Less than a byte of zeros is left.
            while let Some(bit) = reader.read_bit() {
                prop_assert!(!bit);
            }
            prop_assert_eq!(writer.take().len(), 0);
        }
    }

    #[test]
    fn missing_bits_are_not_read() {
        assert_eq!(BitReader::new(&[1]).read(9), None);
        assert_eq!(BitReader::new(&[0xff]).read_varint(), None);
        assert_eq!(BitReader::new(&[0xff; 11]).read_varint(), None);
    }
}
