//! `prometheus_api`: from a real Prometheus with blocks of a week, and from scripted servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;

use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::{Value, json};
use soak::samples::{Samples, compare};
use timestream_emulator::{Emulator, Value as Stored};
use timestream_prometheus_connector::jobs::job::{Job, Report, RunError};
use timestream_prometheus_connector::jobs::kinds::sync::parse;
use tokio::process::Command;

use super::Workplace;
use super::server::{Server, success};
use crate::prometheus::{Prometheus, program};
use crate::support::now_ms;

/// Time between two samples.
const STEP_S: i64 = 300;
const WEEK: i64 = 7 * 86_400 / STEP_S;

/// The metrics of the blocks, and how many series each has.
const METRICS: [(&str, usize); 3] = [("level", 5), ("requests_total", 6), ("job:rate5m", 1)];

/// The first time of the blocks, in seconds: more than a week ago.
pub(crate) fn start_s() -> i64 {
    (now_ms() / 1_000 - 8 * 86_400) / 86_400 * 86_400
}

/// A week as OpenMetrics.
fn exposition(start_s: i64) -> String {
    let mut text = String::new();
    for (metric, series) in METRICS {
        let family = metric.trim_end_matches("_total");
        let kind = if family == metric { "gauge" } else { "counter" };
        writeln!(text, "# HELP {family} Help.\n# TYPE {family} {kind}").unwrap();
        for id in 0..series {
            for i in 0..WEEK {
                let (value, time) = ((i * (id as i64 + 1)) as f64 / 7.0, start_s + i * STEP_S);
                writeln!(text, "{metric}{{id=\"{id}\",job=\"a\"}} {value} {time}").unwrap();
            }
        }
    }
    text + "# EOF\n"
}

/// A Prometheus that has the week, and scrapes nothing.
pub(crate) async fn prometheus(start_s: i64) -> Prometheus {
    prometheus_with(start_s, &[], "").await
}

/// The same with more flags and a configuration.
pub(crate) async fn prometheus_with(start_s: i64, flags: &[&str], config: &str) -> Prometheus {
    let (server, promtool) = (program("prometheus").await, program("promtool").await);
    let flags = [&["--storage.tsdb.retention.time=100y"], flags].concat();
    let prepare = async |folder: &std::path::Path| {
        let file = folder.join("week.om");
        std::fs::write(&file, exposition(start_s)).unwrap();
        let made = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([file, folder.join("data")])
            .output();
        let made = made.await.unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    Prometheus::start_with(&server, &flags, |_| config.to_owned(), prepare).await
}

/// Returns all samples of the blocks.
pub(crate) async fn held(prometheus: &Prometheus, start_s: i64) -> Samples {
    let mut samples = Samples::default();
    for day in 1..=8 {
        let end = (start_s + day * 86_400 - 1).to_string();
        let query = [("query", "{id=~\".+\"}[1d]"), ("time", end.as_str())];
        let response = prometheus.api("query", &query).await;
        samples.add_matrix(&response["data"]["result"]);
    }
    assert_eq!(samples.count() as i64, WEEK * 12);
    samples
}

fn sync(url: &str, more: Value) -> Box<dyn Job> {
    let mut config = json!({
        "prometheus_url": url, "auth_type": "none", "username": "", "lookback_hours": "240",
        "step": STEP_S.to_string(), "metrics_filter": "level,requests_total,job:rate5m",
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    parse(&config).unwrap()
}

pub(crate) fn stored(emulator: &Emulator, table: &str) -> Samples {
    Samples::of_points(emulator.points("db", table))
}

pub(crate) fn failure(report: &Report) -> &str {
    match &report.error {
        Some(RunError::Failed(text) | RunError::Disable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_week_is_copied_across_kills_and_interruptions() {
    let start_s = start_s();
    let prometheus = prometheus(start_s).await;
    let expected = held(&prometheus, start_s).await;
    let count = expected.count() as u64;
    for raw in [false, true] {
        let workplace = Workplace::start().await;
        let sync = sync(&prometheus.url, json!({"raw": raw}));
        // Killed after storing samples that no cursor knows of.
        workplace.cursors.dies_after(9);
        let first = workplace.run(&*sync).await;
        assert!(failure(&first).contains("killed"), "{first:?}");
        assert!(first.rows > 1_000 && first.rows < count / 2, "{first:?}");
        workplace.cursors.lives();
        // Stopped.
        let second = workplace.run_until(&*sync, 5).await;
        assert_eq!(second.error, Some(RunError::Interrupted));
        let third = workplace.run(&*sync).await;
        assert_eq!(third.error, None);
        let difference = compare(&expected, &stored(&workplace.emulator, "t"));
        assert!(difference.is_none(), "{difference:?}");
        let rows = first.rows + second.rows + third.rows;
        assert!(
            (count..=count + 1_000).contains(&rows),
            "{rows}, not {count}"
        );
        assert_eq!(first.rejected + second.rejected + third.rejected, 0);
        // The next run finds nothing new.
        let again = workplace.run(&*sync).await;
        assert_eq!((again.rows, &again.error), (0, &None));
    }
}

#[tokio::test]
async fn the_mode_decides_which_value_stays() {
    let start_s = start_s();
    let prometheus = prometheus(start_s).await;
    let mut workplace = Workplace::start().await;
    let config = |mode: &str| {
        json!({
            "sync_mode": mode, "metrics_filter": ["level"], "allow_table_drop": true,
            // For the magnetic store no response says that a value was not accepted.
            "memory_hours": 300,
        })
    };
    workplace.target("db", "new");
    let count = (WEEK * 5) as u64;
    let run = async |workplace: &Workplace, mode: &str| {
        let report = workplace.run(&*sync(&prometheus.url, config(mode))).await;
        assert_eq!(report.error, None, "{mode}");
        report
    };
    let values = |workplace: &Workplace| -> BTreeSet<(i64, u64)> {
        let points = workplace.emulator.points("db", "new").into_iter();
        let points = points.filter(|point| point.dimensions.get("id").is_some_and(|id| id == "1"));
        points
            .map(|point| match point.value {
                Stored::Double(value) => (point.time_ns / 1_000_000, value.to_bits()),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(run(&workplace, "incremental_append").await.rows, count);
    let first = values(&workplace);
    // Another server has other values at the same times.
    let changed = exposition(start_s).replace("{id=\"1\",job=\"a\"} ", "{id=\"1\",job=\"a\"} 1");
    let second = Server::of(&changed, "level").await;
    let from = |mode: &str| sync(&second.url, config(mode));
    let report = workplace.run(&*from("full_refresh_append")).await;
    assert_eq!(
        (report.rejected, report.dead_lettered, &report.error),
        (WEEK as u64, 0, &None)
    );
    assert_eq!(values(&workplace), first);
    workplace.cursors = Default::default();
    let report = workplace.run(&*from("incremental_deduped")).await;
    assert_eq!(
        (report.rows, report.rejected, &report.error),
        (count, 0, &None)
    );
    let newer = values(&workplace);
    assert!(newer != first && newer.len() == first.len());
    // Back to the values of the first server, in a table with its old properties, though tables are created with
    // other properties now.
    let before = workplace.describe("new").await;
    assert_eq!(before.as_ref().unwrap().memory_hours, Some(300));
    let mut config = config("full_refresh_overwrite");
    config["memory_hours"] = json!(400);
    let overwrite = sync(&prometheus.url, config);
    assert_eq!(workplace.run(&*overwrite).await.error, None);
    assert_eq!(workplace.describe("new").await, before);
    assert_eq!(values(&workplace), first);
    assert_eq!(workplace.emulator.points("db", "new").len() as u64, count);
}

#[tokio::test]
async fn layouts_for_sql_name_metric_and_labels() {
    let start_s = start_s();
    let prometheus = prometheus(start_s).await;
    for (layout, tables) in [
        ("rows", &["time_series"][..]),
        (
            "table_per_metric",
            &[
                "metric_level",
                "metric_requests_total",
                "metric_U__job_3a_rate5mx",
            ],
        ),
    ] {
        let workplace = Workplace::start().await;
        let report = workplace
            .run(&*sync(&prometheus.url, json!({"layout": layout})))
            .await;
        assert_eq!((report.rows, &report.error), ((WEEK * 12) as u64, &None));
        let points: Vec<_> = tables
            .iter()
            .flat_map(|table| workplace.emulator.points("db", table))
            .collect();
        assert_eq!(points.len() as i64, WEEK * 12);
        let point = points.iter().find(|point| {
            // printf 'level{id=3,job=a}' | md5sum
            point.dimensions["series_id"] == "17d940a0fdb62487e74a24f249696003"
                && point.time_ns / 1_000_000_000 == start_s + 7 * STEP_S
        });
        let Stored::Multi(columns) = &point.unwrap().value else {
            panic!("{point:?}")
        };
        let text = |text: &str| Stored::Varchar(text.to_owned());
        let expected = BTreeMap::from([
            ("labels".to_owned(), text(r#"{"id":"3","job":"a"}"#)),
            ("metric_name".to_owned(), text("level")),
            ("value".to_owned(), Stored::Double(4.0)),
        ]);
        assert_eq!(*columns, expected);
        assert_eq!(workplace.emulator.points("db", "t").len(), 0);
    }
}

#[tokio::test]
async fn tables_are_created_and_a_start_before_their_retention_is_reported() {
    let start_s = start_s();
    let server = Server::of(&exposition(start_s), "level").await;
    let mut workplace = Workplace::start().await;
    let only = |more: Value| {
        let mut config = json!({"metrics_filter": "level"});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        sync(&server.url, config)
    };
    workplace.target("db", "new");
    let report = workplace.run(&*only(json!({"create_tables": false}))).await;
    assert!(
        failure(&report)
            .contains("the table db/new does not exist; create it, or set create_tables"),
        "{report:?}"
    );
    let report = workplace
        .run(&*only(
            json!({"magnetic_writes": false, "memory_hours": 12}),
        ))
        .await;
    assert!(matches!(report.error, Some(RunError::Disable(_))));
    assert!(
        failure(&report).contains("accepts only the 12 hours of its memory store"),
        "{report:?}"
    );
    assert_eq!(server.queries("query_range").len(), 0);
    let report = workplace
        .run(&*only(json!({"memory_hours": 12, "magnetic_days": "30"})))
        .await;
    assert_eq!((report.rows, &report.error), ((WEEK * 5) as u64, &None));
    assert_eq!(stored(&workplace.emulator, "new").count() as i64, WEEK * 5);
    workplace.target("nowhere", "new");
    workplace.cursors = Default::default();
    let report = workplace.run(&*only(json!({}))).await;
    assert!(
        failure(&report).contains("create the database"),
        "{report:?}"
    );
}

#[tokio::test]
async fn metadata_comes_from_the_targets_or_from_the_server() {
    for has_targets in [true, false] {
        let server = Server::start(move |path, _| {
            let entry = |metric: &str, kind: &str| json!({"metric": metric, "type": kind, "help": "H.", "unit": "s"});
            match (path, has_targets) {
                ("/api/v1/targets/metadata", true) => success(json!([entry("level", "gauge"), entry("other", "gauge")])),
                ("/api/v1/targets/metadata", false) => success(json!([])),
                ("/api/v1/metadata", false) => success(json!({"requests": [entry("", "counter")], "level": []})),
                ("/api/v1/query_range", _) => success(json!({"resultType": "matrix", "result": []})),
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        })
        .await;
        let workplace = Workplace::start().await;
        let sync = sync(&server.url, json!({}));
        for _ in 0..2 {
            let report = workplace.run(&*sync).await;
            assert_eq!(report, Report::default());
            // Unchanged metadata is not written again.
            let points = workplace.emulator.points("db", "metrics");
            assert_eq!(points.len(), 1);
            let (name, kind) = if has_targets {
                ("level", "gauge")
            } else {
                ("requests", "counter")
            };
            assert_eq!(points[0].dimensions["metric_name"], name);
            let Stored::Multi(texts) = &points[0].value else {
                panic!("{points:?}")
            };
            assert_eq!(texts["metric_type"], Stored::Varchar(kind.to_owned()));
        }
    }
}

#[tokio::test]
async fn errors_of_the_server_are_reported_and_large_windows_are_read_in_parts() {
    let workplace = Workplace::start().await;
    for (status, body, words) in [
        (
            401,
            "who are you",
            "401 Unauthorized (text/plain; charset=utf-8, 11 bytes); check auth_type",
        ),
        (404, "", "404 Not Found"),
        (
            200,
            "<html>",
            "is not one of Prometheus' API: not JSON at line 1, column 1 (text/plain; charset=utf-8, 6 bytes)",
        ),
        (
            200,
            r#"{"status":"error","errorType":"internal","error":"no"}"#,
            "status error: internal: no",
        ),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let server = Server::start(move |_, _| (status, body)).await;
        let report = workplace.run(&*sync(&server.url, json!({}))).await;
        let text = failure(&report);
        assert!(
            text.contains("metric job:rate5m, ") && text.contains(words),
            "{text}"
        );
        // Each metric is requested once, unless nothing can be read at all.
        let metrics = if status == StatusCode::UNAUTHORIZED {
            1
        } else {
            3
        };
        assert_eq!(server.queries("query_range").len(), metrics);
        assert!(
            report
                .warnings
                .iter()
                .any(|it| it.starts_with("could not read the metadata: "))
        );
    }
    let too_much = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
    let server = Server::start(move |_, query| {
        let end_of = |key: &str| {
            query
                .split_once(key)
                .map(|it| it.1.split('.').next().unwrap())
        };
        let [start, end] =
            ["start=", "end="].map(|key| end_of(key).map_or(0, |it| it.parse::<i64>().unwrap()));
        match end - start > 50 * STEP_S {
            true => (StatusCode::UNPROCESSABLE_ENTITY, too_much.to_owned()).into_response(),
            false => {
                let series = json!({"metric": {"__name__": "level"}, "values": [[end, "1"]]});
                let data = json!({"resultType": "matrix", "result": [series]});
                json!({"status": "success", "data": data, "warnings": ["PromQL warning: w"]})
                    .to_string()
                    .into_response()
            }
        }
    })
    .await;
    let sync = sync(
        &server.url,
        json!({"metrics_filter": "level", "lookback_hours": 24}),
    );
    let workplace = Workplace::start().await;
    let report = workplace.run(&*sync).await;
    assert_eq!(report.error, None);
    assert!(report.rows > 5, "{report:?}");
    assert!(
        report
            .warnings
            .contains(&"level: PromQL warning: w".to_owned()),
        "{report:?}"
    );
}

#[tokio::test]
async fn calls_to_a_busy_server_are_retried() {
    let failures = Mutex::new(2);
    let server = Server::start(move |path, _| {
        let mut failures = failures.lock().unwrap();
        if path.ends_with("query_range") && *failures > 0 {
            *failures -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        success(json!({"resultType": "matrix", "result": []}))
    })
    .await;
    let workplace = Workplace::start().await;
    let sync = sync(
        &server.url,
        json!({"metrics_filter": "level", "lookback_hours": 1}),
    );
    let started = std::time::Instant::now();
    let report = workplace.run(&*sync).await;
    assert_eq!(report.error, None);
    assert_eq!(server.queries("query_range").len(), 3);
    // A second, and then two.
    assert!(started.elapsed().as_secs() >= 3);
}
