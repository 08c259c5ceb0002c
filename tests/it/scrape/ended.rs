//! Series that end get stale markers, and exemplars are stored once however often they are exposed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use timestream_emulator::{Fault, FaultKind, Value as StoredValue};

use super::{OPENMETRICS, Reply, Scraper, TEXT, Target, response};
use crate::prometheus::{Prometheus, program};
use crate::standalone::Connector;
use crate::support::START_MS;

/// Prometheus' stale marker, as it is stored.
const STALE: &str = "7ff0000000000002";
const STEP_MS: i64 = 15_000;

/// Starts a target that exposes one body after the other; `None` is a failure.
async fn exposing(bodies: &[Option<&str>]) -> Target {
    let replies = bodies.iter().map(|body| {
        Reply::Bytes(match body {
            Some(body) => response(200, TEXT, body.as_bytes()),
            None => response(404, TEXT, b""),
        })
    });
    Target::start(replies.collect()).await
}

/// Runs a scrape for each body, and returns the series that end with the number of the scrape.
async fn ends(scraper: &Scraper, bodies: &[Option<&str>], config: Value) -> Vec<String> {
    let target = exposing(bodies).await;
    let mut config = config;
    config["endpoint"] = json!(target.url());
    for (index, body) in bodies.iter().enumerate() {
        let time_ms = START_MS + STEP_MS * index as i64;
        let report = scraper.tick_at(config.clone(), time_ms).await;
        assert_eq!(report.error.is_none(), body.is_some(), "{index}");
        assert_eq!(report.warnings, [] as [&str; 0]);
    }
    ended(scraper)
}

/// Returns the name and the label `x` of each stale marker, after the number of its scrape.
fn ended(scraper: &Scraper) -> Vec<String> {
    let points = scraper.emulator.points("db", "scraped").into_iter();
    let markers = points.filter(|point| point.dimensions.values().any(|value| value == STALE));
    let mut texts: Vec<_> = markers
        .map(|point| {
            let x = point.dimensions.get("x").map_or("", String::as_str);
            let tick = (point.time_ns / 1_000_000 - START_MS) / STEP_MS;
            format!("{tick} {}{x}", point.measure_name)
        })
        .collect();
    texts.sort();
    texts
}

const A: &str = "a{x=\"1\"} 1\n";
const A_AND_B: &str = "a{x=\"1\"} 1\na{x=\"2\"} 1\nb 1\n";

#[tokio::test]
async fn series_that_are_gone_end_once() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let reversed = "b 1\na{x=\"2\"} 1\na{x=\"1\"} 2\n";
    let bodies = [A_AND_B, reversed, A, A, "", "b NaN\n", A].map(Some);
    let found = ends(&scraper, &bodies, json!({})).await;
    assert_eq!(found, ["2 a2", "2 b", "4 a1", "6 b"]);
}

#[tokio::test]
async fn a_target_that_fails_ends_all_its_series_and_none_about_the_scrape() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let broken = Some("a{x=\"1\"} 1\n}");
    let bodies = [Some(A_AND_B), None, None, Some(A), Some(A)];
    let found = ends(&scraper, &bodies, json!({})).await;
    assert_eq!(found, ["1 a1", "1 a2", "1 b"]);

    let scraper = Scraper::start(&["--store-special-values"]).await;
    let target = exposing(&[Some(A), broken]).await;
    let config = json!({"endpoint": target.url()});
    scraper.tick_at(config.clone(), START_MS).await;
    let report = scraper.tick_at(config, START_MS + STEP_MS).await;
    assert!(report.error.is_some());
    assert_eq!(ended(&scraper), ["1 a1"]);
}

#[tokio::test]
async fn series_with_times_of_their_own_do_not_end() {
    let body = format!("a{{x=\"1\"}} 1 {START_MS}\nb 2\n");
    let bodies = [Some(body.as_str()), Some("")];
    for (honor, expected) in [(true, &["1 b"][..]), (false, &["1 a1", "1 b"])] {
        let scraper = Scraper::start(&["--store-special-values"]).await;
        let found = ends(&scraper, &bodies, json!({"honor_timestamps": honor})).await;
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn without_stale_markers_nothing_is_remembered() {
    let cases = [
        (&[][..], json!({})),
        (
            &["--store-special-values"][..],
            json!({"target_labels": false}),
        ),
    ];
    for (flags, config) in cases {
        let scraper = Scraper::start(flags).await;
        let body = "a{x=\"1\"} 1\nb{x=\"1\"} 1\n";
        let found = ends(&scraper, &[Some(body), Some(A)], config).await;
        assert_eq!(found, [] as [&str; 0]);
        assert!(scraper.cursors.texts().is_empty());
    }
}

#[tokio::test]
async fn unchanged_series_write_no_state() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let target = exposing(&[Some(A_AND_B)]).await;
    let config = json!({"endpoint": target.url()});
    scraper.tick_at(config.clone(), START_MS).await;
    let texts = scraper.cursors.texts();
    let keys: Vec<_> = texts.keys().map(String::as_str).collect();
    assert_eq!(keys, ["series", "series-0-0"]);
    scraper.cursors.dies_after(0);
    let report = scraper.tick_at(config, START_MS + STEP_MS).await;
    assert_eq!((report.error, report.warnings.len()), (None, 0));
    assert_eq!(scraper.cursors.texts(), texts);
}

#[tokio::test]
async fn a_process_that_dies_ends_the_same_series_again_and_no_other() {
    // It dies before the parts are written, between them and the manifest, and after that.
    for (sets, again) in [(0, true), (1, true), (2, false)] {
        let scraper = Scraper::start(&["--store-special-values"]).await;
        let target = exposing(&[Some(A_AND_B), Some(A)]).await;
        let config = json!({"endpoint": target.url()});
        scraper.tick_at(config.clone(), START_MS).await;
        scraper.cursors.dies_after(sets);
        let report = scraper.tick_at(config.clone(), START_MS + STEP_MS).await;
        assert_eq!(report.error, None, "samples are stored all the same");
        assert_eq!(report.warnings.len(), usize::from(again), "{report:?}");
        scraper.cursors.lives();
        for tick in 2..5 {
            let time_ms = START_MS + tick * STEP_MS;
            let report = scraper.tick_at(config.clone(), time_ms).await;
            assert_eq!((report.error, report.warnings.len()), (None, 0));
        }
        let expected: &[_] = match again {
            true => &["1 a2", "1 b", "2 a2", "2 b"],
            false => &["1 a2", "1 b"],
        };
        assert_eq!(ended(&scraper), expected, "{sets}");
    }
}

#[tokio::test]
async fn a_state_that_is_broken_stops_nothing_for_long() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let target = exposing(&[Some(A_AND_B)]).await;
    let config = json!({"endpoint": target.url()});
    scraper.tick_at(config, START_MS).await;
    let texts = scraper.cursors.texts();
    let manifest = |key: &str, value: Value| {
        let mut manifest: Value = serde_json::from_str(&texts["series"]).unwrap();
        manifest[key] = value;
        ("series", manifest.to_string())
    };
    let packed = |bytes: &[u8]| ("series-0-0", STANDARD.encode(super::gzip(bytes)));
    let part = STANDARD.decode(&texts["series-0-0"]).unwrap();
    let cut = STANDARD.encode(&part[..part.len() - 1]);
    // The damaged value, and true if a warning reports it.
    let cases = [
        (("series", String::new()), false),
        (("series", "{}".to_owned()), false),
        (manifest("parts", json!(-1)), false),
        (manifest("parts", json!(17)), false),
        (manifest("parts", json!(2)), true),
        (manifest("slot", json!(255)), true),
        (manifest("tick_ms", json!(i64::MAX)), false),
        (("series-0-0", "?".to_owned()), true),
        (("series-0-0", String::new()), true),
        (("series-0-0", STANDARD.encode("junk")), true),
        (("series-0-0", cut), true),
        (packed(b"x\xff\xfe"), false),
        (packed(b"\xfe\xfe\xff\xff"), false),
    ];
    for ((key, text), warns) in cases {
        let scraper = Scraper::start(&["--store-special-values"]).await;
        let target = exposing(&[Some(A_AND_B), Some(A), Some(""), Some("")]).await;
        let config = json!({"endpoint": target.url(), "labels": {"instance": "i"}});
        scraper.tick_at(config.clone(), START_MS).await;
        scraper.cursors.put(key, &text);
        for tick in 1..4 {
            let time_ms = START_MS + STEP_MS * tick;
            let report = scraper.tick_at(config.clone(), time_ms).await;
            assert_eq!(report.error, None, "{key} {text}");
            let expected = usize::from(warns && tick == 1);
            assert_eq!(report.warnings.len(), expected, "{key} {text} {tick}");
        }
        let found = ended(&scraper);
        assert!(
            found.contains(&"2 a1".to_owned()),
            "{key} {text}: {found:?}"
        );
        assert!(found.iter().all(|it| !it.starts_with('3')), "{found:?}");
    }
}

#[tokio::test]
async fn series_that_were_not_stored_are_not_remembered() {
    let scraper = Scraper::start(&["--store-special-values", "--max-write-retries=0"]).await;
    let target = exposing(&[Some(A), Some(A_AND_B), Some(A), Some("")]).await;
    let config = json!({"endpoint": target.url()});
    scraper.tick_at(config.clone(), START_MS).await;
    let before = scraper.cursors.texts();
    scraper
        .emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let report = scraper.tick_at(config.clone(), START_MS + STEP_MS).await;
    assert!(report.error.is_some(), "{report:?}");
    assert_eq!(scraper.cursors.texts(), before);
    for tick in 2..4 {
        let time_ms = START_MS + tick * STEP_MS;
        scraper.tick_at(config.clone(), time_ms).await;
    }
    assert_eq!(ended(&scraper), ["3 a1"]);
}

#[tokio::test]
async fn a_late_scrape_ends_nothing() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let target = exposing(&[Some(A), Some(A_AND_B), Some(A)]).await;
    let config = json!({"endpoint": target.url()});
    scraper.tick_at(config.clone(), START_MS).await;
    scraper
        .tick_at(config.clone(), START_MS + 2 * STEP_MS)
        .await;
    let texts = scraper.cursors.texts();
    scraper.tick_at(config, START_MS + STEP_MS).await;
    assert_eq!(ended(&scraper), [] as [&str; 0]);
    assert_eq!(scraper.cursors.texts(), texts);
}

#[tokio::test]
async fn another_label_of_the_target_ends_the_series_with_the_old_one() {
    let scraper = Scraper::start(&["--store-special-values"]).await;
    let target = exposing(&[Some("a 1\n")]).await;
    for (tick, x) in ["old", "old", "new"].into_iter().enumerate() {
        let config = json!({"endpoint": target.url(), "labels": {"x": x}});
        let time_ms = START_MS + STEP_MS * tick as i64;
        scraper.tick_at(config, time_ms).await;
    }
    assert_eq!(ended(&scraper), ["2 aold"]);
}

#[tokio::test]
async fn definitions_of_one_target_have_series_of_their_own() {
    let mut scraper = Scraper::start(&[]).await;
    let target = exposing(&[Some("a 1\n"), None]).await;
    let config = json!({"endpoint": target.url()});
    scraper.name = "first";
    scraper.tick_at(config.clone(), START_MS).await;
    scraper.name = "second";
    scraper.tick_at(config, START_MS).await;
    let address = &target.address;
    let up: Vec<_> = scraper
        .values()
        .into_iter()
        .filter(|it| it.contains("__name__=up"))
        .collect();
    let expected = [
        format!("__name__=up instance={address} job=first 1 @ +0"),
        format!("__name__=up instance={address} job=second 0 @ +0"),
    ];
    assert_eq!(up, expected);
}

#[tokio::test]
async fn promql_sees_at_once_that_a_series_is_gone() {
    let program = program("prometheus").await;
    for (flags, is_gone) in [(&["--store-special-values"][..], true), (&[], false)] {
        let scraper = Scraper::start(flags).await;
        ends(&scraper, &[Some(A_AND_B), Some(A), None], json!({})).await;
        let routes = ["--default-database=db", "--default-table=scraped"];
        let all: Vec<_> = flags.iter().chain(&routes).copied().collect();
        let connector = Connector::start_bare(&scraper.emulator, &all).await;
        let reader = Prometheus::read_only(&program, &connector.url).await;
        // A millisecond before the second tick, at it, and at the third, which fails.
        let both = ["a1", "a2", "b"];
        let cases: [(i64, &[&str]); 3] = match is_gone {
            true => [(14_999, &both), (15_000, &["a1"]), (30_000, &[])],
            false => [(14_999, &both), (15_000, &both), (30_000, &both)],
        };
        for (after_ms, expected) in cases {
            let time = ((START_MS + after_ms) as f64 / 1_000.0).to_string();
            let parameters = [("query", "{__name__=~\"a|b\"}"), ("time", &time)];
            let found = reader.api("query", &parameters).await;
            let series = found["data"]["result"].as_array().unwrap().iter();
            let name = |series: &Value, label: &str| {
                let value = series["metric"][label].as_str();
                value.unwrap_or_default().to_owned()
            };
            let mut names: Vec<_> = series
                .map(|it| name(it, "__name__") + &name(it, "x"))
                .collect();
            names.sort();
            assert_eq!(names, expected, "{flags:?}, {after_ms}");
        }
    }
}

/// Returns the stored exemplars after the boundaries of their buckets.
fn exemplars(scraper: &Scraper) -> Vec<String> {
    let points = scraper.emulator.points("db", "scraped").into_iter();
    let texts = points.filter_map(|point| match &point.value {
        StoredValue::Varchar(text) => {
            let le = point.dimensions.get("le").map_or("", String::as_str);
            Some(format!("{le} {text}"))
        }
        _ => None,
    });
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn exemplars_are_stored_once() {
    let scraper = Scraper::start(&[]).await;
    let body = |first: &str| {
        let body = format!(
            "# TYPE h histogram\n\
             h_bucket{{le=\"1\"}} 1 # {{t=\"{first}\"}} 0.5 1599999990\n\
             h_bucket{{le=\"+Inf\"}} 2 # {{t=\"b\"}} 7\n\
             h_count 2\nh_sum 8\n\
             # TYPE old counter\n\
             old_total 1 # {{t=\"c\"}} 1 1599990000\n# EOF\n"
        );
        Reply::Bytes(response(200, OPENMETRICS, body.as_bytes()))
    };
    let target = Target::start(vec![body("a"), body("a"), body("z"), body("z")]).await;
    let config = json!({"endpoint": target.url()});
    let mut received = Vec::new();
    for tick in 0..4 {
        let time_ms = START_MS + STEP_MS * tick;
        let report = scraper.tick_at(config.clone(), time_ms).await;
        assert_eq!((report.error, report.rejected), (None, 0));
        received.push(report.received);
    }
    assert_eq!(received, [7, 5, 6, 5]);
    let expected = [
        r#"+Inf {"labels":{"t":"b"},"value":7.0,"timestamp":1600000000000}"#,
        r#"1.0 {"labels":{"t":"a"},"value":0.5,"timestamp":1599999990000}"#,
        r#"1.0 {"labels":{"t":"z"},"value":0.5,"timestamp":1599999990000}"#,
    ];
    assert_eq!(exemplars(&scraper), expected);

    // An exemplar that was not stored is tried again as long as it is exposed.
    let scraper = Scraper::start(&["--max-write-retries=0"]).await;
    scraper
        .emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let target = Target::start(vec![body("a")]).await;
    let config = json!({"endpoint": target.url()});
    let report = scraper.tick_at(config.clone(), START_MS).await;
    assert!(report.error.is_some() && exemplars(&scraper).is_empty());
    scraper.tick_at(config, START_MS).await;
    assert_eq!(exemplars(&scraper), expected[..2]);
}
