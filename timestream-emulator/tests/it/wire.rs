//! The protocol itself: targets, signatures, shapes of errors.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{OLD, Service, clients, code_and_message};

/// Sends one request and returns the whole response, headers and body.
pub(crate) async fn http(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the emulator listens");
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("the response is text");
    response
}

pub(crate) fn status_and_body(response: &str) -> (u16, String) {
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let (_, body) = response.split_once("\r\n\r\n").expect("head and body");
    (status, body.to_owned())
}

const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.0");

#[tokio::test]
async fn unknown_operations() {
    let service = Service::start().await;
    let url = service.emulator.url();
    let target = |name: &'static str| ("x-amz-target", name);
    let cases: [(&str, &str, &[(&str, &str)]); 6] = [
        (
            "POST",
            "/",
            &[JSON, target("Timestream_20181101.DropEverything")],
        ),
        ("POST", "/", &[JSON, target("DynamoDB_20120810.Query")]),
        ("POST", "/", &[JSON]),
        ("POST", "/", &[target("Timestream_20181101.Query")]),
        ("GET", "/", &[JSON, target("Timestream_20181101.Query")]),
        (
            "POST",
            "/other",
            &[JSON, target("Timestream_20181101.Query")],
        ),
    ];
    for (method, path, headers) in cases {
        let response = http(&url, method, path, headers, "{}").await;
        let (status, body) = status_and_body(&response);
        assert_eq!(status, 404, "{method} {path} {headers:?}");
        assert!(
            body.contains("com.amazon.coral.service#UnknownOperationException"),
            "{body}"
        );
        assert!(response.contains("x-amzn-requestid: "), "{response}");
    }
}

#[tokio::test]
async fn operations_that_are_not_played_say_so_and_what_to_do_instead() {
    let service = Service::start().await;
    let scheduled = service.query.list_scheduled_queries().send().await;
    let loads = service.write.list_batch_load_tasks().send().await;
    let errors = [
        (
            code_and_message(&scheduled.expect_err("it is rejected")),
            "ListScheduledQueries is not supported by the emulator: it has no scheduled queries",
        ),
        (
            code_and_message(&loads.expect_err("it is rejected")),
            "ListBatchLoadTasks is not supported by the emulator: it has no batch load",
        ),
    ];
    for ((code, message), expected) in errors {
        assert_eq!(code, "ValidationException");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[tokio::test]
async fn unsigned_requests() {
    let service = Service::start().await;
    let headers = [JSON, ("x-amz-target", "Timestream_20181101.Query")];
    let body = r#"{"QueryString":"SELECT 1"}"#;
    let response = http(&service.emulator.url(), "POST", "/", &headers, body).await;
    let (status, body) = status_and_body(&response);
    assert_eq!(status, 403);
    let expected = r#"{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","Message":"Missing Authentication Token"}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn wrong_credentials() {
    let service = Service::start().await;
    let cases = [
        (
            "other",
            "local",
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            "local",
            "other",
            "InvalidSignatureException",
            "The request signature we calculated does not match",
        ),
    ];
    for (key, secret, code, message) in cases {
        let (write, query) = clients(&service.emulator.url(), key, secret);
        let error = query
            .query()
            .query_string("SELECT 1")
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
        let (actual, text) = code_and_message(&error);
        assert_eq!(actual, code);
        assert!(text.starts_with(message), "{text}");
        let error = write.describe_endpoints().send().await.unwrap_err();
        assert_eq!(code_and_message(&error).0, code);
    }
}

#[tokio::test]
async fn endpoints_are_reachable_over_http() {
    let service = Service::start().await;
    let write = service.write.describe_endpoints().send().await.unwrap();
    assert_eq!(write.endpoints()[0].address(), service.emulator.url());
    assert_eq!(write.endpoints()[0].cache_period_in_minutes(), 1440);
    let query = service.query.describe_endpoints().send().await.unwrap();
    assert_eq!(query.endpoints()[0].address(), service.emulator.url());
}

#[tokio::test]
async fn errors_carry_their_text_and_a_request_id() {
    let service = Service::start().await;
    let call = service.write_to(OLD);
    let error = call.set_records(Some(Vec::new())).send().await.unwrap_err();
    let raw = error.raw_response().unwrap();
    let id = raw.headers().get("x-amzn-requestid").unwrap();
    assert!(
        id.len() == 26
            && id
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    );
    let body = std::str::from_utf8(raw.body().bytes().unwrap()).unwrap();
    assert!(
        body.contains(r#""__type":"com.amazon.coral.validate#ValidationException""#),
        "{body}"
    );
    let service_error = error.into_service_error();
    assert!(
        service_error
            .to_string()
            .contains("1 validation error detected"),
        "{service_error}"
    );
}

/// Sends a signed request with a body that no SDK would send; returns its status and error type.
async fn send_signed(
    service: &Service,
    operation: &'static str,
    body: &'static str,
) -> (u16, String) {
    let call = service.write.describe_endpoints().customize();
    let call = call.mutate_request(move |request| {
        let target = format!("Timestream_20181101.{operation}");
        request.headers_mut().insert("x-amz-target", target);
        let length = body.len().to_string();
        request.headers_mut().insert("content-length", length);
        *request.body_mut() = body.into();
    });
    let error = call.send().await.expect_err("the body is rejected");
    let raw = error.raw_response().expect("a response");
    (raw.status().as_u16(), code_and_message(&error).0)
}

#[tokio::test]
async fn bodies_that_are_not_the_requests_object() {
    let service = Service::start().await;
    let cases = [
        ("WriteRecords", ""),
        ("WriteRecords", "not JSON"),
        ("WriteRecords", "[]"),
        ("WriteRecords", r#"["db","old",null,[]]"#),
        (
            "WriteRecords",
            r#"{"DatabaseName":"db","TableName":"old","Records":{}}"#,
        ),
        (
            "WriteRecords",
            r#"{"DatabaseName":"db","TableName":"old","Records":[[]]}"#,
        ),
        (
            "WriteRecords",
            r#"{"DatabaseName":"db","TableName":"old","Records":[{"Time":1}]}"#,
        ),
        ("Query", r#"{"QueryString":1}"#),
        ("Query", r#"{"QueryString":"SELECT 1","MaxRows":"1"}"#),
        ("Query", r#"["SELECT 1"]"#),
        ("CreateDatabase", r#"["a"]"#),
        (
            "CreateTable",
            r#"{"DatabaseName":"db","TableName":"x","RetentionProperties":[6,7]}"#,
        ),
        ("ListTables", r#"{"MaxResults":1.5}"#),
        ("DescribeEndpoints", "[]"),
        ("CancelQuery", "[]"),
    ];
    for (operation, body) in cases {
        let (status, code) = send_signed(&service, operation, body).await;
        assert_eq!(
            (status, &*code),
            (400, "SerializationException"),
            "{operation} {body}"
        );
    }
}
