//! Buckets of time, and the record of a job with its claim and its lease.
//!
//! Pure: a [`JobRecord`] is read, changed by one of these functions and stored if no other process has
//! changed it meanwhile. So one of several processes claims a bucket, and one at a time runs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prom_model::visible::truncate;
use serde::{Deserialize, Serialize};

use super::job::{Report, RunError};
use crate::state;
use crate::state::lease::Lease;

/// The duration of a lease that is not renewed; a crashed process blocks a job for that long.
pub const LEASE: Duration = Duration::from_secs(60);
/// The interval at which a lease is renewed: two of three renewals may fail.
pub const RENEWAL: Duration = Duration::from_secs(20);
/// The time for which a record is stored after the last run of a job whose definition is not stored, an
/// event's payload.
const RECORD_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The most warnings of a run in its record.
const MAX_WARNINGS: usize = 20;
/// The most bytes of each of them.
const MAX_WARNING_BYTES: usize = 500;

/// Returns the start of the bucket of `now`. Buckets are counted from the Unix epoch, so all processes
/// have the same ones.
pub fn bucket(now: Timestamp, schedule: Duration) -> Timestamp {
    let schedule = i64::try_from(schedule.as_millis())
        .unwrap_or(i64::MAX)
        .max(1);
    let start = now.as_millisecond().div_euclid(schedule) * schedule;
    Timestamp::from_millisecond(start).unwrap_or(Timestamp::MIN)
}

/// Returns the time from `now` to the start of the next bucket, which is more than zero.
pub fn until_next(now: Timestamp, schedule: Duration) -> Duration {
    let since = now.duration_since(bucket(now, schedule));
    schedule.saturating_sub(since.unsigned_abs())
}

/// The claim, the lease and the last run of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// Start of the last claimed bucket, in milliseconds since the Unix epoch.
    bucket: Option<i64>,
    lease: Option<Lease>,
    /// True if ticks do nothing.
    pub paused: bool,
    /// The reason for which the job is disabled until it is resumed.
    pub disabled_reason: Option<String>,
    /// Begin of the last run that ended.
    pub last_run_at: Option<Timestamp>,
    /// End of the last complete run.
    pub last_success_at: Option<Timestamp>,
    /// The reason for which the last run was not complete; `None` if it was.
    pub last_error: Option<String>,
    /// Warnings of the last run, complete or not; long lists and messages are truncated.
    pub last_warnings: Vec<String>,
    /// Samples that the last run stored.
    pub last_rows_ingested: Option<u64>,
    /// Buckets that began during a run.
    pub skipped: u64,
}

/// The cause of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bucket that starts here has begun.
    Bucket(Timestamp),
    /// An event without a bucket arrived.
    Event,
    /// The run was requested by hand; a paused job runs too.
    Hand,
}

/// The result of an attempt to begin a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The holder has the lease.
    Won,
    /// Another process has claimed the bucket, or a later one.
    Lost,
    /// Another run has not ended; a bucket is then skipped for good.
    Held,
    /// Ticks do nothing.
    Paused,
    /// The job is disabled, for this reason.
    Disabled(String),
}

impl JobRecord {
    /// Claims the right to run for `holder`; repeating the same claim has the same result.
    pub fn claim(&mut self, cause: Cause, holder: &str, now: Timestamp) -> Claim {
        if let Some(reason) = &self.disabled_reason {
            return Claim::Disabled(reason.clone());
        }
        if self.paused && cause != Cause::Hand {
            return Claim::Paused;
        }
        let is_own = self.is_held_by(holder);
        if let Cause::Bucket(start) = cause {
            let start = start.as_millisecond();
            if self.bucket == Some(start) && is_own {
                return Claim::Won;
            }
            if self.bucket.is_some_and(|last| start <= last) {
                return Claim::Lost;
            }
            self.bucket = Some(start);
        }
        if !Lease::acquire(&mut self.lease, holder, now, LEASE) {
            self.skipped += u64::from(matches!(cause, Cause::Bucket(_)));
            return Claim::Held;
        }
        Claim::Won
    }

    /// Renews the lease of `holder`; returns false if it has been lost.
    pub fn renew(&mut self, holder: &str, now: Timestamp) -> bool {
        Lease::renew(&mut self.lease, holder, now, LEASE)
    }

    /// Saves the end of the run of `holder` that began at `began`; returns false if its lease was lost.
    pub fn finish(
        &mut self,
        holder: &str,
        began: Timestamp,
        now: Timestamp,
        report: &Report,
    ) -> bool {
        if !self.is_held_by(holder) {
            return false;
        }
        self.lease = None;
        self.last_run_at = Some(began);
        self.last_rows_ingested = Some(report.rows);
        self.last_error = report.error.as_ref().map(ToString::to_string);
        self.last_warnings = truncated(&report.warnings);
        match &report.error {
            None => self.last_success_at = Some(now),
            Some(RunError::Disable(reason)) => self.disabled_reason = Some(reason.clone()),
            Some(RunError::Failed(_) | RunError::Interrupted | RunError::TooManyRows(_)) => {}
        }
        true
    }

    /// Returns true if a run has the lease.
    pub fn is_running(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_valid(now))
    }

    /// Releases the lease, whatever its holder: for a caller that knows that nothing runs.
    pub fn release(&mut self) {
        self.lease = None;
    }

    /// Ends a pause, and enables a disabled job.
    pub fn resume(&mut self) {
        self.paused = false;
        self.enable();
    }

    /// Enables a disabled job.
    pub fn enable(&mut self) {
        self.disabled_reason = None;
    }

    fn is_held_by(&self, holder: &str) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.is_held_by(holder))
    }
}

impl state::Record for JobRecord {
    /// Never, while the record keeps the job from running.
    fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        let holds_back = self.paused || self.disabled_reason.is_some();
        (!holds_back).then(|| now + RECORD_RETENTION)
    }
}

/// Returns the warnings for a record, truncated.
fn truncated(warnings: &[String]) -> Vec<String> {
    let fitting = warnings.iter().take(MAX_WARNINGS);
    let mut truncated: Vec<_> = fitting
        .map(|text| truncate(text, MAX_WARNING_BYTES).into_owned())
        .collect();
    let hidden = warnings.len() - truncated.len();
    if hidden > 0 {
        truncated.push(format!("and {hidden} more; the log has them"));
    }
    truncated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    fn won(record: &mut JobRecord, cause: Cause, holder: &str, now: i64) -> Claim {
        record.claim(cause, holder, at(now))
    }

    #[test]
    fn buckets_are_counted_from_the_epoch() {
        let minute = Duration::from_secs(60);
        for (now, start, left) in [
            (0, 0, 60_000),
            (59_999, 0, 1),
            (60_000, 60_000, 60_000),
            (1_700_000_000_123, 1_699_999_980_000, 39_877),
            (-1, -60_000, 1),
        ] {
            assert_eq!(bucket(at(now), minute), at(start), "{now}");
            let left = Duration::from_millis(left);
            assert_eq!(until_next(at(now), minute), left, "{now}");
        }
        let day = Duration::from_secs(86_400);
        let now: Timestamp = "2026-05-06T07:08:09Z".parse().unwrap();
        assert_eq!(bucket(now, day).to_string(), "2026-05-06T00:00:00Z");
    }

    #[test]
    fn a_bucket_is_claimed_once() {
        let mut record = JobRecord::default();
        let bucket = Cause::Bucket(at(15_000));
        assert_eq!(won(&mut record, bucket, "a", 15_001), Claim::Won);
        // The response to its first attempt may have been lost.
        assert_eq!(won(&mut record, bucket, "a", 15_002), Claim::Won);
        assert_eq!(won(&mut record, bucket, "b", 15_003), Claim::Lost);
        assert!(record.finish("a", at(15_001), at(15_500), &Report::default()));
        assert_eq!(won(&mut record, bucket, "b", 15_501), Claim::Lost);
        assert_eq!(
            won(&mut record, Cause::Bucket(at(0)), "b", 15_502),
            Claim::Lost
        );
        let next = Cause::Bucket(at(30_000));
        assert_eq!(won(&mut record, next, "b", 30_000), Claim::Won);
        assert_eq!(record.skipped, 0);
    }

    #[test]
    fn a_bucket_that_finds_a_run_is_skipped_once() {
        let mut record = JobRecord::default();
        assert_eq!(won(&mut record, Cause::Bucket(at(0)), "a", 0), Claim::Won);
        let next = Cause::Bucket(at(15_000));
        assert_eq!(won(&mut record, next, "b", 15_000), Claim::Held);
        assert_eq!(won(&mut record, next, "c", 15_001), Claim::Lost);
        assert_eq!(record.skipped, 1);
        assert_eq!(won(&mut record, Cause::Hand, "d", 15_002), Claim::Held);
        assert_eq!(record.skipped, 1);
        assert!(record.finish("a", at(0), at(16_000), &Report::default()));
        assert_eq!(won(&mut record, Cause::Hand, "d", 16_001), Claim::Won);
    }

    #[test]
    fn a_lease_is_renewed_by_its_holder_and_taken_over_when_it_ends() {
        let mut record = JobRecord::default();
        assert_eq!(won(&mut record, Cause::Hand, "a", 0), Claim::Won);
        assert!(record.renew("a", at(50_000)));
        assert!(!record.renew("b", at(50_000)));
        assert_eq!(won(&mut record, Cause::Hand, "b", 109_999), Claim::Held);
        assert_eq!(won(&mut record, Cause::Hand, "b", 110_000), Claim::Won);
        assert!(!record.renew("a", at(110_001)));
        let late = Report {
            rows: 7,
            ..Report::default()
        };
        assert!(!record.finish("a", at(0), at(110_002), &late));
        assert_eq!(record.last_rows_ingested, None);
        assert!(record.is_running(at(110_002)));
        assert!(record.finish("b", at(110_000), at(110_003), &late));
        assert_eq!(won(&mut record, Cause::Hand, "c", 110_004), Claim::Won);
        record.release();
        assert_eq!(won(&mut record, Cause::Hand, "d", 110_005), Claim::Won);
        assert!(record.finish("d", at(110_005), at(110_006), &late));
        assert_eq!(record.last_rows_ingested, Some(7));
    }

    #[test]
    fn a_run_leaves_its_end_in_the_record() {
        let mut record = JobRecord::default();
        let run = |record: &mut JobRecord, begin: i64, error: Option<RunError>| {
            assert_eq!(won(record, Cause::Hand, "a", begin), Claim::Won);
            let report = Report {
                rows: 3,
                error,
                ..Report::default()
            };
            assert!(record.finish("a", at(begin), at(begin + 5), &report));
        };
        run(&mut record, 100, None);
        assert_eq!(record.last_run_at, Some(at(100)));
        assert_eq!(record.last_success_at, Some(at(105)));
        assert_eq!(record.last_error, None);
        run(
            &mut record,
            200,
            Some(RunError::Failed("rejected".to_owned())),
        );
        assert_eq!(record.last_run_at, Some(at(200)));
        assert_eq!(record.last_success_at, Some(at(105)));
        assert_eq!(record.last_error.as_deref(), Some("rejected"));
        run(&mut record, 300, None);
        assert_eq!(record.last_error, None);
        assert!(record.expires_at(at(300)).is_some());
        let reason = "token resolve: gone".to_owned();
        run(&mut record, 400, Some(RunError::Disable(reason.clone())));
        assert_eq!(record.disabled_reason.as_ref(), Some(&reason));
        assert_eq!(record.expires_at(at(500)), None);
        for cause in [Cause::Hand, Cause::Bucket(at(500))] {
            let claim = won(&mut record, cause, "a", 500);
            assert_eq!(claim, Claim::Disabled(reason.clone()));
        }
        record.resume();
        assert_eq!(
            won(&mut record, Cause::Bucket(at(500)), "a", 500),
            Claim::Won
        );
    }

    #[test]
    fn the_last_warnings_are_bounded() {
        let mut record = JobRecord::default();
        let mut run = |warnings: Vec<String>| {
            assert_eq!(won(&mut record, Cause::Hand, "a", 0), Claim::Won);
            let report = Report {
                warnings,
                ..Report::default()
            };
            assert!(record.finish("a", at(0), at(5), &report));
            record.last_warnings.clone()
        };
        assert_eq!(run(vec!["one".to_owned()]), ["one"]);
        let many = run(vec!["ü".repeat(10_000); 25]);
        assert_eq!(many.len(), 21);
        assert!(many[0].len() <= 503, "{}", many[0].len());
        assert_eq!(many[20], "and 5 more; the log has them");
        assert_eq!(run(Vec::new()), Vec::<String>::new());
    }

    #[test]
    fn a_paused_definition_runs_by_hand_only() {
        let mut record = JobRecord {
            paused: true,
            ..JobRecord::default()
        };
        let bucket = Cause::Bucket(at(1_000));
        assert_eq!(won(&mut record, bucket, "a", 1_000), Claim::Paused);
        assert_eq!(won(&mut record, Cause::Event, "a", 1_000), Claim::Paused);
        assert_eq!(won(&mut record, Cause::Hand, "a", 1_000), Claim::Won);
        record.resume();
        assert!(record.finish("a", at(1_000), at(1_001), &Report::default()));
        assert_eq!(won(&mut record, bucket, "a", 1_002), Claim::Won);
    }

    #[test]
    fn records_survive_as_text() {
        let mut record = JobRecord::default();
        assert_eq!(won(&mut record, Cause::Bucket(at(0)), "a", 1), Claim::Won);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<JobRecord>(&text).unwrap(), record);
        // Of a later version of the program, or an earlier one.
        let other: JobRecord = serde_json::from_str(r#"{"paused":true,"later":1}"#).unwrap();
        assert!(other.paused);
    }
}
