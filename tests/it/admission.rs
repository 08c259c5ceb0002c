//! Memory budget of requests, and the responses to senders while it is full.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Fault, FaultKind, When};
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::support::{START_MS, TestApp, query, series, write_body};

fn request(body: Body) -> Request<Body> {
    Request::post("/write").body(body).unwrap()
}

/// Returns a body that claims to decompress to so many bytes and is not snappy beyond that.
fn claiming(bytes: u32) -> Vec<u8> {
    let mut body = Vec::new();
    let mut rest = bytes;
    while rest >= 0x80 {
        body.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    body.push(rest as u8);
    body
}

/// Returns a body that is never whole. The receiver resolves once all of its bytes have been read.
fn unfinished(bytes: Vec<u8>) -> (Body, oneshot::Receiver<()>) {
    let (taken, heard) = oneshot::channel();
    let start = stream::iter([Ok::<_, Infallible>(Bytes::from(bytes))]);
    // Polled only when everything before it has been consumed.
    let rest = stream::once(async move {
        let _ = taken.send(());
        std::future::pending().await
    });
    (Body::from_stream(start.chain(rest)), heard)
}

#[tokio::test]
async fn while_other_requests_use_the_memory_the_status_is_503_and_a_resend_succeeds() {
    let flags = ["--max-request-bytes=64KiB", "--max-in-flight-bytes=1MiB"];
    let app = TestApp::start_with(&flags).await;
    let mut slow = Vec::new();
    for _ in 0..17 {
        let (body, heard) = unfinished([claiming(60_000), vec![0; 50_000]].concat());
        slow.push(tokio::spawn(app.router.clone().oneshot(request(body))));
        heard.await.unwrap();
    }
    let value = "v".repeat(1_000);
    let big = (0..50).map(|i| {
        let labels = [("__name__", "m"), ("i", &format!("{i}")), ("v", &value)];
        series(&labels, &[(START_MS, 1.0)])
    });
    let big = write_body(big.collect());
    assert!(
        big.len() < 20_000,
        "it is what it claims to decompress to that counts"
    );
    let response = app.send(request(Body::from(big.clone()))).await;
    assert_eq!(response.status, 503);
    assert!(
        response.text().contains("all of the 917504 bytes"),
        "{}",
        response.text()
    );
    assert_eq!(response.headers["retry-after"], "1");
    // A small one fits.
    let small = vec![series(&[("__name__", "m"), ("i", "1")], &[(START_MS, 1.0)])];
    app.write_ok(small).await;

    for last in slow.split_off(12) {
        last.abort();
        assert!(last.await.unwrap_err().is_cancelled());
    }
    let response = app.send(request(Body::from(big))).await;
    assert_eq!(response.status, 204, "{}", response.text());
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A request of a few bytes can decompress to a thousand times as much memory.
#[tokio::test]
async fn the_decoded_form_counts() {
    let flags = ["--max-request-bytes=64KiB", "--max-in-flight-bytes=1MiB"];
    let app = TestApp::start_with(&flags).await;
    let samples = |count: i64| {
        let samples: Vec<_> = (0..count).map(|i| (START_MS + i, 1.0)).collect();
        write_body(vec![series(&[("__name__", "m"), ("i", "1")], &samples)])
    };
    let body = samples(3_000);
    assert!(body.len() < 30_000);
    let response = app.send(request(Body::from(body))).await;
    assert_eq!(response.status, 413);
    assert!(
        response
            .text()
            .contains("decoded, it needs more than the 786432 bytes"),
        "{}",
        response.text()
    );
    let response = app.send(request(Body::from(samples(1_000)))).await;
    assert_eq!(response.status, 204, "{}", response.text());
}

/// A pattern needs memory to be compiled, and a read that must wait for it is not a bad request.
#[tokio::test]
async fn a_read_without_memory_for_its_patterns_is_503() {
    let flags = ["--max-request-bytes=64KiB", "--max-in-flight-bytes=2MiB"];
    let app = TestApp::start_with(&flags).await;
    let mut slow = Vec::new();
    for _ in 0..24 {
        let (body, heard) = unfinished([claiming(60_000), vec![0; 50_000]].concat());
        slow.push(tokio::spawn(app.router.clone().oneshot(request(body))));
        heard.await.unwrap();
    }
    let query = || {
        vec![query(&[
            (Type::Eq, "__name__", "m"),
            (Type::Re, "l", "a.*b"),
        ])]
    };
    let response = app.read_raw(query()).await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.headers["retry-after"], "1");
    assert!(response.text().contains("raise max_in_flight_bytes"));
    for other in slow {
        other.abort();
        assert!(other.await.unwrap_err().is_cancelled());
    }
    let response = app.read_raw(query()).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn a_claim_alone_takes_nothing() {
    let flags = ["--max-request-bytes=64KiB", "--max-in-flight-bytes=128KiB"];
    let app = TestApp::start_with(&flags).await;
    // Bodies that claim the most and never end.
    let mut slow = Vec::new();
    for _ in 0..20 {
        let (body, heard) = unfinished(claiming(60_000));
        slow.push(tokio::spawn(app.router.clone().oneshot(request(body))));
        heard.await.unwrap();
    }
    let response = app
        .write(vec![series(
            &[("__name__", "m"), ("i", "1")],
            &[(START_MS, 1.0)],
        )])
        .await;
    assert_eq!(response.status, 204, "{}", response.text());
    for request in slow {
        request.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_given_up() {
    let app = TestApp::start().await;
    let (body, _heard) = unfinished(claiming(1_000));
    let began = tokio::time::Instant::now();
    let response = app.send(request(body)).await;
    assert_eq!(response.status, 503);
    assert!(
        response
            .text()
            .contains("nothing of the request body arrived for 10 s"),
        "{}",
        response.text()
    );
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn senders_wait_longer_the_longer_nothing_is_stored() {
    let app = TestApp::start_with(&["--max-write-retries=0"]).await;
    let write = || {
        app.write(vec![series(
            &[("__name__", "m"), ("i", "1")],
            &[(START_MS, 1.0)],
        )])
    };
    app.emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next("WriteRecords", 1, FaultKind::Throttle)
    });
    let wait = |response: &crate::support::HttpResponse| -> u64 {
        response.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let first = write().await;
    assert_eq!((first.status.as_u16(), wait(&first)), (503, 1));
    tokio::time::timeout(Duration::from_secs(20), async {
        while wait(&write().await) < 2 {}
    })
    .await
    .expect("the wait grows");
    app.emulator.clear_faults();
    assert_eq!(write().await.status, 204);
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    assert_eq!(wait(&write().await), 1);
}
