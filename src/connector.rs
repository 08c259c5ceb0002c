//! The two use cases, write and read: the order of the steps, what became of each sample, and
//! what a caller can know about it.

mod copy;
mod deliver;
mod flights;
mod history;
mod letters;
mod metadata;
mod progress;
mod read;
mod replay;
mod result;
mod schemas;
mod select;
mod settings;
mod statements;
mod versions;
mod write;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use copy::Shape;
pub use history::Answer;
pub use metadata::{IgnoredMetadata, MetadataOutcome};
pub use progress::StatementCounts;
pub use read::{ReadOutcome, Reading};
pub use replay::{Fallback, Replayed};
pub use result::{QueryResult, ReadError};
pub use settings::{OnDuplicate, ReadLimits, Settings};
pub use write::{Failure, Faulty, Kept, Sender, WriteOutcome, WriteProgress};

use crate::compute::ComputePool;
use crate::convert::routing::Routing;
use crate::convert::series::WritePolicy;
use crate::dead_letter::DeadLetters;
use crate::timestream::Timestream;
use flights::Flights;
use metadata::MetadataTable;
use schemas::Schemas;
use versions::Versions;

/// Converts and forwards requests; shared by all of them.
#[derive(Clone, Debug)]
pub struct Connector {
    timestream: Timestream,
    routing: Arc<Routing>,
    policy: WritePolicy,
    /// Where records have versions.
    versions: Option<Arc<Versions>>,
    dead_letters: DeadLetters,
    /// Whether a sender may give up a request because of throttling.
    throttled_may_be_dropped: bool,
    max_retries: u32,
    max_write_retries: u32,
    read_limits: ReadLimits,
    /// Calls in flight in the process.
    write_concurrency: usize,
    write_permits: Arc<Semaphore>,
    schemas: Arc<Schemas>,
    flights: Arc<Flights>,
    compute: ComputePool,
    /// `None` if metadata is not kept.
    metadata: Option<Arc<MetadataTable>>,
}

impl Connector {
    /// Returns a connector with these settings.
    pub fn new(settings: &Settings, timestream: Timestream, dead_letters: DeadLetters) -> Self {
        let has_versions = settings.on_duplicate == OnDuplicate::Overwrite;
        Self {
            timestream,
            versions: has_versions.then(Arc::default),
            dead_letters,
            throttled_may_be_dropped: settings.throttled_may_be_dropped,
            routing: Arc::new(settings.routing.clone()),
            policy: settings.policy,
            max_retries: settings.max_retries,
            max_write_retries: settings.max_write_retries,
            read_limits: settings.read_limits,
            write_concurrency: settings.write_concurrency,
            write_permits: Arc::new(Semaphore::new(settings.write_concurrency)),
            schemas: Arc::default(),
            flights: Arc::default(),
            compute: ComputePool::default(),
            metadata: settings
                .metadata_table
                .clone()
                .map(|name| Arc::new(MetadataTable::new(name))),
        }
    }

    /// Returns the way from labels to databases and tables.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Whether NaN, infinities and stale markers are stored.
    pub fn stores_special_values(&self) -> bool {
        self.policy.store_special_values
    }

    /// Returns the threads that do long computations.
    pub fn compute(&self) -> &ComputePool {
        &self.compute
    }
}
