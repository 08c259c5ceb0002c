//! PromQL over Timestream has the same results as PromQL over local storage.
//!
//! The same data is written to one Prometheus and through the connector; the connector's query API, and two more
//! Prometheus that have only `remote_read`, one by SAMPLES and one by STREAMED_XOR_CHUNKS, must give exactly the same
//! JSON.

mod form;
mod regexes;
mod special;

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::{StreamExt, stream};
use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::read_request::ResponseType;
use serde_json::Value;
use timestream_emulator::Emulator;

use crate::prometheus::{Prometheus, api_text, ordered, program};
use crate::standalone::Connector;
use crate::support::{START_MS, series, start_emulator, table};
use form::FormProxy;
use regexes::REGEX_QUERIES;
use special::{HISTOGRAM_QUERIES, MIXED_QUERIES, VALUE_QUERIES};

const SCRAPE_MS: i64 = 15_000;
/// Two hours of scrapes.
const SCRAPES: i64 = 480;

/// Returns deterministic noise in `0.0..1.0`.
fn noise(series: i64, scrape: i64) -> f64 {
    let mut x = (series * 1_000_003 + scrape) as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        x ^= x >> 31;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns the time at which the series `id` is scraped: up to 999 ms late.
fn time_ms(id: i64, scrape: i64) -> i64 {
    START_MS + scrape * SCRAPE_MS + (noise(id, scrape) * 1e3) as i64
}

/// Returns a series whose values are `value(scrape)`; `None` is a missed scrape.
fn scraped(labels: &[(&str, &str)], id: i64, value: impl Fn(i64) -> Option<f64>) -> TimeSeries {
    let samples: Vec<_> = (0..SCRAPES)
        .filter_map(|scrape| Some((time_ms(id, scrape), value(scrape)?)))
        .collect();
    series(labels, &samples)
}

fn counter(labels: &[(&str, &str)], id: i64, per_scrape: f64, resets_after: i64) -> TimeSeries {
    scraped(labels, id, |scrape| {
        let since = scrape % resets_after;
        Some(
            (0..=since)
                .map(|i| (noise(id, i) * per_scrape).floor())
                .sum(),
        )
    })
}

/// Returns series of every kind that the queries below need, those of one metric together.
fn data() -> Vec<TimeSeries> {
    let mut all = Vec::new();
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    for instance in ["a:9100", "b:9100", "c:9100"] {
        for code in ["200", "404", "500"] {
            for method in ["GET", "POST"] {
                let labels = [
                    ("__name__", "requests_total"),
                    ("code", code),
                    ("instance", instance),
                    ("job", "api"),
                    ("method", method),
                ];
                let id = next();
                all.push(counter(&labels, id, 20.0 / id as f64, 170 + id));
            }
        }
    }
    for (instance, job) in [("a:9100", "api"), ("b:9100", "api"), ("d:9100", "batch")] {
        let labels = [
            ("__name__", "memory_bytes"),
            ("instance", instance),
            ("job", job),
        ];
        let id = next();
        // Gaps longer than the lookback, at other times for each.
        all.push(scraped(&labels, id, |scrape| {
            let gap = (scrape + id * 7) % 150 < 30;
            (!gap).then(|| 1e9 + noise(id, scrape) * 1e8)
        }));
    }
    for (site, unit) in [
        ("north", "celsius"),
        ("south", ""),
        ("it's \"x\"\\\n", "kelvin"),
    ] {
        let labels = [("__name__", "temperature"), ("site", site), ("unit", unit)];
        let id = next();
        all.push(scraped(&labels, id, |scrape| {
            Some(-10.0 + 20.0 * (scrape as f64 / 40.0).sin() + noise(id, scrape) / 3.0)
        }));
    }
    let bounds = ["0.005", "0.05", "0.5", "5.0", "+Inf"];
    for instance in ["a:9100", "b:9100"] {
        for (rank, le) in bounds.iter().enumerate() {
            let labels = [
                ("__name__", "latency_seconds_bucket"),
                ("instance", instance),
                ("le", le),
            ];
            let first = instance.len() as i64 + i64::from(instance.as_bytes()[0]);
            all.push(scraped(&labels, next(), |scrape| {
                let grows = |i: i64| (noise(first, i) * 5.0 * (rank + 1) as f64).floor();
                Some((0..=scrape % 300).map(grows).sum())
            }));
        }
    }
    for instance in ["a:9100", "b:9100"] {
        let labels = [("__name__", "latency_seconds_sum"), ("instance", instance)];
        all.push(counter(&labels, next(), 7.0, 300));
    }
    for instance in ["a:9100", "b:9100"] {
        let labels = [
            ("__name__", "latency_seconds_count"),
            ("instance", instance),
        ];
        all.push(counter(&labels, next(), 25.0, 300));
    }
    for (instance, job) in [
        ("a:9100", "api"),
        ("b:9100", "api"),
        ("c:9100", "api"),
        ("d:9100", "batch"),
    ] {
        let labels = [("__name__", "up"), ("instance", instance), ("job", job)];
        let id = next();
        all.push(scraped(&labels, id, |scrape| {
            Some(f64::from(noise(id, scrape) > 0.1))
        }));
    }
    for version in ["1.0", "1.1"] {
        // One replaces the other half way.
        let labels = [
            ("__name__", "build_info"),
            ("instance", "a:9100"),
            ("version", version),
        ];
        let first_half = version == "1.0";
        all.push(scraped(&labels, next(), |scrape| {
            ((scrape < SCRAPES / 2) == first_half).then_some(1.0)
        }));
    }
    let labels = [("__name__", "job:requests:rate5m"), ("job", "api")];
    all.push(scraped(&labels, next(), |scrape| {
        Some(noise(99, scrape) * 1e-12)
    }));
    let labels = [
        ("__name__", "_odd_"),
        ("_under", "1"),
        ("measure_name", "2"),
        ("time", "3"),
        ("trailing_", "4"),
        ("ts_zone", "5"),
    ];
    all.push(scraped(&labels, next(), |scrape| {
        Some(scrape as f64 * 1e300)
    }));
    let labels = [
        ("__name__", "http.requests"),
        ("日本", "ü"),
        ("service.name", "a.b"),
    ];
    all.push(scraped(&labels, next(), |scrape| Some(scrape as f64 / 3.0)));
    all.push(scraped(&[("__name__", "no_labels")], next(), |scrape| {
        Some(-(scrape as f64))
    }));
    all
}

#[rustfmt::skip]
const QUERIES: &[&str] = &[
    // Selectors, each kind of matcher.
    "up",
    "requests_total",
    "requests_total{code=\"200\"}",
    "requests_total{code!=\"200\"}",
    "requests_total{code=~\"4..|5..\"}",
    "requests_total{code=~\"404|500\", method!~\"GET|PUT\"}",
    "requests_total{code!~\"[45].*\"}",
    "requests_total{instance=~\"(a|b):.+\"}",
    "requests_total{nope=\"\"}",
    "requests_total{nope!=\"x\", code=~\".*00\"}",
    "requests_total{nope=~\".*\"}",
    "requests_total{nope!~\"x?\"}",
    "requests_total{nope=\"x\"}",
    "temperature{unit=\"\"}",
    "temperature{unit!=\"\"}",
    "temperature{unit=~\"kelvin|\"}",
    "temperature{unit!~\"kel.*\"}",
    "temperature{unit=~\".+\", unit!=\"celsius\"}",
    "temperature{site=\"it's \\\"x\\\"\\\\\\n\"}",
    "temperature{site=~\"it's.*\"}",
    "temperature{site=~\"(?i)NORTH\"}",
    "{__name__=~\"latency_seconds_(sum|count)\"}",
    "{__name__=~\".+_total\", job=\"api\", code=\"500\"}",
    "{__name__!~\"requests.*|latency.*|up\", __name__!=\"temperature\", __name__=~\".+\"}",
    "{job=\"batch\"}",
    "{instance=\"a:9100\", __name__!=\"requests_total\"}",
    "{\"http.requests\"}",
    "{\"http.requests\", \"service.name\"=\"a.b\"}",
    "{\"日本\"=~\"ü|u\"}",
    "job:requests:rate5m",
    "_odd_",
    "_odd_{time=\"3\", ts_zone=~\"5\", measure_name!=\"\", trailing_=\"4\", _under=\"1\"}",
    "no_labels",
    // Rates and their kin, over gaps and resets.
    "rate(requests_total[5m])",
    "rate(requests_total[1m])",
    "irate(requests_total[5m])",
    "increase(requests_total[10m])",
    "increase(requests_total{code=\"500\"}[1h])",
    "delta(memory_bytes[10m])",
    "idelta(memory_bytes[5m])",
    "deriv(temperature[15m])",
    "predict_linear(temperature[15m], 600)",
    "resets(requests_total[1h])",
    "changes(up[30m])",
    // Over time.
    "avg_over_time(memory_bytes[10m])",
    "min_over_time(temperature[20m])",
    "max_over_time(temperature[20m])",
    "sum_over_time(up[10m])",
    "count_over_time(memory_bytes[30m])",
    "stddev_over_time(temperature[10m])",
    "stdvar_over_time(temperature[10m])",
    "quantile_over_time(0.9, temperature[10m])",
    "last_over_time(memory_bytes[1h])",
    "present_over_time(memory_bytes[10m])",
    "absent_over_time(memory_bytes{instance=\"a:9100\"}[5m])",
    // Aggregations.
    "sum(requests_total)",
    "sum by (code) (rate(requests_total[5m]))",
    "sum without (method, instance) (rate(requests_total[5m]))",
    "avg by (job) (memory_bytes)",
    "min(temperature)",
    "max by (unit) (temperature)",
    "count by (code, method) (requests_total)",
    "count({__name__=~\".+\"})",
    "stddev(temperature)",
    "quantile(0.5, requests_total)",
    "topk(3, requests_total)",
    "bottomk(2, requests_total)",
    "count_values(\"value\", up)",
    "group by (job) (up)",
    // Binary operators and matching.
    "up == 1",
    "up == bool 1",
    "memory_bytes / 1024 / 1024",
    "temperature ^ 2 % 7",
    "temperature > 0",
    "latency_seconds_sum / latency_seconds_count",
    "rate(latency_seconds_sum[5m]) / rate(latency_seconds_count[5m])",
    "requests_total{code=\"500\"} / ignoring (code) requests_total{code=\"200\"}",
    "requests_total / on (instance) group_left up",
    "requests_total * on (instance) group_left () count by (instance) (build_info)",
    "sum by (instance) (requests_total) > bool on (instance) memory_bytes",
    "up and on (instance) memory_bytes",
    "up or memory_bytes",
    "up unless on (instance) memory_bytes",
    "requests_total / on (instance, job) group_left memory_bytes",
    "requests_total * on (instance) group_left (version) build_info{version=\"1.0\"}",
    "build_info{version!=\"1.0\"} * on (instance) group_right (version) requests_total",
    "memory_bytes * on (instance) group_left (version) (build_info{version!~\"1[.]1\"} == 1)",
    "sum by (instance) (requests_total) / ignoring (job) group_right () memory_bytes",
    "requests_total > on (instance) group_left () (memory_bytes / 1e7)",
    "up == on (instance, job) (memory_bytes > bool 0)",
    "memory_bytes and on () (vector(1) == 1)",
    "up or on (instance) memory_bytes or on (instance) temperature",
    "memory_bytes unless on (instance, job) (up == 0)",
    "-temperature",
    "1 - up",
    // Offsets and @.
    "requests_total offset 10m",
    "rate(requests_total[5m] offset 30m)",
    "temperature offset -5m",
    "temperature @ 1600003600",
    "rate(requests_total[10m] @ 1600005400)",
    "temperature @ start()",
    "temperature @ end()",
    "memory_bytes offset 1h",
    "memory_bytes offset -10m",
    "rate(requests_total[5m] offset -5m)",
    "rate(requests_total[5m] @ start() offset -5m)",
    "rate(requests_total[10m] @ end())",
    "increase(requests_total[1h] @ end() offset 20m)",
    "avg_over_time(memory_bytes[10m] @ start())",
    "memory_bytes @ 1600003600 offset 7m",
    "temperature - temperature @ start()",
    "build_info @ end() unless build_info @ start()",
    "build_info offset 40m and on (instance) build_info",
    "build_info offset 40m or build_info",
    "requests_total - requests_total offset 5m",
    "sum(rate(requests_total[5m])) / sum(rate(requests_total[5m] offset 1h))",
    "topk(2, memory_bytes @ end())",
    "temperature @ 1600003600.500",
    "temperature offset 1h30m",
    "temperature offset 250ms",
    "requests_total @ 1500000000 or vector(0)",
    // Subqueries.
    "max_over_time(rate(requests_total[5m])[30m:1m])",
    "avg_over_time((up == bool 1)[20m:])",
    "min_over_time(sum by (job) (memory_bytes)[30m:2m])",
    "rate(sum(requests_total)[20m:30s])",
    "max_over_time(temperature[20m:90s] offset 5m)",
    "count_over_time(memory_bytes[30m:1m])",
    "sum_over_time(memory_bytes[1h:10m])",
    "last_over_time(memory_bytes[20m:30s])",
    "present_over_time(memory_bytes[3m:15s])",
    "count_over_time(memory_bytes[30m:1m] offset -10m)",
    "rate(requests_total[10m:1m])",
    "avg_over_time(memory_bytes[10m:1m] @ end())",
    "min_over_time(temperature[10m:1m] @ start())",
    "max_over_time(temperature[10m:1m] @ 1600003600 offset 2m)",
    "min_over_time(max_over_time(temperature[5m])[30m:5m])",
    "max_over_time(avg_over_time(memory_bytes[5m:1m])[20m:5m])",
    "count_over_time((memory_bytes > 1.05e9)[30m:30s])",
    "quantile_over_time(0.5, rate(requests_total{code=\"200\"}[2m])[20m:1m])",
    "absent_over_time(memory_bytes{instance=\"b:9100\"}[1m:30s])",
    "changes(build_info[1h:1m])",
    "deriv((temperature * 2)[20m:1m])",
    "increase((sum by (code) (requests_total))[30m:1m])",
    "stddev_over_time(up[30m:15s])",
    "timestamp(memory_bytes offset 3m)",
    // Histograms.
    "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))",
    "histogram_quantile(0.5, rate(latency_seconds_bucket[10m]))",
    "histogram_quantile(0.99, sum by (instance, le) (increase(latency_seconds_bucket[30m])))",
    // Functions.
    "absent(requests_total)",
    "absent(nope{a=\"b\"})",
    "absent(nope{a=\"b\", c=~\"d.*\", e!=\"f\"})",
    "absent(memory_bytes{instance=\"a:9100\"})",
    "absent(sum(requests_total{code=\"418\"}))",
    "absent_over_time(nope[10m])",
    "absent_over_time(memory_bytes{instance=~\"b.*\", job=\"api\"}[1m])",
    "limitk(2, requests_total)",
    "limitk(1, memory_bytes) by (job)",
    "limitk(100, up)",
    "limit_ratio(0.5, requests_total)",
    "limit_ratio(-0.5, requests_total)",
    "sort_by_label(requests_total, \"code\", \"instance\")",
    "label_replace(temperature, \"site\", \"\", \"site\", \"n.*\")",
    "label_replace(requests_total, \"class\", \"${1}xx\", \"code\", \"(.)..\")",
    "sum by (class) (label_replace(requests_total, \"class\", \"$1\", \"code\", \"([0-9]).*\"))",
    "label_replace(up, \"nope\", \"x\", \"nope\", \"\")",
    "label_join(temperature, \"unit\", \"\", \"unit\", \"site\")",
    "abs(temperature)",
    "ceil(temperature)",
    "round(temperature, 0.5)",
    "clamp(temperature, -5, 5)",
    "exp(temperature / 10)",
    "ln(memory_bytes)",
    "sgn(temperature)",
    "sort_desc(requests_total)",
    "scalar(no_labels) * 2",
    "vector(1)",
    "timestamp(up)",
    "hour(timestamp(up))",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(requests_total, \"all\", \"-\", \"code\", \"method\")",
    "time() - timestamp(memory_bytes)",
    "double_exponential_smoothing(temperature[10m], 0.5, 0.5)",
];

const FLAGS: [&str; 3] = [
    "--storage.tsdb.retention.time=100y",
    "--web.enable-remote-write-receiver",
    "--enable-feature=promql-experimental-functions,native-histograms",
];

/// A Prometheus that holds the data itself, and two that read it through the connector, each with
/// responses of one form.
struct Trio {
    local: Prometheus,
    samples: Remote,
    streamed: Remote,
    connector: Connector,
    _emulator: Emulator,
}

/// A Prometheus without data of its own.
struct Remote {
    prometheus: Prometheus,
    proxy: FormProxy,
}

impl Remote {
    async fn start(prometheus: &Path, connector: &Connector, form: ResponseType) -> Self {
        let proxy = FormProxy::start(&connector.url, form).await;
        let read = format!(
            "remote_read:\n- {{ url: '{}/read', read_recent: true }}\n",
            proxy.url
        );
        Self {
            prometheus: Prometheus::start_with(prometheus, &FLAGS, |_| read, async |_| {}).await,
            proxy,
        }
    }
}

impl Trio {
    /// Starts all three. The connector gets all of `written` and these flags; the local Prometheus
    /// gets `local_series`, the samples that the connector stores.
    async fn start(
        prometheus: &Path,
        flags: &[&str],
        written: Vec<TimeSeries>,
        local_series: &[TimeSeries],
    ) -> Self {
        let emulator = start_emulator(vec![table("db", "t")]).await;
        let features = "--enable-feature=promql-experimental-functions";
        let connector = Connector::start(&emulator, &[flags, &[features]].concat()).await;
        connector.write(written).await;
        let count = |series: &TimeSeries| series.samples.len() + series.histograms.len();
        let count: usize = local_series.iter().map(count).sum();
        assert_eq!(emulator.counters().points_stored, count as u64);

        let (local, samples, streamed) = tokio::join!(
            Prometheus::start_with(prometheus, &FLAGS, |_| String::new(), async |_| {}),
            Remote::start(prometheus, &connector, ResponseType::Samples),
            Remote::start(prometheus, &connector, ResponseType::StreamedXorChunks),
        );
        // Sums of floats depend on the order of the series, and the head block has that of their
        // arrival.
        let mut local_series = local_series.to_vec();
        local_series.sort_by_cached_key(|series| {
            let labels = series.labels.iter();
            let labels = labels.map(|it| (it.name.clone(), it.value.clone()));
            labels.collect::<Vec<_>>()
        });
        local.write_in_order(&local_series).await;
        Self {
            local,
            samples,
            streamed,
            connector,
            _emulator: emulator,
        }
    }

    /// Runs the query on all, at two times and over a range; returns the results, which are the
    /// same for all.
    async fn query(&self, query: &str) -> Vec<Value> {
        let forms = [("samples", &self.samples), ("streamed", &self.streamed)];
        self.query_forms(query, &forms).await
    }

    /// Runs the query as [`Self::query`] does, but on these remote ones only.
    async fn query_forms(&self, query: &str, forms: &[(&str, &Remote)]) -> Vec<Value> {
        let start = START_MS / 1_000;
        let range = [start + 1_800, start + 5_400].map(|time| time.to_string());
        let mut results = Vec::new();
        for time in [start + 3_600, start + 5_407].map(|time| time.to_string()) {
            let instant = [("query", query), ("time", &*time)];
            results.push(self.same("query", &instant, forms).await);
        }
        let range = [
            ("query", query),
            ("start", &*range[0]),
            ("end", &range[1]),
            ("step", "60"),
        ];
        results.push(self.same("query_range", &range, forms).await);
        results
    }

    /// Runs a query on these, on the connector itself and on the local one; returns the result.
    async fn same(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        forms: &[(&str, &Remote)],
    ) -> Value {
        let run = async |one: &Prometheus| ordered(one.api(path, parameters).await);
        let local = self.local.api_text(path, parameters).await;
        let expected = ordered(serde_json::from_str(&local).unwrap());
        let ours = api_text(&self.connector.url, path, parameters).await;
        let json = ordered(serde_json::from_str(&ours).unwrap());
        // Go has its own exponential function, whose last bit may be another one.
        if parameters.iter().any(|(_, value)| value.contains("exp(")) {
            assert_eq!(rounded(&json), rounded(&expected), "{path} {parameters:?}");
        } else {
            assert_eq!(json, expected, "{path} {parameters:?}");
            // In the same bytes, but for the order of annotations and of vectors that come from maps.
            let sorted = |text: String| {
                let mut bytes = text.into_bytes();
                bytes.sort_unstable();
                bytes
            };
            assert!(sorted(ours) == sorted(local), "{path} {parameters:?}");
        }
        for (form, remote) in forms {
            let actual = run(&remote.prometheus).await;
            assert_eq!(actual, expected, "{form} {path} {parameters:?}");
        }
        expected
    }

    /// Returns the results of each query.
    async fn query_all(&self, queries: &[&'static str]) -> BTreeMap<&'static str, Vec<Value>> {
        stream::iter(queries.to_vec())
            .map(async |query| (query, self.query(query).await))
            .buffer_unordered(4)
            .collect()
            .await
    }
}

/// Returns a response whose numbers have twelve digits after the point.
fn rounded(response: &Value) -> Value {
    match response {
        Value::String(text) => match text.parse::<f64>() {
            Ok(number) => Value::String(format!("{number:.12}")),
            Err(_) => response.clone(),
        },
        Value::Array(all) => all.iter().map(rounded).collect(),
        Value::Object(all) => {
            let all = all.iter();
            Value::Object(all.map(|(key, it)| (key.clone(), rounded(it))).collect())
        }
        _ => response.clone(),
    }
}

#[tokio::test]
async fn promql_over_timestream_equals_promql_over_local_storage() {
    let all = [QUERIES, REGEX_QUERIES, VALUE_QUERIES, HISTOGRAM_QUERIES].concat();
    assert!(all.len() >= 400, "{} queries", all.len());
    let prometheus = program("prometheus").await;
    let written = [data(), special::data(), special::mixed()].concat();
    let local_series = written.clone();
    let flags = ["--store-special-values"];
    let trio = Trio::start(&prometheus, &flags, written, &local_series).await;
    let results = trio.query_all(&all).await;

    // Responses of both forms were compared.
    let [samples, streamed] = [&trio.samples, &trio.streamed].map(|it| it.proxy.forms());
    assert_eq!((samples.streamed, streamed.samples), (0, 0));
    assert!(streamed.streamed > 1_000, "{streamed:?}");
    assert_eq!(streamed.streamed, samples.samples);

    // Prometheus passes over samples of SAMPLES where a series changes between floats and histograms.
    let streamed_only = [("streamed", &trio.streamed)];
    for query in MIXED_QUERIES {
        for result in trio.query_forms(query, &streamed_only).await {
            let result = result["data"]["result"].as_array().unwrap();
            assert!(!result.is_empty() || !query.starts_with("mixed"), "{query}");
        }
    }

    // A query that never has a result compares nothing; these are meant to have none.
    let is_empty = |result: &Value| {
        let result = result["data"]["result"].as_array();
        result.is_some_and(Vec::is_empty)
    };
    let empty = results.iter().filter(|(_, all)| all.iter().all(is_empty));
    let empty: Vec<_> = empty.map(|(query, _)| *query).collect();
    let meant = [
        "absent(requests_total)",
        "requests_total{nope!~\"x?\"}",
        "requests_total{nope=\"x\"}",
    ];
    assert_eq!(empty, meant);

    // Without the option the results are those of a Prometheus that never had the values which
    // Timestream does not accept, and `0` for `-0`; histograms are the same, stale ones included.
    let written = special::data();
    let local_series = special::without_special_values(written.clone());
    let without = Trio::start(&prometheus, &[], written, &local_series).await;
    let special = [VALUE_QUERIES, HISTOGRAM_QUERIES].concat();
    let differing: Vec<_> = without
        .query_all(&special)
        .await
        .into_iter()
        .filter(|(query, result)| results[query] != *result)
        .map(|(query, _)| query)
        .collect();
    assert!(differing.len() > VALUE_QUERIES.len() / 2, "{differing:?}");
    assert!(differing.contains(&"app_up") && differing.contains(&"weird"));
    let histograms: Vec<_> = differing
        .iter()
        .filter(|query| HISTOGRAM_QUERIES.contains(query))
        .collect();
    assert!(histograms.is_empty(), "{histograms:?}");
}
