//! Responses of receivers that are no success: which of them lose a sample, and what they show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use timestream_prometheus_connector::jobs::job::RunError;

use super::Workplace;
use super::sink::{Received, Receiver, Seen, failure, history, row, sink, store};
use crate::dead_letters::letters;

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

#[tokio::test]
async fn a_temporary_status_loses_no_sample_of_a_source() {
    for code in [408, 425, 429, 499, 500, 502, 503, 504] {
        let workplace = Workplace::start().await;
        store(&workplace, "t", history("first_total")).await;
        let receiver = Receiver::start(move |number, _| match number {
            2 | 5 => status(code),
            _ => StatusCode::NO_CONTENT,
        })
        .await;
        let source = json!({"database": "db", "table": "t"});
        let sink = sink(&receiver.url, json!({"source": source, "batch_size": 500}));
        let report = workplace.run(&*sink).await;
        assert_eq!((report.rows, report.error), (12 * 180, None), "{code}");
        assert_eq!((report.rejected, report.dead_lettered), (0, 0), "{code}");
        let seen: BTreeSet<_> = receiver.samples().into_iter().flatten().map(key).collect();
        assert_eq!(seen.len(), 12 * 180, "{code}");
    }
}

fn key((labels, time, value): Seen) -> (String, i64, u64) {
    (labels, time, value.to_bits())
}

#[tokio::test]
async fn a_status_that_is_not_about_samples_leaves_the_cursor() {
    for code in [
        302, 308, 401, 402, 403, 404, 405, 406, 410, 415, 417, 421, 423, 426, 431, 451,
    ] {
        let workplace = Workplace::start().await;
        store(&workplace, "t", history("first_total")).await;
        let receiver = Receiver::start(move |number, _| match number {
            2 => status(code),
            _ => StatusCode::NO_CONTENT,
        })
        .await;
        let source = json!({"database": "db", "table": "t"});
        let sink = sink(&receiver.url, json!({"source": source, "batch_size": 500}));
        let report = workplace.run(&*sink).await;
        assert!(failure(&report).contains(&code.to_string()), "{report:?}");
        assert_eq!((report.rows, report.rejected), (500, 0), "{code}");
        assert_eq!(receiver.requests().len(), 2, "{code}");
        assert_eq!(letters(workplace.letters.path()).len(), 0, "{code}");
        let report = workplace.run(&*sink).await;
        assert_eq!(
            (report.rows, report.error),
            (12 * 180 - 500, None),
            "{code}"
        );
    }
}

#[tokio::test]
async fn rows_that_are_handed_over_stay_with_whoever_has_them() {
    let workplace = Workplace::start().await;
    let rows = json!([row("a", "1", 1, 1.0), row("b", "1", 1, 1.0)]).to_string();
    for code in [402, 406, 410, 415, 418, 421, 431, 451] {
        let receiver = Receiver::start(move |_, _| status(code)).await;
        let report = workplace
            .push_rows(&*sink(&receiver.url, json!({})), &rows)
            .await;
        let text = failure(&report);
        assert!(text.contains("2 samples are not delivered"), "{text}");
        assert!(!report.is_settled(), "{code}");
    }
    assert_eq!(letters(workplace.letters.path()).len(), 0);
}

/// A receiver that stores what it can of a request and answers `code` if that is not all of it, as Thanos
/// does with 409: of a series it takes ascending times only, and the newest sample again.
#[derive(Clone, Default)]
struct Partial(Arc<Mutex<BTreeMap<String, BTreeMap<i64, u64>>>>);

impl Partial {
    fn take(&self, received: &Received, code: u16) -> Response {
        let mut stored = self.0.lock().unwrap();
        let mut bad = 0;
        for (labels, time, value) in &received.samples {
            let series = stored.entry(labels.clone()).or_default();
            let newest = series.last_key_value().map(|(time, value)| (*time, *value));
            match newest {
                Some((newest, _)) if *time < newest => bad += 1,
                Some((newest, held)) if *time == newest && held != value.to_bits() => bad += 1,
                _ => drop(series.insert(*time, value.to_bits())),
            }
        }
        let words = match code {
            400 => {
                "the sample has been rejected because another sample with a more recent timestamp has \
                 already been ingested and out-of-order samples are not allowed \
                 (err-mimir-sample-out-of-order). The affected sample has hunter2"
                    .to_owned()
            }
            _ => format!("store locally for endpoint 10.0.0.1:10901: add {bad} samples: out of order sample"),
        };
        match bad {
            0 => StatusCode::OK.into_response(),
            _ => (status(code), words).into_response(),
        }
    }

    fn has(&self, (labels, time, value): &Seen) -> bool {
        let stored = self.0.lock().unwrap();
        let held = stored.get(labels).and_then(|series| series.get(time));
        held == Some(&value.to_bits())
    }
}

async fn partial(receiver: &Partial, code: u16) -> Receiver {
    let inside = receiver.clone();
    Receiver::start(move |_, received| inside.take(received, code)).await
}

#[tokio::test]
async fn of_a_hundred_samples_only_the_bad_one_is_a_dead_letter() {
    for code in [400, 409, 422] {
        let workplace = Workplace::start().await;
        let stored = Partial::default();
        let receiver = partial(&stored, code).await;
        let sink = sink(&receiver.url, json!({}));
        let first = json!([row("a", "50", 1_000, 7.0)]).to_string();
        assert_eq!(workplace.push_rows(&*sink, &first).await.rows, 1);
        let rows: Vec<Value> = (0..100)
            .map(|i| row("a", &i.to_string(), if i == 50 { 5 } else { 2_000 }, 1.0))
            .collect();
        let report = workplace.push_rows(&*sink, &json!(rows).to_string()).await;
        assert_eq!((report.rows, report.rejected), (99, 1), "{code}");
        let letters = letters(workplace.letters.path());
        let [letter] = letters.as_slice() else {
            panic!("{letters:?}");
        };
        assert_eq!(letter.reason, "out_of_order");
        assert_eq!(letter.connector.as_deref(), Some("test"));
        let status = status(code).to_string();
        let phrase = match code {
            400 => "err-mimir-sample-out-of-order",
            _ => "out of order sample",
        };
        assert_eq!(letter.message, format!("{status}: {phrase}"));
        assert_eq!(letter.samples[0].timestamp_ms, 5);
        let mut sent = receiver.samples().into_iter().flatten();
        assert!(sent.all(|it| it.1 == 5 || stored.has(&it)), "{code}");
    }
}

#[tokio::test]
async fn every_sample_of_a_partly_stored_request_is_stored_or_a_letter() {
    for code in [400, 409] {
        each_sample_is_stored_or_a_letter(code).await;
    }
}

async fn each_sample_is_stored_or_a_letter(code: u16) {
    let workplace = Workplace::start().await;
    let stored = Partial::default();
    let receiver = partial(&stored, code).await;
    let sink = sink(&receiver.url, json!({}));
    let first = json!([row("a", "3", 50, 7.0)]).to_string();
    assert_eq!(workplace.push_rows(&*sink, &first).await.rows, 1);
    // Several of each series, the first ones of one of them too old.
    let rows: Vec<Value> = (0..6)
        .flat_map(|x| (45..60).map(move |time| row("a", &x.to_string(), time, 1.0)))
        .collect();
    let report = workplace.push_rows(&*sink, &json!(rows).to_string()).await;
    assert_eq!(report.rows + report.rejected, 90, "{report:?}");
    let mut kept = BTreeSet::new();
    for letter in letters(workplace.letters.path()) {
        let x = letter.labels.iter().find(|(name, _)| name == "x").unwrap();
        for sample in &letter.samples {
            kept.insert((x.1.clone(), sample.timestamp_ms));
        }
        // Where nobody can know, the letter says so.
        assert!(
            ["out of order sample", "err-mimir-sample-out-of-order"]
                .iter()
                .any(|it| letter.message.ends_with(it))
                || letter.message.contains("it may be stored"),
            "{}",
            letter.message
        );
    }
    for x in 0..6 {
        let labels = format!("{{__name__=\"a\", x=\"{x}\"}}");
        for time in 45..60 {
            let is_stored = stored.has(&(labels.clone(), time, 1.0));
            let is_kept = kept.contains(&(x.to_string(), time));
            assert!(is_stored || is_kept, "{labels} {time}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_body_is_shown_but_known_phrases() {
    let secret = "hunter2";
    let bodies = [
        format!("{secret}\n"),
        format!("out of order sample {secret} for series {{a=\"{secret}\"}}"),
        format!("(err-mimir-sample-out-of-order) {secret}"),
        format!("{{\"status\":\"ok\",\"error\":\"{secret}\",\"Token\":\"{secret}\"}}"),
    ];
    for code in [302, 400, 402, 403, 404, 409, 413, 415, 422, 429, 500] {
        for body in &bodies {
            let workplace = Workplace::start().await;
            let body = body.clone();
            let receiver = Receiver::start(move |_, _| (status(code), body.clone())).await;
            let rows = json!([row("a", "1", 1, 1.0), row("a", "1", 2, 1.0)]).to_string();
            let job = sink(&receiver.url, json!({}));
            let report = workplace.push_rows(&*job, &rows).await;
            assert!(matches!(report.error, Some(RunError::Failed(_))));
            let text = failure(&report);
            assert!(text.contains(&code.to_string()), "{text}");
            let kept = letters(workplace.letters.path());
            let shown = format!("{report:?} {kept:?}");
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_row_without_a_value_is_no_sample() {
    let workplace = Workplace::start().await;
    let receiver = Receiver::start(|_, _| StatusCode::NO_CONTENT).await;
    let name = json!({"__name__": "a"});
    let rows = json!([
        {"labels": name, "value": null, "time": 1},
        {"labels": name, "value": "NaN", "time": 2},
        {"labels": name, "value": 3, "time": "2026-08-15T17:00:00[Europe/Berlin]"},
        {"labels": name, "value": 4, "time": "2026-08-15T17:00:00[Nowhere]"},
    ]);
    let job = sink(&receiver.url, json!({}));
    let report = workplace.push_rows(&*job, &rows.to_string()).await;
    assert_eq!((report.rows, report.rejected), (2, 2));
    let text = failure(&report);
    assert!(text.contains("2 bad_row"), "{text}");
    assert!(text.contains("row 1: 'value' is null"), "{text}");
    let samples = receiver.samples().concat();
    assert!(samples[0].1 == 2 && samples[0].2.is_nan());
    assert_eq!((samples[1].1, samples[1].2), (1_786_806_000_000, 3.0));
}
