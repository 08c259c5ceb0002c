//! The settings of writes.

use crate::storage::routing::Routing;
use crate::storage::write::series::WritePolicy;

/// The settings of an [`Ingester`](super::Ingester).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mapping of labels to databases and tables.
    pub routing: Routing,
    /// Table of metadata about metrics, in each database; `None` stores none.
    pub metadata_table: Option<String>,
    /// The treatment of samples that cannot be stored.
    pub policy: WritePolicy,
    /// The treatment of a value for a time at which another one is stored.
    pub on_duplicate: OnDuplicate,
    /// True if a sender may drop a request because of throttling: it does on status 429.
    pub throttled_may_be_dropped: bool,
    /// Retries of a write.
    pub max_retries: u32,
    /// WriteRecords calls in flight.
    pub write_concurrency: usize,
}

/// The treatment of a value for a time at which another one is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Timestream rejects it.
    Reject,
    /// It replaces the stored one.
    Overwrite,
}
