//! A connector and a Prometheus that get the same OTLP requests, and the comparison of the series that they have then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use differential::api::{Api, Form, Response};
use differential::prometheus::Prometheus;
use http::{HeaderMap, StatusCode};
use prom_model::STALE_MARKER_BITS;
use serde_json::Value;
use soak::programs::POLL;
use tokio::net::TcpListener;

use crate::stage::{DATABASE, Stage, TOKEN, table};

/// The path of OTLP metrics at both.
const PATH: &str = "/api/v1/otlp/v1/metrics";
/// Prometheus rejects samples that are older than others, unless it is configured so.
const OUT_OF_ORDER: &str = "storage:\n  tsdb:\n    out_of_order_time_window: 100y\n";

/// The longest time until metadata that was sent is stored.
const METADATA_WITHIN: Duration = Duration::from_secs(30);
const MINUTES_10_MS: i64 = 600_000;

/// An encoding of OTLP.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// Both servers.
pub(super) struct Pair {
    pub(super) ours: Api,
    pub(super) theirs: Prometheus,
    /// The connector ends with it.
    pub(super) stage: Stage,
    /// Held while a request is at one of them only.
    in_step: Mutex<()>,
}

impl Pair {
    /// Starts both with these settings of OTLP, whose names are the same. Lists are in brackets.
    pub(super) async fn start(settings: &[(&str, String)]) -> Self {
        let mut flags = vec!["--store-special-values".to_owned()];
        let mut configuration = OUT_OF_ORDER.to_owned();
        if !settings.is_empty() {
            configuration += "otlp:\n";
        }
        for (name, value) in settings {
            configuration += &format!("  {name}: {value}\n");
            let value = value.trim_matches(['[', ']']);
            flags.push(format!("--otlp.{}={value}", name.replace('_', "-")));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let stage = Stage::start(vec![table("metrics")], &flags).await;
        let address = stage.connector.url.trim_start_matches("http://");
        let ours = Api::new(address, "/write").with_token(TOKEN);
        let start = move || {
            let flags = ["--web.enable-otlp-receiver"];
            Prometheus::start_with("exemplar-storage", &configuration, &flags)
        };
        let theirs = tokio::task::spawn_blocking(start).await.unwrap();
        Self {
            ours,
            theirs,
            stage,
            in_step: Mutex::default(),
        }
    }

    /// Sends a request to both; returns the responses of the connector and of Prometheus.
    pub(super) fn export(&self, encoding: Encoding, body: &[u8]) -> [Response; 2] {
        let content_type = match encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        };
        self.forward(&[("Content-Type", content_type)], body)
    }

    /// Sends a body with these headers to both; returns the responses of the connector and of Prometheus.
    fn forward(&self, headers: &[(&str, &str)], body: &[u8]) -> [Response; 2] {
        let _in_step = self.in_step.lock().unwrap();
        self.both(|api| api.exchange("POST", PATH, headers, body).unwrap())
    }

    /// Serves an address at which each request of an exporter is sent to both; returns its URL.
    pub(super) async fn relay(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/metrics", post(relay));
        let router = router.with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// Returns the URLs of OTLP metrics at both, each followed by the value of `Authorization`.
    pub(super) fn destinations(&self) -> [String; 4] {
        let [ours, theirs] = self.both(|api| format!("http://{}{PATH}", api.address()));
        [ours, format!("Bearer {TOKEN}"), theirs, String::new()]
    }

    /// Asserts that both have the same samples and exemplars of the last minutes, and the same bits of them all; returns
    /// the series and the exemplars.
    pub(super) fn assert_equal(&self) -> (BTreeSet<String>, usize) {
        let _in_step = self.in_step.lock().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = i64::try_from(now.as_millis()).unwrap();
        let [ours, theirs] = self.samples(now_ms - MINUTES_10_MS, now_ms);
        assert_eq!(ours, theirs);
        let [our_bits, their_bits] = self.bits();
        assert_eq!(our_bits, their_bits);
        let exemplars = self.exemplars(now_ms - MINUTES_10_MS, now_ms);
        let equal = exemplars_in_both(&exemplars, &stale_times(&their_bits));
        (ours, equal.unwrap())
    }

    /// Returns the value of both.
    pub(super) fn both<T>(&self, value: impl Fn(&Api) -> T) -> [T; 2] {
        [value(&self.ours), value(&self.theirs.api)]
    }

    /// Returns what both have between these times, in milliseconds, the first excluded: one text for each series.
    pub(super) fn samples(&self, after_ms: i64, until_ms: i64) -> [BTreeSet<String>; 2] {
        let parameters = [
            (
                "query",
                format!(r#"{{__name__=~".+"}}[{}ms]"#, until_ms - after_ms),
            ),
            ("time", format!("{:.3}", until_ms as f64 / 1000.0)),
        ];
        self.both(|api| {
            let Value::Array(series) = data(api, "query", &parameters)["result"].take() else {
                panic!("it is no matrix");
            };
            let all: BTreeSet<_> = series.iter().map(Value::to_string).collect();
            assert_eq!(all.len(), series.len());
            all
        })
    }

    /// Returns the bits of all floats, and the times of the stale markers of native histograms, by remote read. The query
    /// API returns no stale markers.
    pub(super) fn bits(&self) -> [Bits; 2] {
        self.both(|api| {
            let mut all = BTreeMap::new();
            for series in api.read() {
                let floats = series.floats.iter();
                let floats = floats.map(|it| (it.time_ms, it.value.to_bits()));
                let histograms = series.histograms.iter().map(|it| &it.histogram);
                let stale = histograms.filter(|it| it.sum.to_bits() == STALE_MARKER_BITS);
                let stale = stale.map(|it| (it.timestamp_ms, STALE_MARKER_BITS));
                let mut samples: Vec<_> = floats.chain(stale).collect();
                samples.sort_unstable();
                let labels = format!("{:?}", series.labels);
                all.entry(labels).or_insert_with(Vec::new).extend(samples);
            }
            all
        })
    }

    /// Returns the exemplars of both, by series.
    pub(super) fn exemplars(&self, start_ms: i64, end_ms: i64) -> [Exemplars; 2] {
        let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
        let parameters = [
            ("query", r#"{__name__=~".+"}"#.to_owned()),
            ("start", seconds(start_ms)),
            ("end", seconds(end_ms)),
        ];
        self.both(|api| {
            let mut all = Exemplars::new();
            for mut series in array(data(api, "query_exemplars", &parameters)) {
                let labels = series["seriesLabels"].to_string();
                let of_series = all.entry(labels).or_default();
                for exemplar in array(series["exemplars"].take()) {
                    let seconds = exemplar["timestamp"].as_f64().unwrap();
                    let time_ms = (seconds * 1000.0).round() as i64;
                    of_series.insert((time_ms, exemplar.to_string()));
                }
            }
            all
        })
    }

    /// Returns the metadata that the connector has, after waiting until it has some of these metrics. Prometheus has only
    /// that of its own targets in the API.
    pub(super) fn metadata<'a>(&self, metrics: impl Iterator<Item = &'a String>) -> Value {
        let deadline = Instant::now() + METADATA_WITHIN;
        for metric in metrics {
            // The API has a cache, so it is not what to wait for.
            while !self.has_metadata(metric) {
                assert!(Instant::now() < deadline, "{metric} has no metadata");
                std::thread::sleep(POLL);
            }
        }
        data(&self.ours, "metadata", &[])
    }

    fn has_metadata(&self, metric: &str) -> bool {
        let rows = self.stage.emulator.points(DATABASE, "metrics");
        rows.iter()
            .any(|row| row.dimensions["metric_name"] == metric)
    }
}

/// Sends a request to both; returns their worse status.
async fn relay(State(pair): State<Arc<Pair>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let forward = move || {
        let forwarded = ["content-type", "content-encoding"];
        let forwarded = forwarded.into_iter().filter_map(|name| {
            let value = headers.get(name)?.to_str().unwrap();
            Some((name, value))
        });
        pair.forward(&forwarded.collect::<Vec<_>>(), &body)
    };
    let responses = tokio::task::spawn_blocking(forward).await.unwrap();
    let statuses = responses.map(|it| StatusCode::from_u16(it.status).unwrap());
    statuses.into_iter().max().unwrap()
}

/// Time in milliseconds and bits of the samples of each series.
pub(super) type Bits = BTreeMap<String, Vec<(i64, u64)>>;

/// Time in milliseconds and text of the exemplars of each series.
pub(super) type Exemplars = BTreeMap<String, BTreeSet<(i64, String)>>;

/// Returns the number of equal exemplars, or a difference. Prometheus' storage drops two kinds of them, which we have: those
/// of stale markers, and those that are not newer than another one of their series.
pub(super) fn exemplars_in_both(
    [ours, theirs]: &[Exemplars; 2],
    stale_times: &BTreeSet<i64>,
) -> Result<usize, String> {
    let mut equal = 0;
    let empty = BTreeSet::new();
    let all: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for labels in all {
        let ours = ours.get(labels).unwrap_or(&empty);
        let theirs = theirs.get(labels).unwrap_or(&empty);
        let newest = theirs.last().map(|it| it.0);
        for exemplar in ours.symmetric_difference(theirs) {
            let is_dropped = newest >= Some(exemplar.0) || stale_times.contains(&exemplar.0);
            if !is_dropped || theirs.contains(exemplar) {
                return Err(format!("{labels} {exemplar:?}\n{ours:?}\n{theirs:?}"));
            }
        }
        equal += ours.intersection(theirs).count();
    }
    Ok(equal)
}

/// Returns the times of stale markers.
pub(super) fn stale_times(bits: &Bits) -> BTreeSet<i64> {
    let samples = bits.values().flatten();
    let stale = samples.filter(|(_, bits)| *bits == STALE_MARKER_BITS);
    stale.map(|(time_ms, _)| *time_ms).collect()
}

fn data(api: &Api, path: &str, parameters: &[(&str, String)]) -> Value {
    let form = Form {
        is_get: true,
        ..Form::default()
    };
    let response = api.call(path, parameters, &form);
    let text = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 200, "{path} {parameters:?}: {text}");
    let mut body: Value = serde_json::from_str(&text).unwrap();
    body["data"].take()
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        value => panic!("{value} is no list"),
    }
}
