//! Whose certificates are trusted when Timestream and targets are called.

use std::sync::Arc;

use prom_wire::prompb::WriteRequest;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::scrape::{TEXT, exposing};
use crate::standalone::{Connector, DEFAULTS, command};
use crate::support::{START_MS, series, start_emulator, table};

use crate::outgoing::self_signed;
use crate::tls::{Authority, Identity, authority, identity};

/// Puts TLS in front of a server, with a certificate of this authority. Returns the URL.
async fn encrypt(address: &str, authority: &Authority) -> String {
    encrypt_as(address, &identity(authority, "localhost")).await
}

async fn encrypt_as(address: &str, server: &Identity) -> String {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = address.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut encrypted) = acceptor.accept(stream).await else {
                    return;
                };
                let mut plain = TcpStream::connect(address).await.unwrap();
                let _ = copy_bidirectional(&mut encrypted, &mut plain).await;
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn a_variable_names_further_authorities() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let authority = authority();
    let url = emulator.url();
    let url = encrypt(url.strip_prefix("http://").unwrap(), &authority).await;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    let path = file.path().to_str().unwrap();
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("write_base_endpoint", &url),
        // An untrusted server gets retries, as if the network was broken.
        ("max_write_retries", "0"),
    ];
    let body = prom_wire::encode(&WriteRequest {
        timeseries: vec![series(
            &[("__name__", "up"), ("job", "a")],
            &[(START_MS, 1.0)],
        )],
        metadata: vec![],
    });
    let body = body.unwrap();
    // With it this certificate is trusted; without it only those that the program has.
    for (roots, status, points) in [(None, 503, 0), (Some(path), 204, 1)] {
        let mut variables = credentials.to_vec();
        variables.extend(roots.map(|path| ("SSL_CERT_FILE", path)));
        let connector = Connector::start_with(&emulator, &DEFAULTS, &variables).await;
        assert_eq!(connector.post("/write", body.clone()).await, status);
        assert_eq!(emulator.points("db", "t").len(), points);
    }
}

#[tokio::test]
async fn targets_are_trusted_as_timestream_is() {
    let target = exposing(TEXT, b"a{b=\"1\"} 2\n").await;
    let authority = authority();
    let url = encrypt(&target.address, &authority).await;
    is_trusted_by_variable(&url, &authority.pem(), "UnknownIssuer").await;
    // A self-signed one, which claims to be an authority.
    let own = self_signed("localhost");
    let url = encrypt_as(&target.address, &own).await;
    is_trusted_by_variable(&url, &own.certificate.pem(), "CaUsedAsEndEntity").await;
}

/// Scrapes a target with and without a certificate in `SSL_CERT_FILE`; without, the log has
/// `expected`.
async fn is_trusted_by_variable(url: &str, pem: &str, expected: &str) {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let [roots, definition] = ["roots.pem", "definition.json"].map(|it| folder.path().join(it));
    std::fs::write(&roots, pem).unwrap();
    let config = json!({
        "name": "x", "type": "prometheus", "target_database": "db", "target_table": "t",
        "config": {"endpoint": url, "target_labels": false},
    });
    std::fs::write(&definition, config.to_string()).unwrap();
    for (roots, status, points) in [(None, 1, 0), (Some(&roots), 0, 1)] {
        let flags = [&["run", definition.to_str().unwrap()], &DEFAULTS[..]].concat();
        let mut run = command(&flags);
        run.env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL", emulator.url());
        if let Some(roots) = roots {
            run.env("SSL_CERT_FILE", roots);
        }
        let output = run.output().await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{log}");
        assert_eq!(emulator.points("db", "t").len(), points);
        assert_eq!(log.contains(expected), roots.is_none(), "{log}");
    }
}
