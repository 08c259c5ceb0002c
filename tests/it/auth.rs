//! Authentication: credentials, and the web configuration file with its changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode};
use tempfile::TempDir;

use crate::standalone::{Connector, command};
use crate::support::{HttpResponse, START_MS, TestApp, series, start_emulator, table};

/// Hashes with bcrypt at its lowest cost.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Replaces a file as careful programs do: the new version takes its place at once.
pub(crate) fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

impl TestApp {
    async fn get_as(&self, path: &str, authorization: &str) -> HttpResponse {
        let request = Request::get(path).header("authorization", authorization);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn a_credential_opens_and_nothing_else_does() {
    let users = format!("--basic-auth-users=alice:{},bob:{}", hash("a:b"), hash("b"));
    let token = "--bearer-token=t0ken";
    let both: &[&str] = &["Basic ", "Bearer "];
    let cases: [(&[&str], Vec<(String, bool)>, &[&str], &str); 3] = [
        (
            &[&users],
            vec![
                (basic("alice", "a:b"), true),
                (basic("alice", "a:b"), true),
                (basic("bob", "b"), true),
                (basic("alice", "b"), false),
                (basic("carol", "b"), false),
                ("Bearer t0ken".to_owned(), false),
                ("Basic ???".to_owned(), false),
            ],
            &both[..1],
            "set basic_auth in remote_read or scrape_configs",
        ),
        (
            &[token],
            vec![
                ("Bearer t0ken".to_owned(), true),
                ("Bearer t0kem".to_owned(), false),
                (basic("alice", "a:b"), false),
            ],
            &both[1..],
            "set authorization with the token as credentials in remote_read or scrape_configs",
        ),
        (
            &[&users, token],
            vec![
                ("Bearer t0ken".to_owned(), true),
                (basic("alice", "a:b"), true),
                (basic("alice", "t0ken"), false),
            ],
            both,
            "set basic_auth, or authorization",
        ),
    ];
    for (flags, authorizations, schemes, remedy) in cases {
        let app = TestApp::start_with(flags).await;
        for (authorization, expected) in authorizations {
            let response = app.get_as("/metrics", &authorization).await;
            let status = if expected {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            };
            assert_eq!(response.status, status, "{authorization} {flags:?}");
        }
        let response = app.get("/metrics").await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        let text = response.text();
        assert!(
            text.starts_with("AuthenticationError: the request has no Authorization header; "),
            "{text}"
        );
        assert!(text.contains(remedy), "{text}");
        let challenges: Vec<&str> = response
            .headers
            .get_all("www-authenticate")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(challenges.len(), schemes.len(), "{challenges:?}");
        for (challenge, scheme) in challenges.iter().zip(schemes) {
            assert!(challenge.starts_with(scheme), "{challenge} {scheme}");
        }
    }
}

#[tokio::test]
async fn every_route_but_health_needs_the_credential() {
    let app = TestApp::start_with(&["--bearer-token=t0ken"]).await;
    let cases = [
        (Method::POST, "/write", false),
        (Method::POST, "/read", false),
        (Method::GET, "/write", false),
        (Method::GET, "/metrics", false),
        (Method::GET, "/", false),
        (Method::GET, "/query", false),
        (Method::GET, "/nowhere", false),
        (Method::GET, "/-/healthy/", false),
        (Method::GET, "//-/healthy", false),
        (Method::GET, "/-/healthy", true),
        (Method::GET, "/-/ready", true),
    ];
    for (method, path, open) in cases {
        let request = Request::builder().method(&method).uri(path);
        let response = app.send(request.body(Body::empty()).unwrap()).await;
        let rejected = response.status == StatusCode::UNAUTHORIZED;
        assert_eq!(rejected, !open, "{method} {path}: {}", response.status);
    }
    assert_eq!(app.emulator.points("db", "t").len(), 0);
}

#[tokio::test]
async fn strangers_are_one_entry_among_the_last_errors() {
    let app = TestApp::start_with(&["--bearer-token=t0ken"]).await;
    let send = async |path: String, name: &str, value: &str| {
        let request = Request::builder().uri(path).header(name, value);
        let response = app.send(request.body(Body::empty()).unwrap()).await;
        (response.status.as_u16(), response.text())
    };
    // A browser sends no credential before it has seen the challenge.
    let (status, _) = send("/".to_owned(), "accept", "text/html,*/*;q=0.8").await;
    assert_eq!(status, 401);
    let (_, page) = send("/".to_owned(), "authorization", "Bearer t0ken").await;
    assert!(page.contains("None since the start."), "{page}");
    for number in 0..30 {
        let path = format!("/rubbish-{number}");
        let (status, _) = send(path, "authorization", &format!("Bearer rubbish-{number}")).await;
        assert_eq!(status, 401);
    }
    let (_, page) = send("/".to_owned(), "authorization", "Bearer t0ken").await;
    assert_eq!(page.matches("<p><b>").count(), 1, "{page}");
    assert!(page.contains("30 times since"), "{page}");
    assert!(page.contains("the bearer token is wrong"), "{page}");
    assert!(!page.contains("rubbish"), "{page}");
}

#[tokio::test]
async fn tokens_for_reading_and_writing_open_their_side() {
    const ALL: &str = "Bearer a-token";
    const READ: &str = "Bearer r-token";
    const WRITE: &str = "Bearer w-token";
    let users = format!("--basic-auth-users=alice:{}", hash("a"));
    let flags = [
        "--bearer-token=a-token",
        "--read-bearer-token=r-token",
        "--write-bearer-token=w-token",
        &users,
    ];
    let user = &basic("alice", "a");
    /// The routes, each with a header that it may need, by what opens them.
    type Routes = [(&'static str, &'static str, &'static str)];
    const READ_VERSION: &str = "x-prometheus-remote-read-version";
    const WRITE_VERSION: &str = "x-prometheus-remote-write-version";
    let reading: &Routes = &[
        ("POST", "/read", ""),
        ("GET", "/read", ""),
        ("POST", "/read", WRITE_VERSION),
        ("POST", "/api/v1/read", ""),
        ("POST", "/api/v1/read", WRITE_VERSION),
        ("GET", "/query", ""),
        ("GET", "/", ""),
        ("GET", "/metrics", ""),
        ("GET", "/query", ""),
        ("GET", "/api/v1/query?query=1", ""),
        ("POST", "/api/v1/query", ""),
        ("GET", "/api/v1/query_range", ""),
        ("GET", "/api/v1/format_query?query=1", ""),
        ("GET", "/api/v1/query_exemplars", ""),
        ("GET", "/api/v1/parse_query", ""),
        ("GET", "/api/v1/series", ""),
        ("GET", "/api/v1/labels", ""),
        ("GET", "/api/v1/label/job/values", ""),
        ("GET", "/api/v1/metadata", ""),
        ("GET", "/api/v1/status/buildinfo", ""),
        ("GET", "/api/v1/status/flags", ""),
        ("GET", "/api/v1/status/config", ""),
        ("GET", "/api/v1/features", ""),
        ("GET", "/api/v1/rules", ""),
        ("GET", "/api/v1/alerts", ""),
        ("GET", "/api/v1/targets", ""),
        ("POST", "/api/v1/series", ""),
        ("POST", "/api/v1/labels", ""),
        ("DELETE", "/api/v1/query", ""),
        ("POST", "/elsewhere", READ_VERSION),
        ("POST", "/", READ_VERSION),
        ("POST", "/metrics", READ_VERSION),
    ];
    let writing: &Routes = &[
        ("POST", "/write", ""),
        ("GET", "/write", ""),
        ("POST", "/write", READ_VERSION),
        ("POST", "/api/v1/write", ""),
        ("GET", "/api/v1/write", ""),
        ("POST", "/api/v1/write", READ_VERSION),
        ("POST", "/elsewhere", WRITE_VERSION),
        ("POST", "/", WRITE_VERSION),
        ("POST", "/metrics", WRITE_VERSION),
    ];
    let all: &Routes = &[
        ("GET", "/v1/connectors", ""),
        ("POST", "/v1/connectors", ""),
        ("POST", "/v1/connectors/x/trigger", ""),
    ];
    // Paths that serve nothing without a header.
    let any: &Routes = &[
        ("GET", "/elsewhere", ""),
        ("POST", "/elsewhere", ""),
        ("POST", "/", ""),
    ];
    let groups: [(&Routes, [bool; 2]); 4] = [
        (reading, [true, false]),
        (writing, [false, true]),
        (all, [false, false]),
        (any, [true, true]),
    ];
    let app = TestApp::start_with(&flags).await;
    for (routes, [read, write]) in groups {
        for &(method, path, header) in routes {
            let credentials = [
                (ALL, 200),
                (user, 200),
                (READ, if read { 200 } else { 403 }),
                (WRITE, if write { 200 } else { 403 }),
                ("Bearer x-token", 401),
                ("Bearer r-toke", 401),
                ("Bearer ", 401),
                ("", 401),
            ];
            for (authorization, expected) in credentials {
                let mut request = Request::builder().method(method).uri(path);
                if !header.is_empty() {
                    request = request.header(header, "0.1.0");
                }
                if !authorization.is_empty() {
                    request = request.header("authorization", authorization);
                }
                let response = app.send(request.body(Body::empty()).unwrap()).await;
                let case = format!("{method} {path} {header} {authorization}");
                let found = match response.status.as_u16() {
                    status @ (401 | 403) => status,
                    // What the routes respond is the matter of other tests.
                    _ => 200,
                };
                assert_eq!(found, expected, "{case}: {}", response.text());
                let text = response.text();
                let remedy = match (found, authorization == READ) {
                    (403, _) if path.starts_with("/v1/") => {
                        "use the token of bearer_token, or a user"
                    }
                    (403, true) => "this route writes; use the token of write_bearer_token",
                    (403, false) => "this route reads; use the token of read_bearer_token",
                    _ => "",
                };
                assert!(text.contains(remedy), "{case}: {text}");
                assert!(!text.contains("-token"), "{case}: {text}");
                let challenges = response.headers.get_all("www-authenticate");
                let challenged = if found == 401 { 2 } else { 0 };
                assert_eq!(challenges.iter().count(), challenged, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn the_token_for_administration_alone_changes_jobs() {
    let app = TestApp::start_with(&[
        "--bearer-token=all-token",
        "--read-bearer-token=r-token",
        "--write-bearer-token=w-token",
        "--admin-bearer-token=a-token",
        &format!("--basic-auth-users=alice:{}", hash("a")),
    ])
    .await;
    let user = basic("alice", "a");
    let cases = [
        ("Bearer all-token", [true, true, false]),
        (&user, [true, true, false]),
        ("Bearer r-token", [true, false, false]),
        ("Bearer w-token", [false, true, false]),
        ("Bearer a-token", [false, false, true]),
    ];
    for (authorization, opened) in cases {
        let routes = ["/read", "/write", "/v1/connectors"];
        for (path, is_open) in routes.into_iter().zip(opened) {
            let request = Request::post(path).header("authorization", authorization);
            let response = app.send(request.body(Body::empty()).unwrap()).await;
            let text = response.text();
            let case = format!("{path} {authorization}: {text}");
            assert_eq!(response.status != 403, is_open, "{case}");
            assert!(response.status != 401, "{case}");
            if !is_open {
                let remedy = match path {
                    "/v1/connectors" => "; use the token of admin_bearer_token",
                    "/read" => "; use the token of read_bearer_token or bearer_token",
                    _ => "; use the token of write_bearer_token or bearer_token",
                };
                assert!(text.contains(remedy), "{case}");
            }
        }
    }
    let response = app.get("/v1/connectors").await;
    assert_eq!(response.status, 401);
    let text = response.text();
    assert!(text.contains("the token of admin_bearer_token"), "{text}");
}

#[tokio::test]
async fn a_token_for_administration_alone_opens_neither_side() {
    let app = TestApp::start_with(&["--admin-bearer-token=a-token"]).await;
    for path in ["/read", "/write"] {
        let request = Request::post(path).header("authorization", "Bearer a-token");
        let response = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, 403, "{path}: {}", response.text());
    }
}

#[tokio::test]
async fn a_token_for_one_side_leaves_the_other_side_closed() {
    for (flag, open, closed) in [
        ("--read-bearer-token=t0ken", "/read", "/write"),
        ("--write-bearer-token=t0ken", "/write", "/read"),
    ] {
        let app = TestApp::start_with(&[flag]).await;
        for (path, authorization, expected) in [
            (open, "Bearer t0ken", 400),
            (closed, "Bearer t0ken", 403),
            (closed, "Bearer other", 401),
            ("/v1/connectors", "Bearer t0ken", 403),
        ] {
            let request = Request::post(path).header("authorization", authorization);
            let response = app.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                response.status,
                expected,
                "{flag} {path}: {}",
                response.text()
            );
        }
        for path in [open, closed, "/v1/connectors", "/elsewhere"] {
            assert_eq!(app.get(path).await.status, 401, "{flag} {path}");
        }
    }
}

#[tokio::test]
async fn a_side_that_no_credential_opens_is_a_warning() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    for (flags, closed) in [
        (&["--read-bearer-token=r"][..], Some("write")),
        (&["--write-bearer-token=w"], Some("read")),
        (&["--read-bearer-token=r", "--write-bearer-token=w"], None),
        (&["--read-bearer-token=r", "--bearer-token=a"], None),
    ] {
        let (_, log) = Connector::start(&emulator, flags).await.terminate().await;
        let warning =
            |side: &str| log.contains(&format!("No credential opens the routes that {side}"));
        for side in ["read", "write"] {
            assert_eq!(warning(side), closed == Some(side), "{flags:?}: {log}");
        }
    }
}

#[tokio::test]
async fn a_rejected_body_is_not_read() {
    let app = TestApp::start_with(&["--bearer-token=t0ken"]).await;
    let read = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = read.clone();
    let body = Body::from_stream(futures_util::stream::poll_fn(move |_| {
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        std::task::Poll::Ready(None::<Result<Bytes, std::convert::Infallible>>)
    }));
    let request = Request::post("/write").header("authorization", "Bearer wrong");
    let response = app.send(request.body(body).unwrap()).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert!(!read.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test]
async fn the_web_configuration_file_is_followed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web.yml");
    let users = |user: &str, password: &str| {
        format!(
            "basic_auth_users: {{{user}: {}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n",
            hash(password)
        )
    };
    replace(&path, &users("alice", "a"));
    let option = format!("--basic-auth-users=root:{}", hash("r"));
    let file = format!("--web.config.file={}", path.display());
    let app = TestApp::start_with(&[&option, &file]).await;
    let status = async |user: &str, password: &str| {
        let response = app.get_as("/metrics", &basic(user, password)).await;
        response.status.as_u16()
    };
    assert_eq!(status("root", "r").await, 200);
    assert_eq!(status("alice", "a").await, 200);
    for path in ["/-/healthy", "/metrics", "/nowhere"] {
        assert_eq!(app.get(path).await.headers["x-frame-options"], "deny");
    }

    replace(&path, &users("alice", "b"));
    assert_eq!(status("alice", "a").await, 401);
    assert_eq!(status("alice", "b").await, 200);

    replace(&path, &users("bob", "b"));
    assert_eq!(status("alice", "b").await, 401);
    assert_eq!(status("bob", "b").await, 200);

    // An invalid file changes nothing, for any error.
    for broken in ["basic_auth_users: [", "basic_auth_users: {bob: b}", "x: 1"] {
        replace(&path, broken);
        assert_eq!(status("bob", "b").await, 200, "{broken}");
        assert_eq!(status("alice", "b").await, 401, "{broken}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status("bob", "b").await, 200);
    replace(&path, &users("alice", "c"));
    assert_eq!(status("alice", "c").await, 200);
    // The user of the option remains, so this is allowed.
    replace(&path, "");
    assert_eq!(status("alice", "c").await, 401);
    assert_eq!(status("root", "r").await, 200);
}

#[tokio::test]
async fn an_emptied_file_does_not_open_the_server() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web.yml");
    let alice = format!("basic_auth_users: {{alice: {}}}", hash("a"));
    replace(&path, &alice);
    let file = format!("--web.config.file={}", path.display());
    let app = TestApp::start_with(&[&file]).await;
    replace(&path, "");
    let response = app.get("/metrics").await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    let response = app.get_as("/metrics", &basic("alice", "a")).await;
    assert_eq!(response.status, StatusCode::OK);
}

/// Runs the binary until it has judged its configuration.
async fn check(flags: &[&str]) -> (Option<i32>, String) {
    let common = [
        "--check-config",
        "--default-database=db",
        "--default-table=t",
    ];
    let output = command(&[&common, flags].concat()).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[tokio::test]
async fn errors_are_reported_with_those_of_other_options_and_without_secrets() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web.yml");
    replace(
        &path,
        "tls_server_config: {cert_file: no.crt, key_file: no.key}\nbasic_auth_users: {alice: secret}\nbasic_auth: {}\n",
    );
    let file = format!("--web.config.file={}", path.display());
    let (status, text) = check(&[
        "--max-retries=x",
        "--basic-auth-users=bob:secret",
        "--bearer-token=a secret",
        "--read-bearer-token=another secret",
        &file,
    ])
    .await;
    assert_eq!(status, Some(2), "{text}");
    let start = format!("InvalidOptionError: --web.config.file (web_config_file) is {path:?}: ");
    let starts = [
        "ParseRetriesError: --max-retries (max_retries) is \"x\"".to_owned(),
        "InvalidOptionError: --basic-auth-users (basic_auth_users) is not valid (its value is not \
         shown); expected user:bcrypt-hash"
            .to_owned(),
        "InvalidOptionError: --bearer-token (bearer_token) is not valid".to_owned(),
        "InvalidOptionError: --read-bearer-token (read_bearer_token) is not valid".to_owned(),
        format!(
            "{start}basic_auth_users: the hash of user \"alice\" is not a bcrypt hash; make one with htpasswd -nBC 10"
        ),
        format!("{start}basic_auth is unknown; expected one of tls_server_config,"),
    ];
    for start in &starts {
        assert!(
            text.lines().any(|line| line.starts_with(start)),
            "{start}\n{text}"
        );
    }
    assert_eq!(text.lines().count(), starts.len(), "{text}");
    assert!(!text.contains("secret"), "{text}");

    replace(
        &path,
        "tls_server_config: {cert_file: no.crt, key: nonsense, client_ca_file: no.ca, client_auth_type: RequireAndVerifyClientCert}",
    );
    let (status, text) = check(&[&file]).await;
    assert_eq!(status, Some(2), "{text}");
    for error in [
        format!(
            "cert_file {}/no.crt: No such file",
            directory.path().display()
        ),
        "tls_server_config.key: no private key found; expected one in PEM".to_owned(),
        format!(
            "client_ca_file {}/no.ca: No such file",
            directory.path().display()
        ),
    ] {
        assert!(text.contains(&error), "{error}\n{text}");
    }
    let (status, text) = check(&["--web.config.file=/nowhere/web.yml"]).await;
    assert_eq!(status, Some(2));
    assert!(
        text.contains("\"/nowhere/web.yml\": cannot be read: No such file"),
        "{text}"
    );
}

#[tokio::test]
async fn an_open_server_warns_and_a_rejected_request_is_logged_without_secrets() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    for (flags, warns) in [
        (&["--web.listen-address=0.0.0.0:0"][..], true),
        (&["--web.listen-address=127.0.0.1:0"], false),
        (
            &["--web.listen-address=0.0.0.0:0", "--bearer-token=t0ken"],
            false,
        ),
    ] {
        let connector = Connector::start(&emulator, flags).await;
        let client = soak::http::client();
        let url = connector.url.replace("0.0.0.0", "127.0.0.1");
        let request = client.get(format!("{url}/nowhere")).bearer_auth("a-secret");
        let status = request.send().await.unwrap().status();
        let (_, log) = connector.terminate().await;
        assert_eq!(
            log.contains("Authentication is not configured"),
            warns,
            "{log}"
        );
        if flags.len() == 2 {
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(
                log.contains("error=\"the bearer token is wrong\" status=401 path=/nowhere"),
                "{log}"
            );
            let line = log.lines().find(|line| line.contains("status=401"));
            assert!(line.unwrap().starts_with("level=warn "), "{log}");
            assert!(!log.contains("t0ken") && !log.contains("a-secret"), "{log}");
        }
    }
}

#[tokio::test]
async fn without_credentials_no_header_is_checked() {
    let app = TestApp::start().await;
    app.write_ok(vec![series(
        &[("__name__", "up"), ("job", "a")],
        &[(START_MS, 1.0)],
    )])
    .await;
    let response = app.get_as("/metrics", "Bearer anything").await;
    assert_eq!(response.status, StatusCode::OK);
}

/// Sends a request from an address of this machine, on a connection of its own.
async fn get_from(from: [u8; 4], url: &str, authorization: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

// Other systems have no second loopback address.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_passwords_does_not_keep_users_elsewhere_waiting() {
    const CONNECTIONS: usize = 400;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let users = format!(
        "--basic-auth-users=alice:{}",
        bcrypt::hash("right", 10).unwrap()
    );
    let connector = Connector::start(&emulator, &[&users, "--bearer-token=t0ken"]).await;
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let mut flood = tokio::task::JoinSet::new();
    for index in 0..CONNECTIONS {
        let (url, is_over) = (connector.url.clone(), Arc::clone(&is_over));
        let sent = Arc::clone(&sent);
        flood.spawn(async move {
            let (mut rejected, mut crowded) = (0_u64, 0_u64);
            while !is_over.load(Ordering::SeqCst) {
                sent.fetch_add(1, Ordering::SeqCst);
                let wrong = basic("alice", &format!("wrong {index}"));
                let response = get_from([127, 0, 0, 1], &url, &wrong).await;
                match response.get(..12) {
                    Some("HTTP/1.1 401") => rejected += 1,
                    Some("HTTP/1.1 503") => {
                        assert!(response.contains("retry-after: 1\r\n"), "{response}");
                        assert!(response.contains("AuthenticationBusyError: "), "{response}");
                        crowded += 1;
                        // As a sender that reads the header, but impatient.
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    _ => panic!("{response}"),
                }
            }
            (rejected, crowded)
        });
    }
    let counted = async || {
        let text = get_from([127, 0, 0, 1], &connector.url, "Bearer t0ken").await;
        let name = "timestream_connector_rejected_credentials_total ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.expect("the metric is there").parse::<u64>().unwrap()
    };
    while sent.load(Ordering::SeqCst) < CONNECTIONS || counted().await < 4 {
        assert!(began.elapsed() < Duration::from_secs(60), "no flood");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sent = Instant::now();
    let response = get_from([127, 0, 0, 2], &connector.url, &basic("alice", "right")).await;
    let waited = sent.elapsed();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    is_over.store(true, Ordering::SeqCst);
    let results = flood.join_all().await;
    let rejected: u64 = results.iter().map(|(rejected, _)| rejected).sum();
    let crowded: u64 = results.iter().map(|(_, crowded)| crowded).sum();
    assert!(crowded > 0, "all attempts were admitted");
    assert_eq!(counted().await, rejected);
    let lines_at_most = began.elapsed().as_secs() / 10 + 1;
    let (_, log) = connector.terminate().await;
    let lines = log.lines().filter(|line| line.contains("status=401"));
    let lines = lines.count() as u64;
    assert!((1..=lines_at_most).contains(&lines), "{log}");
}
