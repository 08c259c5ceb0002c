//! OTLP metrics to Prometheus series.
//!
//! [`read_protobuf`] and [`read_json`] read an `ExportMetricsServiceRequest` into one model, [`model::Metrics`].
//! [`translate()`] makes series of it as Prometheus' receiver does, and returns data points that cannot become series
//! with the reason. No I/O, no clock.

#[cfg(test)]
mod agreement;
mod json;
mod limits;
pub mod model;
pub mod names;
mod options;
mod protobuf;
mod rejected;
pub mod response;
mod text;
mod translate;

use prom_wire::budget::{BudgetExceeded, Reservation};
use prom_wire::protobuf::MessageError;
use prom_wire::request::StringArena;

use limits::Limits;
use model::Metrics;
pub use options::{Options, OptionsError, TranslationStrategy};
pub use rejected::{RejectReason, Rejected};
use response::Encoding;
pub use translate::{Origin, TargetInfoBounds, Translation, translate};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The messages as generated code, for clients and tests; the readers do not use them.
pub mod messages {
    #![allow(missing_docs)] // generated

    include!("../generated/otlp.rs");
}

/// A request body that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no message.
    #[error("the request body is not a valid ExportMetricsServiceRequest in protobuf: {0}")]
    Protobuf(&'static str),
    /// The text is no message.
    #[error(
        "the request body is not a valid ExportMetricsServiceRequest in JSON: {path}: {reason}"
    )]
    Json {
        /// The place of the error, such as `resourceMetrics[0].scopeMetrics`.
        path: String,
        /// The reason.
        reason: String,
    },
    /// There is no memory for the message now; other requests occupy it.
    #[error("{0}")]
    Busy(BudgetExceeded),
    /// The message has more of one thing than a request may.
    #[error("the request makes more than {limit} {what}; {SMALLER}")]
    TooMany {
        /// The things that are too many.
        what: &'static str,
        /// The most that a request may have.
        limit: usize,
    },
    /// The message needs more memory than one request may occupy.
    #[error(
        "decoded, the request needs more than the {limit} bytes that one may occupy; {SMALLER}"
    )]
    TooLarge {
        /// Bytes that one request may occupy.
        limit: usize,
    },
}

/// The remedy for a request that is too large.
const SMALLER: &str =
    "send smaller batches (send_batch_max_size of the Collector's batch processor)";

impl From<BudgetExceeded> for DecodeError {
    fn from(exceeded: BudgetExceeded) -> Self {
        match exceeded {
            BudgetExceeded::TooLarge { limit } => Self::TooLarge { limit },
            busy @ BudgetExceeded::Busy { .. } => Self::Busy(busy),
        }
    }
}

impl From<MessageError> for DecodeError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Malformed(what) => Self::Protobuf(what),
            MessageError::TooMany { what, limit } => Self::TooMany { what, limit },
            MessageError::Memory(exceeded) => exceeded.into(),
        }
    }
}

/// Reads a request in protobuf. The memory of the model is added to `reservation` before it is allocated.
///
/// A metric, data point or exemplar that cannot be read is listed in the model and costs nothing else.
///
/// # Errors
/// The wire format of the message around the metrics is broken, or there is no memory.
pub fn read_protobuf<'a>(
    body: &'a [u8],
    reservation: &mut Reservation,
) -> Result<Metrics<'a>, DecodeError> {
    Ok(protobuf::metrics(body, &mut Limits::new(reservation))?)
}

/// Reads a request in JSON. Strings with escapes are stored in `arena`; the memory of the model and of these strings is
/// added to `reservation` before it is allocated.
///
/// Keys may be in lowerCamelCase or snake_case, enums names or integers, and 64-bit integers strings or numbers.
/// Unknown keys are skipped.
///
/// # Errors
/// The body is no JSON, a value does not fit its key, or there is no memory.
pub fn read_json<'a>(
    body: &'a [u8],
    arena: &'a StringArena,
    reservation: &mut Reservation,
) -> Result<Metrics<'a>, DecodeError> {
    json::metrics(body, arena, Limits::new(reservation))
}

/// The memory that an allocator uses for a string besides its bytes.
const ALLOCATION_BYTES: usize = 24;

/// Reads a request and translates it, as [`read_protobuf`] or [`read_json`] and [`translate()`] do. Afterwards
/// `reservation` has the memory of the series alone, as the model is dropped.
///
/// # Errors
/// Those of these functions. Reserved memory then remains until the reservation ends.
pub fn read_and_translate<'a>(
    encoding: Encoding,
    body: &'a [u8],
    options: &Options,
    bounds: &TargetInfoBounds,
    arena: &'a StringArena,
    reservation: &mut Reservation,
) -> Result<Translation<'a>, DecodeError> {
    let before = reservation.bytes();
    let metrics = match encoding {
        Encoding::Protobuf => read_protobuf(body, reservation)?,
        Encoding::Json => read_json(body, arena, reservation)?,
    };
    // The series borrow the strings that were stored while reading.
    let strings = arena.bytes() + arena.len() * ALLOCATION_BYTES;
    let model = (reservation.bytes() - before).saturating_sub(strings);
    let translation = translate(&metrics, options, bounds, arena, reservation)?;
    drop(metrics);
    reservation.shrink(model);
    Ok(translation)
}
