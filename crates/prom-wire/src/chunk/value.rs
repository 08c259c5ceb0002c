//! Floats, each as the bits in which it differs from the one before.

use super::bits::{BitReader, BitWriter};

/// The last of a sequence of floats, by its bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct XorValue {
    bits: u64,
    window: Option<Window>,
}

/// The bits of a value that changed last. A change within them is written in their width alone.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Leading zeros.
    leading: u32,
    /// Trailing zeros.
    trailing: u32,
}

impl Window {
    fn width(self) -> u32 {
        64 - self.leading - self.trailing
    }
}

impl XorValue {
    /// Starts with the first value.
    pub(super) fn new(bits: u64) -> Self {
        Self { bits, window: None }
    }

    /// Returns the bits of the last value.
    pub(super) fn bits(self) -> u64 {
        self.bits
    }

    /// Appends the next value.
    pub(super) fn write(&mut self, value: u64, bits: &mut BitWriter) {
        let changed = value ^ self.bits;
        self.bits = value;
        if changed == 0 {
            return bits.write(0, 1);
        }
        // The count of leading zeros has 5 bits.
        let leading = changed.leading_zeros().min(31);
        let trailing = changed.trailing_zeros();
        if let Some(window) = self.window
            && leading >= window.leading
            && trailing >= window.trailing
        {
            bits.write(0b10, 2);
            return bits.write(changed >> window.trailing, window.width());
        }
        let window = Window { leading, trailing };
        bits.write(0b11, 2);
        bits.write(u64::from(leading), 5);
        // 64 is written as 0, which no other width is.
        bits.write(u64::from(window.width()), 6);
        bits.write(changed >> trailing, window.width());
        self.window = Some(window);
    }

    /// Reads the next value and returns its bits.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        self.bits ^= self.read_changed(bits)?;
        Some(self.bits)
    }

    fn read_changed(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        if !bits.read_bit()? {
            return Some(0);
        }
        if bits.read_bit()? {
            let leading = bits.read(5)? as u32;
            let width = match bits.read(6)? as u32 {
                0 => 64,
                width => width,
            };
            let trailing = 64_u32.checked_sub(leading + width)?;
            self.window = Some(Window { leading, trailing });
        }
        let window = self.window?;
        Some(bits.read(window.width())? << window.trailing)
    }
}
