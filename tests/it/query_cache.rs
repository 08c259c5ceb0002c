//! The cache of samples of the query API.

use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType, Record, TimeUnit};
use futures_util::future::join_all;
use http::header::CACHE_CONTROL;
use http::{Request, StatusCode};
use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Fault, FaultKind, When};

use crate::kinds::{histograms, integers};
use crate::support::{HttpResponse, START_MS, TestApp, now_ms, query, series, shared_at};

const MINUTE_MS: i64 = 60_000;

const STATEMENTS: &str = "timestream_connector_query_statements_total";
const SAMPLES: &str = "timestream_connector_query_samples_total";
const CACHED: &str = "timestream_connector_query_cached_samples_total";
const HITS: &str = "timestream_connector_query_cache_hits_total";
const MISSES: &str = "timestream_connector_query_cache_misses_total";
const BLOCKS: &str = "timestream_connector_query_cache_blocks";
const BYTES: &str = "timestream_connector_query_cache_bytes";

/// Returns counters, and what they have grown by since the last call.
struct Growth<'a, const N: usize> {
    app: &'a TestApp,
    names: [&'static str; N],
    before: [f64; N],
}

impl<'a, const N: usize> Growth<'a, N> {
    fn new(app: &'a TestApp, names: [&'static str; N]) -> Self {
        Self {
            app,
            names,
            before: [0.0; N],
        }
    }

    async fn next(&mut self) -> [f64; N] {
        let mut grown = [0.0; N];
        for ((name, before), grown) in self.names.iter().zip(&mut self.before).zip(&mut grown) {
            let now = self.app.metric(name).await;
            *grown = now - *before;
            *before = now;
        }
        grown
    }
}

/// Returns the path of a range query.
fn range(expression: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> String {
    let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let seconds = |ms: i64| ms as f64 / 1_000.0;
    format!(
        "/api/v1/query_range?query={query}&start={}&end={}&step={}",
        seconds(start_ms),
        seconds(end_ms),
        seconds(step_ms)
    )
}

async fn get_ok(app: &TestApp, path: &str) -> HttpResponse {
    let response = app.get(path).await;
    assert_eq!(
        response.status,
        StatusCode::OK,
        "{path}: {}",
        response.text()
    );
    response
}

/// Returns the response to a request that bypasses the cache.
async fn get_fresh(app: &TestApp, path: &str) -> HttpResponse {
    let request = Request::get(path).header(CACHE_CONTROL, "max-age=0, No-Store");
    let response = app.send(request.body(Default::default()).unwrap()).await;
    assert_eq!(
        response.status,
        StatusCode::OK,
        "{path}: {}",
        response.text()
    );
    response
}

/// Returns series with a sample every `distance_ms` before `end_ms`.
fn regular(
    name: &str,
    count: usize,
    end_ms: i64,
    length_ms: i64,
    distance_ms: i64,
) -> Vec<TimeSeries> {
    let one = |i: usize| {
        let times = (0..length_ms / distance_ms).rev();
        let samples: Vec<_> = times
            .map(|k| (end_ms - k * distance_ms, (k * 3 + i as i64) as f64))
            .collect();
        let instance = i.to_string();
        series(&[("__name__", name), ("instance", &instance)], &samples)
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn a_refresh_of_a_dashboard_fetches_the_last_stretch() {
    let app = TestApp::start().await;
    let end_ms = now_ms() / 15_000 * 15_000;
    let length_ms = 360 * MINUTE_MS;
    app.write_ok(regular("m", 2, end_ms + 2 * MINUTE_MS, length_ms, 30_000))
        .await;
    let mut grown = Growth::new(&app, [STATEMENTS, SAMPLES, CACHED]);
    // With all samples, and with the newest one of each step.
    for (expression, per_minute) in [("sum(rate(m[5m]))", 2.0), ("max(m)", 1.0)] {
        let mut first_statements = 0.0;
        for i in 0..3 {
            let end_ms = end_ms + i * MINUTE_MS;
            let path = range(expression, end_ms - 180 * MINUTE_MS, end_ms, MINUTE_MS);
            let response = get_ok(&app, &path).await;
            let [statements, samples, cached] = grown.next().await;
            assert!(samples >= 180.0 * per_minute * 2.0, "{samples}");
            let fetched = samples - cached;
            if i == 0 {
                assert_eq!(cached, 0.0);
                first_statements = statements;
            } else {
                // 15 minutes to settle, one that the window has moved, and some to a whole window.
                assert!(fetched <= 18.0 * per_minute * 2.0, "{fetched} of {samples}");
                assert!(cached > 0.0 && statements <= first_statements);
            }
            assert_eq!(
                response.body,
                get_fresh(&app, &path).await.body,
                "{expression}"
            );
            grown.next().await;
        }
    }
}

#[tokio::test]
async fn samples_that_are_old_enough_need_no_statement() {
    let app = TestApp::start().await;
    app.write_ok(regular("m", 3, START_MS, 120 * MINUTE_MS, MINUTE_MS))
        .await;
    let names = [STATEMENTS, SAMPLES, CACHED, HITS, MISSES];
    let mut grown = Growth::new(&app, names);
    let path = range("sum(m)", START_MS - 60 * MINUTE_MS, START_MS, MINUTE_MS);
    let first = get_ok(&app, &path).await;
    let [statements, samples, cached, hits, misses] = grown.next().await;
    assert!(statements >= 2.0 && cached == 0.0 && hits == 0.0 && misses >= 1.0);
    // Other functions of the same selector use the same samples, and matchers are in no order.
    assert_eq!(get_ok(&app, &path).await.body, first.body);
    assert_eq!(grown.next().await, [0.0, samples, samples, misses, 0.0]);
    let all = "count({__name__=\"m\",instance=~\".+\"})";
    let [start_ms, end_ms] = [START_MS - 60 * MINUTE_MS, START_MS];
    get_ok(&app, &range(all, start_ms, end_ms, MINUTE_MS)).await;
    assert!(grown.next().await[0] > 0.0);
    let same = "min({instance=~\".+\",__name__=\"m\",instance=~\".+\"})";
    get_ok(&app, &range(same, start_ms, end_ms, MINUTE_MS)).await;
    assert_eq!(grown.next().await[0], 0.0);
    assert!(app.metric(BLOCKS).await >= 2.0);
    assert!(app.metric(BYTES).await > 1_000.0);

    // A late sample is seen by those who bypass the cache, and by remote read.
    let late = series(
        &[("__name__", "m"), ("instance", "late")],
        &[(START_MS - 30 * MINUTE_MS, 1e6)],
    );
    app.write_ok(vec![late]).await;
    assert_eq!(get_ok(&app, &path).await.body, first.body);
    let fresh = get_fresh(&app, &path).await;
    assert_ne!(fresh.body, first.body);
    assert_eq!(get_ok(&app, &path).await.body, first.body);
    let mut all = query(&[(Type::Eq, "__name__", "m")]);
    all.start_timestamp_ms -= 60 * MINUTE_MS;
    assert_eq!(app.read(vec![all]).await[0].len(), 4);
}

#[tokio::test]
async fn the_cache_can_be_switched_off_and_expires() {
    for flags in [["--query-cache-bytes=0"], ["--query-cache-ttl=1ms"]] {
        let app = TestApp::start_with(&flags).await;
        app.write_ok(regular("m", 1, START_MS, 60 * MINUTE_MS, MINUTE_MS))
            .await;
        let path = range("m", START_MS - 30 * MINUTE_MS, START_MS, MINUTE_MS);
        let mut grown = Growth::new(&app, [STATEMENTS, CACHED]);
        for _ in 0..3 {
            get_ok(&app, &path).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let [statements, cached] = grown.next().await;
            assert!(statements >= 2.0 && cached == 0.0, "{flags:?}");
        }
    }
    // Nothing is old enough.
    let app = TestApp::start_with(&["--query-cache-settle=1d"]).await;
    let end_ms = now_ms();
    app.write_ok(regular("m", 1, end_ms, 60 * MINUTE_MS, MINUTE_MS))
        .await;
    let path = range("m", end_ms - 30 * MINUTE_MS, end_ms, MINUTE_MS);
    for _ in 0..2 {
        get_ok(&app, &path).await;
    }
    assert_eq!(app.metric(BLOCKS).await, 0.0);
}

/// Values that Timestream does not accept as they are, markers of the end of a series among them.
fn special(name: &str) -> TimeSeries {
    let bits = [
        0x7ff0_0000_0000_0002,
        0x7ff8_0000_0000_0001,
        1 << 63,
        f64::INFINITY.to_bits(),
        1.5_f64.to_bits(),
    ];
    let samples: Vec<_> = (0..200)
        .map(|i| (START_MS - i as i64 * 37_000, f64::from_bits(bits[i % 5])))
        .rev()
        .collect();
    series(&[("__name__", name), ("instance", "special")], &samples)
}

#[tokio::test]
async fn results_are_the_same_with_and_without_it() {
    let app = TestApp::start_with(&["--store-special-values"]).await;
    let mut all = regular("m", 3, START_MS, 240 * MINUTE_MS, 17_000);
    all.extend(regular("recent", 2, now_ms(), 120 * MINUTE_MS, 30_000));
    all.push(special("special"));
    all.push(special("m"));
    let sizes = (0..120).map(|i| integers(START_MS - i * 61_000)).rev();
    all.push(histograms(&[("__name__", "sizes")], sizes.collect()));
    app.write_ok(all).await;

    let expressions = [
        "m",
        "m offset 7m",
        "m offset -3m",
        "sum by (instance) (rate(m[5m]))",
        "rate(m[5m] offset 10m)",
        "m @ 1599999000",
        "sum_over_time(m[20m] @ end())",
        "last_over_time(m[10m])",
        "max_over_time(rate(m[2m])[30m:1m])",
        "max_over_time(m[1h:7m] offset 3m)",
        "m{instance=~\"0|1\"} / ignoring(instance) group_left m{instance=\"2\"}",
        "timestamp(m)",
        "absent(none)",
        "absent_over_time(m{instance=\"special\"}[1m])",
        "present_over_time(special[40s])",
        "special",
        "count_over_time(special[3m])",
        "changes(m[15m])",
        "sizes",
        "histogram_quantile(0.9, rate(sizes[10m]))",
        "histogram_count(sizes) + on() count(m)",
        "{__name__=~\"m|sizes\"}",
        "recent",
        "rate(recent[2m])",
        "topk(1, m)",
        "quantile_over_time(0.5, m[1h])",
    ];
    for expression in expressions {
        for (ago, length, step_ms) in [
            (0, 60, MINUTE_MS),
            (0, 60, 7_000),
            (5, 90, 15 * MINUTE_MS),
            (1, 60, MINUTE_MS),
            (0, 120, MINUTE_MS),
            // The start of a step is another one.
            (0, 61, 13 * MINUTE_MS),
            (0, 0, MINUTE_MS),
        ] {
            let base_ms = match expression.contains("recent") {
                true => now_ms() - MINUTE_MS,
                false => START_MS,
            };
            let end_ms = base_ms - ago * MINUTE_MS;
            let path = range(expression, end_ms - length * MINUTE_MS, end_ms, step_ms);
            let fresh = get_fresh(&app, &path).await;
            for _ in 0..2 {
                let cached = get_ok(&app, &path).await;
                assert_eq!(cached.text(), fresh.text(), "{path}");
            }
        }
    }
    assert!(app.metric(CACHED).await > 0.0);
}

#[tokio::test]
async fn a_column_that_is_added_does_not_change_the_labels_of_cached_series() {
    let app = TestApp::start().await;
    app.write_ok(regular("m", 2, START_MS, 120 * MINUTE_MS, MINUTE_MS))
        .await;
    let path = |end_ms: i64| range("m", START_MS - 60 * MINUTE_MS, end_ms, MINUTE_MS);
    get_ok(&app, &path(START_MS)).await;
    let labels = [("__name__", "m"), ("instance", "0"), ("zone", "a")];
    let times = (1..10).map(|i| (START_MS + i * MINUTE_MS, i as f64));
    app.write_ok(vec![series(&labels, &times.collect::<Vec<_>>())])
        .await;
    let path = path(START_MS + 9 * MINUTE_MS);
    let cached = get_ok(&app, &path).await;
    assert!(cached.text().contains("\"zone\""), "{}", cached.text());
    assert_eq!(cached.text(), get_fresh(&app, &path).await.text());
    assert!(app.metric(CACHED).await > 0.0);
}

#[tokio::test]
async fn limits_hold_for_cached_samples_too() {
    let app = TestApp::start_with(&["--max-read-samples=100"]).await;
    app.write_ok(regular("m", 1, START_MS, 120 * MINUTE_MS, MINUTE_MS))
        .await;
    let instant =
        |expression: &str| format!("/api/v1/query?query={expression}&time={}", START_MS / 1_000);
    let both = instant("count_over_time(m[55m])%2Bcount_over_time(m[59m])");
    for window in ["55m", "59m"] {
        get_ok(&app, &instant(&format!("count_over_time(m[{window}])"))).await;
    }
    let mut grown = Growth::new(&app, [STATEMENTS]);
    grown.next().await;
    let response = app.get(&both).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        response.text().contains("raise max_read_samples"),
        "{}",
        response.text()
    );
    assert_eq!(grown.next().await, [0.0]);
}

#[tokio::test]
async fn equal_queries_at_the_same_time_fill_it_once() {
    let app = TestApp::start().await;
    app.write_ok(regular("m", 2, START_MS, 120 * MINUTE_MS, MINUTE_MS))
        .await;
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next(
            "Query",
            1,
            FaultKind::Latency(std::time::Duration::from_millis(20)),
        )
    });
    let path = |i: i64| {
        let start_ms = START_MS - 90 * MINUTE_MS;
        range("sum(m)", start_ms + i * MINUTE_MS, START_MS, MINUTE_MS)
    };
    let mut grown = Growth::new(&app, [STATEMENTS]);
    let alone = get_fresh(&app, &path(0)).await;
    let [statements] = grown.next().await;
    let equal = path(0);
    let responses = join_all((0..10).map(|_| get_ok(&app, &equal))).await;
    assert!(responses.iter().all(|response| response.body == alone.body));
    assert!(grown.next().await[0] <= statements);
    // Others overlap, and are stored by those that end first.
    let others = join_all((0..20).map(|i| {
        let app = &app;
        async move {
            let path = path(i);
            (
                get_ok(app, &path).await.text(),
                get_fresh(app, &path).await.text(),
            )
        }
    }));
    for (cached, fresh) in others.await {
        assert_eq!(cached, fresh);
    }
}

#[tokio::test]
async fn its_memory_is_bounded() {
    const LIMIT: f64 = 65_536.0;
    let app = TestApp::start_with(&["--query-cache-bytes=64KiB"]).await;
    for name in 0..8 {
        let name = format!("m{name}");
        app.write_ok(regular(&name, 10, START_MS, 300 * MINUTE_MS, MINUTE_MS))
            .await;
    }
    for round in 0..2 {
        for name in 0..8 {
            let start_ms = START_MS - (200 + 10 * round) * MINUTE_MS;
            let path = range(
                &format!("sum(rate(m{name}[5m]))"),
                start_ms,
                START_MS,
                MINUTE_MS,
            );
            let cached = get_ok(&app, &path).await;
            assert!(app.metric(BYTES).await <= LIMIT);
            assert_eq!(cached.body, get_fresh(&app, &path).await.body);
        }
    }
    assert!(app.metric(BYTES).await > LIMIT / 2.0);
    let evicted = "timestream_connector_query_cache_evictions_total{reason=\"size\"}";
    assert!(app.metric(evicted).await > 10.0);
}

#[tokio::test]
async fn fractions_of_milliseconds_at_the_end_of_a_stretch_are_not_lost() {
    let app = TestApp::start().await;
    let shared = shared_at(&app.emulator.url()).await;
    let client = aws_sdk_timestreamwrite::Client::new(&shared);
    let records = (0..60).map(|i| {
        let dimension = Dimension::builder().name("source").value("foreign");
        Record::builder()
            .dimensions(dimension.build().unwrap())
            .measure_name("f")
            .measure_value(i.to_string())
            .measure_value_type(MeasureValueType::Double)
            .time(format!("{}500000", START_MS - i * MINUTE_MS))
            .time_unit(TimeUnit::Nanoseconds)
            .build()
    });
    let call = client.write_records().database_name("db").table_name("t");
    let call = call.set_records(Some(records.collect()));
    call.send().await.unwrap();
    let count = |minutes: i64, time_ms: i64| {
        let time = time_ms / 1_000;
        format!("/api/v1/query?query=count_over_time(f[{minutes}m])&time={time}")
    };
    get_ok(&app, &count(30, START_MS - 30 * MINUTE_MS)).await;
    let response = get_ok(&app, &count(60, START_MS)).await.text();
    assert!(response.contains("\"60\""), "{response}");
    assert!(app.metric(CACHED).await >= 29.0);
    // The newest ones.
    let newest = |end_ms: i64| range("f", START_MS - 55 * MINUTE_MS, end_ms, MINUTE_MS);
    get_ok(&app, &newest(START_MS - 20 * MINUTE_MS)).await;
    let cached = get_ok(&app, &newest(START_MS)).await.text();
    assert_eq!(cached, get_fresh(&app, &newest(START_MS)).await.text());
    assert_eq!(cached.matches("],[").count(), 55);
}
