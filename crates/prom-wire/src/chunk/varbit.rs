//! Numbers in Prometheus' varbit encoding: a prefix with the width, followed by the lowest bits.

use super::bits::{BitReader, BitWriter};

/// The widths: a 0 alone is the number 0, a 1 and a 0 stand before the first width, and so on with a 1
/// more each time. Eight of them stand before all 64 bits.
const WIDTHS: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Returns true if a signed number has a form of `width` bits. The largest number of a width is one more
/// than in two's complement, and the smallest one too.
pub(super) fn fits(value: i64, width: u32) -> bool {
    let limit = 1_i64 << (width - 1);
    (1 - limit..=limit).contains(&value)
}

/// Reads a signed number of `width` bits, see [`fits`].
pub(super) fn read_signed(bits: &mut BitReader<'_>, width: u32) -> Option<i64> {
    let read = bits.read(width)? as i64;
    Some(match read > 1 << (width - 1) {
        true => read - (1 << width),
        false => read,
    })
}

/// Appends a signed number.
pub(super) fn write_int(bits: &mut BitWriter, value: i64) {
    if value == 0 {
        return bits.write(0, 1);
    }
    let place = WIDTHS.iter().position(|&width| fits(value, width));
    write_wide(bits, value as u64, place);
}

/// Appends an unsigned number.
pub(super) fn write_uint(bits: &mut BitWriter, value: u64) {
    if value == 0 {
        return bits.write(0, 1);
    }
    let place = WIDTHS.iter().position(|&width| value >> width == 0);
    write_wide(bits, value, place);
}

fn write_wide(bits: &mut BitWriter, value: u64, place: Option<usize>) {
    match place {
        Some(place) => {
            let ones = place as u32 + 1;
            bits.write((1 << (ones + 1)) - 2, ones + 1);
            bits.write(value, WIDTHS[place]);
        }
        None => {
            bits.write(0xff, 8);
            bits.write(value, 64);
        }
    }
}

/// Reads what [`write_int`] wrote.
pub(super) fn read_int(bits: &mut BitReader<'_>) -> Option<i64> {
    match read_width(bits)? {
        0 => Some(0),
        64 => Some(bits.read(64)? as i64),
        width => read_signed(bits, width),
    }
}

/// Reads what [`write_uint`] wrote.
pub(super) fn read_uint(bits: &mut BitReader<'_>) -> Option<u64> {
    match read_width(bits)? {
        0 => Some(0),
        width => bits.read(width),
    }
}

fn read_width(bits: &mut BitReader<'_>) -> Option<u32> {
    for width in [0].iter().chain(&WIDTHS) {
        if !bits.read_bit()? {
            return Some(*width);
        }
    }
    Some(64)
}

/// A sequence of numbers, each written as the change of its distance to the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changing {
    last: i64,
    change: i64,
}

impl Changing {
    /// Starts with the first number.
    pub(super) fn new(first: i64) -> Self {
        Self {
            last: first,
            change: 0,
        }
    }

    /// Returns the last number.
    pub(super) fn last(self) -> i64 {
        self.last
    }

    /// Appends the next number.
    pub(super) fn write(&mut self, next: i64, bits: &mut BitWriter) {
        let change = next.wrapping_sub(self.last);
        write_int(bits, change.wrapping_sub(self.change));
        *self = Self { last: next, change };
    }

    /// Reads the next number.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<i64> {
        self.change = self.change.wrapping_add(read_int(bits)?);
        self.last = self.last.wrapping_add(self.change);
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = u64> {
        let near = (0_u32..64, 0_u64..5)
            .prop_map(|(bits, off)| (1_u64 << bits).wrapping_add(off).wrapping_sub(2));
        prop_oneof![any::<u64>(), near.clone(), near.prop_map(u64::wrapping_neg)]
    }

    proptest! {
        #[test]
        fn written_numbers_are_read(numbers in prop::collection::vec(number(), 0..50)) {
            let mut writer = BitWriter::default();
            for number in &numbers {
                write_int(&mut writer, *number as i64);
                write_uint(&mut writer, *number);
            }
            let bytes = writer.take();
            let mut reader = BitReader::new(&bytes);
            for number in numbers {
                prop_assert_eq!(read_int(&mut reader), Some(number as i64));
                prop_assert_eq!(read_uint(&mut reader), Some(number));
            }
        }
    }

    #[test]
    fn widths_end_where_those_of_prometheus_do() {
        // Of eight numbers, the bytes are as many as the bits of one.
        let len = |value: i64| {
            let mut writer = BitWriter::default();
            (0..8).for_each(|_| write_int(&mut writer, value));
            writer.len()
        };
        for (value, bits) in [
            (0, 1),
            (-3, 5),
            (4, 5),
            (-4, 9),
            (5, 9),
            (32, 9),
            (-31, 9),
            (33, 13),
            (256, 13),
            (2_048, 17),
            (131_072, 24),
            (16_777_216, 32),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MIN, 72),
        ] {
            assert_eq!(len(value), bits, "{value}");
        }
        assert_eq!(read_int(&mut BitReader::new(&[0xff; 8])), None);
        assert_eq!(read_uint(&mut BitReader::new(&[0xf0])), None);
    }
}
