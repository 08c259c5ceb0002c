//! The standalone HTTP server.

mod connection;
mod header_timeout;
mod run;

use std::future::Future;
use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::config::ListenAddress;
use crate::http::{App, router};
pub use connection::ConnectionTimeouts;
pub use run::run;

/// How long to wait after a connection could not be accepted.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_secs(1);

/// Why the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// A `fail_on_*` option refused a request.
    Rejected,
}

/// Opens the socket. Without a host it takes IPv6 and IPv4 connections on all addresses.
///
/// # Errors
/// The address is in use, not allowed, or none of this machine's.
pub async fn bind(address: &ListenAddress) -> io::Result<TcpListener> {
    match &address.host {
        Some(host) => TcpListener::bind((host.as_str(), address.port)).await,
        // A machine without IPv6 has no such address to listen on.
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, address.port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", address.port)).await
            }
            result => result,
        },
    }
}

/// Serves until `stop` completes or a request is refused, then lets the requests in flight
/// finish for at most `grace`.
pub async fn serve(
    listener: TcpListener,
    app: App,
    timeouts: ConnectionTimeouts,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Ended {
    let router = router(app.clone());
    let (stopping, stopped) = watch::channel(None);
    let accepting = async {
        loop {
            let stream = accept(&listener).await;
            tokio::spawn(connection::serve(
                stream,
                router.clone(),
                app.web().clone(),
                timeouts,
                stopped.clone(),
            ));
        }
    };
    let reason = tokio::select! {
        () = stop => Ended::Stopped,
        () = app.rejected() => Ended::Rejected,
        () = accepting => unreachable!("connections are accepted without end"),
    };
    drop(listener);
    // Each connection holds a receiver; when none is left, all have ended.
    drop(stopped);
    stopping.send_replace(Some(reason));
    if tokio::time::timeout(grace, stopping.closed())
        .await
        .is_err()
    {
        tracing::warn!("Some requests did not finish in time and were cut off.");
    }
    reason
}

/// The next connection. Whatever prevents one does not end the server.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client was faster than we.
            Err(error) if is_of_client(error.kind()) => {}
            Err(error) => {
                tracing::error!(error = error.to_string(), "Cannot accept a connection.");
                // Most likely no file descriptor is left; it takes a while until one is.
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
}

fn is_of_client(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        kind,
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
