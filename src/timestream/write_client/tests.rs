use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_timestreamwrite as sdk;
use aws_sdk_timestreamwrite::operation::write_records::WriteRecordsError;
use aws_smithy_types::retry::RetryConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::timestream::failure::classify;
use crate::timestream::{Discovery, TrustedRoots};

/// A server that sends scripted bytes.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    /// The heads of the requests.
    requests: Arc<Mutex<Vec<String>>>,
}

/// The response to a request, and whether the connection is closed after it.
#[derive(Clone)]
struct Scripted {
    bytes: Vec<u8>,
    closes: bool,
}

impl Server {
    /// Starts a server that sends each of the responses to one request, then the last one to all.
    async fn start(script: Vec<Scripted>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let (connections, requests) = (
            Arc::clone(&server.connections),
            Arc::clone(&server.requests),
        );
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::Relaxed);
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                tokio::spawn(async move {
                    while let Some(head) = read_request(&mut stream).await {
                        requests.lock().push(head);
                        let next = {
                            let mut script = script.lock();
                            match script.len() {
                                1 => script[0].clone(),
                                _ => script.pop_front().unwrap(),
                            }
                        };
                        // A client that has left needs no response.
                        let _ = stream.write_all(&next.bytes).await;
                        if next.closes {
                            break;
                        }
                    }
                });
            }
        });
        server
    }

    /// Returns the values of a header of all requests.
    fn headers(&self, name: &str) -> Vec<String> {
        let requests = self.requests.lock();
        let lines = requests.iter().flat_map(|head| head.lines());
        let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.map(str::to_owned).collect()
    }
}

/// Reads a request and returns its head.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}

fn response(status: &str, headers: &str, body: &str) -> Scripted {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    Scripted {
        bytes: (head + body).into_bytes(),
        closes: false,
    }
}

fn stored() -> Scripted {
    response("200 OK", "", r#"{"RecordsIngested": {"Total": 1}}"#)
}

fn shared() -> SdkConfig {
    let credentials = Credentials::new("AKID", "secret", Some("token".to_owned()), None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

fn settings() -> Settings {
    Settings {
        region: "us-east-1".to_owned(),
        write_endpoint: None,
        query_endpoint: None,
        discovery: Discovery::Off,
        roots: TrustedRoots::Bundled,
    }
}

fn client() -> WriteClient {
    WriteClient::new(&settings(), &shared())
}

async fn write(client: &WriteClient, server: &Server) -> Result<(), TimestreamError> {
    let body = Bytes::from_static(b"{}");
    client.write_records(&server.url, body, 1).await
}

/// Returns the error by which the SDK reports the same response, and the indexes of rejected records.
async fn error_of_sdk(url: &str) -> Option<(TimestreamError, Vec<i32>)> {
    let config = sdk::config::Builder::from(&shared()).endpoint_url(url);
    let client = sdk::Client::from_conf(config.build());
    let error = client
        .write_records()
        .set_records(Some(Vec::new()))
        .database_name("db")
        .table_name("t")
        .send()
        .await
        .err()?;
    let rejected = match error.as_service_error() {
        Some(WriteRecordsError::RejectedRecordsException(rejected)) => rejected
            .rejected_records()
            .iter()
            .map(|record| record.record_index)
            .collect(),
        _ => Vec::new(),
    };
    Some((classify(error), rejected))
}

#[tokio::test]
async fn errors_are_those_of_the_sdk() {
    const NAMED: &str = "x-amzn-errortype: ThrottlingException:http://a/b#c\r\n";
    let rejected = |list: &str| {
        format!(
            r#"{{"__type": "com.amazonaws.timestream#RejectedRecordsException",
                "Message": "words", "RejectedRecords": {list}}}"#
        )
    };
    let cases = [
        (
            "200 OK",
            "",
            r#"{"RecordsIngested": {"Total": 1, "MemoryStore": 1}, "x": [{}]}"#.to_owned(),
        ),
        ("200 OK", "", "<html>".to_owned()),
        (
            "200 OK",
            "",
            r#"{"RecordsIngested": {"Total": "1"}}"#.to_owned(),
        ),
        (
            "200 OK",
            "",
            r#"{"RecordsIngested": {"Total": 1}} {}"#.to_owned(),
        ),
        (
            "400 Bad Request",
            "",
            r#"{"__type": "ValidationException", "message": "words"}"#.to_owned(),
        ),
        (
            "400 Bad Request",
            "",
            r#"{"code": "a#ValidationException:b", "__type": "x"}"#.to_owned(),
        ),
        ("429 Too Many Requests", NAMED, String::new()),
        (
            "429 Too Many Requests",
            NAMED,
            r#"{"errorMessage": "words"}"#.to_owned(),
        ),
        ("429 Too Many Requests", "", r#"{"message": 7}"#.to_owned()),
        (
            "403 Forbidden",
            "",
            r#"{"__type": "ExpiredTokenException", "Message": "w"}"#.to_owned(),
        ),
        (
            "404 Not Found",
            "",
            r#"{"__type": "UnknownOperationException"}"#.to_owned(),
        ),
        (
            "421 Misdirected",
            "",
            r#"{"__type": "InvalidEndpointException"}"#.to_owned(),
        ),
        (
            "400 Bad Request",
            "",
            r#"{"__type": "SomethingNew", "Message": "w"}"#.to_owned(),
        ),
        ("404 Not Found", "", "<html>".to_owned()),
        ("404 Not Found", NAMED, "<html>".to_owned()),
        ("503 Service Unavailable", "", "<html>".to_owned()),
        ("302 Found", "location: /\r\n", "{}".to_owned()),
        ("400 Bad Request", "", "[]".to_owned()),
        (
            "419 Rejected",
            "",
            rejected(r#"[{"RecordIndex": 0, "Reason": "words"}]"#),
        ),
        (
            "419 Rejected",
            "",
            rejected(r#"[{"RecordIndex": 0, "ExistingVersion": 5, "x": {}}, {"Reason": null}]"#),
        ),
        ("419 Rejected", "", rejected("[]")),
        ("419 Rejected", "", rejected("null")),
        ("419 Rejected", "", rejected("7")),
        ("419 Rejected", "", rejected(r#"[{"RecordIndex": 7}]"#)),
        ("419 Rejected", "", rejected(r#"[{"RecordIndex": -1}]"#)),
    ];
    for (status, headers, body) in cases {
        let server = Server::start(vec![response(status, headers, &body)]).await;
        let ours = write(&client(), &server).await.err();
        let case = format!("{status} {headers} {body}: {ours:?}");
        let Some((expected, rejected)) = error_of_sdk(&server.url).await else {
            assert!(ours.is_none(), "{case}");
            continue;
        };
        let ours = ours.expect(&case);
        if expected.kind == ErrorKind::Rejected {
            let known = !rejected.is_empty() && rejected.iter().all(|&index| index == 0);
            let indexes: Vec<_> = ours.rejections.iter().map(|it| it.index as i32).collect();
            match known {
                true => assert_eq!((ours.kind, indexes), (expected.kind, rejected), "{case}"),
                false => assert_eq!(ours.kind, ErrorKind::UnexpectedResponse, "{case}"),
            }
            continue;
        }
        assert_eq!(ours.kind, expected.kind, "{case}");
        if expected.message.starts_with('w') {
            assert_eq!(ours.message, expected.message, "{case}");
        }
    }
}

#[tokio::test]
async fn rejected_records_have_reasons_and_versions() {
    let body = r#"{"__type": "RejectedRecordsException", "Message": "words", "RejectedRecords": [
        {"RecordIndex": 0, "Reason": "A record already exists", "ExistingVersion": 9}]}"#;
    let server = Server::start(vec![response("419 Rejected", "", body)]).await;
    let error = write(&client(), &server).await.unwrap_err();
    let rejection = &error.rejections[0];
    assert_eq!(rejection.message, "A record already exists");
    assert_eq!(
        rejection.reason,
        crate::timestream::RejectReason::DuplicateVersion
    );
    assert_eq!(rejection.existing_version, Some(9));
}

#[tokio::test]
async fn calls_share_a_connection_one_after_the_other() {
    let mut chunked = response("200 OK", "", "");
    chunked.bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        10\r\n{\"RecordsIngeste\r\n12\r\nd\": {\"Total\": 1}} \r\n0\r\n\r\n"
        .to_vec();
    let rejected = response(
        "429 Too Many Requests",
        "",
        r#"{"__type": "ThrottlingException"}"#,
    );
    let script = vec![stored(), chunked, rejected, stored()];
    let server = Server::start(script).await;
    let client = client();
    for is_stored in [true, true, false, true, true] {
        assert_eq!(write(&client, &server).await.is_ok(), is_stored);
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    // Calls at the same time need one each.
    let calls = (0..3).map(|_| write(&client, &server));
    for written in futures_util::future::join_all(calls).await {
        written.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn connections_that_the_server_closes_are_replaced() {
    let closing = Scripted {
        closes: true,
        ..stored()
    };
    let announced = response(
        "200 OK",
        "connection: close\r\n",
        r#"{"RecordsIngested": {"Total": 1}}"#,
    );
    let server = Server::start(vec![closing.clone(), announced, closing]).await;
    let client = client();
    for calls in 1..=5 {
        write(&client, &server).await.unwrap();
        assert_eq!(server.connections.load(Ordering::Relaxed), calls);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_it_was_idle_is_replaced_within_the_call() {
    let nothing = Scripted {
        bytes: Vec::new(),
        closes: true,
    };
    let server = Server::start(vec![stored(), nothing.clone(), stored(), nothing]).await;
    let client = client();
    write(&client, &server).await.unwrap();
    // The second request is closed without a response, the third is the same over another connection.
    write(&client, &server).await.unwrap();
    assert_eq!(server.requests.lock().len(), 3);
    // A new connection that breaks is an error.
    let error = write(&client, &server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error
            .message
            .starts_with("the connection to http://127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn broken_and_endless_responses_are_errors() {
    let partial = Scripted {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec(),
        closes: true,
    };
    let garbage = Scripted {
        bytes: b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
        closes: true,
    };
    let long = response("200 OK", "", &" ".repeat((1 << 20) + 1));
    let endless_head = Scripted {
        bytes: format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(1 << 20)).into_bytes(),
        closes: false,
    };
    for (scripted, kind) in [
        (partial, ErrorKind::Unavailable),
        (garbage, ErrorKind::Unavailable),
        (long, ErrorKind::UnexpectedResponse),
        (endless_head, ErrorKind::Unavailable),
    ] {
        let server = Server::start(vec![scripted, stored()]).await;
        let client = client();
        let error = write(&client, &server).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.source.is_some(), "{error}");
        write(&client, &server).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let body = Bytes::from_static(b"{}");
    let error = client().write_records(&url, body.clone(), 1).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let expected = format!("cannot connect to {url}/: ");
    assert!(error.message.starts_with(&expected), "{error}");
    for url in ["", "a b", "/path", "http://user:hidden@a b"] {
        let error = client().write_records(url, body.clone(), 1).await;
        let error = error.unwrap_err();
        assert!(error.message.contains("is no URL of a server"), "{error}");
        assert!(!error.message.contains("hidden"), "{error}");
    }
    let with_password = url.replace("//", "//user:hidden@");
    let error = client().write_records(&with_password, body, 1).await;
    let error = error.unwrap_err();
    assert!(error.message.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_request_has_these_headers_and_the_path_of_its_endpoint() {
    let server = Server::start(vec![stored()]).await;
    let client = client();
    write(&client, &server).await.unwrap();
    let below = format!("{}/a%20b", server.url);
    let body = Bytes::from_static(b"{}");
    client.write_records(&below, body, 1).await.unwrap();
    let requests = server.requests.lock();
    let names = |head: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut names: Vec<_> = lines.map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    };
    assert!(
        requests[0].starts_with("POST / HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].starts_with("POST /a%20b/ HTTP/1.1\r\n"),
        "{}",
        requests[1]
    );
    for head in requests.iter() {
        assert_eq!(
            names(head),
            [
                "authorization",
                "content-length",
                "content-type",
                "host",
                "user-agent",
                "x-amz-date",
                "x-amz-security-token",
                "x-amz-target"
            ]
        );
    }
}

/// Returns the header of a server whose clock is an hour ahead.
fn date_in_an_hour() -> String {
    let ahead = SystemTime::now() + Duration::from_secs(3_600);
    let date = DateTime::from(ahead).fmt(Format::HttpDate).unwrap();
    format!("date: {date}\r\n")
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_time_of_the_service() {
    let date = &date_in_an_hour();
    let rejected = response(
        "403 Forbidden",
        date,
        r#"{"__type": "InvalidSignatureException"}"#,
    );
    let stored = response("200 OK", date, r#"{"RecordsIngested": {"Total": 1}}"#);
    let server = Server::start(vec![rejected.clone(), stored.clone(), stored, rejected]).await;
    let client = client();
    write(&client, &server).await.unwrap();
    write(&client, &server).await.unwrap();
    // The time of the service does not help a second time.
    let error = write(&client, &server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    let sent = server.headers("x-amz-date");
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(sent[1..].iter().all(|later| *later > sent[0]), "{sent:?}");
}

#[tokio::test]
async fn a_time_that_does_not_help_is_forgotten() {
    let date = &date_in_an_hour();
    let rejected = response(
        "403 Forbidden",
        date,
        r#"{"__type": "ExpiredTokenException"}"#,
    );
    let cached = response(
        "403 Forbidden",
        &format!("{date}age: 7\r\n"),
        r#"{"__type": "ExpiredTokenException"}"#,
    );
    let stored = response("200 OK", date, r#"{"RecordsIngested": {"Total": 1}}"#);
    let script = vec![cached, rejected.clone(), rejected, stored.clone(), stored];
    let server = Server::start(script).await;
    let client = client();
    for is_stored in [false, false, true, true] {
        assert_eq!(write(&client, &server).await.is_ok(), is_stored);
    }
    let sent = server.headers("x-amz-date");
    assert_eq!(sent.len(), 5, "{sent:?}");
    // Only the second attempt of the second call has the other time.
    assert!(sent[2] > sent[4] && sent[3] <= sent[4], "{sent:?}");
}

#[tokio::test]
async fn many_connections_that_were_closed_while_idle_cost_no_call() {
    // More than tokio lets a task do in one poll.
    const CALLS: usize = 300;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let all_came = Arc::new(tokio::sync::Barrier::new(CALLS));
    let closed = Arc::new(tokio::sync::Barrier::new(CALLS + 1));
    let count = Arc::new(AtomicUsize::new(0));
    let (came, closing) = (Arc::clone(&all_came), Arc::clone(&closed));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (came, closing) = (Arc::clone(&came), Arc::clone(&closing));
            let is_first = count.fetch_add(1, Ordering::Relaxed) < CALLS;
            tokio::spawn(async move {
                read_request(&mut stream).await.unwrap();
                if is_first {
                    came.wait().await;
                }
                stream.write_all(&stored().bytes).await.unwrap();
                if is_first {
                    // All are idle, then all are closed.
                    closing.wait().await;
                    drop(stream);
                    closing.wait().await;
                } else {
                    read_request(&mut stream).await;
                }
            });
        }
    });
    let client = client();
    let call = || client.write_records(&url, Bytes::from_static(b"{}"), 1);
    for written in futures_util::future::join_all((0..CALLS).map(|_| call())).await {
        written.unwrap();
    }
    closed.wait().await;
    closed.wait().await;
    let written = tokio::time::timeout(Duration::from_secs(30), call()).await;
    written.expect("a closed connection is noticed").unwrap();
}
