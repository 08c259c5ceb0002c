//! Times that a table accepts, and the store of each.

use std::time::Duration;

use aws_sdk_timestreamwrite::types::{MagneticStoreWriteProperties, RetentionProperties};

use crate::support::{DB, NEW, Service, TestClock, sample};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Returns a service whose clock stands still at the returned time, a whole millisecond.
async fn at_rest() -> (Service, TestClock, i64) {
    let time = TestClock::at_whole_millisecond();
    let clock = time.clock();
    let service = Service::start_with(|config| config.clock = clock).await;
    let now = time.now_ms();
    (service, time, now)
}

async fn set(service: &Service, memory_hours: i64, magnetic_days: i64, magnetic_writes: bool) {
    let retention = RetentionProperties::builder()
        .memory_store_retention_period_in_hours(memory_hours)
        .magnetic_store_retention_period_in_days(magnetic_days);
    let writes = MagneticStoreWriteProperties::builder();
    let writes = writes.enable_magnetic_store_writes(magnetic_writes);
    let call = service
        .write
        .update_table()
        .database_name(DB)
        .table_name(NEW);
    call.retention_properties(retention.build().expect("both are set"))
        .magnetic_store_write_properties(writes.build().expect("it is set"))
        .send()
        .await
        .expect("the settings are taken");
}

/// Reasons by the times (in milliseconds) that are rejected.
async fn rejected(service: &Service, times: &[i64]) -> Vec<(i64, String)> {
    let records = times.iter().map(|time| sample(&[("job", "a")], *time, "1"));
    let rejected = service.put_rejected(NEW, records.collect()).await;
    let by_time = rejected.into_iter().map(|(index, reason, existing)| {
        assert_eq!(existing, None);
        (times[usize::try_from(index).expect("an index")], reason)
    });
    by_time.collect()
}

fn times(rejected: &[(i64, String)]) -> Vec<i64> {
    rejected.iter().map(|(time, _)| *time).collect()
}

/// Developer guide, "Writes" and "Quotas": from now - retention (6 hours unless given) to now + 15
/// minutes. The text is of the guide, "Scheduled query error reports".
#[tokio::test]
async fn the_memory_store_takes_its_retention() {
    let (service, _, now) = at_rest().await;
    let (oldest, end) = (now - 6 * HOUR, now + 15 * MINUTE);
    let outside = rejected(&service, &[oldest, end - 1, now, oldest - 1, end, 0]).await;
    assert_eq!(times(&outside), [oldest - 1, end, 0]);
    for (_, reason) in outside {
        assert!(
            reason.starts_with("The record timestamp is outside the time range [")
                && reason.ends_with(") of the memory store."),
            "{reason}"
        );
    }
    assert_eq!(service.emulator.points(DB, NEW).len(), 3);
}

/// Developer guide, "Writes": with magnetic store writes older data is accepted within the magnetic
/// retention. The text is of the guide, error reports of batch loads.
#[tokio::test]
async fn the_magnetic_store_takes_what_is_late() {
    let (service, _, now) = at_rest().await;
    set(&service, 6, 2, true).await;
    let (oldest, end) = (now - 2 * DAY, now + 15 * MINUTE);
    let outside = rejected(&service, &[now - 6 * HOUR - 1, oldest, oldest - 1, end]).await;
    assert_eq!(times(&outside), [oldest - 1, end]);
    let reason = "The record timestamp is outside the time range of the data ingestion window.";
    assert!(
        outside.iter().all(|(_, text)| text == reason),
        "{outside:?}"
    );

    let call = service.write_to(NEW);
    let call = [now, now - 6 * HOUR, now - 6 * HOUR - 1]
        .into_iter()
        .fold(call, |call, time| {
            call.records(sample(&[("job", "b")], time, "1"))
        });
    let ingested = call.send().await.expect("all are taken").records_ingested;
    let ingested = ingested.expect("counts");
    let by_store = (ingested.memory_store(), ingested.magnetic_store());
    assert_eq!((ingested.total(), by_store), (3, (2, 1)));
}

/// API reference, RejectedRecord: when the retention is raised, times in the new part of the window
/// are rejected until it has passed.
#[tokio::test]
async fn a_raised_retention_grows_into_its_window() {
    let (service, time, now) = at_rest().await;
    set(&service, 24, 100, false).await;
    let before = now - 6 * HOUR;
    assert_eq!(
        times(&rejected(&service, &[before, before - 1]).await),
        [before - 1]
    );
    time.advance(Duration::from_hours(10));
    assert_eq!(
        times(&rejected(&service, &[before, before - 1]).await),
        [before - 1]
    );
    time.advance(Duration::from_hours(10));
    let now = now + 20 * HOUR;
    let oldest = now - 24 * HOUR;
    assert_eq!(
        times(&rejected(&service, &[oldest, oldest - 1]).await),
        [oldest - 1]
    );
    set(&service, 2, 100, false).await;
    let oldest = now - 2 * HOUR;
    assert_eq!(
        times(&rejected(&service, &[oldest, oldest - 1]).await),
        [oldest - 1]
    );
}
