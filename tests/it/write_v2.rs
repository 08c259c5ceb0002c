//! Remote write 2.0 beyond the compliance suite: the headers of failures, and the cost of a broken
//! table of symbols.

use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use prost::Message;
use timestream_emulator::{Fault, FaultKind};
use timestream_prometheus_connector::dead_letter::Letter;
use timestream_prometheus_connector::ingest::Fallback;

use crate::dead_letters::letters;
use crate::support::{START_MS, TestApp, configuration, parts, query};
use crate::v2::message::{Exemplar, Histogram, Metadata, Request, Sample, TimeSeries};
use crate::v2::{Series, body, compressed, series};

fn up(instance: &str) -> Series {
    series(&[("__name__", "up"), ("instance", instance)])
}

#[tokio::test]
async fn a_later_try_tells_everything_because_this_one_tells_nothing() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    let all: Vec<_> = (0..250)
        .map(|i| up(&i.to_string()).sample(START_MS, 1.0))
        .collect();
    for (kind, status) in [(FaultKind::Throttle, 503), (FaultKind::InternalServer, 500)] {
        // One of three calls fails, the others store.
        app.emulator
            .order_fault(Fault::next("WriteRecords", 1, kind));
        let response = app.write_v2(&all).await;
        assert_eq!(response.status, status);
        assert_eq!(response.written(), Some([0; 3]));
        assert_eq!(response.headers["retry-after"], "1");
    }
    let response = app.write_v2(&all).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([250, 0, 0]))
    );
    assert_eq!(app.emulator.points("db", "t").len(), 250);
}

#[tokio::test]
async fn a_permanent_failure_tells_what_is_written() {
    let app = TestApp::start().await;
    let other = |instance: &str| {
        series(&[
            ("__name__", "up"),
            ("instance", instance),
            ("table", "missing"),
        ])
    };
    let all = [
        up("a").sample(START_MS, 1.0),
        other("a").sample(START_MS, 1.0).sample(START_MS + 1, 1.0),
        // Dropped by policy: to send it again cannot help.
        up("b").sample(-1, 1.0),
        series(&[("instance", "c")]).sample(START_MS, 1.0),
    ];
    let response = app.write_v2(&all).await;
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.written(), Some([2, 0, 0]));
    let response = app.write_v2(&all[1..2]).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (404, Some([0; 3]))
    );
    // Timestream rejects another value at the same time.
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap();
    app.write_v2(&[up("d").sample(now, 1.0)]).await;
    let response = app
        .write_v2(&[up("d").sample(now, 2.0), up("e").sample(now, 2.0)])
        .await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (419, Some([1, 0, 0]))
    );
}

#[tokio::test]
async fn every_response_after_the_negotiation_has_the_headers() {
    let app =
        TestApp::start_with(&["--fail-on-invalid-sample-value", "--max-request-bytes=1KiB"]).await;
    let many: Vec<_> = (0..100)
        .map(|i| up(&i.to_string()).sample(START_MS, 1.0))
        .collect();
    let cases = [
        (b"not snappy".to_vec(), 400),
        (compressed(&[0xff; 30]), 400),
        (vec![0; 2_000], 413),
        (body(&many), 400),
        (
            body(&[
                up("a").sample(START_MS, 1.0),
                up("b").sample(START_MS, f64::NAN),
            ]),
            400,
        ),
    ];
    for (body, status) in cases {
        let response = app.post_v2(body).await;
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(response.written(), Some([0; 3]), "{}", response.text());
    }
    assert!(app.emulator.points("db", "t").is_empty());
}

#[tokio::test]
async fn credentials_are_checked_before_anything_is_negotiated() {
    let app = TestApp::start_with(&["--bearer-token=t0ken"]).await;
    let response = app.write_v2(&[up("a").sample(START_MS, 1.0)]).await;
    assert_eq!((response.status.as_u16(), response.written()), (401, None));
}

/// Returns a message whose series have these references, a sample each.
fn referring(symbols: &[&str], series: &[&[u32]]) -> Vec<u8> {
    let series = series.iter().map(|references| TimeSeries {
        labels_refs: references.to_vec(),
        samples: vec![Sample {
            value: 1.0,
            timestamp: START_MS,
            start_timestamp: START_MS - 1,
        }],
        ..TimeSeries::default()
    });
    let request = Request {
        symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
        timeseries: series.collect(),
    };
    compressed(&request.encode_to_vec())
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_costs_its_series() {
    let symbols = ["", "__name__", "up", "l", "1"];
    let good: &[u32] = &[1, 2, 3, 4];
    let cases: [(&[u32], &str); 4] = [
        (&[1, 2, 3], "3 references do not make pairs"),
        (&[1, 2, 3, 5], "reference 5 leads beyond the 5 symbols"),
        (&[1, 2, u32::MAX, 4], "reference 4294967295 leads beyond"),
        (&[1], "1 references do not make pairs"),
    ];
    for (bad, expected) in cases {
        let app = TestApp::start().await;
        let response = app.post_v2(referring(&symbols, &[bad, good])).await;
        assert_eq!(response.status, 400, "{bad:?}");
        let text = response.text();
        assert!(
            text.starts_with("BadSymbolReference: ") && text.contains(expected),
            "{text}"
        );
        assert_eq!(response.written(), Some([1, 0, 0]));
        assert_eq!(app.emulator.points("db", "t").len(), 1);
        let failed = "timestream_connector_failed_samples_total{reason=\"BadSymbolReference\"}";
        assert_eq!(app.metric(failed).await, 1.0);
    }
}

#[tokio::test]
async fn a_series_without_known_labels_is_no_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("--dead-letter=file:{}", folder.path().display());
    let app = TestApp::start_with(&[&flag]).await;
    let symbols = ["", "__name__", "up", "table", "missing"];
    let (good, bad, valid): (&[u32], &[u32], &[u32]) = (&[1, 2], &[1, 2, 3, 9], &[1, 2, 3, 4]);
    let response = app.post_v2(referring(&symbols, &[good, valid])).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([2, 0, 0]))
    );
    let response = app.post_v2(referring(&symbols, &[good, valid, bad])).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (400, Some([2, 0, 0]))
    );
    assert!(
        response.text().starts_with("BadSymbolReference: "),
        "{}",
        response.text()
    );
    assert_eq!(
        app.metric("timestream_connector_dead_letter_samples_total")
            .await,
        2.0
    );
}

/// Returns a message with these symbols, of any bytes, and these series.
fn with_symbols(symbols: &[&[u8]], timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for symbol in symbols {
        prost::encoding::bytes::encode(4, &symbol.to_vec(), &mut bytes);
    }
    let request = Request {
        symbols: vec![],
        timeseries,
    };
    compressed(&[bytes, request.encode_to_vec()].concat())
}

fn one_sample(labels_refs: Vec<u32>) -> TimeSeries {
    TimeSeries {
        labels_refs,
        samples: vec![Sample {
            value: 1.0,
            timestamp: START_MS,
            start_timestamp: 0,
        }],
        ..TimeSeries::default()
    }
}

const SYMBOLS: &[&[u8]] = &[b"", b"__name__", b"up", b"l", b"1", b"caf\xe9"];

#[tokio::test]
async fn a_symbol_that_is_not_utf8_costs_what_refers_to_it() {
    let app = TestApp::start_with(&["--metadata-table=other"]).await;
    let unused = with_symbols(SYMBOLS, vec![one_sample(vec![1, 2])]);
    let response = app.post_v2(unused).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([1, 0, 0]))
    );
    // A help text costs the entry of metadata.
    let described = TimeSeries {
        metadata: Some(Metadata {
            r#type: 0,
            help_ref: 5,
            unit_ref: 0,
        }),
        ..one_sample(vec![1, 2, 3, 4])
    };
    let response = app.post_v2(with_symbols(SYMBOLS, vec![described])).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([1, 0, 0]))
    );
    let ignored = "timestream_connector_ignored_metadata_total{reason=\"not_utf8\"}";
    assert_eq!(app.metric(ignored).await, 1.0);
    // A label costs its series.
    let all = vec![one_sample(vec![1, 2, 3, 5]), one_sample(vec![1, 2, 3, 1])];
    let response = app.post_v2(with_symbols(SYMBOLS, all)).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (400, Some([1, 0, 0]))
    );
    assert!(
        response
            .text()
            .starts_with("InvalidUtf8: the value 'caf\\xe9' of label 'l' is not UTF-8"),
        "{}",
        response.text()
    );
    assert_eq!(app.emulator.points("db", "t").len(), 3);
}

#[tokio::test]
async fn an_exemplar_that_cannot_be_read_costs_no_sample() {
    let app = TestApp::start().await;
    for (references, expected) in [
        (vec![3, 5], "the value 'caf\\xe9' of label 'l' is not UTF-8"),
        (vec![3, 9], "reference 9 leads beyond the 6 symbols"),
        (vec![3], "1 references do not make pairs"),
    ] {
        let exemplar = |labels_refs| Exemplar {
            labels_refs,
            value: 1.0,
            timestamp: START_MS,
        };
        let series = TimeSeries {
            exemplars: vec![exemplar(references), exemplar(vec![3, 4])],
            ..one_sample(vec![1, 2])
        };
        let response = app.post_v2(with_symbols(SYMBOLS, vec![series])).await;
        assert_eq!(
            (response.status.as_u16(), response.written()),
            (400, Some([1, 0, 1]))
        );
        let text = response.text();
        assert!(
            text.starts_with("UnreadableExemplar: ") && text.contains(expected),
            "{text}"
        );
        assert!(
            text.contains("in an exemplar of the time series {__name__=\"up\"}"),
            "{text}"
        );
    }
    // A sample and an exemplar.
    assert_eq!(app.emulator.points("db", "t").len(), 2);
}

#[tokio::test]
async fn times_that_cannot_be_stored_are_dropped_whatever_they_are_of_and_in_both_versions() {
    /// The first that Timestream cannot represent with all nanoseconds that an exemplar may have.
    const END_MS: i64 = 9_223_372_036_854;
    let cases = [
        (i64::MIN, "negative_timestamp"),
        (-1, "negative_timestamp"),
        (END_MS, "timestamp_out_of_range"),
        // The year 10000, and nanoseconds.
        (253_402_300_800_000, "timestamp_out_of_range"),
        (START_MS * 1_000_000, "timestamp_out_of_range"),
        (i64::MAX, "timestamp_out_of_range"),
    ];
    for (timestamp, reason) in cases {
        let app = TestApp::start().await;
        let all = up("a")
            .sample(timestamp, 1.0)
            .sample(START_MS, 1.0)
            .histogram(Histogram {
                timestamp,
                ..Histogram::default()
            })
            .exemplar(&[("trace_id", "a")], timestamp, 1.0);
        let response = app.write_v2(&[all]).await;
        assert_eq!(
            (response.status.as_u16(), response.written()),
            (204, Some([2, 1, 1])),
            "{timestamp}: {}",
            response.text()
        );
        let labels = [("__name__", "up"), ("instance", "a")];
        let all = prompb::TimeSeries {
            histograms: vec![prompb::Histogram {
                timestamp,
                ..prompb::Histogram::default()
            }],
            exemplars: vec![prompb::Exemplar {
                timestamp,
                ..prompb::Exemplar::default()
            }],
            ..crate::support::series(&labels, &[(START_MS, 1.0), (timestamp, 1.0)])
        };
        app.write_ok(vec![all]).await;
        let ignored = format!("timestream_connector_ignored_samples_total{{reason=\"{reason}\"}}");
        assert_eq!(app.metric(&ignored).await, 6.0, "{timestamp}");
        assert_eq!(app.emulator.points("db", "t").len(), 1, "{timestamp}");
    }
    // The last one before is not dropped here: Timestream rejects a time in the future.
    let app = TestApp::start().await;
    let response = app.write_v2(&[up("a").sample(END_MS - 1, 1.0)]).await;
    assert_eq!(response.status, 419, "{}", response.text());
}

#[tokio::test]
async fn a_series_that_is_not_utf8_is_a_dead_letter_until_it_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("--dead-letter=file:{}", folder.path().display());
    let app = TestApp::start_with(&[&flag]).await;
    let all = vec![one_sample(vec![1, 2, 3, 5]), one_sample(vec![1, 2])];
    let response = app.post_v2(with_symbols(SYMBOLS, all)).await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (204, Some([2, 0, 0])),
        "{}",
        response.text()
    );
    let letters = letters(folder.path());
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}")
    };
    assert!(letter.not_utf8);
    assert_eq!(letter.reason, "InvalidUtf8");
    assert_eq!(letter.labels[1], ("l".to_owned(), "caf\u{fffd}".to_owned()));
    let text = letter.to_string();
    assert!(text.contains(r#""not_utf8":true,"labels":"#), "{text}");
    assert_eq!(&Letter::parse(&text).unwrap(), letter);

    // The original bytes are not stored, but they stay in the letter.
    let config = configuration(&app.emulator.url(), &[]);
    let parts = parts(&config).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let fallback = Fallback::default();
    let replayed = parts.ingester.replay(&letters, &fallback, deadline).await;
    assert_eq!((replayed.stored, replayed.samples), (0, 1));
    assert_eq!(replayed.rejected["InvalidUtf8"], 1);
    let [again] = replayed.left.as_slice() else {
        panic!("{:?}", replayed.left)
    };
    let mut again = again.clone();
    again.time = letter.time;
    assert_eq!(&again, letter);

    let mut corrected = again;
    corrected.not_utf8 = false;
    "café".clone_into(&mut corrected.labels[1].1);
    let replayed = parts
        .ingester
        .replay(&[corrected], &fallback, deadline)
        .await;
    assert_eq!((replayed.stored, replayed.left.len()), (1, 0));
    let found = app.read(vec![query(&[(Type::Eq, "l", "café")])]).await;
    assert_eq!(found[0].len(), 1);
}

#[tokio::test]
async fn a_table_of_symbols_that_breaks_the_rules_costs_the_request() {
    let app = TestApp::start().await;
    for (symbols, expected) in [
        (&[][..], "there are none"),
        (
            &["__name__", "up"],
            "the first symbol of remote write 2.0 must be empty",
        ),
    ] {
        let response = app.post_v2(referring(symbols, &[&[0, 1]])).await;
        assert_eq!(response.status, 400, "{symbols:?}");
        assert!(response.text().contains(expected), "{}", response.text());
        assert_eq!(response.written(), Some([0; 3]));
    }
    assert!(app.emulator.points("db", "t").is_empty());
}

#[tokio::test]
async fn more_than_a_request_may_hold_is_413_with_the_remedy() {
    let app = TestApp::start().await;
    let mut message = Vec::new();
    for _ in 0..=100_000 {
        prost::encoding::bytes::encode(5, &Vec::<u8>::new(), &mut message);
    }
    let table = Request {
        symbols: vec![String::new()],
        timeseries: vec![],
    };
    let response = app
        .post_v2(compressed(&[table.encode_to_vec(), message].concat()))
        .await;
    assert_eq!(response.status, 413);
    let text = response.text();
    assert!(
        text.contains("more than 100000 time series") && text.contains("max_samples_per_send"),
        "{text}"
    );
    assert_eq!(response.written(), Some([0; 3]));
}
