//! Two values for one time: which one is stored, by `on_duplicate`.

use axum::body::Body;
use http::Request;
use prom_wire::prompb::TimeSeries;
use timestream_emulator::{Emulator, Point, Value as StoredValue};
use tower::ServiceExt;

use crate::support::{TestApp, connect, now_ms, series, write_body};

fn at(time: i64, value: f64) -> TimeSeries {
    series(&[("__name__", "m"), ("i", "1")], &[(time, value)])
}

fn number(point: &Point) -> f64 {
    match point.value {
        StoredValue::Double(value) => value,
        ref other => panic!("{other:?}"),
    }
}

fn stored(emulator: &Emulator) -> Vec<f64> {
    emulator.points("db", "t").iter().map(number).collect()
}

#[tokio::test]
async fn the_first_value_stays_by_default() {
    let app = TestApp::start().await;
    let time = now_ms();
    app.write_ok(vec![at(time, 1.0)]).await;
    // The same again is not a conflict.
    app.write_ok(vec![at(time, 1.0)]).await;
    let response = app.write(vec![at(time, 2.0), at(time + 1, 3.0)]).await;
    assert_eq!(response.status, 419);
    assert_eq!(stored(&app.emulator), [1.0, 3.0]);
}

#[tokio::test]
async fn the_later_value_wins_also_over_another_instance_and_the_original() {
    // The original wrote without versions.
    let original = TestApp::start().await;
    let time = now_ms();
    original.write_ok(vec![at(time, 1.0)]).await;

    let flags = ["--on-duplicate=overwrite"];
    let mut expected = 1.0;
    for _ in 0..3 {
        for router in [
            connect(&original.emulator, &flags).await,
            connect(&original.emulator, &flags).await,
        ] {
            expected += 1.0;
            let body = Body::from(write_body(vec![at(time, expected)]));
            let request = Request::post("/write").body(body).unwrap();
            let response = router.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 204);
            assert_eq!(stored(&original.emulator), [expected]);
        }
    }
}

#[tokio::test]
async fn the_last_of_one_request_wins_wherever_it_stands() {
    let app = TestApp::start_with(&["--on-duplicate=overwrite"]).await;
    let time = now_ms();
    // Enough others between them that they are in different calls, which run at once.
    let mut all = vec![at(time, 1.0)];
    all.extend((0..250).map(|i| {
        let labels = [("__name__", "other"), ("i", &format!("{i}"))];
        series(&labels, &[(time, f64::from(i))])
    }));
    all.push(at(time, 2.0));
    all.push(series(
        &[("i", "1"), ("__name__", "m")],
        &[(time, 3.0), (time, 4.0)],
    ));
    let response = app.write(all).await;
    assert_eq!(response.status, 204, "{}", response.text());
    let points = app.emulator.points("db", "t");
    let last = points.iter().find(|point| point.measure_name == "m");
    assert_eq!(number(last.unwrap()), 4.0);
    assert_eq!(points.len(), 251);
    // Superseded samples are distinguished from missing ones.
    let superseded = "timestream_connector_ignored_samples_total{reason=\"superseded\"}";
    let written = app
        .metric("timestream_connector_written_samples_total")
        .await;
    assert_eq!(written + app.metric(superseded).await, 254.0);
}

#[tokio::test]
async fn other_senders_get_400_for_permanent_rejections() {
    let cases: [(&[&str], &str, u16); 6] = [
        (&[], "Prometheus/3.15.0", 419),
        (&[], "vmagent", 400),
        (&[], "Telegraf/1.36.0 Go/1.26.0", 400),
        (&["--permanent-error-status=aws"], "vmagent", 419),
        (&["--permanent-error-status=400"], "Prometheus/3.15.0", 400),
        (&["--permanent-error-status=400"], "vmagent", 400),
    ];
    for (flags, agent, expected) in cases {
        let app = TestApp::start_with(flags).await;
        let time = now_ms();
        let up = |value| vec![series(&[("__name__", "up")], &[(time, value)])];
        app.write_ok(up(1.0)).await;
        // The headers of a sender to another path decide as well.
        for path in ["/write", "/elsewhere"] {
            let headers = [
                ("user-agent", agent),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ];
            let response = app.post(path, &headers, write_body(up(2.0))).await;
            assert_eq!(response.status, expected, "{flags:?} {agent} {path}");
            let text = response.text();
            assert!(text.starts_with("RejectedRecordsException: "), "{text}");
        }
    }
}
