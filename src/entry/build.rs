//! The parts that every way of running the program shares, built from the configuration.

use aws_config::SdkConfig;

use crate::compute::ComputePool;
use crate::config::Config;
use crate::dead_letter::DeadLetters;
use crate::ingest::Ingester;
use crate::query::Querier;
use crate::timestream::Timestream;

/// The way in and the way out of samples, which share clients and threads.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Stores samples.
    pub ingester: Ingester,
    /// Reads them.
    pub querier: Querier,
}

/// Builds both from the configuration.
pub fn parts(config: &Config, shared: &SdkConfig, dead_letters: DeadLetters) -> Parts {
    let timestream = Timestream::new(&config.timestream, shared);
    let compute = ComputePool::default();
    let querier = Querier::new(&config.query, timestream.clone(), compute.clone());
    let ingester = Ingester::new(&config.ingest, timestream, dead_letters, compute);
    Parts { ingester, querier }
}
