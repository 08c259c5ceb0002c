//! Asks a running standalone server whether it is healthy, as a container engine does by starting
//! `bootstrap healthcheck` beside it with the same configuration.
//!
//! What it asks is this machine, at an address of the server's own configuration, and nothing but
//! the status of the answer counts. So the server's certificate, which names other hosts, is not
//! verified, and a server that wants to see a client's certificate counts as alive.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error};

use crate::config::{Config, ListenAddress};
use crate::unverified::Unverified;
use crate::visible::print_error;

/// How long connecting and asking may take together.
const TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The start of an answer that says yes.
const HEALTHY: &[u8] = b"HTTP/1.1 200 ";

/// Why the server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nothing answers, or the answer breaks off.
    #[error("{address} does not answer: {cause}")]
    NoResponse {
        /// Where the server was looked for.
        address: String,
        /// What went wrong.
        cause: io::Error,
    },
    /// No answer in time.
    #[error("{address} has not answered within {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// Where the server was looked for.
        address: String,
    },
    /// An answer that is not 200.
    #[error("{address} answers {line:?}")]
    Rejected {
        /// Where the server was looked for.
        address: String,
        /// The beginning of the answer.
        line: String,
    },
}

/// Checks the server with this configuration, and prints the result for a container engine.
pub async fn run(config: &Config) -> ExitCode {
    match check(config).await {
        Ok(()) => {
            println!("healthy");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&format!("unhealthy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Asks the server with this configuration.
///
/// # Errors
/// It does not answer, not in time, or not with 200.
pub async fn check(config: &Config) -> Result<(), Unhealthy> {
    let (host, port) = here(&config.listen_address);
    let address = format!("port {port} of {host}");
    let asking = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        match &config.web.current().tls {
            None => request_over(stream).await,
            Some(_) => request_over_tls(stream).await,
        }
    };
    match timeout(TIMEOUT, asking).await {
        Err(_) => Err(Unhealthy::Timeout { address }),
        Ok(Err(error)) if wants_certificate(&error) => Ok(()),
        Ok(Err(cause)) => Err(Unhealthy::NoResponse { address, cause }),
        Ok(Ok(start)) if start == HEALTHY => Ok(()),
        Ok(Ok(start)) => Err(Unhealthy::Rejected {
            address,
            line: String::from_utf8_lossy(&start).into_owned(),
        }),
    }
}

/// Host and port at which this machine reaches what listens on an address.
fn here(address: &ListenAddress) -> (String, u16) {
    let host = match &address.host {
        // All addresses: IPv4's is there even where IPv6 is not.
        None => Ipv4Addr::LOCALHOST.to_string(),
        Some(host) => match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            _ => host.clone(),
        },
    };
    (host, address.port)
}

async fn request_over_tls(stream: TcpStream) -> io::Result<Vec<u8>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified::default()))
        .with_no_client_auth();
    let name = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
    let connector = TlsConnector::from(Arc::new(config));
    request_over(connector.connect(name, stream).await?).await
}

/// Sends the request and returns as much of the answer as [`HEALTHY`] is long.
async fn request_over(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    let mut start = vec![0; HEALTHY.len()];
    stream.read_exact(&mut start).await?;
    Ok(start)
}

/// Whether the server ended the connection because this client has no certificate.
fn wants_certificate(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        inner,
        // The one of TLS 1.3, the other of TLS 1.2.
        Some(Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure
        ))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_on_the_loopback_one() {
        let address = |host: Option<&str>| ListenAddress {
            host: host.map(str::to_owned),
            port: 9201,
        };
        for (host, expected) in [
            (None, "127.0.0.1"),
            (Some("0.0.0.0"), "127.0.0.1"),
            (Some("::"), "127.0.0.1"),
            (Some("::1"), "::1"),
            (Some("10.1.2.3"), "10.1.2.3"),
            (Some("connector.example"), "connector.example"),
        ] {
            assert_eq!(here(&address(host)), (expected.to_owned(), 9201));
        }
    }
}
