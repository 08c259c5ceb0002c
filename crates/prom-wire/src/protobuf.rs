//! The protobuf wire format, read without copying: bytes to fields. It serves the messages of this crate and those of
//! protocols elsewhere.
//!
//! The type of a field is up to its message; fields of wire types that no message has are skipped here. Groups, which
//! are obsolete, are skipped too. Format: <https://protobuf.dev/programming-guides/encoding/>.
//!
//! The readers of messages call these functions for each byte or two; with the hints to inline they need less than
//! half of the time.

use crate::budget::BudgetExceeded;

/// Bytes that are not a message, or not one within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// They violate the wire format, or a field does not have the type that the message gives it.
    Malformed(&'static str),
    /// They have more of one thing than a request may.
    TooMany {
        /// The things that are too many.
        what: &'static str,
        /// The most that a request may have.
        limit: usize,
    },
    /// There is no memory for their decoded form.
    Memory(BudgetExceeded),
}

impl From<BudgetExceeded> for MessageError {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::Memory(exceeded)
    }
}

/// The most messages and groups within one another.
const MAX_DEPTH: u8 = 100;

/// The fields of a message, one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// The number of levels that may follow.
    depth: u8,
}

/// The value of a field, as the wire format knows it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// An integer of variable length.
    Varint(u64),
    /// Eight bytes: a double or an integer.
    Fixed64(u64),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// A wire type that our messages do not have.
    Other,
}

impl<'a> Reader<'a> {
    /// Returns a reader of the fields of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            depth: MAX_DEPTH,
        }
    }

    /// Reads number and value of the next field; `None` at the end.
    ///
    /// # Errors
    /// The bytes are not a field.
    #[inline(always)]
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, MessageError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = self.value(number, wire_type, self.depth)?;
        Ok(Some((number, value)))
    }

    /// Returns the bytes that are not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Skips bytes that are known to be whole fields.
    ///
    /// # Panics
    /// There are not as many.
    #[inline]
    pub fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Returns the message that is the value of a field of this one.
    ///
    /// # Errors
    /// The value is no message, or one that is nested too deeply.
    #[inline]
    pub fn message(&self, value: Value<'a>) -> Result<Self, MessageError> {
        Ok(Self {
            rest: value.bytes()?,
            depth: self.depth.checked_sub(1).ok_or(TOO_DEEP)?,
        })
    }

    #[inline(always)]
    fn key(&mut self) -> Result<(u32, u8), MessageError> {
        let key = self.varint()?;
        let key =
            u32::try_from(key).map_err(|_| MessageError::Malformed("a field key is too large"))?;
        match key >> 3 {
            0 => Err(MessageError::Malformed("a field has the number 0")),
            number => Ok((number, (key & 7) as u8)),
        }
    }

    /// Reads a value, or skips one that no message has; `depth` levels may follow.
    #[inline(always)]
    fn value(&mut self, number: u32, wire_type: u8, depth: u8) -> Result<Value<'a>, MessageError> {
        Ok(match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
                Value::Bytes(self.take(length)?)
            }
            _ => {
                self.skip_value(number, wire_type, depth)?;
                Value::Other
            }
        })
    }

    /// Skips a value of a wire type that no message has.
    #[cold]
    fn skip_value(&mut self, number: u32, wire_type: u8, depth: u8) -> Result<(), MessageError> {
        match wire_type {
            3 => self.group(number, depth),
            5 => self.take(4).map(drop),
            4 => Err(MessageError::Malformed("a group ends that has not begun")),
            _ => Err(MessageError::Malformed("a field has an unknown wire type")),
        }
    }

    /// Skips a group.
    fn group(&mut self, number: u32, depth: u8) -> Result<(), MessageError> {
        loop {
            match self.key()? {
                (ended, 4) if ended == number => return Ok(()),
                (inner, wire_type) => match depth - 1 {
                    0 => return Err(TOO_DEEP),
                    depth => self.value(inner, wire_type, depth)?,
                },
            };
        }
    }

    /// Reads an integer that has no key before it.
    ///
    /// # Errors
    /// It is cut off or has more than 64 bits.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, MessageError> {
        // Most are keys and lengths of a byte or two.
        match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(first))
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, MessageError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(MessageError::Malformed("a number is cut off or too large"))
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, MessageError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }
}

const TOO_DEEP: MessageError = MessageError::Malformed("messages are nested too deeply");
const TRUNCATED: MessageError = MessageError::Malformed("a field is cut off");
const WRONG_TYPE: MessageError =
    MessageError::Malformed("a field has another type than in the protocol");

impl<'a> Value<'a> {
    /// Returns the bytes of a string or of bytes.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], MessageError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Returns a double.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn double(self) -> Result<f64, MessageError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Returns a `fixed64`.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn fixed64(self) -> Result<u64, MessageError> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Returns a `uint64`.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn uint64(self) -> Result<u64, MessageError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Returns an `int64`.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn int64(self) -> Result<i64, MessageError> {
        Ok(self.uint64()?.cast_signed())
    }

    /// Reads a `uint32`; higher bits are dropped, as protobuf demands.
    ///
    /// # Errors
    /// The value is of another type.
    #[inline]
    pub fn uint32(self) -> Result<u32, MessageError> {
        Ok(self.uint64()? as u32)
    }

    /// Reads an `int32` or an enum.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn int32(self) -> Result<i32, MessageError> {
        Ok(self.uint32()?.cast_signed())
    }

    /// Returns a `sint32`.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn sint32(self) -> Result<i32, MessageError> {
        let value = self.uint32()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Returns a `sint64`.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn sint64(self) -> Result<i64, MessageError> {
        let value = self.uint64()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Calls `push` with each number of a repeated field of varints, which may be packed.
    ///
    /// # Errors
    /// The value is of another type, or `push` fails.
    #[inline]
    pub fn each_varint(
        self,
        push: impl FnMut(Value<'a>) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        self.each(|packed| Ok(Value::Varint(packed.varint()?)), push)
    }

    /// Calls `push` with each number of a repeated field of eight bytes each, such as doubles, which may be packed.
    ///
    /// # Errors
    /// The value is of another type, or `push` fails.
    pub fn each_fixed64(
        self,
        push: impl FnMut(Value<'a>) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        self.each(|packed| Ok(Value::Fixed64(packed.fixed64()?)), push)
    }

    #[inline]
    fn each(
        self,
        next: impl Fn(&mut Reader<'a>) -> Result<Value<'a>, MessageError>,
        mut push: impl FnMut(Value<'a>) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        let Self::Bytes(packed) = self else {
            return push(self);
        };
        let mut packed = Reader::new(packed);
        while !packed.rest.is_empty() {
            push(next(&mut packed)?)?;
        }
        Ok(())
    }
}
