//! Failures on purpose, and the admin path.

use std::time::Duration;

use timestream_emulator::{Fault, FaultKind, When};

use crate::{
    support::{DB, NEW, OLD, Service, T0, code_and_message, sample},
    wire::{http, status_and_body},
};

fn record() -> aws_sdk_timestreamwrite::types::Record {
    sample(&[("job", "a")], T0, "1")
}

#[tokio::test]
async fn ordered_errors() {
    let service = Service::start().await;
    let cases = [
        (FaultKind::Throttle, 429, "ThrottlingException"),
        (FaultKind::InternalServer, 500, "InternalServerException"),
        (FaultKind::InvalidEndpoint, 421, "InvalidEndpointException"),
        (FaultKind::AccessDenied, 403, "AccessDeniedException"),
        (FaultKind::ExpiredToken, 403, "ExpiredTokenException"),
        (
            FaultKind::Validation("no".to_owned()),
            400,
            "ValidationException",
        ),
        (
            FaultKind::QuotaExceeded,
            402,
            "ServiceQuotaExceededException",
        ),
        (FaultKind::NotFound, 404, "ResourceNotFoundException"),
    ];
    for (kind, status, code) in cases {
        service
            .emulator
            .order_fault(Fault::next("WriteRecords", 1, kind));
        let call = service.write_to(OLD);
        let error = call.records(record()).send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
        assert_eq!(code_and_message(&error).0, code);
        assert!(service.emulator.points(DB, OLD).is_empty());
    }
    assert_eq!(
        service.put(OLD, vec![record()]).await,
        1,
        "each order was for one call"
    );
    let counters = service.emulator.counters();
    assert_eq!((counters.faults, counters.calls["WriteRecords"]), (8, 9));
    assert_eq!(counters.errors["ThrottlingException"], 1);
}

#[tokio::test]
async fn faults_can_be_for_one_table() {
    let service = Service::start().await;
    service.emulator.order_fault(Fault {
        table: Some(OLD.to_owned()),
        when: When::Always,
        ..Fault::next("Query", 1, FaultKind::Throttle)
    });
    service.rows("SELECT time FROM db.new").await;
    service.rows("SELECT 1").await;
    let call = |sql: &str| service.query.query().query_string(sql).send();
    for sql in [
        "SELECT time FROM \"db\".\"old\"",
        "SHOW MEASURES FROM db.old",
        "DESCRIBE db.old",
    ] {
        assert_eq!(
            code_and_message(&call(sql).await.unwrap_err()).0,
            "ThrottlingException",
            "{sql}"
        );
    }
    service.emulator.clear_faults();
    service.rows("SELECT time FROM db.old").await;
    assert_eq!(
        service
            .put(
                NEW,
                vec![sample(&[("a", "b")], crate::support::now_ms(), "1")]
            )
            .await,
        1
    );
}

/// Returns the error code of a write, if it fails.
async fn write_code(service: &Service) -> Option<String> {
    let call = service.write_to(OLD);
    let outcome = call.records(record()).send().await;
    outcome.err().map(|error| code_and_message(&error).0)
}

#[tokio::test]
async fn faults_can_be_for_one_operation_or_database() {
    let service = Service::start().await;
    let always = |operation: Option<&str>, database: Option<&str>| Fault {
        operation: operation.map(str::to_owned),
        database: database.map(str::to_owned),
        when: When::Always,
        ..Fault::next("", 1, FaultKind::Throttle)
    };
    let cases = [
        (always(None, None), true, true, true),
        (always(Some("WriteRecords"), None), true, false, false),
        (always(None, Some(DB)), true, true, false),
        (always(None, Some("other")), false, false, false),
        (always(Some("Query"), Some(DB)), false, true, false),
        (always(Some("ListDatabases"), None), false, false, true),
    ];
    for (fault, write_fails, query_fails, list_fails) in cases {
        service.emulator.order_fault(fault.clone());
        for _ in 0..2 {
            assert_eq!(
                write_code(&service).await.is_some(),
                write_fails,
                "{fault:?}"
            );
            let query = service
                .query
                .query()
                .query_string("SELECT time FROM db.new");
            assert_eq!(query.send().await.is_err(), query_fails, "{fault:?}");
            let list = service.write.list_databases().send().await;
            assert_eq!(list.is_err(), list_fails, "{fault:?}");
        }
        service.emulator.clear_faults();
    }
}

#[tokio::test]
async fn faults_come_in_their_order_and_at_their_rate() {
    let service = Service::start().await;
    service
        .emulator
        .order_fault(Fault::next("WriteRecords", 2, FaultKind::Throttle));
    service
        .emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::InternalServer));
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(write_code(&service).await.unwrap_or_default());
    }
    let throttled = "ThrottlingException";
    assert_eq!(codes, [throttled, throttled, "InternalServerException", ""]);
    service.emulator.order_fault(Fault {
        when: When::Rate(0.5),
        ..Fault::next("WriteRecords", 1, FaultKind::Throttle)
    });
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(write_code(&service).await.is_some());
    }
    // Nine standard deviations to each side.
    assert!((37..163).contains(&failed), "{failed} of 200");
}

#[tokio::test]
async fn queries_meet_faults_of_their_own() {
    let service = Service::start().await;
    service.put(OLD, vec![record()]).await;
    let call = || {
        service
            .query
            .query()
            .query_string("SELECT time FROM db.old")
            .send()
    };
    let aborted = FaultKind::QueryExecution("aborted".to_owned());
    service
        .emulator
        .order_fault(Fault::next("Query", 1, aborted));
    let error = call().await.expect_err("the order");
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    let expected = ("QueryExecutionException".to_owned(), "aborted".to_owned());
    assert_eq!(code_and_message(&error), expected);
    for kind in [FaultKind::CutBefore, FaultKind::CutAfter] {
        service.emulator.order_fault(Fault::next("Query", 1, kind));
        let error = call().await.expect_err("the order");
        assert!(error.raw_response().is_none(), "no response: {error:?}");
    }
    let delay = Duration::from_millis(30);
    for _ in 0..2 {
        let latency = FaultKind::Latency(delay);
        service
            .emulator
            .order_fault(Fault::next("Query", 1, latency));
    }
    service
        .emulator
        .order_fault(Fault::next("Query", 1, FaultKind::ExpiredToken));
    let start = std::time::Instant::now();
    let error = call().await.expect_err("the order");
    assert!(start.elapsed() >= 2 * delay, "both delays, then the error");
    assert_eq!(code_and_message(&error).0, "ExpiredTokenException");
    assert_eq!(call().await.expect("no order is left").rows().len(), 1);
    assert_eq!(service.emulator.counters().faults, 6);
}

#[tokio::test]
async fn cut_connections_have_an_effect_or_not() {
    let service = Service::start().await;
    for (kind, stored) in [(FaultKind::CutBefore, 0), (FaultKind::CutAfter, 1)] {
        service
            .emulator
            .order_fault(Fault::next("WriteRecords", 1, kind));
        let call = service.write_to(OLD);
        let error = call.records(record()).send().await.unwrap_err();
        assert!(error.raw_response().is_none(), "no response: {error:?}");
        assert_eq!(service.emulator.points(DB, OLD).len(), stored);
    }
    assert_eq!(
        service.put(OLD, vec![record()]).await,
        1,
        "the next connection works"
    );
}

#[tokio::test]
async fn latency_delays_and_does_not_fail() {
    let service = Service::start().await;
    let delay = Duration::from_millis(50);
    service
        .emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Latency(delay)));
    let start = std::time::Instant::now();
    assert_eq!(service.put(OLD, vec![record()]).await, 1);
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn the_admin_path_needs_no_signature() {
    let service = Service::start().await;
    let url = service.emulator.url();
    assert_eq!(
        status_and_body(&http(&url, "GET", "/_emulator/health", &[], "").await).0,
        200
    );
    let order =
        r#"{"operation":"WriteRecords","database":"db","kind":"throttle","when":{"next":2}}"#;
    assert_eq!(
        status_and_body(&http(&url, "POST", "/_emulator/faults", &[], order).await).0,
        204
    );
    assert_eq!(
        service.put_error(OLD, vec![record()]).await.0,
        "ThrottlingException"
    );
    assert_eq!(
        status_and_body(&http(&url, "DELETE", "/_emulator/faults", &[], "").await).0,
        204
    );
    service.put(OLD, vec![record()]).await;
    let (status, body) = status_and_body(&http(&url, "GET", "/_emulator/counters", &[], "").await);
    let counters: serde_json::Value = serde_json::from_str(&body).expect("counters are JSON");
    assert_eq!(status, 200);
    assert_eq!(counters["points_stored"], 1);
    assert_eq!(counters["calls"]["WriteRecords"], 2);
    let wrong = http(
        &url,
        "POST",
        "/_emulator/faults",
        &[],
        r#"{"kind":"nonsense"}"#,
    )
    .await;
    assert_eq!(status_and_body(&wrong).0, 400);
}
