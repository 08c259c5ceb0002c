//! Quotas of the service.
//!
//! Source of all: the page "Quotas" of the Amazon Timestream developer guide, unless a line names
//! another. Where the unit is given as "KB" or "MB", the guide does not say which kind.

use std::ops::RangeInclusive;

/// Records in one WriteRecords call.
pub(crate) const MAX_RECORDS_PER_WRITE: usize = 100;
/// Distinct dimension names in one table; a record can have no more either.
pub(crate) const MAX_DIMENSIONS_PER_TABLE: usize = 128;
/// Distinct measure names in one table.
pub(crate) const MAX_MEASURES_PER_TABLE: usize = 8192;
/// Distinct multi-measure attribute names in one table.
pub(crate) const MAX_ATTRIBUTES_PER_TABLE: usize = 1024;
/// Measure values in one multi-measure record.
pub(crate) const MAX_VALUES_PER_MULTI_RECORD: usize = 256;
/// Bytes of a dimension name.
pub(crate) const MAX_DIMENSION_NAME_BYTES: usize = 60;
/// Bytes of a measure name.
pub(crate) const MAX_MEASURE_NAME_BYTES: usize = 256;
/// Bytes of all dimension names and values of one series.
pub(crate) const MAX_SERIES_DIMENSION_BYTES: usize = 2048;
/// Bytes of one record, counted as it is metered.
pub(crate) const MAX_RECORD_BYTES: usize = 2048;
/// Bytes of the values of one multi-measure record.
pub(crate) const MAX_MULTI_VALUE_BYTES: usize = 2048;
/// Characters of one measure value (service model).
pub(crate) const MAX_MEASURE_VALUE_CHARS: usize = 2048;
/// Characters of the time of a record (service model).
pub(crate) const MAX_TIME_CHARS: usize = 256;
/// Bytes of a database or table name.
pub(crate) const MAX_CATALOG_NAME_BYTES: usize = 256;
/// Databases of one account.
pub(crate) const MAX_DATABASES: usize = 500;
/// Tables of one account.
pub(crate) const MAX_TABLES: usize = 50_000;
/// Tags of one database or table, and of one request (service model).
pub(crate) const MAX_TAGS: usize = 200;
/// Characters of a tag's key (service model).
pub(crate) const TAG_KEY_CHARS: RangeInclusive<usize> = 1..=128;
/// Characters of a tag's value (service model).
pub(crate) const TAG_VALUE_CHARS: RangeInclusive<usize> = 0..=256;
/// Characters of the ARN of a tagged resource (service model).
pub(crate) const ARN_CHARS: RangeInclusive<usize> = 1..=1011;
/// Characters of a KMS key id (service model).
pub(crate) const KMS_KEY_CHARS: RangeInclusive<usize> = 1..=2048;
/// Characters of the bucket for rejected records (service model).
pub(crate) const BUCKET_NAME_CHARS: RangeInclusive<usize> = 3..=63;
/// Characters of the key prefix in it (service model).
pub(crate) const OBJECT_KEY_PREFIX_CHARS: RangeInclusive<usize> = 1..=928;

/// Timestream compute units that queries may use.
pub(crate) const MAX_QUERY_TCU: RangeInclusive<i64> = 4..=1000;
/// Compute units are set in steps of these.
pub(crate) const QUERY_TCU_STEP: i64 = 4;
/// Compute units of an account that has set none.
pub(crate) const DEFAULT_QUERY_TCU: i64 = 200;

/// Maximum distance of a record's time from the clock into the future.
pub(crate) const FUTURE_INGESTION_NS: i64 = 15 * 60 * 1_000_000_000;
/// Retention of the memory store.
pub(crate) const MEMORY_HOURS: RangeInclusive<i64> = 1..=8766;
/// Retention of the magnetic store.
pub(crate) const MAGNETIC_DAYS: RangeInclusive<i64> = 1..=73_000;
/// Memory retention of a table created without one.
pub(crate) const DEFAULT_MEMORY_HOURS: i64 = 6;
/// Magnetic retention of a table created without one.
pub(crate) const DEFAULT_MAGNETIC_DAYS: i64 = 73_000;

/// Characters of a query string (service model).
pub(crate) const MAX_QUERY_CHARS: usize = 262_144;
/// Rows that a caller can request in one page (service model).
pub(crate) const MAX_ROWS: RangeInclusive<i64> = 1..=1000;
/// Bytes of one page of a result, and of one row.
pub(crate) const MAX_PAGE_BYTES: usize = 1_000_000;
/// Names in one page of ListDatabases and ListTables (service model).
pub(crate) const MAX_LIST_RESULTS: i64 = 20;
/// Bytes of a request body: well above the largest request that the limits above allow.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
