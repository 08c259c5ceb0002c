//! TLS on real sockets, and slow clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use timestream_prometheus_connector::config::ListenAddress;
use timestream_prometheus_connector::entry::server;
use timestream_prometheus_connector::entry::server::{ConnectionTimeouts, Ended};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::auth::replace;
use crate::standalone::Connector;
use crate::support::{app, start_emulator, table};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, and its key.
pub(crate) struct Identity {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

pub(crate) fn identity(authority: &Authority, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity { certificate, key }
}

/// A directory with a web configuration file and the files it names.
pub(crate) struct Files {
    directory: TempDir,
    authority: Authority,
}

impl Files {
    pub(crate) fn new(more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let files = Self {
            directory,
            authority: authority(),
        };
        files.put("ca.crt", &files.authority.pem());
        files.renew();
        files.put(
            "web.yml",
            &format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}"),
        );
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, content: &str) {
        replace(&self.path(name), content);
    }

    /// Gives the server another certificate and returns it.
    fn renew(&self) -> Vec<u8> {
        let server = identity(&self.authority, "localhost");
        self.put("server.crt", &server.certificate.pem());
        self.put("server.key", &server.key.serialize_pem());
        server.certificate.der().to_vec()
    }

    pub(crate) fn flag(&self) -> String {
        format!("--web.config.file={}", self.path("web.yml").display())
    }

    /// Requests `/-/ready` in TLS of these versions, as `client` if there is one. Returns the
    /// server's certificate and the response.
    async fn request(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
        client: Option<&Identity>,
    ) -> std::io::Result<(Vec<u8>, String)> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::try_from(client.key.serialize_der()).unwrap();
                let chain = vec![client.certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await?;
        let server = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let response = ready(&mut stream).await?;
        Ok((server, response))
    }
}

async fn ready(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<String> {
    let request = "GET /-/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

pub(crate) fn address(connector: &Connector) -> SocketAddr {
    let (_, address) = connector.url.split_once("//").unwrap();
    address.parse().unwrap()
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

#[tokio::test]
async fn it_speaks_tls_and_survives_those_who_do_not() {
    let files = Files::new("  min_version: TLS13\n");
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[&files.flag()]).await;
    let address = address(&connector);
    let mut plain = TcpStream::connect(address).await.unwrap();
    let response = ready(&mut plain).await;
    assert!(!response.is_ok_and(|response| response.contains("HTTP/1.1")));
    drop(TcpStream::connect(address).await.unwrap());
    assert!(files.request(address, &[&TLS12], None).await.is_err());
    let (_, response) = files.request(address, BOTH, None).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("tls=true"), "{log}");
    assert!(log.contains("TLS handshake failed;"), "{log}");
    assert!(log.contains("message=Stopped."), "{log}");
}

#[tokio::test]
async fn certificates_of_clients() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let verified = "  client_ca_file: ca.crt\n  client_auth_type: ";
    // Without a certificate, with one of the right authority, with one of another.
    let cases = [
        (
            "  client_auth_type: NoClientCert\n".to_owned(),
            [true, true, true],
        ),
        (
            "  client_auth_type: RequestClientCert\n".to_owned(),
            [true, true, true],
        ),
        (
            "  client_auth_type: RequireAnyClientCert\n".to_owned(),
            [false, true, true],
        ),
        (
            format!("{verified}VerifyClientCertIfGiven\n"),
            [true, true, false],
        ),
        (
            format!("{verified}RequireAndVerifyClientCert\n"),
            [false, true, false],
        ),
        (
            format!(
                "{verified}RequireAndVerifyClientCert\n  client_allowed_sans: [a.example, b.example]\n"
            ),
            [false, true, false],
        ),
        (
            format!("{verified}RequireAndVerifyClientCert\n  client_allowed_sans: [b.example]\n"),
            [false, false, false],
        ),
        (
            "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a.example]\n"
                .to_owned(),
            [false, true, true],
        ),
    ];
    for (settings, expected) in cases {
        let files = Files::new(&settings);
        let connector = Connector::start(&emulator, &[&files.flag()]).await;
        let address = address(&connector);
        let own = identity(&files.authority, "a.example");
        let other = identity(&authority(), "a.example");
        for (client, expected) in [None, Some(&own), Some(&other)].into_iter().zip(expected) {
            for versions in [&[&TLS12][..], &[&TLS13]] {
                let response = files.request(address, versions, client).await;
                let served = response.is_ok_and(|(_, response)| response.contains("200 OK"));
                assert_eq!(
                    served,
                    expected,
                    "{settings} {} {versions:?}",
                    client.is_some()
                );
            }
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_and_a_broken_one_is_not() {
    let files = Files::new("");
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let connector = Connector::start(&emulator, &[&files.flag()]).await;
    let address = address(&connector);
    let first = files.renew();
    assert_eq!(files.request(address, BOTH, None).await.unwrap().0, first);
    // The certificate of another key: a renewal that is only half done.
    let half = identity(&files.authority, "localhost");
    files.put("server.crt", &half.certificate.pem());
    assert_eq!(files.request(address, BOTH, None).await.unwrap().0, first);
    files.put("server.key", &half.key.serialize_pem());
    let second = half.certificate.der().to_vec();
    assert_eq!(files.request(address, BOTH, None).await.unwrap().0, second);
    // Switching TLS off would send passwords in the clear.
    files.put("web.yml", "");
    assert_eq!(files.request(address, BOTH, None).await.unwrap().0, second);
    let (_, log) = connector.terminate().await;
    for error in [
        "the certificate and key cannot be used together",
        "TLS cannot be switched on or off without a restart",
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(error)).collect();
        assert_eq!(lines.len(), 1, "{error}\n{log}");
        assert!(lines[0].contains("level=error"), "{log}");
    }
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

/// A server in this process, stopped by its sender.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

async fn serve(flags: &[&str], timeouts: ConnectionTimeouts) -> Server {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let any_port = ListenAddress {
        host: Some("127.0.0.1".to_owned()),
        port: 0,
    };
    let listener = server::bind(&any_port).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(&emulator, flags).await;
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let _emulator = emulator;
        let stop = async {
            let _ = stopped.await;
        };
        server::serve(listener, app, timeouts, stop, Duration::from_secs(60)).await
    });
    Server {
        address,
        stop,
        ended,
    }
}

/// So short that a test need not wait long, and long enough for a busy machine to send the headers.
const SHORT: ConnectionTimeouts = ConnectionTimeouts {
    tls_handshake: Duration::from_millis(400),
    headers: Duration::from_millis(400),
    idle: Duration::from_millis(400),
    write: Duration::from_secs(60),
};
/// So long that a test would hang.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn slow_clients_lose_their_connection() {
    let files = Files::new("");
    let head = ConnectionTimeouts {
        tls_handshake: LONG,
        idle: LONG,
        ..SHORT
    };
    let handshake = ConnectionTimeouts {
        headers: LONG,
        idle: LONG,
        ..SHORT
    };
    let idle = ConnectionTimeouts {
        tls_handshake: LONG,
        headers: LONG,
        ..SHORT
    };
    let whole = "GET /-/ready HTTP/1.1\r\nhost: a\r\n\r\n";
    let half = "GET /-/ready HTTP/1.1\r\nho";
    let tls = files.flag();
    let cases: [(&[&str], ConnectionTimeouts, &str, &str); 4] = [
        (&[], head, "", ""),
        (&[], head, half, ""),
        (&[], idle, whole, "HTTP/1.1 200 OK"),
        (&[&tls], handshake, "\x16\x03\x01", ""),
    ];
    for (flags, timeouts, sent, expected) in cases {
        let server = serve(flags, timeouts).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        // Ends because the server closes the connection.
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with(expected), "{sent:?} {response}");
        assert_eq!(
            response.matches("HTTP/1.1 200").count(),
            expected.len().min(1)
        );
    }
}

#[tokio::test]
async fn the_header_timeout_applies_to_persistent_connections_too() {
    let timeouts = ConnectionTimeouts {
        tls_handshake: LONG,
        idle: LONG,
        ..SHORT
    };
    let server = serve(&[], timeouts).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        let request = "HEAD /-/ready HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    stream.write_all(b"HEAD /-/re").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_others_are_let_go() {
    let timeouts = ConnectionTimeouts {
        tls_handshake: LONG,
        headers: LONG,
        idle: LONG,
        write: Duration::from_secs(60),
    };
    let server = serve(&[], timeouts).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let head =
        "POST /write HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    busy.write_all(head.as_bytes()).await.unwrap();
    // The server wants the body now: the request is in flight.
    let mut continued = [0; 25];
    busy.read_exact(&mut continued).await.unwrap();
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.stop.send(()).unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    busy.write_all(b"???").await.unwrap();
    let mut response = String::new();
    busy.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert_eq!(server.ended.await.unwrap(), Ended::Stopped);
}
