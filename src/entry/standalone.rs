//! The standalone HTTP server.

use std::future::Future;
use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::ListenAddress;
use crate::http::{App, router};

/// Why the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// A `fail_on_*` option refused a request.
    Refused,
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
///
/// # Errors
/// The socket fails.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<Ended> {
    let (ending, mut ended) = tokio::sync::watch::channel(None);
    let waiting = app.clone();
    let ended_by = async move {
        let reason = tokio::select! {
            () = stop => Ended::Stopped,
            () = waiting.refused() => Ended::Refused,
        };
        // The receiver lives as long as the server.
        let _ = ending.send(Some(reason));
    };
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(ended_by);
    let expired = async {
        let reason = *ended
            .wait_for(Option::is_some)
            .await
            .expect("the sender reports before it ends");
        tokio::time::sleep(grace).await;
        reason
    };
    let reason = tokio::select! {
        result = server => {
            result?;
            None
        }
        reason = expired => {
            tracing::warn!("Some requests did not finish in time and were cut off.");
            reason
        }
    };
    Ok(reason.or(*ended.borrow()).unwrap_or(Ended::Stopped))
}

/// Completes when the process gets SIGTERM or SIGINT.
///
/// # Errors
/// The handlers cannot be installed.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
