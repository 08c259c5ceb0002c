//! The one way out of every sample: the queries of remote read requests, of PromQL and of jobs, their schemas,
//! limits and results.

pub mod cache;
mod discovery;
mod evaluate;
mod gathered;
mod history;
mod progress;
mod read;
mod reads;
mod result;
mod schemas;
mod select;
mod settings;
mod single_flight;
mod statements;

use std::sync::Arc;

pub use crate::storage::read::discovery::{Exemplar, MetricMetadata};
pub use cache::{CacheCounts, CacheSettings, Evictions};
pub use discovery::{Scope, SeriesExemplars};
pub use evaluate::{Evaluation, parsed_bytes};
pub use history::ResultPages;
pub use progress::StatementCounts;
pub use read::ReadStream;
pub use reads::{ReadOutcome, Reads, now_ms};
pub use result::{QueryResult, ReadError};
pub use settings::{ReadLimits, Settings};

use crate::compute::ComputePool;
use crate::storage::routing::Routing;
use crate::timestream::Timestream;
use cache::SampleCache;
use discovery::Discovered;
use schemas::Schemas;
use single_flight::SharedQueries;

/// Queries Timestream; cheap to clone.
#[derive(Clone, Debug)]
pub struct Querier {
    timestream: Timestream,
    routing: Arc<Routing>,
    max_retries: u32,
    read_limits: ReadLimits,
    schemas: Arc<Schemas>,
    single_flight: Arc<SharedQueries>,
    /// Of PromQL queries; `None` if it is switched off.
    cache: Option<Arc<SampleCache>>,
    compute: ComputePool,
    metadata_table: Option<String>,
    discovered: Arc<Discovered>,
}

impl Querier {
    /// Returns a querier with these settings; long computations run in `compute`.
    pub fn new(settings: &Settings, timestream: Timestream, compute: ComputePool) -> Self {
        Self {
            timestream,
            routing: Arc::new(settings.routing.clone()),
            max_retries: settings.max_retries,
            read_limits: settings.read_limits,
            schemas: Arc::default(),
            single_flight: Arc::default(),
            cache: SampleCache::new(settings.cache).map(Arc::new),
            compute,
            metadata_table: settings.metadata_table.clone(),
            discovered: Arc::default(),
        }
    }

    /// Returns the threads that do long computations.
    pub fn compute(&self) -> &ComputePool {
        &self.compute
    }
}
