//! The settings of reads and writes.

use crate::convert::routing::Routing;
use crate::convert::series::WritePolicy;

/// The settings of a [`Connector`](super::Connector).
#[derive(Clone, Debug)]
pub struct Settings {
    /// From labels to databases and tables.
    pub routing: Routing,
    /// Table of metadata about metrics, in each database; `None` stores none.
    pub metadata_table: Option<String>,
    /// The treatment of samples that cannot be stored.
    pub policy: WritePolicy,
    /// The treatment of a value for a time at which another one is stored.
    pub on_duplicate: OnDuplicate,
    /// Whether a sender may drop a request because of throttling: it does on status 429.
    pub throttled_may_be_dropped: bool,
    /// Retries of a read.
    pub max_retries: u32,
    /// Retries of a write.
    pub max_write_retries: u32,
    /// WriteRecords calls in flight.
    pub write_concurrency: usize,
    /// Limits of one read.
    pub read_limits: ReadLimits,
}

/// The most that one read may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Samples and native histograms.
    pub max_samples: u64,
    /// Bytes that they take, and the labels of their series, while they are held.
    pub max_bytes: u64,
}

/// The treatment of a value for a time at which another one is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Timestream rejects it.
    Reject,
    /// It replaces the stored one.
    Overwrite,
}
