//! `bootstrap doctor` and the server beside credentials, tables and endpoints that cannot be used.

use aws_sdk_timestreamwrite::types::{
    MagneticStoreWriteProperties, PartitionKey, PartitionKeyEnforcementLevel, PartitionKeyType,
    Schema,
};
use axum::Router;
use http::StatusCode;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::TableSpec;
use tokio::net::TcpListener;

use crate::doctor::{CHECKS, CREDENTIALS, examine, run};
use crate::standalone::{Connector, DEFAULTS};
use crate::support::{
    TestApp, connect, now_ms, query, series, shared_at, start_emulator, table, write_body,
};

fn tables() -> Vec<TableSpec> {
    vec![table("db", "t"), table("db", "metrics")]
}

#[tokio::test]
async fn credentials_that_no_header_can_hold_are_named_and_no_call_panics() {
    let emulator = start_emulator(tables()).await;
    let url = emulator.url();
    let flags = [&DEFAULTS[..], &["--json"]].concat();
    let cases = [
        ("AWS_ACCESS_KEY_ID", "hunter2\n", "access key"),
        ("AWS_ACCESS_KEY_ID", "hun\u{1b}ter2", "access key"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2\r\n", "secret access key"),
        ("AWS_SESSION_TOKEN", "hun\nter2", "session token"),
    ];
    for (variable, value, part) in cases {
        let mut variables = CREDENTIALS.to_vec();
        variables.extend([("AWS_ENDPOINT_URL", url.as_str()), (variable, value)]);
        let run = run(&flags, &variables).await;
        assert_eq!(run.status, Some(1), "{run:?}");
        assert_eq!(run.with("fail"), ["credentials"]);
        let text = run.text("credentials");
        for expected in [&format!("the AWS {part} has characters"), "printf does not"] {
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(run.errors, "");
        assert!(!run.output.contains("ter2"), "{run:?}");
    }
    // Others are rejected by the service.
    let key = ("AWS_ACCESS_KEY_ID", "AKID\u{e9}EXAMPLEEXAMPLE");
    let variables = [CREDENTIALS[1], ("AWS_ENDPOINT_URL", url.as_str()), key];
    let run = run(&flags, &variables).await;
    assert_eq!((run.status, run.errors.as_str()), (Some(1), ""), "{run:?}");
    assert_eq!(run.result("table db/t"), "fail", "{run:?}");

    let variables = [CREDENTIALS[1], ("AWS_ACCESS_KEY_ID", "hunter2\n")];
    let connector = Connector::start_with(&emulator, &DEFAULTS, &variables).await;
    let body = write_body(vec![series(&[("__name__", "up")], &[(now_ms(), 1.0)])]);
    assert_eq!(connector.post("/write", body).await, 503);
    let response = soak::http::get(format!("{}/api/v1/query?query=up", connector.url));
    let response = response.await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("the AWS access key has characters"), "{text}");
    let (_, log) = connector.terminate().await;
    assert!(!log.contains("panicked") && !log.contains("ter2"), "{log}");
}

#[tokio::test]
async fn the_url_of_the_credentials_is_shown_without_its_secrets() {
    let emulator = start_emulator(tables()).await;
    let urls = [
        "http://user:hunter2@192.0.2.1/x?token=hunter2",
        "http://user:hun ter2@127.0.0.1/x?token=hun ter2",
        // No server listens there.
        "http://user:hunter2@127.0.0.1:1/x?token=hunter2",
    ];
    for url in urls {
        let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)];
        let flags = [&DEFAULTS[..], &["--json"]].concat();
        let run = run(&flags, &variables).await;
        assert_eq!(run.with("fail"), ["credentials"], "{run:?}");
        let output = format!("{}{}", run.output, run.errors);
        assert!(!output.contains("ter2"), "{output}");
        let connector = Connector::start_with(&emulator, &DEFAULTS, &variables).await;
        connector.logged("bootstrap doctor").await;
        let response = soak::http::get(format!("{}/-/ready", connector.url));
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            response.text().await.unwrap(),
            "Timestream connector is not ready: no AWS credentials can be loaded; its log and bootstrap doctor \
             have the reason and the remedy.\n"
        );
        let (_, log) = connector.terminate().await;
        assert!(!log.contains("ter2"), "{log}");
    }
}

#[tokio::test]
async fn the_token_of_a_container_has_its_own_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let file = file.display().to_string();
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file),
    ];
    let run = run(&[&DEFAULTS[..], &["--json"]].concat(), &variables).await;
    assert_eq!(run.with("fail"), ["credentials"], "{run:?}");
    let text = run.text("credentials");
    for part in ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "printf does not"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Creates a table that is partitioned by a dimension.
async fn create(url: &str, table: &str, dimension: &str, level: PartitionKeyEnforcementLevel) {
    let key = PartitionKey::builder()
        .r#type(PartitionKeyType::Dimension)
        .name(dimension)
        .enforcement_in_record(level);
    let schema = Schema::builder().composite_partition_key(key.build().unwrap());
    let magnetic = MagneticStoreWriteProperties::builder().enable_magnetic_store_writes(true);
    aws_sdk_timestreamwrite::Client::new(&shared_at(url).await)
        .create_table()
        .database_name("db")
        .table_name(table)
        .magnetic_store_write_properties(magnetic.build().unwrap())
        .schema(schema.build())
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_with_a_partition_key_gets_a_test_record_with_it() {
    use PartitionKeyEnforcementLevel::{Optional, Required};
    let emulator = start_emulator(vec![TableSpec::new("db", "first")]).await;
    let url = emulator.url();
    create(&url, "t", "job", Required).await;
    create(&url, "optional", "job", Optional).await;
    create(&url, "metrics", "job", Required).await;
    let run = examine(&url, &["--default-table=optional"]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(!run.text("table db/optional").contains("job"), "{run:?}");

    let run = examine(&url, &[]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.result("test series"), "ok");
    let text = run.text("table db/t");
    assert!(
        text.contains("without the dimension job are rejected"),
        "{text}"
    );
    // Metadata has no such dimension.
    assert_eq!(run.with("warn"), ["metadata table db/metrics"]);
    let text = run.text("metadata table db/metrics");
    assert!(text.contains("set metadata_table"), "{text}");
    assert_eq!(emulator.points("db", "t").len(), 1);

    // Samples are stored and rejected accordingly, and nothing returns the test record.
    let router = connect(&emulator, &["--metadata-table=off"]).await;
    let app = TestApp { emulator, router };
    let now = now_ms();
    let labels = [("__name__", "up"), ("job", "node")];
    app.write_ok(vec![series(&labels, &[(now, 1.0)])]).await;
    let response = app.write(vec![series(&labels[..1], &[(now, 1.0)])]).await;
    assert_eq!(response.status, 419);
    let text = response.text();
    assert!(text.contains("the dimension 'job'"), "{text}");
    let mut selection = query(&[(Type::Neq, "job", "")]);
    (selection.start_timestamp_ms, selection.end_timestamp_ms) = (now - 60_000, now + 60_000);
    let found = app.read(vec![selection]).await;
    assert_eq!(found[0].len(), 1, "{found:?}");
    let range = format!("start={}&end={}", now / 1_000 - 60, now / 1_000 + 60);
    for path in ["label/job/values", "labels", "label/__name__/values"] {
        let text = app.get(&format!("/api/v1/{path}?{range}")).await.text();
        assert!(text.contains("success") && !text.contains("U__"), "{text}");
    }
}

#[tokio::test]
async fn a_discovered_endpoint_that_cannot_be_reached_is_the_one_that_is_named() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cell = dead.local_addr().unwrap().to_string();
    drop(dead);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = listener.local_addr().unwrap().to_string();
    // The period is longer than any clock.
    let found = format!(
        r#"{{"Endpoints":[{{"Address":"http://{cell}","CachePeriodInMinutes":9223372036854775807}}]}}"#
    );
    let server = Router::new().fallback(async move || found.clone());
    tokio::spawn(async { axum::serve(listener, server).await });
    let run = examine(&format!("http://{first}"), &["--endpoint-discovery=on"]).await;
    assert_eq!((run.status, run.errors.as_str()), (Some(1), ""), "{run:?}");
    assert_eq!(run.with("fail"), CHECKS[5..7]);
    for check in &CHECKS[5..7] {
        let text = run.text(check);
        assert!(text.contains(&format!("reaches {cell} ")), "{text}");
        assert!(!text.contains(&first), "{text}");
    }
}

#[tokio::test]
async fn checks_that_time_leaves_out_have_failed() {
    let emulator = start_emulator(tables()).await;
    let run = examine(&emulator.url(), &["--timeout=1ms"]).await;
    assert_eq!(run.status, Some(1), "{run:?}");
    let failed = run.with("fail");
    for check in CHECKS[5..8].iter().chain(&CHECKS[9..13]) {
        assert!(failed.iter().any(|it| it == check), "{check}: {run:?}");
        assert!(run.text(check).contains("more time: --timeout"), "{run:?}");
    }
    assert_eq!(emulator.counters().calls.get("WriteRecords"), None);
}
