//! The two use cases, write and read: the order of the steps, what became of each sample, and
//! what a caller can know about it.

mod deliver;
mod read;
mod schemas;
mod statements;
mod write;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use read::{ReadError, ReadOutcome};
pub use statements::StatementCounts;
pub use write::{Failure, Faulty, WriteOutcome};

use crate::config::Config;
use crate::convert::route::Routing;
use crate::convert::series::WritePolicy;
use crate::timestream::Timestream;
use schemas::Schemas;

/// Converts and forwards requests; shared by all of them.
#[derive(Clone, Debug)]
pub struct Connector {
    timestream: Timestream,
    routing: Arc<Routing>,
    policy: WritePolicy,
    max_retries: u32,
    max_write_retries: u32,
    write_permits: Arc<Semaphore>,
    schemas: Arc<Schemas>,
}

impl Connector {
    /// Builds a connector from its configuration and the clients it uses.
    pub fn new(config: &Config, timestream: Timestream) -> Self {
        Self {
            timestream,
            routing: Arc::new(config.routing.clone()),
            policy: config.policy,
            max_retries: config.max_retries,
            max_write_retries: config.max_write_retries,
            write_permits: Arc::new(Semaphore::new(config.write_concurrency)),
            schemas: Arc::default(),
        }
    }
}
