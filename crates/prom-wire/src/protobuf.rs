//! The protobuf wire format, read without copying: bytes to fields.
//!
//! The type of a field is up to its message; fields of wire types that no message has are skipped here. Groups, which
//! are obsolete, are skipped too. Format: <https://protobuf.dev/programming-guides/encoding/>.
//!
//! The readers of messages call these functions for each byte or two; with the hints to inline they need less than
//! half of the time.

use crate::budget::BudgetExceeded;

/// Bytes that are not a message, or not one within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageError {
    /// They violate the wire format, or a field does not have the type that the message gives it.
    Malformed(&'static str),
    /// They have more of one thing than a request may.
    TooMany { what: &'static str, limit: usize },
    /// There is no memory for their decoded form.
    Memory(BudgetExceeded),
}

/// The most messages and groups within one another.
const MAX_DEPTH: u8 = 100;

/// The fields of a message, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The number of levels that may follow.
    depth: u8,
}

/// The value of a field, as the wire format knows it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// A wire type that our messages do not have.
    Other,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            depth: MAX_DEPTH,
        }
    }

    /// Reads number and value of the next field; `None` at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, MessageError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = self.value(number, wire_type, self.depth)?;
        Ok(Some((number, value)))
    }

    /// Returns the bytes that are not read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Skips bytes that are known to be whole fields.
    #[inline]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Returns the message that is the value of a field of this one.
    #[inline]
    pub(super) fn message(&self, value: Value<'a>) -> Result<Self, MessageError> {
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

    #[inline(always)]
    pub(super) fn varint(&mut self) -> Result<u64, MessageError> {
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
    #[inline]
    pub(super) fn bytes(self) -> Result<&'a [u8], MessageError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub(super) fn double(self) -> Result<f64, MessageError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub(super) fn uint64(self) -> Result<u64, MessageError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub(super) fn int64(self) -> Result<i64, MessageError> {
        Ok(self.uint64()?.cast_signed())
    }

    /// Reads a `uint32`; higher bits are dropped, as protobuf demands.
    #[inline]
    pub(super) fn uint32(self) -> Result<u32, MessageError> {
        Ok(self.uint64()? as u32)
    }

    /// Reads an `int32` or an enum.
    pub(super) fn int32(self) -> Result<i32, MessageError> {
        Ok(self.uint32()?.cast_signed())
    }

    pub(super) fn sint32(self) -> Result<i32, MessageError> {
        let value = self.uint32()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn sint64(self) -> Result<i64, MessageError> {
        let value = self.uint64()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Calls `push` with each number of a repeated field of varints, which may be packed.
    #[inline]
    pub(super) fn each_varint(
        self,
        push: impl FnMut(Value<'a>) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        self.each(|packed| Ok(Value::Varint(packed.varint()?)), push)
    }

    /// Calls `push` with each number of a repeated field of doubles, which may be packed.
    pub(super) fn each_double(
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
