//! The command `bootstrap healthcheck`: checks the health of a server on this machine. A container engine starts it
//! beside the server with the same configuration.
//!
//! The request goes to this machine, to an address of the server's own configuration, and only the status of the
//! response counts. So the server's certificate, which names other hosts, is not verified, and a server that
//! requires a client certificate counts as healthy.

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
use crate::telemetry::print_error;
use crate::unverified::Unverified;

/// Maximum time of connection and request together.
const TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The start of the response of a healthy server.
const HEALTHY: &[u8] = b"HTTP/1.1 200 ";

/// The reason why the server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The connection failed or broke off.
    #[error("{address} does not respond: {cause}")]
    NoResponse {
        /// The address of the request.
        address: String,
        /// The cause.
        cause: io::Error,
    },
    /// The response was late.
    #[error("{address} has not responded within {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// The address of the request.
        address: String,
    },
    /// The status is not 200.
    #[error("{address} responded with {line:?}")]
    Rejected {
        /// The address of the request.
        address: String,
        /// The beginning of the response.
        line: String,
    },
}

/// Checks the server with this configuration, and prints the result for a container engine.
pub async fn run(config: &Config) -> ExitCode {
    match check(config).await {
        Ok(()) => {
            // The status is the result, whether or not the text can be written.
            super::print("healthy\n", ExitCode::SUCCESS);
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&format!("unhealthy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Requests the health of the server with this configuration.
///
/// # Errors
/// It does not respond in time with 200.
pub async fn check(config: &Config) -> Result<(), Unhealthy> {
    let (host, port) = here(&config.listen_address);
    let address = format!("port {port} of {host}");
    let request = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        match &config.web.current().tls {
            None => request_over(stream).await,
            Some(_) => request_over_tls(stream).await,
        }
    };
    match timeout(TIMEOUT, request).await {
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

/// Returns host and port at which this machine reaches a listen address.
fn here(address: &ListenAddress) -> (String, u16) {
    let host = match &address.host {
        // All addresses: IPv4 works even without IPv6.
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

/// Sends the request and returns the start of the response, as long as [`HEALTHY`].
async fn request_over(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    let mut start = vec![0; HEALTHY.len()];
    stream.read_exact(&mut start).await?;
    Ok(start)
}

/// Returns true if the server ended the connection because this client has no certificate.
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
    fn all_addresses_are_checked_on_the_loopback_one() {
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
