//! Remote read: the message `prometheus.ReadRequest`, once it is within the limits.
//!
//! Generated code decodes the message and allocates whatever the message claims. So the fields are counted first,
//! without an allocation.

use prost::Message;

use crate::DecodeError;
use crate::budget::Reservation;
use crate::limits::DecodeLimits;
use crate::prompb::ReadRequest;
use crate::protobuf::{MessageError, Reader};

/// Decodes a decompressed read request. The memory for its decoded form and for its queries is added to
/// `reservation` before.
///
/// # Errors
/// It is no such message, it exceeds a limit of requests, or there is no memory for it.
pub fn decode_read_request(
    message: &[u8],
    reservation: &mut Reservation,
) -> Result<ReadRequest, DecodeError> {
    count(message, &mut DecodeLimits::new(reservation)).map_err(|error| match error {
        MessageError::Malformed(what) => DecodeError::Protobuf(what.to_owned()),
        MessageError::TooMany { what, limit } => DecodeError::TooManyInRead { what, limit },
        MessageError::Memory(exceeded) => DecodeError::Memory(exceeded),
    })?;
    ReadRequest::decode(message).map_err(|error| DecodeError::Protobuf(error.to_string()))
}

fn count(message: &[u8], limits: &mut DecodeLimits<'_>) -> Result<(), MessageError> {
    let mut message = Reader::new(message);
    while let Some((number, value)) = message.next()? {
        match number {
            1 => {
                limits.query()?;
                count_query(message.message(value)?, limits)?;
            }
            2 => value.each_varint(|_| limits.response_type())?,
            _ => {}
        }
    }
    Ok(())
}

fn count_query(mut query: Reader<'_>, limits: &mut DecodeLimits<'_>) -> Result<(), MessageError> {
    let mut matchers = 0;
    while let Some((number, value)) = query.next()? {
        match number {
            3 => {
                matchers += 1;
                limits.matcher(matchers, value.bytes()?.len())?;
            }
            4 => count_hints(query.message(value)?, limits)?,
            _ => {}
        }
    }
    Ok(())
}

fn count_hints(mut hints: Reader<'_>, limits: &mut DecodeLimits<'_>) -> Result<(), MessageError> {
    while let Some((number, value)) = hints.next()? {
        match number {
            2 => limits.text(value.bytes()?.len())?,
            5 => limits.grouping_label(value.bytes()?.len())?,
            _ => {}
        }
    }
    Ok(())
}
