//! The limits of Timestream that decide what can be stored.
//!
//! Source: <https://docs.aws.amazon.com/timestream/latest/developerguide/ts-limits.html>.

/// Records in one WriteRecords call.
pub const MAX_RECORDS_PER_WRITE: usize = 100;
/// Bytes of a measure name, that is of an escaped metric name.
pub const MAX_MEASURE_NAME_BYTES: usize = 256;
/// Bytes of a dimension name, that is of an escaped label name.
pub const MAX_DIMENSION_NAME_BYTES: usize = 60;
/// Dimensions of a table, and so of a series.
pub const MAX_DIMENSIONS: usize = 128;
/// Bytes of a record: time, dimension names and values, measure name and value.
///
/// The names and values of a series' dimensions have the same limit; a record contains them.
pub const MAX_RECORD_BYTES: usize = 2048;
/// Bytes of the time in the size of a record
/// (<https://docs.aws.amazon.com/timestream/latest/developerguide/metering-and-pricing.writes.html>).
pub const TIME_BYTES: usize = 8;
/// Bytes of the name of a database or table.
pub const MAX_DESTINATION_NAME_BYTES: usize = 256;
/// Bytes of the text of a query.
pub const MAX_QUERY_BYTES: usize = 262_144;
/// The latest time that a query accepts and a record can have, 2262-04-11, in milliseconds since the Unix epoch
/// (<https://docs.aws.amazon.com/timestream/latest/developerguide/supported-data-types.html>).
/// The earliest is 0: an operation that gives a negative time is an error.
pub const MAX_TIME_MS: i64 = 9_223_372_036_854;
