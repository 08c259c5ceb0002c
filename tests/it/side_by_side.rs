//! Slow reads do not delay anything else.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType::StreamedXorChunks;
use timestream_emulator::{Fault, FaultKind, When};

use crate::support::{START_MS, TestApp, query, series};

/// More than the queries that a request runs at once.
const READS: usize = 50;

#[tokio::test]
async fn pending_reads_do_not_delay_writes() {
    let app = TestApp::start().await;
    let never = FaultKind::Latency(Duration::from_secs(3_600));
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("Query", 1, never)
    });
    let reads = (0..READS).map(|i| {
        let name = format!("m{i}");
        let queries = vec![query(&[(Type::Eq, "__name__", &name)])];
        let app = &app;
        async move { app.read_as(&[StreamedXorChunks], queries).await }
    });
    let mut reads = Box::pin(join_all(reads));
    let waiting = || app.emulator.counters().calls.get("Query").copied();
    let deadline = Instant::now() + Duration::from_secs(20);
    while waiting() != Some(READS as u64) {
        assert!(reads.as_mut().now_or_never().is_none());
        assert!(Instant::now() < deadline, "{:?}", waiting());
        tokio::task::yield_now().await;
    }

    let start = Instant::now();
    for i in 0..20 {
        let one = series(&[("__name__", "m"), ("l", "1")], &[(START_MS + i, 1.0)]);
        app.write_ok(vec![one]).await;
    }
    // Each would have waited for an hour.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(app.emulator.points("db", "t").len(), 20);
    assert!(reads.as_mut().now_or_never().is_none());
}
