//! The query API: its responses, errors and encodings.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{Request, StatusCode};

use crate::kinds::{histograms, integers};
use crate::support::{START_MS, TestApp, series};

/// An app with a series of a sample a minute for ten minutes, and one of native histograms.
async fn app(flags: &[&str]) -> TestApp {
    let app = TestApp::start_with(flags).await;
    let minutes = |from: i64| (0..10).map(move |i| (START_MS + i * 60_000, (from + i) as f64));
    app.write_ok(vec![
        series(
            &[("__name__", "up"), ("job", "a")],
            &minutes(0).collect::<Vec<_>>(),
        ),
        series(
            &[("__name__", "up"), ("job", "b")],
            &minutes(100).collect::<Vec<_>>(),
        ),
        histograms(&[("__name__", "sizes")], vec![integers(START_MS)]),
    ])
    .await;
    app
}

const AT: &str = "time=1600000060";

#[tokio::test]
async fn values_are_those_of_prometheus() {
    let app = app(&[]).await;
    for (query, expected) in [
        (
            format!("query?query=1%2B1&{AT}"),
            r#"{"resultType":"scalar","result":[1600000060,"2"]}"#,
        ),
        (
            format!("query?query=up&{AT}"),
            concat!(
                r#"{"resultType":"vector","result":["#,
                r#"{"metric":{"__name__":"up","job":"a"},"value":[1600000060,"1"]},"#,
                r#"{"metric":{"__name__":"up","job":"b"},"value":[1600000060,"101"]}]}"#
            ),
        ),
        (
            format!("query?query=sum(up)&{AT}"),
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1600000060,"102"]}]}"#,
        ),
        (
            "query_range?query=sum(up)&start=1600000000&end=1600000060&step=1m".to_owned(),
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1600000000,"100"],[1600000060,"102"]]}]}"#,
        ),
        (
            format!("query?query=histogram_count(sizes)&{AT}"),
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1600000060,"27"]}]}"#,
        ),
        (
            "format_query?query=sum(up)by(job)".to_owned(),
            r#""sum by (job) (up)""#,
        ),
    ] {
        let response = app.get(&format!("/api/v1/{query}")).await;
        let expected = format!(r#"{{"status":"success","data":{expected}}}"#);
        assert_eq!(response.text(), expected, "{query}");
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers[CONTENT_TYPE], "application/json");
    }
}

#[tokio::test]
async fn a_form_is_read_like_a_url() {
    let app = app(&[]).await;
    let headers = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
    let form = format!("query=count(up)&{AT}");
    let path = "/api/v1/query?query=ignored";
    let response = app.post(path, &headers, form.clone().into_bytes()).await;
    assert!(response.text().contains("\"2\""), "{}", response.text());
    let response = app.post("/api/v1/query", &[], form.into_bytes()).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn errors_are_those_of_prometheus() {
    let app = app(&[]).await;
    let range = |parameters: &str| format!("query_range?query=up&{parameters}");
    for (query, status, expected) in [
        (
            "query?query=sum(".to_owned(),
            400,
            r#""bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis""#,
        ),
        (
            "query?query=up&time=x".to_owned(),
            400,
            r#""bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp""#,
        ),
        (
            range("start=0&end=11001&step=1"),
            400,
            r#""bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)""#,
        ),
        (
            range("start=1&end=0&step=1"),
            400,
            r#""bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time""#,
        ),
        (
            range("start=0&end=1&step=0"),
            400,
            r#""bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer""#,
        ),
        (
            range("start=0&end=1&step=1&limit=-1"),
            400,
            r#""bad_data","error":"invalid parameter \"limit\": limit must be non-negative""#,
        ),
        (
            format!("query?query=up+%2B+on()+up&{AT}"),
            422,
            r#""execution","error":"found duplicate series for the match group {} on the right hand-side of the operation: [{__name__=\"up\", job=\"a\"}, {__name__=\"up\", job=\"b\"}];many-to-many matching not allowed: matching labels must be unique on one side""#,
        ),
    ] {
        let response = app.get(&format!("/api/v1/{query}")).await;
        assert_eq!(
            response.text(),
            format!(r#"{{"status":"error","errorType":{expected}}}"#),
            "{query}"
        );
        assert_eq!(response.status, status, "{query}");
    }
}

#[tokio::test]
async fn limits_hold_across_an_expression() {
    let app = app(&["--max-read-samples=30"]).await;
    let response = app.get(&format!("/api/v1/query?query=up[1h]&{AT}")).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    let both =
        "/api/v1/query?query=count_over_time(up[1h])%2Bcount_over_time(up[2h])&time=1600000600";
    let response = app.get(both).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = response.text();
    assert!(text.contains("raise max_read_samples"), "{text}");
}

#[tokio::test]
async fn a_timeout_is_positive() {
    let app = app(&[]).await;
    for timeout in ["0", "-1", "-0.5"] {
        let response = app
            .get(&format!("/api/v1/query?query=1&timeout={timeout}"))
            .await;
        assert_eq!(
            response.text(),
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": the timeout is not positive; use seconds as 30, or a duration as 30s"}"#
        );
        assert_eq!(response.status, 400);
    }
}

#[tokio::test]
async fn responses_are_compressed_for_clients_that_accept_it() {
    let app = app(&[]).await;
    let path = format!("/api/v1/query?query=up&{AT}");
    let plain = app.get(&path).await;
    assert!(!plain.headers.contains_key(CONTENT_ENCODING));
    for encoding in ["gzip", "deflate"] {
        let request = Request::get(&path).header(ACCEPT_ENCODING, encoding);
        let response = app.send(request.body(Default::default()).unwrap()).await;
        assert_eq!(response.headers[CONTENT_ENCODING], encoding);
        let mut body = Vec::new();
        let read = match encoding {
            "gzip" => GzDecoder::new(&response.body[..]).read_to_end(&mut body),
            _ => ZlibDecoder::new(&response.body[..]).read_to_end(&mut body),
        };
        read.unwrap();
        assert_eq!(body, plain.body, "{encoding}");
    }
}

#[tokio::test]
async fn errors_are_compressed_too() {
    let app = app(&[]).await;
    let path = "/api/v1/query?query=(";
    let plain = app.get(path).await;
    let request = Request::get(path).header(ACCEPT_ENCODING, "gzip");
    let response = app.send(request.body(Default::default()).unwrap()).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(response.headers[CONTENT_ENCODING], "gzip");
    let mut body = Vec::new();
    let read = GzDecoder::new(&response.body[..]).read_to_end(&mut body);
    read.unwrap();
    assert_eq!(body, plain.body);
}

#[tokio::test]
async fn hints_of_senders_about_resets_have_no_effect() {
    let app = app(&[]).await;
    let hinted = |job: &str, hint: i32| {
        let at = |time_ms: i64| {
            let mut histogram = integers(time_ms);
            histogram.reset_hint = hint;
            histogram
        };
        let labels = [("__name__", "hinted"), ("job", job)];
        histograms(&labels, vec![at(START_MS), at(START_MS + 60_000)])
    };
    // A reset and none.
    app.write_ok(vec![hinted("a", 1), hinted("b", 2)]).await;
    let query = format!("/api/v1/query?query=histogram_count(sum(hinted))&{AT}");
    let response = app.get(&query).await.text();
    assert_eq!(
        response,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1600000060,"54"]}]}}"#
    );
    let query = format!("/api/v1/query?query=sum(resets(hinted[5m]))&{AT}");
    let response = app.get(&query).await.text();
    assert!(response.contains("\"0\"]"), "{response}");
}

#[tokio::test]
async fn a_float_hides_a_histogram_of_its_time() {
    let app = app(&[]).await;
    let labels = [("__name__", "both")];
    let mut both = histograms(
        &labels,
        vec![integers(START_MS), integers(START_MS + 30_000)],
    );
    both.samples = series(&labels, &[(START_MS, 2.0), (START_MS + 60_000, 3.0)]).samples;
    app.write_ok(vec![both]).await;
    for (query, expected) in [
        ("count_over_time(both[5m])", r#""value":[1600000060,"3"]"#),
        ("both offset 1m", r#""value":[1600000060,"2"]"#),
        ("both", r#""value":[1600000060,"3"]"#),
        (
            "histogram_count(both offset 30s)",
            r#""value":[1600000060,"27"]"#,
        ),
    ] {
        let path = format!("/api/v1/query?query={query}&{AT}").replace(' ', "%20");
        let response = app.get(&path).await.text();
        assert!(response.contains(expected), "{query}: {response}");
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let app = app(&[]).await;
    app.get(&format!("/api/v1/query?query=up&{AT}")).await;
    app.get("/api/v1/query?query=(").await;
    for (name, expected) in [
        (
            "timestream_connector_query_requests_total{code=\"200\"}",
            1.0,
        ),
        (
            "timestream_connector_query_requests_total{code=\"400\"}",
            1.0,
        ),
        ("timestream_connector_query_series_total", 2.0),
        ("timestream_connector_read_series_total", 0.0),
    ] {
        assert_eq!(app.metric(name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn statistics_count_the_samples_of_whole_windows() {
    let app = app(&[]).await;
    let range = "start=1600000300&end=1600000600&step=300";
    for (query, statistics) in [
        (
            "last_over_time(up[5m])",
            r#""totalQueryableSamples":18,"samplesRead":18,"peakSamples":"#,
        ),
        (
            "up",
            r#""totalQueryableSamples":4,"samplesRead":4,"peakSamples":"#,
        ),
    ] {
        let path = format!("/api/v1/query_range?query={query}&{range}&stats=true");
        let response = app.get(&path).await;
        assert!(
            response.text().contains(statistics),
            "{query}: {}",
            response.text()
        );
    }
}
