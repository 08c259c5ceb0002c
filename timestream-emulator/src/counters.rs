//! Counters of the requests that the emulator has served.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Totals since the start of the process, except `points_stored`, which is the present content.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Calls by operation, rejected ones included.
    pub calls: BTreeMap<String, u64>,
    /// Rejected calls by error code, ordered faults included.
    pub errors: BTreeMap<String, u64>,
    /// Faults that were carried out.
    pub faults: u64,
    /// Records that WriteRecords accepted, duplicates of stored ones included.
    pub records_accepted: u64,
    /// Records listed in a RejectedRecordsException.
    pub records_rejected: u64,
    /// Records that the magnetic store accepted and dropped: a conflict of versions there is not
    /// reported to the caller.
    pub records_dropped_in_magnetic_store: u64,
    /// Billed units of 1 KiB of all writes that stored something.
    pub write_units: u64,
    /// Bytes of the times and values that queries have read.
    pub query_bytes_scanned: u64,
    /// Bytes that queries are metered: the bytes read, at least 10,000,000 per SELECT.
    pub query_bytes_metered: u64,
    /// Rows returned by Query.
    pub rows_returned: u64,
    /// Points in all tables now.
    pub points_stored: u64,
}

/// The counters of a running emulator.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Counters>);

impl Ledger {
    /// Changes the counters in one step.
    pub(crate) fn record(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.lock());
    }

    /// Returns the counters at this moment.
    pub(crate) fn snapshot(&self) -> Counters {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
