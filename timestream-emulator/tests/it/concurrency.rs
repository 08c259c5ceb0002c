//! Many clients at once, and reading beside writing.

use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{DB, OLD, Service, T0, measure, sample};

const CLIENTS: i64 = 32;
const CALLS: i64 = 20;
const RECORDS: i64 = 10;

/// Writes one series of this writer and one that all share.
async fn write_all(service: Arc<Service>, writer: i64) {
    let own = format!("w{writer}");
    for call in 0..CALLS {
        let first = call * RECORDS;
        let times = || (first..first + RECORDS).map(|n| T0 + n);
        let own = times().map(|time| sample(&[("job", &*own)], time, "1"));
        let shared = times().map(|time| measure("shared", &[("job", "all")], time, "2"));
        let records: Vec<_> = own.chain(shared).collect();
        let sent = i32::try_from(records.len()).expect("a small batch");
        assert_eq!(service.put(OLD, records).await, sent);
    }
}

/// Checks that a reader's view only grows, and holds whole calls only.
async fn read_until_complete(service: Arc<Service>, writer: i64) {
    let sql = format!("SELECT count(*) FROM db.old WHERE job = 'w{writer}'");
    let mut before = 0;
    while before < CALLS * RECORDS {
        let count: i64 = service.value(&sql).await.parse().expect("a number");
        assert!(count >= before, "{count} after {before}");
        assert_eq!(count % RECORDS, 0, "a call is visible as a whole");
        before = count;
    }
}

async fn writers_and_readers(service: Service) {
    let service = Arc::new(service);
    // The columns exist before the first reader queries them.
    service
        .put(OLD, vec![sample(&[("job", "first")], T0, "0")])
        .await;
    let barrier = Arc::new(Barrier::new(2 * usize::try_from(CLIENTS).expect("small")));
    let mut tasks = JoinSet::new();
    for writer in 0..CLIENTS {
        let (service, barrier) = (Arc::clone(&service), Arc::clone(&barrier));
        let (readers_service, readers_barrier) = (Arc::clone(&service), Arc::clone(&barrier));
        tasks.spawn(async move {
            barrier.wait().await;
            write_all(service, writer).await;
        });
        tasks.spawn(async move {
            readers_barrier.wait().await;
            read_until_complete(readers_service, writer).await;
        });
    }
    tasks.join_all().await;

    let own = CLIENTS * CALLS * RECORDS;
    let shared = CALLS * RECORDS;
    let points = service.emulator.points(DB, OLD);
    assert_eq!(points.len() as i64, own + shared + 1);
    let counters = service.emulator.counters();
    assert_eq!(counters.points_stored as i64, own + shared + 1);
    assert_eq!(counters.records_accepted as i64, 2 * own + 1);
    let mut keys: Vec<_> = points
        .iter()
        .map(|point| (&point.measure_name, &point.dimensions, point.time_ns))
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), points.len(), "no point is stored twice");
    let series = "SELECT count(*) FROM (SELECT DISTINCT measure_name, job FROM db.old)";
    assert_eq!(service.value(series).await, (CLIENTS + 2).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_in_memory() {
    writers_and_readers(Service::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_on_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    writers_and_readers(Service::start_in(Some(folder.path())).await).await;
}
