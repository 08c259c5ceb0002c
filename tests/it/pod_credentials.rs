//! Credentials of a pod in EKS, from the variables that EKS adds to it: those of IRSA and those of Pod Identity.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse;
use http::{HeaderMap, Method, Uri};
use tokio::net::TcpListener;

use crate::standalone::{Connector, DEFAULTS};
use crate::support::{now_ms, series, start_emulator, table};

const ROLE: &str = "arn:aws:iam::111122223333:role/timestream-prometheus-connector";
const TOKEN: &str = "the-token-of-the-service-account";
/// A response of STS, as in its documentation.
const ASSUMED: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::111122223333:assumed-role/timestream-prometheus-connector/pod</Arn>
      <AssumedRoleId>AROACLKWSDQRAOEXAMPLE:pod</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>session-of-the-pod</SessionToken>
      <SecretAccessKey>secret-of-the-pod</SecretAccessKey>
      <Expiration>2099-01-01T00:00:00Z</Expiration>
      <AccessKeyId>ASIAPOD</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#;
const CREDENTIALS: &str = r#"{"AccessKeyId":"ASIAPOD","SecretAccessKey":"secret-of-the-pod",
    "Token":"session-of-the-pod","Expiration":"2099-01-01T00:00:00Z"}"#;

/// A request that the stand-in for AWS received.
#[derive(Clone, Debug)]
struct Received {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// Stands in for STS, the agent of Pod Identity and Timestream's writes, and records the requests. The emulator knows
/// long-term keys alone.
async fn aws() -> (String, Arc<Mutex<Vec<Received>>>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&all);
    let respond = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let request = Received {
            method,
            path: uri.path().to_owned(),
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let response = match request.header("x-amz-target") {
            "" if request.method == Method::GET => CREDENTIALS.into_response(),
            "" => ([("content-type", "text/xml")], ASSUMED).into_response(),
            _ => r#"{"RecordsIngested":{"Total":1,"MemoryStore":1,"MagneticStore":0}}"#
                .into_response(),
        };
        received.lock().unwrap().push(request);
        response
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(respond)).await });
    (url, all)
}

/// Writes a sample with these variables; returns the request for credentials, and checks that of the write.
async fn request_for_credentials(
    url: &str,
    received: &Mutex<Vec<Received>>,
    variables: &[(&str, &str)],
) -> Received {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let endpoint = format!("--write-base-endpoint={url}");
    let flags = [
        &DEFAULTS[..],
        &["--region=eu-west-1", "--metadata-table=off", &endpoint],
    ]
    .concat();
    let connector = Connector::start_with(&emulator, &flags, variables).await;
    connector
        .write(vec![series(&[("__name__", "up")], &[(now_ms(), 1.0)])])
        .await;
    let received = received.lock().unwrap().clone();
    let is_write = |it: &&Received| it.header("x-amz-target").ends_with(".WriteRecords");
    let write = received.iter().find(is_write).unwrap();
    let authorization = write.header("authorization");
    assert!(
        authorization.contains("Credential=ASIAPOD/"),
        "{authorization}"
    );
    assert_eq!(write.header("x-amz-security-token"), "session-of-the-pod");
    let request = received
        .iter()
        .find(|it| it.header("x-amz-target").is_empty());
    request.unwrap().clone()
}

#[tokio::test]
async fn the_variables_of_irsa_give_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let (url, received) = aws().await;
    let variables = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    let request = request_for_credentials(&url, &received, &variables).await;
    let form: Vec<_> = form_urlencoded::parse(request.body.as_bytes()).collect();
    for (name, value) in [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("RoleArn", ROLE),
        ("WebIdentityToken", TOKEN),
    ] {
        assert!(
            form.iter().any(|it| *it == (name.into(), value.into())),
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn the_variables_of_pod_identity_give_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let (url, received) = aws().await;
    let credentials = format!("{url}/v1/credentials");
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*credentials),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().unwrap(),
        ),
        ("AWS_REGION", "eu-west-1"),
    ];
    let request = request_for_credentials(&url, &received, &variables).await;
    assert_eq!(request.path, "/v1/credentials");
    assert_eq!(request.header("authorization"), TOKEN);
}
