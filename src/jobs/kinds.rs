//! The types of jobs.

pub mod scrape;
pub mod sink;
pub mod sync;

use crate::ingest::{DeadLetterOutcome, WriteOutcome};
use crate::jobs::job::Report;

/// Adds the stored, rejected and dead-lettered samples of a write to a report.
///
/// Received samples are left to the job: a scrape also writes samples of its own, such as `up`.
fn add_written(outcome: &WriteOutcome, report: &mut Report) {
    report.rows += outcome.stored;
    report.rejected += outcome.received - outcome.stored;
    for (reason, samples) in &outcome.ignored {
        *report.ignored.entry(*reason).or_default() += samples;
    }
    if let DeadLetterOutcome::Stored(samples) = outcome.dead_letters {
        report.dead_lettered += samples;
    }
}
