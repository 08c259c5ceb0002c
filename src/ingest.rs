//! The one way in of every sample: conversion, delivery, and the outcome of each sample. Samples that can never
//! be stored become dead letters.

mod copy;
mod deliver;
mod letters;
mod metadata;
mod permits;
mod replay;
mod settings;
mod tables;
mod versions;
mod write;

use std::sync::Arc;

pub use copy::RecordLayout;
pub use metadata::{IgnoredMetadata, MetadataOutcome};
pub use replay::{Fallback, Replayed};
pub use settings::{OnDuplicate, Settings};
pub use write::{
    DeadLetterOutcome, Failure, InvalidSeries, Redelivery, WriteOutcome, WriteProgress,
};

use crate::compute::ComputePool;
use crate::dead_letter::DeadLetters;
use crate::storage::routing::Routing;
use crate::storage::write::series::WritePolicy;
use crate::timestream::Timestream;
use metadata::MetadataTable;
use permits::Permits;
use versions::Versions;

/// Stores samples and metadata; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingester {
    timestream: Timestream,
    routing: Arc<Routing>,
    policy: WritePolicy,
    /// Present if records have versions.
    versions: Option<Arc<Versions>>,
    dead_letters: DeadLetters,
    /// True if a sender may drop a request because of throttling.
    throttled_may_be_dropped: bool,
    max_retries: u32,
    permits: Arc<Permits>,
    compute: ComputePool,
    /// `None` if metadata is not stored.
    metadata: Option<Arc<MetadataTable>>,
}

impl Ingester {
    /// Returns an ingester with these settings; long computations run in `compute`.
    pub fn new(
        settings: &Settings,
        timestream: Timestream,
        dead_letters: DeadLetters,
        compute: ComputePool,
    ) -> Self {
        let has_versions = settings.on_duplicate == OnDuplicate::Overwrite;
        Self {
            timestream,
            versions: has_versions.then(Arc::default),
            dead_letters,
            throttled_may_be_dropped: settings.throttled_may_be_dropped,
            routing: Arc::new(settings.routing.clone()),
            policy: settings.policy,
            max_retries: settings.max_retries,
            permits: Arc::new(Permits::new(settings.write_concurrency)),
            compute,
            metadata: settings
                .metadata_table
                .clone()
                .map(|name| Arc::new(MetadataTable::new(name))),
        }
    }

    /// Returns the port through which samples are stored.
    pub fn timestream(&self) -> &Timestream {
        &self.timestream
    }

    /// Returns the mapping of labels to databases and tables.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Returns true if NaN, infinities and stale markers are stored.
    pub fn stores_special_values(&self) -> bool {
        self.policy.store_special_values
    }

    /// Returns the threads that do long computations.
    pub fn compute(&self) -> &ComputePool {
        &self.compute
    }
}
