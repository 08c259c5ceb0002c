//! The query API has the responses of Prometheus for thousands of random queries over the same data.

use differential::api::{Api, Form, Response};
use differential::data::{Point, Series, labels};
use differential::over_http::{self, Pair, Report};
use differential::prometheus::{FEATURES, Prometheus};
use differential::run::Settings;
use prom_model::{Buckets, Count, Histogram, Span};

use crate::stage::{Stage, TOKEN};

/// Always the same, so that a failure follows from a change; the variable `SEED` selects other data and queries.
const SEED: u64 = 315;
/// Queries of each pair.
const QUERIES: usize = 3_000;

/// Compares a connector and a Prometheus with these features.
async fn compare(features: &'static str, seed: u64) -> Report {
    let flags = [
        "--store-special-values",
        &format!("--enable-feature={features}"),
    ];
    let stage = Stage::start(vec![], &flags).await;
    let address = stage.connector.url.trim_start_matches("http://");
    let ours = Api::new(address, "/write").with_token(TOKEN);
    let compare = move || {
        let mut settings = Settings::from_environment(seed, QUERIES);
        // Steps of the seed that is given give other data as well.
        settings.seed = settings.seed.wrapping_add(seed - SEED);
        println!("SEED={} N={} {features}", settings.seed, settings.queries);
        let theirs = Prometheus::start(features);
        let data = over_http::data(settings.seed);
        let pair = Pair::new(&ours, &theirs.api, features, &data);
        let requests = over_http::compare_requests(&ours, &theirs.api);
        (pair.run(&settings), requests)
    };
    let (report, requests) = tokio::task::spawn_blocking(compare).await.unwrap();
    for difference in &requests {
        println!("{difference}");
    }
    println!("{}", report.summary());
    for text in &report.tolerated_expressions {
        println!("tolerated: {text}");
    }
    for difference in &report.differences {
        println!("{difference}");
    }
    assert!(requests.is_empty(), "{features}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_the_responses_of_prometheus() {
    let delayed = "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers,\
                   promql-delayed-name-removal,type-and-unit-labels";
    for (features, seed) in [(FEATURES, SEED), (delayed, SEED + 1)] {
        let report = compare(features, seed).await;
        assert_eq!(report.differing, 0, "{features}");
        assert!(report.uncertain * 50 <= report.queries, "{features}");
        assert!(report.of_chunks * 100 <= report.queries, "{features}");
        assert!(report.substantial * 5 >= report.queries * 2, "{features}");
    }
}

/// Time of the first sample, in seconds since the Unix epoch.
const FIRST_S: i64 = 1_700_000_000;

/// Returns a native histogram with 2 observations around 0 and others between 4 and 8, so many seconds after the first.
fn histogram(after_s: i64, between_4_and_8: f64, below_0: Option<f64>) -> Series {
    let buckets = |offset, count| Buckets {
        spans: vec![Span { offset, length: 1 }],
        deltas: vec![],
        counts: vec![count],
    };
    let negative = below_0.map(|count| buckets(0, count));
    let count = 2.0 + between_4_and_8 + below_0.unwrap_or_default();
    let histogram = Histogram {
        timestamp_ms: (FIRST_S + after_s) * 1000,
        count: Some(Count::Float(count)),
        sum: 1.0,
        zero_threshold: 0.25,
        zero_count: Some(Count::Float(2.0)),
        positive: buckets(3, between_4_and_8),
        negative: negative.unwrap_or_default(),
        ..Histogram::default()
    };
    Series {
        labels: labels("h", &[]),
        floats: vec![],
        histograms: vec![Point {
            histogram,
            start_ms: 0,
        }],
    }
}

/// Returns the body of the response to a query at a time, in seconds after the first.
fn body(api: &Api, query: &str, after_s: i64) -> String {
    let time = (FIRST_S + after_s).to_string();
    let parameters = [("query", query.to_owned()), ("time", time)];
    let Response { body, .. } = api.call("query", &parameters, &Form::default());
    String::from_utf8(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_histogram_is_the_same_whatever_is_stored_beside_it() {
    let stage = Stage::start(vec![], &[]).await;
    let address = stage.connector.url.trim_start_matches("http://").to_owned();
    let compare = move || {
        let ours = Api::new(address, "/write").with_token(TOKEN);
        let theirs = Prometheus::start(FEATURES);
        let write = |it: Series| {
            ours.write(std::slice::from_ref(&it));
            theirs.api.write(&[it]);
        };
        let quantile = "histogram_quantile(0.1, h)";
        // A tenth of 12 is within the zero bucket, which begins at 0 if nothing is below it.
        let value = |value| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[{FIRST_S},"{value}"]}}]}}}}"#
            )
        };
        let expected = value("0.15000000000000002");
        write(histogram(0, 10.0, None));
        for api in [&ours, &theirs.api] {
            assert_eq!(body(api, quantile, 0), expected);
        }
        // In Prometheus, the first histogram has an empty bucket below 0 from now on.
        write(histogram(30, 11.0, Some(1.0)));
        assert_eq!(body(&ours, quantile, 0), expected);
        assert_eq!(
            body(&theirs.api, quantile, 0),
            value("0.050000000000000044")
        );

        // A reset, after a histogram of which it is known only from the one before that it follows none.
        write(histogram(60, 3.0, None));
        let warns = |api: &Api, window: &str| {
            let body = body(
                api,
                &format!("histogram_count(sum_over_time(h[{window}]))"),
                60,
            );
            assert!(body.contains(r#""success""#), "{body}");
            body.contains("conflicting counter resets")
        };
        assert_eq!([warns(&ours, "61s"), warns(&theirs.api, "61s")], [true; 2]);
        assert_eq!(
            [warns(&ours, "31s"), warns(&theirs.api, "31s")],
            [false, true]
        );
    };
    tokio::task::spawn_blocking(compare).await.unwrap();
}
