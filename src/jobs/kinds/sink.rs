//! The type `prometheus_sink`: rows to a remote-write endpoint.
//!
//! Rows are pushed ([`Job::push_rows`]) or read from Timestream (`source`). `reader` finds the rows of a body,
//! `row` and `source` convert them to samples, `point` sorts these, `body` makes requests, `send` delivers them;
//! `response`, `error_text` and `rejected_samples` read the responses; `resend` sends dead letters again.

mod body;
mod config;
mod error_text;
mod point;
mod pushed;
mod reader;
mod reason;
mod rejected_samples;
mod resend;
mod response;
mod row;
mod send;
mod source;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::dead_letter::Letter;
use crate::fields::FieldErrors;
use crate::ingest::Replayed;
use crate::jobs::job::{Job, JobContext, Report, RunError};
use crate::json::MAX_TREE_BYTES_PER_BYTE;
use config::Settings;
use pushed::PushedRows;
use row::MAX_ROW_MEMORY;
use send::{Origin, Sender};

/// Bytes of memory that the samples of a request occupy at most, unless one alone has more: 1,024
/// samples with 20 labels each. A request with more than that is sent before it has `batch_size` samples.
const MAX_BATCH_MEMORY: usize = 4 << 20;
/// Bytes of memory that a byte of JSON becomes at most as labels: the 9 bytes of `"aaa":"",`.
const LABELS_PER_BYTE: usize = 24;
/// Samples are in memory so many times: as they are, as a message, and as its bytes.
const COPIES_OF_BATCH: usize = 3;

/// A sink, its settings checked.
#[derive(Debug)]
struct Sink(Settings);

/// Reads the `config` of a sink.
///
/// # Errors
/// All errors of the configuration.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, FieldErrors> {
    Ok(Box::new(Sink(Settings::parse(config)?)))
}

impl Job for Sink {
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut sender = match Sender::new(&self.0, run, Origin::Source) {
                Ok(sender) => sender,
                Err(error) => return Report::failed(error),
            };
            let ended = source::deliver(&self.0, run, &mut sender).await;
            sender.report(ended)
        }
        .boxed()
    }

    fn push_rows<'a>(
        &'a self,
        run: &'a JobContext<'a>,
        rows: &'a [u8],
    ) -> Option<BoxFuture<'a, Report>> {
        Some(self.push(run, rows).boxed())
    }

    fn rows_memory(&self, len: usize) -> usize {
        rows_memory(len)
    }

    fn accepts_rows(&self) -> bool {
        true
    }

    fn resends(&self) -> bool {
        true
    }

    fn resend<'a>(
        &'a self,
        run: &'a JobContext<'a>,
        letters: &'a [Letter],
    ) -> Option<BoxFuture<'a, Replayed>> {
        Some(resend::resend(&self.0, run, letters).boxed())
    }
}

/// Returns the bytes of memory that a delivery of `len` bytes of rows occupies besides these.
fn rows_memory(len: usize) -> usize {
    // The reader notes each open bracket in a vector that doubles.
    let brackets = len.next_power_of_two();
    let row = MAX_ROW_MEMORY.min(len.saturating_mul(MAX_TREE_BYTES_PER_BYTE));
    let batch = MAX_BATCH_MEMORY.min(len.saturating_mul(LABELS_PER_BYTE));
    brackets + row + COPIES_OF_BATCH * batch
}

impl Sink {
    /// Delivers pushed rows; when this returns each is delivered, stored as a dead letter, or reported as not
    /// delivered.
    async fn push(&self, run: &JobContext<'_>, rows: &[u8]) -> Report {
        let mut sender = match Sender::new(&self.0, run, Origin::Pushed) {
            Ok(sender) => sender,
            Err(error) => return Report::failed(error),
        };
        let ended = deliver(&self.0, run, rows, &mut sender).await;
        sender.report(ended)
    }
}

/// Delivers rows batch by batch; rows that are not samples are stored as dead letters at the end.
async fn deliver(
    settings: &Settings,
    run: &JobContext<'_>,
    rows: &[u8],
    sender: &mut Sender<'_>,
) -> Result<(), RunError> {
    let now_ms = (run.now)().as_millisecond();
    let mut rows = PushedRows::new(rows, &settings.fields, now_ms, run);
    rows.check().await?;
    loop {
        let batch = rows
            .next_batch(settings.batch_size, MAX_BATCH_MEMORY)
            .await?;
        if batch.is_empty() {
            break;
        }
        for point in batch {
            sender.push(point).await?;
        }
        sender.flush().await?;
    }
    loop {
        let bad = rows.next_bad().await?;
        if bad.is_empty() {
            return Ok(());
        }
        sender.store_bad_rows(&bad).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_wire::budget::MemoryBudget;

    #[test]
    fn rows_of_any_size_fit_into_the_default_budget() {
        for len in [0, 1, 300, 10_000, 1 << 20, 32 << 20] {
            let mut reservation = MemoryBudget::new(128 << 20).reservation();
            reservation.grow(len).unwrap();
            reservation.grow(rows_memory(len)).unwrap();
            assert!(rows_memory(len) <= 2 * len.max(1) + (14 << 20), "{len}");
        }
        // A few rows leave most of the budget to others.
        assert!(300 + rows_memory(300) < 100_000);
    }
}
