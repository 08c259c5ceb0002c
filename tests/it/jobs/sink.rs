//! `prometheus_sink`: into a receiver that answers as it is told, and into a real Prometheus.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};

use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::TimeSeries;
use serde_json::{Value, json};
use soak::samples::{Samples, compare};
use timestream_prometheus_connector::jobs::job::{Job, Report, RunError};
use timestream_prometheus_connector::jobs::kinds::sink::parse;

use super::Workplace;
use crate::dead_letters::letters;
use crate::kinds;
use crate::prometheus::{Prometheus, program};
use crate::support::{START_MS, connect, now_ms, series, write_body};

/// A sample as a receiver sees it: labels, time, value.
pub(crate) type Seen = (String, i64, f64);

/// The content of one request to a receiver.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) samples: Vec<Seen>,
}

type Answer = Box<dyn Fn(usize, &Received) -> Response + Send + Sync>;

/// A receiver of remote write.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

struct Inside {
    received: Arc<Mutex<Vec<Received>>>,
    answer: Answer,
}

impl Receiver {
    /// One that answers a request, whose number is told, as `answer` says.
    pub(crate) async fn start<R: IntoResponse>(
        answer: impl Fn(usize, &Received) -> R + Send + Sync + 'static,
    ) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let inside = Arc::new(Inside {
            received: Arc::clone(&received),
            answer: Box::new(move |number, it| answer(number, it).into_response()),
        });
        let router = Router::new().route("/write", post(take)).with_state(inside);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/write", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, received }
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The samples of each request.
    pub(crate) fn samples(&self) -> Vec<Vec<Seen>> {
        self.requests().into_iter().map(|it| it.samples).collect()
    }
}

async fn take(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let message = prom_wire::decompress(&body, 1 << 24).unwrap();
    let request = prom_wire::read_request(
        prom_wire::negotiate(&headers).unwrap(),
        &message,
        &mut MemoryBudget::unlimited().reservation(),
    )
    .unwrap();
    let mut samples = Vec::new();
    for series in request.iter() {
        for item in series.datapoints {
            samples.push((series.labels.to_string(), item.timestamp_ms(), item.value()));
        }
    }
    let received = Received { headers, samples };
    let number = {
        let mut all = inside.received.lock().unwrap();
        all.push(received.clone());
        all.len()
    };
    (inside.answer)(number, &received)
}

/// A sink without pauses worth mentioning.
pub(super) fn sink(url: &str, more: Value) -> Box<dyn Job> {
    let mut config = json!({
        "url": url, "key_label": "labels", "key_value": "value", "key_timestamp": "time",
        "retry_backoff_multiplier_ms": 1, "retry_backoff_max_ms": 5,
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    parse(&config).unwrap()
}

pub(crate) fn row(name: &str, x: &str, time: i64, value: f64) -> Value {
    json!({"labels": {"x": x, "__name__": name}, "time": time, "value": value})
}

pub(super) fn labels(name: &str, x: &str) -> String {
    format!("{{__name__={name:?}, x={x:?}}}")
}

pub(super) fn failure(report: &Report) -> &str {
    match &report.error {
        Some(RunError::Failed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rows_go_in_batches_with_labels_sorted_and_times_ascending() {
    let workplace = Workplace::start().await;
    for (message, version, content_type) in [
        ("1.0", "0.1.0", "application/x-protobuf"),
        (
            "2.0",
            "2.0.0",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        ),
    ] {
        let receiver = Receiver::start(|_, received: &Received| {
            let written = received.samples.len().to_string();
            let name = "x-prometheus-remote-write-samples-written";
            (StatusCode::NO_CONTENT, [(name, written)])
        })
        .await;
        let more = json!({
            "batch_size": 3, "protobuf_message": message, "headers": {"X-Scope-OrgID": "7"},
            "auth": {"type": "basic", "username": "u", "password_ref": "$env:PASSWORD"},
        });
        let sink = sink(&receiver.url, more);
        let rows = [
            row("b", "1", 2, 1.0),
            row("a", "2", 9, 2.0),
            row("b", "1", 1, 3.0),
            row("a", "2", 8, 4.0),
        ];
        let report = workplace.push_rows(&*sink, &json!(rows).to_string()).await;
        let expected = Report {
            rows: 4,
            received: 4,
            ..Report::default()
        };
        assert_eq!(report, expected);
        let (a, b) = (labels("a", "2"), labels("b", "1"));
        let batches = [
            vec![(a.clone(), 9, 2.0), (b.clone(), 1, 3.0), (b, 2, 1.0)],
            vec![(a, 8, 4.0)],
        ];
        assert_eq!(receiver.samples(), batches);
        let headers = &receiver.requests()[0].headers;
        for (name, value) in [
            ("content-type", content_type),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", version),
            ("x-scope-orgid", "7"),
            ("authorization", "Basic dTpvcGVu"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let agent = headers["user-agent"].to_str().unwrap();
        assert!(
            agent.starts_with("timestream-prometheus-connector/"),
            "{agent}"
        );
    }
}

#[tokio::test]
async fn what_may_pass_later_is_sent_again_and_nothing_else() {
    let workplace = Workplace::start().await;
    let rows = json!([row("a", "1", 1, 1.0)]).to_string();
    for (status, tries, rejected) in [
        (503, 4, 0),
        (500, 4, 0),
        (429, 4, 0),
        (408, 4, 0),
        (425, 4, 0),
        (499, 4, 0),
        (402, 1, 0),
        (418, 1, 0),
        (401, 1, 1),
        (404, 1, 1),
        (422, 1, 1),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let receiver = Receiver::start(move |_, _| (status, "words")).await;
        let report = workplace
            .push_rows(&*sink(&receiver.url, json!({})), &rows)
            .await;
        assert_eq!(receiver.requests().len(), tries, "{status}");
        let text = failure(&report);
        assert!(text.contains(status.as_str()), "{text}");
        // A response may hold a secret of whoever it is that answers.
        assert!(!text.contains("words"), "{text}");
        assert_eq!(report.rows, 0);
        // What no try can deliver is kept; what may pass later, its owner still has.
        assert_eq!(report.is_settled(), rejected == 1, "{status}");
        assert_eq!(
            (report.rejected, report.dead_lettered),
            (rejected, rejected)
        );
        let requests = receiver.requests();
        let attempts = requests.iter().map(|it| it.headers.get("retry-attempt"));
        let attempts: Vec<_> = attempts
            .map(|it| it.map(|it| it.to_str().unwrap()))
            .collect();
        assert_eq!(attempts, [None, Some("1"), Some("2"), Some("3")][..tries]);
    }
    let receiver = Receiver::start(|number, _| match number {
        1 => StatusCode::SERVICE_UNAVAILABLE,
        2 => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    })
    .await;
    let report = workplace
        .push_rows(&*sink(&receiver.url, json!({})), &rows)
        .await;
    assert_eq!((report.rows, report.error), (1, None));
    let samples = receiver.samples();
    assert!(samples.len() == 3 && samples.iter().all(|it| *it == samples[0]));
    let letters = letters(workplace.letters.path());
    let reasons: BTreeSet<_> = letters.iter().map(|it| it.reason.as_str()).collect();
    let expected = BTreeSet::from(["refused", "rejected"]);
    assert_eq!((letters.len(), reasons), (3, expected));
}

/// Answers 400 with the words for the first sample that has some.
fn picky(received: &Received) -> Response {
    for (labels, time, _) in &received.samples {
        let words = match (labels.contains("bad"), time) {
            (true, 1) => "out of order sample",
            (true, 2) => {
                "duplicate sample for timestamp 2; overrides not allowed: existing 0, new value 0"
            }
            (true, 3) => {
                "duplicate sample for timestamp 3; overrides not allowed: existing 1, new value 2"
            }
            (true, 4) => "too old sample",
            (true, 5) => "the label value is too long",
            _ => continue,
        };
        return (StatusCode::BAD_REQUEST, words).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

#[tokio::test]
async fn of_a_refused_request_only_the_bad_samples_are_lost() {
    let workplace = Workplace::start().await;
    let receiver = Receiver::start(|_, received| picky(received)).await;
    let good = (0..40).map(|i| row("good", &(i % 7).to_string(), i, 0.0));
    let bad = (1..=7).map(|time| row("bad", "1", time, 0.0));
    let rows: Vec<_> = good.chain(bad).collect();
    let sink = sink(&receiver.url, json!({}));
    let report = workplace.push_rows(&*sink, &json!(rows).to_string()).await;
    // 40 good ones, two good ones of the bad series, one that the receiver has already.
    assert_eq!((report.rows, report.received), (43, 47));
    assert_eq!((report.rejected, report.dead_lettered), (4, 4));
    let text = failure(&report);
    for words in [
        "does not accept 4 samples (1 duplicate, 1 out_of_order, 1 too_old, 1 rejected)",
        "out_of_order_time_window",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let letters = letters(workplace.letters.path());
    let letters: Vec<_> = letters
        .iter()
        .map(|it| {
            (
                it.reason.as_str(),
                it.samples[0].timestamp_ms,
                it.samples.len(),
            )
        })
        .collect();
    let expected = [
        ("out_of_order", 1, 1),
        ("duplicate", 3, 1),
        ("too_old", 4, 1),
        ("rejected", 5, 1),
    ];
    assert_eq!(letters, expected);
    let taken = receiver
        .requests()
        .into_iter()
        .filter(|it| picky(it).status() == StatusCode::NO_CONTENT);
    let taken: Vec<_> = taken.flat_map(|it| it.samples).collect();
    let each: BTreeSet<_> = taken
        .iter()
        .map(|(labels, time, _)| (labels, time))
        .collect();
    assert_eq!((taken.len(), each.len()), (42, 42));
}

#[tokio::test]
async fn a_receiver_of_version_1_is_found_out() {
    let workplace = Workplace::start().await;
    let is_v2 = |received: &Received| {
        let version = &received.headers["x-prometheus-remote-write-version"];
        version == "2.0.0"
    };
    for status in [StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::NO_CONTENT] {
        let receiver = Receiver::start(move |_, received| match is_v2(received) {
            true => status,
            false => StatusCode::NO_CONTENT,
        })
        .await;
        let sink = sink(
            &receiver.url,
            json!({"protobuf_message": "2.0", "batch_size": 1}),
        );
        let rows = json!([row("a", "1", 1, 1.0), row("a", "1", 2, 1.0)]).to_string();
        let report = workplace.push_rows(&*sink, &rows).await;
        assert_eq!((report.rows, &report.error), (2, &None));
        assert!(
            report.warnings[0].contains("set protobuf_message to 1.0"),
            "{report:?}"
        );
        let versions: Vec<_> = receiver.requests().iter().map(is_v2).collect();
        assert_eq!(versions, [true, false, false]);
    }
}

#[tokio::test]
async fn rows_that_are_none_are_kept_and_the_others_go() {
    let workplace = Workplace::start().await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let sink = sink(&receiver.url, json!({}));
    let rows = format!("{}\n{{\"value\": 1}}\n", row("a", "1", 1, 1.0));
    let report = workplace.push_rows(&*sink, &rows).await;
    assert_eq!((report.rows, report.received, report.rejected), (1, 2, 1));
    assert!(
        failure(&report).contains("row 2: the field 'labels' is absent"),
        "{report:?}"
    );
    assert_eq!(letters(workplace.letters.path())[0].reason, "bad_row");
    let report = workplace.push_rows(&*sink, "{").await;
    assert!(failure(&report).contains("cannot be read"), "{report:?}");
    assert_eq!(receiver.requests().len(), 1);
}

/// Series over three hours, with a gap of a day before the last one.
pub(super) fn history(name: &str) -> Vec<TimeSeries> {
    let at = |i: i64| START_MS + i * 60_000 + if i >= 120 { 86_400_000 } else { 0 };
    (0..12)
        .map(|id| {
            let labels = [
                ("__name__", name),
                ("id", &id.to_string()),
                ("le.x", "a\"b"),
            ];
            let samples: Vec<_> = (0..180)
                .map(|i| (at(i) + id, (i * id) as f64 / 7.0))
                .collect();
            series(&labels, &samples)
        })
        .collect()
}

pub(super) async fn store(workplace: &Workplace, table: &str, all: Vec<TimeSeries>) {
    let flags = [
        &format!("--default-table={table}"),
        "--store-special-values=true",
    ];
    let router = connect(&workplace.emulator, &flags).await;
    let request = http::Request::post("/write")
        .body(axum::body::Body::from(write_body(all)))
        .unwrap();
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// The samples that a real Prometheus holds.
pub(super) async fn held(prometheus: &Prometheus) -> Samples {
    let mut samples = Samples::default();
    // A window each, so that none is over the limit of points.
    for hour in -1..40 {
        let end = (START_MS / 1_000 + (hour + 1) * 3_600).to_string();
        let query = [("query", "{__name__=~\".+\"}[1h]"), ("time", end.as_str())];
        let answer = prometheus.api("query", &query).await;
        samples.add_matrix(&answer["data"]["result"]);
    }
    samples
}

pub(super) async fn receiving(flags: &[&str], config: &str) -> Prometheus {
    let program = program("prometheus").await;
    let mut all = vec![
        "--storage.tsdb.retention.time=100y",
        "--web.enable-remote-write-receiver",
    ];
    all.extend(flags);
    let config = config.to_owned();
    Prometheus::start_with(&program, &all, |_| config, async |_| {}).await
}

#[tokio::test]
async fn a_history_moves_to_a_real_prometheus_across_interruptions() {
    for message in ["1.0", "2.0"] {
        let workplace = Workplace::start().await;
        store(&workplace, "t", history("first_total")).await;
        store(&workplace, "other", history("second:rate")).await;
        store(&workplace, "other", history("unwanted")).await;
        let prometheus = receiving(&[], "").await;
        let from = |table: &str, metrics: &[&str]| json!({"database": "db", "table": table, "metrics": metrics});
        let source = json!([from("t", &[]), from("other", &["second:rate"])]);
        let config = json!({
            "url": format!("{}/api/v1/write", prometheus.url), "source": source,
            "protobuf_message": message, "batch_size": 100,
        });
        let sink = parse(&config).unwrap();
        let mut rows = 0;
        let mut runs = 0;
        loop {
            let report = workplace.run_until(&*sink, 7).await;
            rows += report.rows;
            runs += 1;
            match report.error {
                Some(RunError::Interrupted) => {}
                None => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(runs > 3, "{runs}");
        let points = ["t", "other"].map(|table| workplace.emulator.points("db", table));
        let points = points.into_iter().flatten();
        let wanted = points.filter(|point| point.measure_name != "unwanted");
        let expected = Samples::of_points(wanted.collect());
        assert_eq!(expected.count(), 2 * 12 * 180);
        // Whatever is delivered is saved before the run ends.
        assert_eq!(rows, expected.count() as u64);
        let difference = compare(&expected, &held(&prometheus).await);
        assert!(difference.is_none(), "{difference:?}");
        let report = workplace.run(&*sink).await;
        assert_eq!(report, Report::default());
    }
}

#[tokio::test]
async fn a_killed_run_repeats_a_batch_at_most() {
    let workplace = Workplace::start().await;
    store(&workplace, "t", history("first_total")).await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let source = json!({"database": "db", "table": "t"});
    let sink = sink(&receiver.url, json!({"source": source, "batch_size": 100}));
    // The batch after the fifth save is delivered, and then the process is gone.
    workplace.cursors.dies_after(5);
    assert!(failure(&workplace.run(&*sink).await).contains("killed"));
    workplace.cursors.lives();
    assert_eq!(workplace.run(&*sink).await.error, None);
    let batches = receiver.samples();
    let mut times: std::collections::BTreeMap<_, usize> = Default::default();
    for (labels, time, _) in batches.iter().flatten() {
        *times.entry((labels.clone(), *time)).or_default() += 1;
    }
    let repeated = times.values().filter(|count| **count > 1).count();
    assert_eq!((times.len(), repeated), (12 * 180, 100));
}

#[tokio::test]
async fn a_table_without_an_end_is_read_up_to_its_lateness() {
    let workplace = Workplace::start().await;
    let samples = [120_000, 30_000].map(|age_ms| (now_ms() - age_ms, 1.0));
    let labels = [("__name__", "young"), ("x", "1")];
    store(&workplace, "t", vec![series(&labels, &samples)]).await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let source = json!({"database": "db", "table": "t"});
    for (config, expected) in [
        (json!({"source": source}), 1),
        (json!({"source": source, "lateness_ms": 0}), 2),
    ] {
        let report = workplace.run(&*sink(&receiver.url, config.clone())).await;
        assert_eq!(report.error, None);
        let sent: usize = receiver.samples().iter().map(Vec::len).sum();
        assert_eq!(sent, expected, "{config}");
    }
}

#[tokio::test]
async fn a_run_that_fails_amid_a_window_loses_nothing_that_the_next_one_finds_in_it() {
    let workplace = Workplace::start().await;
    let samples = [120_000, 30_000].map(|age_ms| (now_ms() - age_ms, 1.0));
    let three = ["1", "2", "3"].map(|x| series(&[("__name__", "young"), ("x", x)], &samples));
    store(&workplace, "t", three.to_vec()).await;
    // The third request of the first run fails; the second run reads to a later end.
    let receiver = Receiver::start(|number, _| match number {
        3 => StatusCode::PAYMENT_REQUIRED,
        _ => StatusCode::NO_CONTENT,
    })
    .await;
    let source = json!({"database": "db", "table": "t"});
    let first = sink(&receiver.url, json!({"source": source, "batch_size": 1}));
    assert!(failure(&workplace.run(&*first).await).contains("402"));
    let second = json!({"source": source, "batch_size": 1, "lateness_ms": 0});
    let second = sink(&receiver.url, second);
    assert_eq!(workplace.run(&*second).await.error, None);
    let mut sent = receiver.samples().concat();
    // The rejected request is the one that is sent again.
    assert_eq!(sent.remove(2), sent[2]);
    let mut all: Vec<_> = sent
        .iter()
        .map(|(labels, time, _)| (labels, time))
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), sent.len()), (6, 6), "{sent:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_a_while_gets_all_in_the_end() {
    let workplace = Workplace::start().await.without_letters().await;
    store(&workplace, "t", history("first_total")).await;
    // Down from the third request on, until the run has given up.
    let receiver = Receiver::start(|number, _| match number {
        3..=6 => StatusCode::BAD_GATEWAY,
        _ => StatusCode::NO_CONTENT,
    })
    .await;
    let source = json!({"database": "db", "table": "t"});
    let sink_of = |url: &str| sink(url, json!({"source": source, "batch_size": 100}));
    let sink = sink_of(&receiver.url);
    let report = workplace.run(&*sink).await;
    assert!(
        failure(&report).contains("100 samples are not delivered after 4 tries: 502"),
        "{report:?}"
    );
    assert_eq!((report.rows, report.rejected), (200, 0));
    // Nothing listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/write", listener.local_addr().unwrap());
    drop(listener);
    let before = workplace.cursors.texts();
    assert!(failure(&workplace.run(&*sink_of(&nowhere)).await).contains("after 4 tries"));
    // It takes nothing from us.
    let closed = Receiver::start(|_, _| StatusCode::FORBIDDEN).await;
    let report = workplace.run(&*sink_of(&closed.url)).await;
    assert!(
        failure(&report).contains("accepts nothing from this sender: 403"),
        "{report:?}"
    );
    assert_eq!(report.rejected, 0);
    assert_eq!(workplace.cursors.texts(), before);
    let report = workplace.run(&*sink).await;
    assert_eq!((report.rows, report.error), (12 * 180 - 200, None));
}

#[tokio::test]
async fn what_a_real_prometheus_refuses_is_told_by_reason() {
    let config = "";
    for message in ["1.0", "2.0"] {
        let workplace = Workplace::start().await;
        let prometheus = receiving(&[], config).await;
        let url = format!("{}/api/v1/write", prometheus.url);
        let sink = sink(&url, json!({"protobuf_message": message}));
        let send =
            async |rows: &[Value]| workplace.push_rows(&*sink, &json!(rows).to_string()).await;
        let at = |minute: i64| START_MS + minute * 60_000;
        let first: Vec<_> = (10..20).map(|i| row("a", "1", at(i), 1.0)).collect();
        assert_eq!(send(&first).await.rows, 10);
        // The newest sample again: the receiver has it.
        assert_eq!(send(&[row("a", "1", at(19), 1.0)]).await.error, None);
        let report = send(&[
            row("a", "1", at(5), 1.0),
            row("a", "1", at(19), 2.0),
            row("a", "1", at(20), 2.0),
            row("a", "1", at(21), 2.0),
            row("b", "1", at(20 - 120), 2.0),
            row("c", "1", at(20), 3.0),
        ])
        .await;
        assert_eq!((report.rows, report.rejected), (3, 3), "{report:?}");
        let text = failure(&report);
        assert!(
            text.contains("(1 duplicate, 1 out_of_order, 1 too_old)"),
            "{text}"
        );
        let letters = letters(workplace.letters.path());
        let mut reasons: Vec<_> = letters
            .iter()
            .map(|it| (it.reason.as_str(), it.samples[0].timestamp_ms))
            .collect();
        reasons.sort_unstable();
        let expected = [
            ("duplicate", at(19)),
            ("out_of_order", at(5)),
            ("too_old", at(-100)),
        ];
        assert_eq!(reasons, expected);
        assert_eq!(held(&prometheus).await.count(), 13);
    }
}

#[tokio::test]
async fn the_rows_of_a_query_go_in_its_order() {
    let workplace = Workplace::start().await;
    store(&workplace, "t", history("first_total")).await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let query = "SELECT measure_name, id, time, measure_value::double AS v FROM db.t \
                 WHERE id IN ('3', '4') ORDER BY time";
    let config = json!({
        "url": receiver.url, "key_label": "labels", "key_value": "v", "key_timestamp": "time",
        "source": {"query": query}, "batch_size": 50,
    });
    let report = workplace.run(&*parse(&config).unwrap()).await;
    assert_eq!((report.rows, &report.error), (360, &None));
    let batches = receiver.samples();
    assert_eq!(batches.len(), 8);
    let first = (
        r#"{__name__="first_total", id="3"}"#.to_owned(),
        START_MS + 3,
        0.0,
    );
    assert_eq!(batches[0][0], first);
    let ends = batches
        .iter()
        .map(|batch| batch.iter().map(|it| it.1).max());
    assert!(ends.is_sorted());
    let wrong = json!({"url": receiver.url, "key_label": "l", "key_value": "v", "source": {"query": "SELEC"}});
    let report = workplace.run(&*parse(&wrong).unwrap()).await;
    assert!(
        failure(&report).contains("the query cannot be read: ValidationException"),
        "{report:?}"
    );
}

#[tokio::test]
async fn the_rows_of_a_query_are_read_as_they_are_stored() {
    let workplace = Workplace::start().await;
    let infinity = f64::INFINITY;
    let special = [(START_MS, infinity), (START_MS + 1, 2.0)];
    let bare = [("__name__", "bare:total")];
    let labelled = [("__name__", "labelled"), ("le.x", "1")];
    store(
        &workplace,
        "t",
        vec![series(&bare, &special), series(&labelled, &special)],
    )
    .await;
    let histogram = kinds::integers(START_MS);
    let sum = histogram.sum;
    store(
        &workplace,
        "other",
        vec![kinds::histograms(&bare, vec![histogram])],
    )
    .await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let from = |table: &str, kind: &str, labels: &str| {
        let query = format!(
            "SELECT measure_name, time, measure_value::{kind} AS v, {labels} FROM db.{table} ORDER BY time"
        );
        json!({ "query": query })
    };
    let source = [
        from("t", "double", "U__value_bits, U__no_labels, U__le_2e_xx"),
        from("other", "varchar", "U__no_labels"),
    ];
    let config = json!({
        "url": receiver.url, "key_label": "labels", "key_value": "v", "key_timestamp": "time",
        "source": source,
    });
    let report = workplace.run(&*parse(&config).unwrap()).await;
    assert_eq!((report.rows, &report.error), (5, &None));
    let mut seen = receiver.samples().concat();
    seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let bare = r#"{__name__="bare:total"}"#.to_owned();
    let labelled = r#"{__name__="labelled", le.x="1"}"#.to_owned();
    let expected = [
        (bare.clone(), START_MS, sum),
        (bare.clone(), START_MS, infinity),
        (bare, START_MS + 1, 2.0),
        (labelled.clone(), START_MS, infinity),
        (labelled, START_MS + 1, 2.0),
    ];
    assert_eq!(seen, expected);
}

/// Refused samples need not be the first of their series.
#[tokio::test]
async fn of_a_real_prometheus_the_refused_samples_amid_a_series_are_the_dead_letters() {
    let prometheus = receiving(&[], "storage: {tsdb: {out_of_order_time_window: 30d}}").await;
    let url = format!("{}/api/v1/write", prometheus.url);
    let now = jiff::Timestamp::now().as_millisecond();
    for message in ["1.0", "2.0"] {
        let workplace = Workplace::start().await;
        let job = sink(&url, json!({"protobuf_message": message}));
        let at = |minute: i64| now + minute * 60_000;
        let newest = json!([row("a", message, at(-20), 1.0)]).to_string();
        assert_eq!(workplace.push_rows(&*job, &newest).await.rows, 1);
        let rows: Vec<_> = [-30, -25, -20, -10, 0, 60, 70]
            .map(|minute| row("a", message, at(minute), 2.0))
            .to_vec();
        let report = workplace.push_rows(&*job, &json!(rows).to_string()).await;
        assert_eq!((report.rows, report.dead_lettered), (4, 3), "{report:?}");
        let letters = letters(workplace.letters.path());
        let seen: Vec<_> = letters
            .iter()
            .flat_map(|it| {
                it.samples
                    .iter()
                    .map(|sample| (it.reason.as_str(), sample.timestamp_ms))
            })
            .collect();
        let expected = [
            ("duplicate", at(-20)),
            ("rejected", at(60)),
            ("rejected", at(70)),
        ];
        assert_eq!(seen, expected, "{message}");
        let query = format!("a{{x={message:?}}}[4h]");
        let end = (at(120) / 1_000).to_string();
        let query = [("query", query.as_str()), ("time", end.as_str())];
        let response = prometheus.api("query", &query).await;
        let held = response["data"]["result"][0]["values"].as_array();
        assert_eq!(held.map(Vec::len), Some(5), "{response}");
    }
}
