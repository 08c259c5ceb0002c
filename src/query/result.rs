//! The result of one query of a read request, and its errors.

use std::sync::Arc;

use prom_wire::budget::BudgetExceeded;
use prom_wire::response::Series;

use crate::query::ReadLimits;
use crate::storage::read::rows::{RowError, Size};
use crate::storage::read::selection::QueryError;
use crate::timestream::TimestreamError;

/// The series that a query selects, sorted by labels.
pub type QueryResult = Arc<[Series]>;

/// The error of a read request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The query itself; the caller has to change it.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Timestream's error.
    #[error(transparent)]
    Timestream(#[from] TimestreamError),
    /// Timestream's response cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The decoded results need more memory than the request may occupy.
    #[error(transparent)]
    Memory(BudgetExceeded),
    /// The results are larger than a limit allows.
    #[error(
        "ReadLimitError: the result has more than {limit} {unit}; query a shorter range or fewer series (more label matchers), or raise {option}"
    )]
    TooLarge {
        /// The value of the option.
        limit: u64,
        /// The unit of the limit.
        unit: &'static str,
        /// The option that limits it.
        option: &'static str,
    },
}

impl ReadError {
    /// Returns the limit that a request with results of this size exceeds, if there is one.
    pub(super) fn of_size(limits: ReadLimits, size: Size) -> Option<Self> {
        let limit = |limit, unit, option| Self::TooLarge {
            limit,
            unit,
            option,
        };
        if size.samples > limits.max_samples {
            return Some(limit(limits.max_samples, "samples", "max_read_samples"));
        }
        let is_too_large = size.bytes > limits.max_bytes;
        is_too_large.then(|| limit(limits.max_bytes, "bytes", "max_read_bytes"))
    }
}
