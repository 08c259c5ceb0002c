//! The settings of reads.

use super::cache::CacheSettings;
use crate::storage::routing::Routing;

/// The settings of a [`Querier`](super::Querier).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mapping of labels to databases and tables.
    pub routing: Routing,
    /// Table of metadata about metrics, in each database; `None` if there is none.
    pub metadata_table: Option<String>,
    /// Retries of a read.
    pub max_retries: u32,
    /// Limits of one read.
    pub read_limits: ReadLimits,
    /// The cache of samples of PromQL queries.
    pub cache: CacheSettings,
}

/// The most that one read may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Samples and native histograms.
    pub max_samples: u64,
    /// Bytes that they occupy, with the labels of their series, while they are held.
    pub max_bytes: u64,
}
