//! `bootstrap doctor` and the server beside credentials, tables and endpoints that cannot be used.

use axum::Router;
use http::StatusCode;
use timestream_emulator::TableSpec;
use tokio::net::TcpListener;

use crate::doctor::{CHECKS, CREDENTIALS, examine, run};
use crate::standalone::{Connector, DEFAULTS};
use crate::support::{now_ms, series, start_emulator, table, write_body};

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
