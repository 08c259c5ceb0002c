//! Who runs what and when: buckets of time, and the record of a definition with its lease.
//!
//! Pure: a [`JobRecord`] is read, changed by one of these functions and put back if nobody else has
//! changed it meanwhile. So of several processes one claims a bucket, and one at a time runs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::job::{Report, RunError};
use crate::received::cut;
use crate::state;
use crate::state::lease::Lease;

/// How long a lease holds unless it is renewed; a crashed process keeps a definition from running
/// so long.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed: two of three may fail.
pub const RENEWAL: Duration = Duration::from_secs(20);
/// How long the record of a definition that nobody keeps, a scheduler's payload, outlives its last
/// run.
const RECORD_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Warnings of a run that its record has.
const MAX_WARNINGS: usize = 20;
/// Bytes of each of them.
const MAX_WARNING_BYTES: usize = 500;

/// Start of the bucket that `now` is in: buckets are counted from the Unix epoch, so all processes
/// have the same ones.
pub fn bucket(now: Timestamp, schedule: Duration) -> Timestamp {
    let schedule = i64::try_from(schedule.as_millis())
        .unwrap_or(i64::MAX)
        .max(1);
    let start = now.as_millisecond().div_euclid(schedule) * schedule;
    Timestamp::from_millisecond(start).unwrap_or(Timestamp::MIN)
}

/// How long after `now` the next bucket starts; more than nothing.
pub fn until_next(now: Timestamp, schedule: Duration) -> Duration {
    let since = now.duration_since(bucket(now, schedule));
    schedule.saturating_sub(since.unsigned_abs())
}

/// What is known of the runs of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// Start of the last bucket that somebody claimed, in milliseconds since the Unix epoch.
    bucket: Option<i64>,
    lease: Option<Lease>,
    /// Whether ticks do nothing.
    pub paused: bool,
    /// Why nothing runs until somebody resumes the definition.
    pub disabled_reason: Option<String>,
    /// When the last run that ended began.
    pub last_run_at: Option<Timestamp>,
    /// When the last complete run ended.
    pub last_success_at: Option<Timestamp>,
    /// Why the last run was not complete; `None` if it was.
    pub last_error: Option<String>,
    /// Warnings of the last run, complete or not; long lists and texts are cut.
    pub last_warnings: Vec<String>,
    /// Samples that the last run stored.
    pub last_rows_ingested: Option<u64>,
    /// Buckets that found a run still going on.
    pub skipped: u64,
}

/// Why a run is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bucket that starts here has begun.
    Bucket(Timestamp),
    /// An event came that belongs to no bucket.
    Event,
    /// Somebody wants it, paused or not.
    Hand,
}

/// What became of the attempt to begin a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The holder has the lease.
    Won,
    /// Somebody else has claimed the bucket, or a later one.
    Lost,
    /// A run is still going on; of a bucket this is its end.
    Held,
    /// Ticks do nothing.
    Paused,
    /// Nothing runs, for this reason.
    Disabled(String),
}

impl JobRecord {
    /// Tries to get the right to run for `holder`; the answer to the same question, asked again, is
    /// the same.
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

    /// Renews the lease of `holder`; returns whether it still has it.
    pub fn renew(&mut self, holder: &str, now: Timestamp) -> bool {
        Lease::renew(&mut self.lease, holder, now, LEASE)
    }

    /// Ends the run of `holder` that began at `began`; returns whether it still had the lease.
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
        self.last_warnings = shown(&report.warnings);
        match &report.error {
            None => self.last_success_at = Some(now),
            Some(RunError::Disable(reason)) => self.disabled_reason = Some(reason.clone()),
            Some(RunError::Failed(_) | RunError::Interrupted | RunError::TooManyRows(_)) => {}
        }
        true
    }

    /// Whether a run has the lease.
    pub fn is_running(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_valid(now))
    }

    /// Takes the lease from whoever has it: for a caller who knows that nothing runs.
    pub fn release(&mut self) {
        self.lease = None;
    }

    /// Lets ticks run again, and what was disabled.
    pub fn resume(&mut self) {
        self.paused = false;
        self.enable();
    }

    /// Lets what was disabled run again.
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
    /// A paused or disabled job keeps its record, which keeps it from running.
    fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        let holds_back = self.paused || self.disabled_reason.is_some();
        (!holds_back).then(|| now + RECORD_RETENTION)
    }
}

/// Returns the warnings that a record has.
fn shown(warnings: &[String]) -> Vec<String> {
    let fitting = warnings.iter().take(MAX_WARNINGS);
    let mut shown: Vec<_> = fitting
        .map(|text| cut(text, MAX_WARNING_BYTES).into_owned())
        .collect();
    let hidden = warnings.len() - shown.len();
    if hidden > 0 {
        shown.push(format!("and {hidden} more; the log has them"));
    }
    shown
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
        // The answer to its first question may have been lost.
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
    fn what_a_run_leaves() {
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
            Some(RunError::Failed("refused".to_owned())),
        );
        assert_eq!(record.last_run_at, Some(at(200)));
        assert_eq!(record.last_success_at, Some(at(105)));
        assert_eq!(record.last_error.as_deref(), Some("refused"));
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
