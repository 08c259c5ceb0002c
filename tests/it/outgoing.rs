//! Calls of jobs of all types to their servers: headers, TLS, and the addresses that nothing calls.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use timestream_emulator::Emulator;
use timestream_prometheus_connector::entry::build::Parts;
use timestream_prometheus_connector::jobs::client::Client;
use timestream_prometheus_connector::jobs::job::{Job, JobContext, Report, RunError, Tally};
use timestream_prometheus_connector::jobs::kinds::{scrape, sink, sync};
use timestream_prometheus_connector::jobs::secret::Secrets;
use timestream_prometheus_connector::storage::destination::Destination;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use crate::jobs::Memory;
use crate::standalone::{DEFAULTS, command};
use crate::support::{configuration, parts, start_emulator, table};
use crate::tls::{Authority, Identity, authority, identity};

mod examples;

/// A request as a server saw it.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Request line and headers, in lower case.
    head: String,
    /// The name that TLS asked for.
    asked_for: Option<String>,
    /// The client's certificate.
    client: Option<Vec<u8>>,
}

impl Seen {
    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|it| it == line)
    }
}

/// A server that answers each path as ordered.
struct Server {
    /// With scheme and port.
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Respond = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl Server {
    async fn start(
        tls: Option<ServerConfig>,
        respond: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let respond: Respond = Arc::new(respond);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (respond, seen) = (Arc::clone(&respond), Arc::clone(&shared));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Some(acceptor) = acceptor else {
                        return serve(stream, Seen::default(), &seen, &respond).await;
                    };
                    // A client that does not trust the certificate ends the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let session = stream.get_ref().1;
                        let client = session.peer_certificates().map(|it| it[0].to_vec());
                        let about = Seen {
                            asked_for: session.server_name().map(str::to_owned),
                            client,
                            ..Seen::default()
                        };
                        serve(stream, about, &seen, &respond).await;
                    }
                });
            }
        });
        Self {
            url: format!("{scheme}://127.0.0.1:{port}"),
            seen,
        }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn last(&self) -> Seen {
        self.seen().last().cloned().expect("it was called")
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    about: Seen,
    seen: &Mutex<Vec<Seen>>,
    respond: &Respond,
) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(Seen { head, ..about });
    let _ = stream.write_all(respond(&path).as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn response(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn redirect(to: &str) -> String {
    response(302, &format!("location: {to}\r\n"), "")
}

/// A successful response for each type of definition.
fn success(path: &str) -> String {
    if path.starts_with("/metrics") {
        return response(200, "content-type: text/plain; version=0.0.4\r\n", "a 1\n");
    }
    if path.contains("/write") {
        return response(204, "", "");
    }
    let data = match path {
        _ if path.contains("__name__/values") => "[]",
        _ if path.contains("targets/metadata") => "[]",
        _ if path.contains("metadata") => "{}",
        _ => r#"{"resultType":"matrix","result":[]}"#,
    };
    let body = format!(r#"{{"status":"success","data":{data}}}"#);
    response(200, "content-type: application/json\r\n", &body)
}

/// Something to run definitions with.
struct Place {
    /// Kept for its server.
    _emulator: Emulator,
    parts: Parts,
    http: Client,
    folder: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scrape,
    Sync,
    Sink,
}

const KINDS: [Kind; 3] = [Kind::Scrape, Kind::Sync, Kind::Sink];

impl Kind {
    /// The `config` of a definition whose server is at `url`, and what else it has.
    fn config(self, url: &str, more: &Value) -> Value {
        let mut config = match self {
            Self::Scrape => json!({"endpoint": format!("{url}/metrics")}),
            Self::Sync => json!({"prometheus_url": url, "metrics_filter": "up"}),
            Self::Sink => json!({
                "url": format!("{url}/api/v1/write"), "key_label": "l", "key_value": "v", "retry": 2,
                "retry_backoff_multiplier_ms": 1,
            }),
        };
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    fn parse(self, config: &Value) -> Result<Box<dyn Job>, String> {
        let parsed = match self {
            Self::Scrape => scrape::parse(config),
            Self::Sync => sync::parse(config),
            Self::Sink => sink::parse(config),
        };
        parsed.map_err(|errors| errors.to_string())
    }
}

impl Place {
    async fn start() -> Self {
        let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
        Self {
            parts: parts(&configuration(&emulator.url(), &[])).await,
            _emulator: emulator,
            http: Client::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    async fn run(&self, kind: Kind, url: &str, more: Value) -> Report {
        self.run_config(kind, &kind.config(url, &more)).await
    }

    async fn run_config(&self, kind: Kind, config: &Value) -> Report {
        let rows = (kind == Kind::Sink).then_some(r#"{"l": {"__name__": "up"}, "v": 1}"#);
        self.perform(&*kind.parse(config).unwrap(), rows).await
    }

    async fn push_rows(&self, config: &Value, rows: &str) -> Report {
        self.perform(&*Kind::Sink.parse(config).unwrap(), Some(rows))
            .await
    }

    async fn perform(&self, job: &dyn Job, rows: Option<&str>) -> Report {
        let secrets = Secrets::new(Some(self.folder.path().to_owned()), |name| {
            (name == "TOKEN").then(|| "t0ken".to_owned())
        });
        let stop = CancellationToken::new();
        let run = JobContext {
            name: "test",
            destination: &Destination {
                database: "db".to_owned(),
                table: "t".to_owned(),
            },
            scheduled_for: Timestamp::now(),
            deadline: None,
            stop: &stop,
            ingester: &self.parts.ingester,
            querier: &self.parts.querier,
            http: &self.http,
            secrets: &secrets,
            cursors: &Memory::default(),
            progress: &(),
            tally: &Tally::default(),
            now: Timestamp::now,
        };
        match rows {
            Some(rows) => job.push_rows(&run, rows.as_bytes()).unwrap().await,
            None => job.run(&run).await,
        }
    }
}

fn error(report: &Report) -> String {
    match &report.error {
        Some(error) => error.to_string(),
        None => panic!("it succeeded: {report:?}"),
    }
}

fn server_tls(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

fn tls_of(identity: &Identity) -> ServerConfig {
    server_tls(vec![identity.certificate.der().clone()], &identity.key)
}

/// As `openssl req -x509` makes it: it signs itself, and says that it is an authority.
pub(crate) fn self_signed(name: &str) -> Identity {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity { certificate, key }
}

#[tokio::test]
async fn headers_go_with_every_request_and_to_no_other_server() {
    let place = Place::start().await;
    let other = Server::start(None, success).await;
    let to = other.url.clone();
    let server = Server::start(None, move |path| match path {
        _ if path.starts_with("/away") => redirect(&format!("{to}{}", &path["/away".len()..])),
        _ if path.starts_with("/here") => redirect(&path["/here".len()..]),
        _ => success(path),
    })
    .await;
    let secrets = |kind: Kind| {
        let mut more = json!({"headers": {"X-Scope-OrgID": "team-a", "X-Api-Key": "$env:TOKEN"}});
        match kind {
            Kind::Sync => more["bearer_token"] = json!("$env:TOKEN"),
            _ => more["auth"] = json!({"type": "bearer", "token_ref": "$env:TOKEN"}),
        }
        more
    };
    let lines = [
        "x-scope-orgid: team-a",
        "x-api-key: t0ken",
        "authorization: bearer t0ken",
    ];
    for kind in KINDS {
        let report = place.run(kind, &server.url, secrets(kind)).await;
        assert_eq!(report.error, None, "{kind:?}");
        let seen = server.last();
        assert!(lines.iter().all(|line| seen.has(line)), "{seen:?}");
    }
    // A sink follows no redirect at all.
    for kind in [Kind::Scrape, Kind::Sync] {
        for (path, at, has_secrets) in [("/here", &server, true), ("/away", &other, false)] {
            let url = format!("{}{path}", server.url);
            let report = place.run(kind, &url, secrets(kind)).await;
            assert_eq!(report.error, None, "{kind:?} {path}");
            let seen = at.last();
            assert!(!seen.head.contains(path), "{seen:?}");
            for line in lines {
                assert_eq!(seen.has(line), has_secrets, "{kind:?} {path} {seen:?}");
            }
        }
    }
    let url = format!("{}/away", server.url);
    let calls = other.seen().len();
    let report = place.run(Kind::Sink, &url, secrets(Kind::Sink)).await;
    assert!(error(&report).contains("302"), "{report:?}");
    assert_eq!(other.seen().len(), calls);
}

#[tokio::test]
async fn redirects_have_an_end() {
    let place = Place::start().await;
    let server = Server::start(None, |_| redirect("/metrics")).await;
    let report = place.run(Kind::Scrape, &server.url, json!({})).await;
    assert_eq!(error(&report), "more than 10 redirects");
    assert_eq!(server.seen().len(), 11);
    let server = Server::start(None, |_| redirect("file:///hunter2")).await;
    let report = place.run(Kind::Scrape, &server.url, json!({})).await;
    let text = "a redirect leads to what is no URL of http or https";
    assert_eq!(error(&report), text);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn metadata_is_called_neither_directly_nor_after_a_redirect() {
    let place = Place::start().await;
    let urls = [
        "http://169.254.169.254",
        "http://0xa9fea9fe",
        "http://[::ffff:a9fe:a9fe]",
        "http://169.254.170.2",
        "http://[fd00:ec2::254]",
    ];
    for kind in KINDS {
        for url in urls {
            for more in [json!({}), json!({"allow_link_local": true})] {
                let faults = kind.parse(&kind.config(url, &more)).unwrap_err();
                assert!(faults.contains("metadata service"), "{faults}");
            }
        }
        let link = "http://169.254.20.10:9253";
        let faults = kind.parse(&kind.config(link, &json!({}))).unwrap_err();
        assert!(faults.contains("set allow_link_local to true"), "{faults}");
        let allowed = json!({"allow_link_local": true});
        assert!(kind.parse(&kind.config(link, &allowed)).is_ok());
    }
    for to in urls
        .into_iter()
        .chain(["http://169.254.20.10", "//[fe80::1]"])
    {
        let server = Server::start(None, move |_| redirect(&format!("{to}/hunter2"))).await;
        // A sync asks for the names of metrics, for the one that is wanted and, twice, for metadata.
        for (kind, expected) in [(Kind::Scrape, 1), (Kind::Sync, 4)] {
            let calls = server.seen().len();
            let began = Instant::now();
            let text = error(&place.run(kind, &server.url, json!({})).await);
            assert!(text.contains(" is not called: "), "{text}");
            // The definition is right, and the server is not.
            assert!(text.contains("correct its redirect"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            // No retry can help, and nothing was waited for.
            let calls = server.seen().len() - calls;
            assert_eq!(calls, expected, "{kind:?}");
            assert!(began.elapsed() < Duration::from_secs(5), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn the_address_of_the_own_credentials_is_not_called_whatever_its_name_is() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let server = Server::start(None, success).await;
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definition.json");
    for (protected, refused) in [(true, true), (false, false)] {
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let definition = json!({
                "name": "x", "type": "prometheus", "target_database": "db", "target_table": "t",
                "config": {"endpoint": format!("http://{host}:{port}/metrics"), "timeout_ms": 1_000},
            });
            std::fs::write(&file, definition.to_string()).unwrap();
            let flags = [&["run", file.to_str().unwrap()], &DEFAULTS[..]].concat();
            let mut run = command(&flags);
            run.env("AWS_ACCESS_KEY_ID", "local")
                .env("AWS_SECRET_ACCESS_KEY", "local")
                .env("AWS_ENDPOINT_URL", emulator.url());
            if protected {
                let url = format!("http://127.0.0.1:{port}/v1/credentials");
                run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
            }
            let calls = server.seen().len();
            let output = run.output().await.unwrap();
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), !refused, "{host}: {log}");
            let text = "is not called: it is the address of the connector's credentials";
            assert_eq!(log.contains(text), refused, "{host}: {log}");
            assert_eq!(server.seen().len() > calls, !refused, "{host}");
        }
    }
}

#[tokio::test]
async fn what_a_server_answers_is_not_repeated() {
    let place = Place::start().await;
    const BODY: &str = r#"{"AccessKeyId": "hunter2", "SecretAccessKey": "hunter2"}"#;
    for (status, content_type) in [
        (200, "application/json"),
        (200, "text/plain"),
        (200, "application/openmetrics-text"),
        (400, "application/json"),
        (403, "text/html"),
        (404, "text/plain"),
        (422, "application/json"),
    ] {
        for body in [
            BODY,
            "hunter2",
            "hunter2{a=\"hunter2\"} hunter2\n",
            "\"hunter2\"",
        ] {
            let headers = format!("content-type: {content_type}\r\n");
            let server = Server::start(None, move |_| response(status, &headers, body)).await;
            for kind in KINDS {
                // A sink reads nothing of a success.
                if kind == Kind::Sink && status == 200 {
                    continue;
                }
                let report = place.run(kind, &server.url, json!({})).await;
                let text = format!("{} {:?}", error(&report), report.warnings);
                assert!(!text.contains("hunter2"), "{kind:?} {status}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_as_ca_file() {
    let place = Place::start().await;
    let own = self_signed("localhost");
    let server = Server::start(Some(tls_of(&own)), success).await;
    let url = server.url.replace("127.0.0.1", "localhost");
    place.put("ca.pem", &own.certificate.pem());
    place.put("other.pem", &self_signed("localhost").certificate.pem());
    let path = place.folder.path().join("ca.pem");
    for kind in KINDS {
        for (tls, works) in [
            (json!({}), false),
            (json!({"ca_file": "ca.pem"}), true),
            // By its whole path too, as long as that is in the folder.
            (json!({"ca_file": path}), true),
            (json!({"ca_file": "other.pem"}), false),
            (json!({"insecure_skip_verify": true}), true),
            (
                json!({"ca_file": "other.pem", "insecure_skip_verify": true}),
                true,
            ),
        ] {
            // Retries of a sync take 7 s.
            if kind == Kind::Sync && !works {
                continue;
            }
            let report = place.run(kind, &url, json!({"tls": tls})).await;
            assert_eq!(report.error.is_none(), works, "{kind:?} {tls}: {report:?}");
        }
    }
    // The name is verified all the same.
    let tls = json!({"tls": {"ca_file": "ca.pem"}});
    let report = place.run(Kind::Scrape, &server.url, tls).await;
    assert!(error(&report).contains("not valid for name"), "{report:?}");
    let tls = json!({"tls": {"insecure_skip_verify": true}});
    assert_eq!(place.run(Kind::Scrape, &server.url, tls).await.error, None);
}

#[tokio::test]
async fn the_name_of_the_server_can_be_another_one_than_that_of_the_url() {
    let place = Place::start().await;
    let authority = authority();
    let inner = identity(&authority, "inner.example");
    let server = Server::start(Some(tls_of(&inner)), success).await;
    let host = server.url.strip_prefix("https://").unwrap().to_owned();
    place.put("ca.pem", &authority.pem());
    for kind in KINDS {
        let tls = json!({"tls": {"ca_file": "ca.pem", "server_name": "inner.example"}});
        let report = place.run(kind, &server.url, tls).await;
        assert_eq!(report.error, None, "{kind:?}");
        let seen = server.last();
        assert_eq!(seen.asked_for.as_deref(), Some("inner.example"));
        assert!(seen.has(&format!("host: {host}")), "{seen:?}");
    }
    let calls = server.seen().len();
    for name in [json!("other.example"), json!("192.0.2.1"), Value::Null] {
        let tls = json!({"tls": {"ca_file": "ca.pem", "server_name": name}});
        let report = place.run(Kind::Scrape, &server.url, tls).await;
        assert!(error(&report).contains("certificate"), "{report:?}");
    }
    assert_eq!(server.seen().len(), calls);
    // An address is verified, and not asked for.
    let by_address = Server::start(Some(tls_of(&identity(&authority, "192.0.2.1"))), success).await;
    let url = by_address.url.replace("127.0.0.1", "localhost");
    let tls = json!({"tls": {"ca_file": "ca.pem", "server_name": "192.0.2.1"}});
    assert_eq!(place.run(Kind::Scrape, &url, tls).await.error, None);
    assert_eq!(by_address.last().asked_for, None);
    assert!(by_address.last().head.contains("\nhost: localhost:"));
}

/// TLS of a server that wants a certificate of this authority from its clients.
fn mutual(server: &Identity, clients: &Authority) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(clients.der().clone()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key.serialize_der()));
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.certificate.der().clone()], key)
        .unwrap()
}

#[tokio::test]
async fn clients_show_their_certificate_and_changed_files_count_at_once() {
    let place = Place::start().await;
    let authority = authority();
    let server = identity(&authority, "localhost");
    let server = Server::start(Some(mutual(&server, &authority)), success).await;
    let url = server.url.replace("127.0.0.1", "localhost");
    place.put("ca.pem", &authority.pem());
    let tls = json!({"tls": {
        "ca_file": "ca.pem", "cert_file": "client.crt", "key_file": "client.key",
    }});
    for round in 0..2 {
        let client = identity(&authority, &format!("client-{round}"));
        place.put("client.crt", &client.certificate.pem());
        place.put("client.key", &client.key.serialize_pem());
        for kind in KINDS {
            let report = place.run(kind, &url, tls.clone()).await;
            assert_eq!(report.error, None, "{kind:?}");
            let shown = server.last().client.unwrap();
            assert_eq!(shown, client.certificate.der().to_vec());
        }
    }
    let without = json!({"tls": {"ca_file": "ca.pem"}});
    let report = place.run(Kind::Scrape, &url, without).await;
    assert!(report.error.is_some());
    // The key of another certificate.
    let other = identity(&authority, "other");
    place.put("client.key", &other.key.serialize_pem());
    let text = error(&place.run(Kind::Scrape, &url, tls).await);
    let start = "tls.cert_file and tls.key_file cannot be used together: ";
    assert!(text.starts_with(start), "{text}");
}

#[tokio::test]
async fn no_certificate_is_shown_to_a_server_that_a_redirect_leads_to() {
    let place = Place::start().await;
    let authority = authority();
    let tls = || {
        let server = identity(&authority, "localhost");
        Some(mutual(&server, &authority))
    };
    let local = |server: &Server| server.url.replace("127.0.0.1", "localhost");
    let other = Server::start(tls(), success).await;
    let to = local(&other);
    let server = Server::start(tls(), move |path| match path {
        "/away/metrics" => redirect(&format!("{to}/metrics")),
        "/here/metrics" => redirect("/metrics"),
        _ => success(path),
    })
    .await;
    let client = identity(&authority, "client");
    place.put("ca.pem", &authority.pem());
    place.put("client.crt", &client.certificate.pem());
    place.put("client.key", &client.key.serialize_pem());
    let tls = json!({"tls": {
        "ca_file": "ca.pem", "cert_file": "client.crt", "key_file": "client.key",
    }});
    let url = local(&server) + "/here";
    let report = place.run(Kind::Scrape, &url, tls.clone()).await;
    assert_eq!(report.error, None);
    assert_eq!(server.seen().len(), 2);
    let url = local(&server) + "/away";
    let report = place.run(Kind::Scrape, &url, tls.clone()).await;
    assert!(report.error.is_some(), "{report:?}");
    assert!(other.seen().is_empty());
    // The definition that names it shows the certificate.
    let report = place.run(Kind::Scrape, &local(&other), tls).await;
    assert_eq!(report.error, None);
}

#[tokio::test]
async fn only_files_of_the_folder_of_secrets_are_opened() {
    let place = Place::start().await;
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("ca.pem");
    std::fs::write(&path, authority().pem()).unwrap();
    std::os::unix::fs::symlink(&path, place.folder.path().join("link.pem")).unwrap();
    for kind in KINDS {
        for (file, expected) in [
            (path.as_path(), "leads out of secrets_dir"),
            (Path::new("link.pem"), "leads out of secrets_dir"),
            (Path::new("none.pem"), "cannot be read"),
        ] {
            let tls = json!({"tls": {"ca_file": file}});
            let report = place.run(kind, "https://localhost:1", tls).await;
            let Some(RunError::Disable(text)) = &report.error else {
                panic!("{kind:?}: {report:?}");
            };
            assert!(text.starts_with("ca_file resolve: "), "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }
}
