//! `prometheus_api` with servers of other vendors, each imitated by its documented responses: see the matrix of
//! `docs/connectors/prometheus-api.md`.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::StatusCode;

use prom_wire::prompb;
use serde_json::{Value, json};
use soak::samples::compare;
use timestream_prometheus_connector::jobs::job::{Job, Report, RunError};
use timestream_prometheus_connector::jobs::kinds::sync::parse;

use super::Workplace;
use super::server::{Server, Window, body, cut_off, envelope, error, points, success, too_long};
use super::sync::{failure, held, prometheus_with, start_s};
use crate::support::now_ms;

const STEP_S: i64 = 60;
/// More points than one window has.
const LOOKBACK_HOURS: i64 = 10;

fn sync(server: &Server, more: Value) -> Box<dyn Job> {
    let mut config = json!({
        "prometheus_url": server.url, "metrics_filter": "level", "step": STEP_S,
        "lookback_hours": LOOKBACK_HOURS,
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    parse(&config).unwrap()
}

/// Returns the times of the stored points, in seconds.
fn stored(workplace: &Workplace) -> Vec<i64> {
    let points = workplace.emulator.points("db", "t").into_iter();
    let times: BTreeSet<_> = points.map(|it| it.time_ns / 1_000_000_000).collect();
    times.into_iter().collect()
}

/// Returns true if the cursor of the metric has not moved.
fn is_unmoved(workplace: &Workplace) -> bool {
    let texts = workplace.cursors.texts();
    let Some(text) = texts.get("metric level") else {
        return true;
    };
    let cursor: Value = serde_json::from_str(text).unwrap();
    let start_ms = now_ms() - LOOKBACK_HOURS * 3_600_000;
    cursor["through"].as_i64().unwrap() < start_ms + STEP_S * 1_000
}

/// Fails unless every point of the lookback is stored once, except those of the last minutes.
fn assert_all_stored(case: &str, workplace: &Workplace, report: &Report) {
    assert_eq!(report.error, None, "{case}");
    let times = stored(workplace);
    let gaps = times.windows(2).filter(|it| it[1] - it[0] != STEP_S);
    assert_eq!(gaps.count(), 0, "{case}");
    let expected = LOOKBACK_HOURS * 3_600 / STEP_S;
    assert!(
        (expected - 5..=expected + 1).contains(&(times.len() as i64)),
        "{case}: {}",
        times.len()
    );
    assert_eq!(report.rows, times.len() as u64, "{case}");
}

/// Starts a server that accepts windows of up to `limit` points, and rejects others in its own way.
async fn limited(
    limit: i64,
    reject: impl Fn(Window) -> Response + Send + Sync + 'static,
) -> Server {
    Server::start(move |path, query| {
        if !path.ends_with("query_range") {
            return StatusCode::NOT_FOUND.into_response();
        }
        let window = Window::of(query);
        match window.points() > limit {
            true => reject(window),
            false => success(points("level", window)),
        }
    })
    .await
}

/// Responses of servers to a window that is too large: the server, the seconds of retries before the first half, and the
/// response.
fn too_large() -> Vec<(&'static str, u64, fn(Window) -> Response)> {
    vec![
        ("Prometheus, samples", 0, |_| {
            error(
                422,
                "execution",
                "query processing would load too many samples into memory in query execution",
            )
        }),
        ("Prometheus, points", 0, |_| {
            error(
                400,
                "bad_data",
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            )
        }),
        ("Prometheus, time", 0, |_| {
            error(503, "timeout", "query timed out in expression evaluation")
        }),
        ("VictoriaMetrics, samples", 0, |_| {
            error(
                422,
                "422",
                "error when executing query=\"{__name__=\\\"level\\\"}\" on the time range (start=1, end=2, step=60000): cannot execute query: cannot fill VictoriaMetrics search results: cannot select more than -search.maxSamplesPerQuery=100 samples; possible solutions: increase the -search.maxSamplesPerQuery; reduce time range for the query; use more specific label filters in order to select fewer series",
            )
        }),
        ("VictoriaMetrics, points", 0, |_| {
            error(
                422,
                "422",
                "too many points for the given start=1, end=2 and step=60000: 500; the maximum number of points is 100; (see -search.maxPointsPerTimeseries command-line flag)",
            )
        }),
        ("Thanos, query", 0, |_| {
            error(
                422,
                "execution",
                "expanding series: proxy Series(): rpc error: code = Aborted desc = receive series from Addr: 10.0.0.1:10901: rpc error: code = ResourceExhausted desc = exceeded samples limit: limit 100 violated (got 123)",
            )
        }),
        ("Thanos, frontend", 0, |_| {
            error(
                400,
                "bad_data",
                "the query time range exceeds the limit (query length: 8h19m0s, limit: 1h0m0s)",
            )
        }),
        ("Thanos, partial by a limit", 0, |window| {
            envelope(json!({
                "data": {"resultType": "matrix", "result": []}, "warnings": [format!(
                    "receive series from Addr: 10.0.0.1:10901 MinTime: {} MaxTime: {}: rpc error: code = ResourceExhausted desc = exceeded series limit: limit 1 violated (got 2)",
                    window.start, window.end
                )],
            }))
        }),
        ("Mimir, length", 0, |_| {
            error(
                400,
                "bad_data",
                "the total query time range exceeds the limit (query length: 8h19m0s, limit: 1h0m0s) (err-mimir-max-total-query-length). To adjust the related per-tenant limit, configure -query-frontend.max-total-query-length, or contact your service administrator.",
            )
        }),
        ("Mimir, chunks", 0, |_| {
            error(
                422,
                "execution",
                "the query exceeded the maximum number of chunks (limit: 30 chunks) (err-mimir-max-chunks-per-query). Consider reducing the time range and/or number of series selected by the query.",
            )
        }),
        ("Cortex, length", 0, |_| {
            error(
                400,
                "bad_data",
                "the query time range exceeds the limit (query length: 8h19m0s, limit: 1h0m0s)",
            )
        }),
        ("Cortex, chunks", 0, |_| {
            error(
                422,
                "execution",
                "the query hit the max number of chunks limit (limit: 100 chunks)",
            )
        }),
        ("AMP, size", 0, |_| {
            body(
                StatusCode::PAYLOAD_TOO_LARGE,
                "text/plain; charset=utf-8",
                "response larger than the max (181673024 vs 52428800)",
            )
        }),
        ("AMP, no body", 0, |_| {
            StatusCode::UNPROCESSABLE_ENTITY.into_response()
        }),
        ("AMP, throttled", 7, |_| {
            body(
                StatusCode::TOO_MANY_REQUESTS,
                "application/json",
                r#"{"message":"Rate exceeded"}"#,
            )
        }),
        ("Azure Monitor, 32 days", 0, |_| {
            body(
                StatusCode::BAD_REQUEST,
                "application/json",
                r#"{"error":{"code":"BadRequest","message":"no"}}"#,
            )
        }),
        ("Google, frontend", 0, |_| {
            body(
                StatusCode::BAD_REQUEST,
                "application/json",
                r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#,
            )
        }),
        ("nginx, time", 0, |_| {
            body(
                StatusCode::GATEWAY_TIMEOUT,
                "text/html",
                "<html><head><title>504 Gateway Time-out</title></head></html>",
            )
        }),
        ("nginx, gateway", 7, |_| {
            body(
                StatusCode::BAD_GATEWAY,
                "text/html",
                "<html><head><title>502 Bad Gateway</title></head></html>",
            )
        }),
        ("a proxy that cuts connections", 7, |_| cut_off()),
        ("a proxy that cuts bodies", 7, |_| {
            body(
                StatusCode::OK,
                "application/json",
                r#"{"status":"success","data":{"resultType":"matrix","resu"#,
            )
        }),
        ("anybody, more than 256 MiB", 0, |_| too_long()),
        ("a cluster, error in a success", 0, |_| {
            body(
                StatusCode::OK,
                "application/json",
                r#"{"status":"error","errorType":"execution","error":"too many samples"}"#,
            )
        }),
        ("an unknown 5xx", 7, |_| {
            StatusCode::INSUFFICIENT_STORAGE.into_response()
        }),
    ]
}

#[tokio::test]
async fn a_window_that_is_too_large_is_halved_for_every_dialect() {
    let run = async |(case, waits, reject): (&str, u64, fn(Window) -> Response)| {
        let server = limited(100, reject).await;
        let workplace = Workplace::start().await;
        let started = Instant::now();
        let report = workplace.run(&*sync(&server, json!({}))).await;
        assert_all_stored(case, &workplace, &report);
        // 500 points, 250, 125, and then ten windows of 62, of which some probe for longer ones.
        let calls = server.queries("query_range").len();
        let retries = if waits > 0 { 9 } else { 0 };
        assert!(
            (12..=16 + retries).contains(&calls),
            "{case}: {calls} calls"
        );
        assert!(started.elapsed() >= Duration::from_secs(waits), "{case}");
        assert!(
            !report.warnings.iter().any(|it| it.contains("level")),
            "{case}: {report:?}"
        );
    };
    // Most of it is waiting.
    join_all(too_large().into_iter().map(run)).await;
}

#[tokio::test]
async fn the_size_that_works_is_remembered_by_the_next_run() {
    let server = limited(100, |_| error(422, "execution", "no")).await;
    let workplace = Workplace::start().await;
    let sync = sync(&server, json!({}));
    let first = workplace.run_until(&*sync, 3).await;
    assert_eq!(first.error, Some(RunError::Interrupted));
    let before = server.queries("query_range").len();
    let mut second = workplace.run(&*sync).await;
    second.rows += first.rows;
    assert_all_stored("two runs", &workplace, &second);
    let queries = server.queries("query_range");
    let points: Vec<_> = queries[before..]
        .iter()
        .map(|it| Window::of(it).points())
        .collect();
    assert_eq!(points[0], 62, "{points:?}");
    let rejected = points.iter().filter(|&&it| it > 100).count();
    assert!(rejected <= 1, "{points:?}");
}

#[tokio::test]
async fn a_real_prometheus_with_small_limits_is_copied_whole() {
    let start_s = start_s();
    let flags = [
        "--query.max-samples=1000",
        "--storage.remote.read-sample-limit=100",
    ];
    let prometheus = prometheus_with(start_s, &flags, "").await;
    let unlimited = super::sync::prometheus(start_s).await;
    let expected = held(&unlimited, start_s).await;
    for raw in [false, true] {
        let workplace = Workplace::start().await;
        let config = json!({
            "prometheus_url": prometheus.url, "metrics_filter": "level,requests_total,job:rate5m",
            "step": 300, "lookback_hours": 240, "raw": raw,
        });
        let report = workplace.run(&*parse(&config).unwrap()).await;
        assert_eq!(report.error, None, "{raw}");
        let copied = super::sync::stored(&workplace.emulator, "t");
        let difference = compare(&expected, &copied);
        assert!(difference.is_none(), "{raw}: {difference:?}");
    }
}

#[tokio::test]
async fn one_point_is_the_smallest_window_and_the_work_is_bounded() {
    // A server that accepts only single points.
    let server = limited(1, |_| error(422, "execution", "too many")).await;
    let workplace = Workplace::start().await;
    let hour = json!({"lookback_hours": 1});
    let report = workplace.run(&*sync(&server, hour.clone())).await;
    assert_eq!(report.error, None);
    assert!((55..=61).contains(&report.rows), "{report:?}");
    let calls = server.queries("query_range").len();
    // Six halves of the first, and a probe of two points after 4, 8, 16 and 32 windows.
    assert!(calls <= 61 + 6 + 4, "{calls}");
    // A server that accepts none.
    let server = limited(0, |_| error(422, "execution", "too many samples")).await;
    let workplace = Workplace::start().await;
    let report = workplace.run(&*sync(&server, hour)).await;
    let text = failure(&report);
    assert!(
        text.ends_with("no shorter window is possible, so raise the limit at the server"),
        "{text}"
    );
    // A server that rejects everything: each metric costs one call for each half.
    let server = limited(0, |_| error(422, "execution", "no")).await;
    let workplace = Workplace::start().await;
    let report = workplace.run(&*sync(&server, json!({}))).await;
    let text = failure(&report);
    assert!(
        text.contains("level") && text.ends_with("422 Unprocessable Entity: execution: no"),
        "{text}"
    );
    assert!(is_unmoved(&workplace));
    let queries = server.queries("query_range");
    assert_eq!(queries.len(), 9);
    let last = Window::of(queries.last().unwrap());
    assert_eq!(last.points(), 1);
}

#[tokio::test]
async fn a_partial_response_leaves_the_cursor_and_is_tried_again() {
    let store = "receive series from Addr: 10.0.0.1:10901: rpc error: code = Unavailable desc = no";
    let cases = [
        (
            "VictoriaMetrics cluster",
            json!({"isPartial": true}),
            "isPartial",
        ),
        ("Thanos", json!({"warnings": [store]}), store),
        (
            "Cortex",
            json!({"warnings": ["query result may contain partial data"]}),
            "query result may contain partial data",
        ),
        (
            "Cortex, several tenants",
            json!({"warnings": ["failed to query tenant __tenant_id__ a (partial data returned): no"]}),
            "partial data returned",
        ),
        (
            "Prometheus, remote read",
            json!({"warnings": ["remote_read: remote server http://a/api/v1/read returned HTTP status 500 Internal Server Error: no"]}),
            "HTTP status 500",
        ),
    ];
    let run = async |(case, keys, words): (&str, Value, &str)| {
        // Always partial.
        let respond = {
            let keys = keys.clone();
            move |window: Window| {
                let mut keys = keys.clone();
                keys["data"] = points("level", window);
                envelope(keys)
            }
        };
        let server = limited(0, respond.clone()).await;
        let workplace = Workplace::start().await;
        let report = workplace.run(&*sync(&server, json!({}))).await;
        let text = failure(&report);
        assert!(
            text.contains("level")
                && text.contains("the response is partial: ")
                && text.contains(words),
            "{case}: {text}"
        );
        assert!(is_unmoved(&workplace), "{case}");
        assert_eq!((report.rows, stored(&workplace).len()), (0, 0), "{case}");
        // Four attempts, and then one for each half.
        assert_eq!(server.queries("query_range").len(), 4 + 8, "{case}");
        // Partial for a moment.
        let moment = Mutex::new(2);
        let server = limited(0, move |window| {
            let mut moment = moment.lock().unwrap();
            if *moment == 0 {
                return success(points("level", window));
            }
            *moment -= 1;
            respond(window)
        })
        .await;
        let report = workplace.run(&*sync(&server, json!({}))).await;
        assert_all_stored(case, &workplace, &report);
        assert_eq!(server.queries("query_range").len(), 2 + 2, "{case}");
    };
    join_all(cases.map(run)).await;
}

#[tokio::test]
async fn a_real_prometheus_without_its_remote_storage_is_partial() {
    let config = "remote_read:\n- url: http://127.0.0.1:1/read\n  read_recent: true\n";
    let prometheus = prometheus_with(start_s(), &[], config).await;
    let workplace = Workplace::start().await;
    let config = json!({"prometheus_url": prometheus.url, "metrics_filter": "level"});
    let report = workplace.run(&*parse(&config).unwrap()).await;
    let text = failure(&report);
    assert!(
        text.contains("the response is partial: ") && text.contains("127.0.0.1:1"),
        "{text}"
    );
    assert!(is_unmoved(&workplace));
    assert_eq!(report.rows, 0);
}

#[tokio::test]
async fn notes_about_a_complete_response_are_warnings_of_the_run() {
    for (case, keys, warning) in [
        (
            "Prometheus",
            json!({"warnings": ["PromQL warning: w"], "infos": ["PromQL info: i"]}),
            "level: PromQL info: i",
        ),
        (
            "Thanos before its first block",
            json!({"warnings": ["No StoreAPIs matched for this query"]}),
            "level: No StoreAPIs matched for this query",
        ),
    ] {
        let server = limited(0, move |window| {
            let mut keys = keys.clone();
            keys["data"] = points("level", window);
            envelope(keys)
        })
        .await;
        let workplace = Workplace::start().await;
        let report = workplace.run(&*sync(&server, json!({}))).await;
        assert_all_stored(case, &workplace, &report);
        assert!(report.warnings.iter().any(|it| it == warning), "{report:?}");
    }
}

#[tokio::test]
async fn null_is_an_empty_list_and_a_vector_is_an_error() {
    // A server that writes Go's nil slices as null.
    let server = Server::start(|path, _| {
        let nothing = json!({"warnings": null, "infos": null, "errorType": null, "error": null});
        let mut keys = nothing;
        keys["data"] = match path {
            "/api/v1/query_range" => json!({"resultType": "matrix", "result": null}),
            _ => Value::Null,
        };
        envelope(keys)
    })
    .await;
    for filter in ["level", ""] {
        let workplace = Workplace::start().await;
        let report = workplace
            .run(&*sync(&server, json!({"metrics_filter": filter})))
            .await;
        let nothing = Report {
            warnings: report.warnings.clone(),
            ..Report::default()
        };
        assert_eq!(report, nothing);
        assert_eq!(is_unmoved(&workplace), filter.is_empty());
    }
    for (result_type, result) in [
        (
            "vector",
            json!([{"metric": {"__name__": "level"}, "value": [1, "1"]}]),
        ),
        ("vector", Value::Null),
        ("scalar", json!([1, "hunter2"])),
        ("string", json!([1, "hunter2"])),
    ] {
        let data = json!({"resultType": result_type, "result": result});
        let server = limited(0, move |_| success(data.clone())).await;
        let workplace = Workplace::start().await;
        let report = workplace.run(&*sync(&server, json!({}))).await;
        let text = failure(&report);
        let expected = format!("must be a matrix, not a {result_type} (application/json, ");
        assert!(
            text.contains(&expected) && !text.contains("hunter2"),
            "{text}"
        );
        assert!(is_unmoved(&workplace));
        assert_eq!(server.queries("query_range").len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_address_and_wrong_credentials_are_named_after_one_call() {
    let html = |status: u16| {
        move |_| {
            let status = StatusCode::from_u16(status).unwrap();
            body(status, "text/html", "<html>hunter2</html>")
        }
    };
    let credentials = "(text/html, 20 bytes); check auth_type and the credentials";
    let address = "(text/html, 20 bytes); check prometheus_url";
    for (status, words) in [
        (401, credentials),
        (403, credentials),
        (407, credentials),
        (404, address),
        (405, address),
        (501, address),
        (200, address),
        (203, address),
    ] {
        let server = limited(0, html(status)).await;
        let workplace = Workplace::start().await;
        let report = workplace.run(&*sync(&server, json!({}))).await;
        let text = failure(&report);
        assert!(
            text.contains(words) && !text.contains("hunter2"),
            "{status}: {text}"
        );
        assert_eq!(server.queries("query_range").len(), 1, "{status}");
        assert!(is_unmoved(&workplace));
    }
    // VictoriaMetrics has no remote read; a server without the path may respond with a page.
    for (status, text, words) in [
        (
            400,
            "unsupported path requested: \"/api/v1/read\"",
            "check prometheus_url",
        ),
        (
            200,
            "<html>hunter2</html>",
            "set raw to false if the server has no remote read",
        ),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let server = Server::start(move |_, _| body(status, "text/plain", text)).await;
        let workplace = Workplace::start().await;
        let report = workplace.run(&*sync(&server, json!({"raw": true}))).await;
        let text = failure(&report);
        assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
        assert_eq!(server.queries("read").len(), 1);
    }
}

#[tokio::test]
async fn a_response_of_remote_read_that_is_cut_is_read_again() {
    let now_s = now_ms() / 1_000;
    let label = |name: &str, value: &str| prompb::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    // Windows are longer than this, so there is one.
    let times = (1..=20).map(|it| (now_s - 300 - it) * 1_000);
    let samples = times.rev().map(|timestamp| prompb::Sample {
        timestamp,
        value: 1.0,
    });
    let series = prompb::TimeSeries {
        labels: vec![label("__name__", "level")],
        samples: samples.collect(),
        ..prompb::TimeSeries::default()
    };
    let whole = prom_wire::encode(&prompb::ReadResponse {
        results: vec![prompb::QueryResult {
            timeseries: vec![series],
        }],
    })
    .unwrap();
    let cuts = Mutex::new(2);
    let server = Server::start(move |path, _| {
        if !path.ends_with("/read") {
            return StatusCode::NOT_FOUND.into_response();
        }
        let mut cuts = cuts.lock().unwrap();
        let mut whole = whole.clone();
        if *cuts > 0 {
            *cuts -= 1;
            whole.truncate(whole.len() - 3);
        }
        body(StatusCode::OK, "application/x-protobuf", whole)
    })
    .await;
    let workplace = Workplace::start().await;
    let report = workplace
        .run(&*sync(&server, json!({"raw": true, "lookback_hours": 1})))
        .await;
    assert_eq!((report.rows, &report.error), (20, &None));
    assert_eq!(stored(&workplace).len(), 20);
    assert!((3..=5).contains(&server.queries("read").len()));
}

#[tokio::test]
async fn points_outside_the_window_are_not_stored() {
    // Some servers align the ends of a window to other times.
    let server = limited(0, |window| {
        let wider = Window {
            start: window.start - 3 * STEP_S,
            end: window.end + 3 * STEP_S,
            ..window
        };
        success(points("level", wider))
    })
    .await;
    let workplace = Workplace::start().await;
    let report = workplace.run(&*sync(&server, json!({}))).await;
    assert_all_stored("wider", &workplace, &report);
}

#[tokio::test]
async fn lists_of_names_are_read_in_parts_and_may_be_partial() {
    // Amazon Managed Service for Prometheus accepts only some days at once, for instance.
    let server = Server::start(|path, query| {
        let window = Window::of(query);
        match path {
            "/api/v1/label/__name__/values" if window.end - window.start > 4 * 3_600 => {
                error(422, "execution", "no")
            }
            "/api/v1/label/__name__/values" => {
                let name = if window.start % 7_200 < 3_600 {
                    "level"
                } else {
                    "other"
                };
                success(json!(["level", name]))
            }
            "/api/v1/query_range" => success(points("level", window)),
            _ => envelope(json!({"data": {}, "warnings": ["no"]})),
        }
    })
    .await;
    let workplace = Workplace::start().await;
    let all = json!({"metrics_filter": ""});
    let report = workplace.run(&*sync(&server, all.clone())).await;
    assert_eq!(report.error, None);
    let names = server.queries("__name__/values");
    assert!((6..=7).contains(&names.len()), "{names:?}");
    assert!(
        report
            .warnings
            .contains(&"metadata: it may be incomplete: no".to_owned()),
        "{report:?}"
    );
    // A list may stay partial: its metrics are read.
    let server = Server::start(|path, query| match path {
        "/api/v1/label/__name__/values" => envelope(json!({"data": ["level"], "isPartial": true})),
        "/api/v1/query_range" => success(points("level", Window::of(query))),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let workplace = Workplace::start().await;
    let report = workplace.run(&*sync(&server, all)).await;
    assert_all_stored("a partial list", &workplace, &report);
    let warning = "the list of metrics: it may be incomplete: isPartial";
    assert!(report.warnings.iter().any(|it| it == warning), "{report:?}");
    assert_eq!(server.queries("__name__/values").len(), 4);
}
