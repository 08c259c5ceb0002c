//! Limits of a read.

use http::StatusCode;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType;
use prom_wire::prompb::read_request::ResponseType::{Samples, StreamedXorChunks};
use prom_wire::prompb::{Query, TimeSeries};

use crate::kinds::{histograms, integers};
use crate::support::{START_MS, TestApp, query, series};

fn named(name: &str) -> Query {
    query(&[(Type::Eq, "__name__", name)])
}

/// Returns a series of so many samples, one each second.
fn samples(name: &str, count: i64) -> TimeSeries {
    let all: Vec<_> = (0..count)
        .map(|i| (START_MS + i * 1_000, i as f64))
        .collect();
    series(&[("__name__", name), ("l", "1")], &all)
}

const FORMS: [&[ResponseType]; 2] = [&[Samples], &[StreamedXorChunks]];

#[tokio::test]
async fn too_many_samples_are_an_error_that_helps() {
    let app = TestApp::start_with(&["--max-read-samples=100"]).await;
    app.write_ok(vec![
        samples("full", 100),
        samples("over", 101),
        samples("half", 50),
        histograms(
            &[("__name__", "buckets")],
            (0..51).map(|i| integers(START_MS + i)).collect(),
        ),
    ])
    .await;
    let cases = [
        (vec![named("full")], true),
        (vec![named("over")], false),
        (vec![named("half"), named("half")], true),
        // The limit is that of the request.
        (vec![named("half"), named("half"), named("half")], false),
        (vec![named("half"), named("buckets")], false),
    ];
    for (queries, is_allowed) in cases {
        for form in FORMS {
            // The first result of several may be on its way when the limit is met; such a response
            // is cut, as after any late error (`streamed`).
            if !is_allowed && queries.len() > 1 && form == [StreamedXorChunks] {
                continue;
            }
            let response = app.read_as(form, queries.clone()).await;
            if is_allowed {
                assert_eq!(response.status, StatusCode::OK, "{}", response.text());
                continue;
            }
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{queries:?}");
            assert_eq!(
                response.text(),
                "ReadLimitError: the result has more than 100 samples; query a shorter range or \
                 fewer series (more label matchers), or raise max_read_samples"
            );
        }
    }
}

#[tokio::test]
async fn samples_outside_of_the_range_do_not_count() {
    let app = TestApp::start_with(&["--max-read-samples=100"]).await;
    app.write_ok(vec![samples("over", 3_000)]).await;
    let mut narrowed = named("over");
    narrowed.end_timestamp_ms = START_MS + 99_000;
    assert_eq!(app.read(vec![narrowed]).await[0][0].samples.len(), 100);
}

#[tokio::test]
async fn a_read_with_too_much_memory_is_an_error_that_helps() {
    let app = TestApp::start_with(&["--max-read-bytes=64KiB"]).await;
    // The samples need little memory; labels count too.
    let long = "x".repeat(1_000);
    let many: Vec<_> = (0..100)
        .map(|i| {
            let i = i.to_string();
            let labels = [("__name__", "labels"), ("l", &*long), ("i", &*i)];
            series(&labels, &[(START_MS, 1.0)])
        })
        .collect();
    let noise: Vec<_> = (0..20_000)
        .map(|i| (START_MS + i * 100, (i as f64).sin()))
        .collect();
    let noise = series(&[("__name__", "noise"), ("l", "1")], &noise);
    app.write_ok(many).await;
    app.write_ok(vec![noise, samples("small", 3_600)]).await;
    assert_eq!(app.read(vec![named("small")]).await[0].len(), 1);
    for name in ["labels", "noise"] {
        for form in FORMS {
            let response = app.read_as(form, vec![named(name)]).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{name}");
            let text = response.text();
            assert!(text.contains("more than 65536 bytes"), "{text}");
            assert!(text.ends_with("or raise max_read_bytes"), "{text}");
        }
    }
}

#[tokio::test]
async fn no_more_pages_are_requested_and_the_query_is_cancelled() {
    let app = TestApp::start_with(&["--max-read-samples=1000"]).await;
    // About 4 MB, in rows that a page can hold.
    for instance in 0..16 {
        let instance = instance.to_string();
        let mut one = samples("m", 3_600);
        one.labels[1].value = instance;
        app.write_ok(vec![one]).await;
    }
    let pages = "timestream_connector_read_pages_total";
    let response = app.read_raw(vec![named("m")]).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    // The columns, the columns beside the query, an empty page and the first one with rows.
    assert!(app.metric(pages).await <= 4.0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while app.emulator.counters().calls.get("CancelQuery") != Some(&1) {
        assert!(std::time::Instant::now() < deadline, "it is not cancelled");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
