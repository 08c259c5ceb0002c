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

/// The pause after a connection could not be accepted.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_secs(1);

/// The reason why the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// A `fail_on_*` option rejected a request.
    Rejected,
}

/// Opens the socket. Without a host it accepts IPv6 and IPv4 connections on all addresses.
///
/// # Errors
/// The address is in use, not allowed, or not an address of this machine.
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

/// Serves until `stop` completes or a `fail_on_*` option rejects a request, then gives the requests in flight
/// `grace` to finish.
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
        tracing::warn!("Some requests did not finish within the grace period and were cut off.");
    }
    reason
}

/// Returns the next connection. Errors do not end the server.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client left already.
            Err(error) if is_of_client(error.kind()) => {}
            Err(error) => {
                tracing::error!(
                    error = error.to_string(),
                    "Cannot accept a connection; the limit of open files may be too low."
                );
                // Most likely no file descriptor is free; one becomes free when a connection ends.
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
