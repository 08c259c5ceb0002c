//! Samples that reach a server after their time, and outages.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};
use soak::samples::{Samples, compare};
use timestream_emulator::Value as Stored;
use timestream_prometheus_connector::jobs::job::{Job, Report};
use timestream_prometheus_connector::jobs::kinds::sync::parse;

use super::Workplace;
use super::sync_source::Source;
use crate::prometheus::{Prometheus, program};
use crate::support::now_ms;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn ago(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(now_ms() - ms).unwrap()
}

fn sync(url: &str, more: Value) -> Box<dyn Job> {
    let mut config = json!({"prometheus_url": url, "lookback_hours": 1});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    parse(&config).unwrap()
}

/// Returns the stored samples of the table, by metric and time.
fn stored(workplace: &Workplace) -> Vec<(String, i64, f64)> {
    let points = workplace.emulator.points("db", "new").into_iter();
    let mut points: Vec<_> = points
        .map(|point| match point.value {
            Stored::Double(value) => (point.measure_name, point.time_ns / 1_000_000, value),
            other => panic!("{other:?}"),
        })
        .collect();
    points.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    points
}

async fn complete(workplace: &Workplace, sync: &dyn Job) -> Report {
    let report = workplace.run(sync).await;
    assert_eq!(report.error, None);
    report
}

/// Returns a multiple of the step, `ms` ago.
fn step_ago(ms: i64) -> i64 {
    (now_ms() - ms) / 15_000 * 15_000
}

#[tokio::test]
async fn the_tail_is_read_again_and_unchanged_samples_are_not_stored_again() {
    for (mode, winner) in [("incremental_append", 1.0), ("incremental_deduped", 2.0)] {
        let source = Source::start().await;
        let mut workplace = Workplace::start().await;
        workplace.target("db", "new");
        // For the magnetic store no response says that a value was not accepted.
        let config = json!({"sync_mode": mode, "memory_hours": 24});
        let sync = sync(&source.url, config);
        let first = step_ago(22 * MINUTE);
        source.content().add("a", first, 1.0);
        workplace.now = || ago(20 * MINUTE);
        assert_eq!(complete(&workplace, &*sync).await.rows, 1);
        // The run has ended a minute before its time.
        let end = source.content().queried.last().unwrap().2;
        assert!(end <= now_ms() - 21 * MINUTE, "{end}");

        // One sample that is late for the first run, one that is too late, and a new one.
        let late = step_ago(21 * MINUTE + 30_000);
        source.content().add("a", late, 1.0);
        source.content().add("a", step_ago(30 * MINUTE), 1.0);
        let new = step_ago(15 * MINUTE);
        source.content().add("a", new, 1.0);
        workplace.now = || ago(10 * MINUTE);
        let report = complete(&workplace, &*sync).await;
        assert_eq!((report.rows, report.rejected), (2, 0));
        let times = |workplace: &Workplace| -> Vec<i64> {
            stored(workplace).iter().map(|it| it.1).collect()
        };
        assert_eq!(times(&workplace), [first, late, new]);

        // The tail is read, but nothing in it has changed, so nothing of it is stored.
        source
            .content()
            .add("a", step_ago(11 * MINUTE + 30_000), 1.0);
        workplace.now = || ago(9 * MINUTE);
        assert_eq!(complete(&workplace, &*sync).await.rows, 1);
        source.content().add("a", step_ago(8 * MINUTE), 1.0);
        workplace.now = || ago(6 * MINUTE);
        let report = complete(&workplace, &*sync).await;
        assert_eq!((report.rows, report.received), (1, 1));

        // Another value in the tail.
        let changed = step_ago(7 * MINUTE + 5_000);
        source.content().add("a", changed, 1.0);
        workplace.now = || ago(5 * MINUTE + 40_000);
        complete(&workplace, &*sync).await;
        source.content().add("a", changed, 2.0);
        workplace.now = || ago(4 * MINUTE);
        let report = complete(&workplace, &*sync).await;
        let rejected = u64::from(mode == "incremental_append");
        assert_eq!(report.rejected, rejected, "{report:?}");
        assert_eq!(report.dead_lettered, 0);
        let value = stored(&workplace)
            .iter()
            .find(|it| it.1 == changed)
            .unwrap()
            .2;
        assert_eq!(value, winner, "{mode}");
    }
}

#[tokio::test]
async fn metrics_that_ended_during_an_outage_are_read_after_it() {
    let source = Source::start().await;
    let mut workplace = Workplace::start().await;
    workplace.target("db", "new");
    let sync = sync(&source.url, json!({}));
    for minutes in (0..12 * 60).step_by(10) {
        let time = step_ago(minutes * MINUTE + 2 * MINUTE);
        source.content().add("lasting", time, 1.0);
        if minutes > 8 * 60 {
            source.content().add("ended", time, 1.0);
        }
        if (8 * 60..9 * 60).contains(&minutes) {
            source.content().add("brief", time, 1.0);
        }
    }
    // Before the first run's start.
    let wanted = step_ago(11 * HOUR - 5 * MINUTE);
    source.content().samples.values_mut().for_each(|metric| {
        for series in metric.values_mut() {
            series.retain(|time, _| *time > wanted);
        }
    });
    workplace.now = || ago(10 * HOUR);
    complete(&workplace, &*sync).await;
    // It does not run for ten hours.
    workplace.now = Timestamp::now;
    complete(&workplace, &*sync).await;
    let mut expected = Vec::new();
    for (metric, series) in &source.content().samples {
        let samples = series["1"].iter();
        expected.extend(samples.map(|(time, value)| (metric.clone(), *time, *value)));
    }
    assert_eq!(stored(&workplace), expected);
    // From there on lists are short again, and dead metrics are not read.
    source.content().queried.clear();
    complete(&workplace, &*sync).await;
    let (start, _) = *source.content().listed.last().unwrap();
    assert!(start >= now_ms() - HOUR - MINUTE, "{start}");
    assert!(source.content().queried.iter().all(|it| it.0 == "lasting"));
}

/// An exporter that needs three seconds for each response.
async fn slow_exporter() -> String {
    let respond = || async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let text = format!("# TYPE slow gauge\nslow {}\n", now_ms());
        ([("content-type", "text/plain; version=0.0.4")], text)
    };
    let router = Router::new().route("/metrics", get(respond));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Returns the samples of Prometheus from `start_ms` to `end_ms`, at each second or raw.
async fn held(prometheus: &Prometheus, is_raw: bool, start_ms: i64, end_ms: i64) -> Samples {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let response = if is_raw {
        let query = format!("slow[{}ms]", end_ms - start_ms);
        let time = seconds(end_ms);
        prometheus
            .api("query", &[("query", &query), ("time", &time)])
            .await
    } else {
        let (start, end) = (seconds(start_ms), seconds(end_ms));
        let query = [
            ("query", "slow"),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        prometheus.api("query_range", &query).await
    };
    let mut samples = Samples::default();
    samples.add_matrix(&response["data"]["result"]);
    samples
}

#[tokio::test]
async fn a_slow_exporter_loses_nothing() {
    const SCRAPES: usize = 4;
    let address = slow_exporter().await;
    let config = |_| {
        format!(
            "global: {{ scrape_interval: 4s, scrape_timeout: 4s }}\nscrape_configs:\n\
             - {{ job_name: slow, static_configs: [{{ targets: ['{address}'] }}] }}\n"
        )
    };
    let prometheus = program("prometheus").await;
    let prometheus = Prometheus::start_with(&prometheus, &[], config, async |_| {}).await;
    let start = now_ms() / 1_000 * 1_000 - 1_000;
    let mut jobs = Vec::new();
    for (is_raw, lateness_ms) in [(true, 5_000), (false, 5_000), (true, 0), (false, 0)] {
        let config = json!({
            "metrics_filter": "slow", "raw": is_raw, "step": 1, "lateness_ms": lateness_ms,
        });
        let job = sync(&prometheus.url, config);
        jobs.push((is_raw, lateness_ms, job, Workplace::start().await));
    }
    let run_all = async || {
        for (_, lateness_ms, job, workplace) in &jobs {
            let report = workplace.run(&**job).await;
            assert_eq!(report.error, None);
            if *lateness_ms > 0 {
                assert_eq!(report.rejected, 0, "{report:?}");
            }
        }
    };
    // Syncs run again and again while Prometheus scrapes.
    let deadline = start + 2 * MINUTE;
    let end = loop {
        run_all().await;
        let end = now_ms() / 1_000 * 1_000;
        if held(&prometheus, true, start, end).await.count() >= SCRAPES {
            break end;
        }
        assert!(end < deadline, "Prometheus does not scrape");
    };
    // Until all of that is older than the margin, and stored for long enough to be read again.
    while now_ms() < end + 11_000 {
        run_all().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (is_raw, lateness_ms, _, workplace) in &jobs {
        let expected = held(&prometheus, *is_raw, start, end).await;
        let mut points = workplace.emulator.points("db", "t");
        let inside = |time_ns: i64| (start * 1_000_000..=end * 1_000_000).contains(&time_ns);
        points.retain(|point| inside(point.time_ns));
        let difference = compare(&expected, &Samples::of_points(points));
        match lateness_ms {
            // Without a margin, the same is lost or older: the test can fail.
            0 => assert!(!difference.is_none(), "raw {is_raw}"),
            _ => assert!(difference.is_none(), "raw {is_raw}: {difference:?}"),
        }
    }
}
